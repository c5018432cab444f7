"""export, export verify, import: a person's own package, made, checked and taken in."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from sottovoce.doors.cli import payloads, render
from sottovoce.doors.cli.console import printable
from sottovoce.doors.cli.errors import OK
from sottovoce.doors.cli.files import read_text
from sottovoce.doors.cli.world import CALLER, COMMON, Common, Outside, Subject

app = App(name="export")

Package = Annotated[Path, Parameter(help="A package made by `sottovoce export`.")]
Key = Annotated[
    Path | None, Parameter(help="Identity file of the service that made it (else this home's own).")
]


@app.default
def export(
    *,
    subject: Subject,
    out: Annotated[Path, Parameter(name=("--out", "-o"), help="The new zip file.")],
    to: Annotated[Path | None, Parameter(help="Seal it to this recipient key file.")] = None,
    recipient: Annotated[
        str | None, Parameter(help="Who receives it at the person's wish (recipients list gives the id).")
    ] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Give a person everything that is held of them, as one signed zip.

    A page to read, JSON and CSV: consents with the exact notices, results with
    plain words for every number, who opened what, receipts, how long what is
    kept. It needs no consent. The file is readable by its owner alone; it holds
    personal data in clear unless it is sealed with --to. What goes to somebody
    else at the person's wish is written down with --recipient.

    For example:
      sottovoce export --subject anna --out anna.zip
      sottovoce export --subject anna --out anna.sealed --to anna.recipient.json
    """
    sealed_to = None if to is None else read_text(to)
    with world.open(common) as platform, world.console.progress("collecting"):
        made = platform.export_person(
            subject=subject, out=out, to=sealed_to, recipient=recipient, caller=CALLER
        )
    payload = {
        "file": str(out), "size_bytes": made.size_bytes, "sha256": made.sha256, "made_at": payloads.when(made.made_at),
        "counts": made.counts, "sealed_to": made.sealed_to,
        "handed_over": None if made.handed is None else payloads.handed(made.handed),
    }  # fmt: skip
    rows = [(name, str(count)) for name, count in made.counts.items()]
    rows += [
        ("bytes", str(made.size_bytes)),
        ("sealed to", made.sealed_to or "nobody: it can be read as it is"),
    ]
    if made.handed is not None:
        rows += [("handed to", made.handed.recipient_id), ("known there as", made.handed.subject)]
    world.answer(common, payload, f"{printable(str(out))}\n{render.table(rows)}")
    return OK


@app.command
def verify(file: Package, /, *, key: Key = None, common: Common = COMMON, world: Outside) -> int:
    """Check a package offline: every file, the manifest, the signature.

    For example:
      sottovoce export verify anna.zip
      sottovoce export verify anna.zip --key clinic.identity.json
    """
    from sottovoce import app as house
    from sottovoce.settings import default_home

    trusted = None if key is None else read_text(key)
    package = house.verify_package(file, key=trusted, home=common.folder or default_home())
    body = package.signed.body
    payload = {
        "file": str(file), "verified": True, "files": len(package.members), "made_at": body.get("made_at"),
        "subject_id": body.get("subject_id"), "key_id": package.signed.key_id,
    }  # fmt: skip
    rows = [
        ("files", str(len(package.members))),
        ("made at", _made(body.get("made_at"))),
        ("signed by", package.signed.key_id),
    ]
    head = "verified: every byte is what was signed, by a key that was pinned before"
    world.answer(common, payload, f"{head}\n{render.table(rows)}")
    return OK


@app.command(name="new-key")
def new_key(
    *,
    private: Annotated[Path, Parameter(help="New file for the private half: to be kept by its owner alone.")],
    public: Annotated[Path, Parameter(help="New file for the public half: to be handed out.")],
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Make a key that packages can be sealed to.

    It needs no home: the person who is to read the package makes it, keeps the
    private half, and hands out the public one for `export --to`.

    For example:
      sottovoce export new-key --private joan.private.json --public joan.recipient.json
    """
    from sottovoce import app as house

    key_id = house.new_recipient(private, public)
    rows = [
        ("key", key_id),
        ("public half", f"{printable(str(public))}: hand it out"),
        ("private half", f"{printable(str(private))}: keep it; nobody can make it anew"),
    ]
    payload: payloads.Json = {"key_id": key_id, "private": str(private), "public": str(public)}
    world.answer(common, payload, render.table(rows, indent=0))
    return OK


@app.command(name="open")
def open_sealed(
    file: Annotated[Path, Parameter(help="A package that was sealed with --to.")],
    /,
    *,
    key: Annotated[Path, Parameter(help="The private key file.")],
    out: Annotated[Path, Parameter(name=("--out", "-o"), help="The new zip file.")],
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Open a package that was sealed to a key, with its private half.

    For example:
      sottovoce export open joan.sealed --key joan.private.json --out joan.zip
    """
    from sottovoce import app as house

    size_bytes = house.open_sealed(file, key=read_text(key), out=out)
    world.answer(
        common, {"file": str(out), "size_bytes": size_bytes}, f"{printable(str(out))}  {size_bytes} bytes"
    )
    return OK


def _made(value: object) -> str:
    try:
        return render.moment(datetime.fromisoformat(str(value)))
    except ValueError:
        return printable(str(value))


def take_in(
    file: Package,
    /,
    *,
    subject: Annotated[
        str | None, Parameter(help="Your own id of the person (else the one it came with).")
    ] = None,
    key: Key = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Take in a person's package that another home made.

    Consents come with the exact notices, results are sealed anew under keys of
    this home and keep the date on which they have to go. A changed package, a
    person who is here already, and what was erased here are refused.

    For example:
      sottovoce import anna.zip --key clinic.identity.json
    """
    trusted = None if key is None else read_text(key)
    with world.open(common) as platform, world.console.progress("taking in"):
        made = platform.import_person(file, subject=subject, key=trusted, caller=CALLER)
    payload = {
        "subject": made.subject, "consents": made.consents, "sessions": made.sessions, "records": made.records,
        "left_out": made.left_out, "receipt": made.receipt_path,
    }  # fmt: skip
    rows = [
        ("consents", str(made.consents)),
        ("sessions", str(made.sessions)),
        ("records", str(made.records)),
    ]
    rows += [(f"left out: {reason}", str(count)) for reason, count in made.left_out.items()]
    rows += [("receipt", made.receipt_path)] if made.receipt_path else []
    world.answer(common, payload, f"Taken in: {printable(made.subject)}\n{render.table(rows)}")
    return OK
