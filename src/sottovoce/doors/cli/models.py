"""models list, add, remove, show, verify, export: one model file for everywhere, and its signed card.

Rules upheld here:
- A card's key comes from --key, or is one that is pinned: the home's own, or who signed what is shipped; never
  from the card.
- `show` tells what a file and a card claim, and says so; only `verify` says what holds.
- Nothing is overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from sottovoce.doors.cli.console import printable
from sottovoce.doors.cli.errors import OK
from sottovoce.doors.cli.files import read_small, read_text, write_new
from sottovoce.doors.cli.models_evaluate import evaluate
from sottovoce.doors.cli.render import table
from sottovoce.doors.cli.world import CALLER, COMMON, Common, Outside

if TYPE_CHECKING:
    from sottovoce.usecases.registry import RegisteredModel
    from sottovoce.voice.models.read_tflite import ModelFile

CARD_SUFFIX = ".card.json"

app = App(name="models", help="List, show, verify, evaluate and export model files.")
app.command(evaluate)

File = Annotated[Path, Parameter(help="A model file (.tflite).")]
CardFile = Annotated[Path | None, Parameter(help="Its signed card (else FILE.card.json).")]


@app.command
def show(file: File, /, *, card: CardFile = None, common: Common = COMMON, world: Outside) -> int:
    """Show what a model file says of itself, and what its card claims.

    Nothing is verified here: see `models verify`.

    For example:
      sottovoce models show apparent-sex.tflite
    """
    from sottovoce.sealing.receipt import parse_receipt
    from sottovoce.voice.models.read_tflite import read_tflite

    model = read_tflite(read_small(file))
    beside = card or _beside(file)
    claimed = parse_receipt(read_text(beside)).body if card or beside.exists() else None
    payload = {**_payload(model), "verified": False, "card": claimed}
    world.answer(common, payload, _shown(model, claimed, "not verified"))
    return OK


@app.command
def verify(
    file: File,
    /,
    *,
    card: CardFile = None,
    key: Annotated[Path | None, Parameter(help="The signer's identity file (else pinned ones).")] = None,
    profile: Annotated[
        Literal["compat", "corrected"] | None, Parameter(help="The profile it is to be run on.")
    ] = None,
    demonstration: Annotated[bool, Parameter(help="Accept a model that is a demonstration only.")] = False,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Check a model file and its signed card offline, against a pinned key.

    Refused: a signature that does not fit, a signer whom nobody pinned, a file
    that its card does not name, features of another profile, a demonstration
    that none was asked for.

    For example:
      sottovoce models verify apparent-sex.tflite --key clinic.identity.json
    """
    from sottovoce import app as house
    from sottovoce.settings import default_home

    found = house.verify_model(
        read_small(file),
        read_text(card or _beside(file)),
        key=None if key is None else read_text(key),
        home=common.folder or default_home(),
        profile=profile,
        demonstration=demonstration,
    )
    payload = {
        **_payload(found.model),
        "verified": True,
        "key_id": found.key_id,
        "card": dict(found.card.body),
    }
    world.answer(
        common, payload, _shown(found.model, found.card.body, f"verified, signed by {found.key_id[:16]}")
    )
    return OK


@app.command(name="export")
def export_model(
    file: File,
    /,
    *,
    out: Annotated[Path, Parameter(name=("--out", "-o"), help="The file to write; it must not exist.")],
    format: Annotated[Literal["tflite", "onnx"], Parameter(help="Which kind of file.")] = "tflite",
    quantise: Annotated[Literal["none", "f16", "int8"], Parameter(help="How to store the weights.")] = "none",
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Write a model as a smaller file, or as its .onnx twin.

    The same model always gives the same bytes: a card can name them beforehand.
    Weights are stored smaller and made float32 again before anything is
    computed, so every runtime gives the same values for the same file.

    For example:
      sottovoce models export apparent-sex.tflite --quantise int8 --out small.tflite
      sottovoce models export apparent-sex.tflite --format onnx --out model.onnx
    """
    from hashlib import sha256

    from sottovoce.usecases import models
    from sottovoce.voice.models.read_tflite import read_tflite

    data = models.export(read_tflite(read_small(file)), form=format, quantise=quantise)
    write_new(out, data)
    digest = sha256(data).hexdigest()
    payload = {
        "file": str(out),
        "format": format,
        "quantise": quantise,
        "sha256": digest,
        "size_bytes": len(data),
    }
    world.answer(common, payload, f"{printable(str(out))}: {len(data)} bytes, sha256 {digest}")
    return OK


@app.command(name="list")
def list_models(*, common: Common = COMMON, world: Outside) -> int:
    """List the models of this home and those that are shipped.

    A model is run where the setting infer names its attribute, and the person
    has consented to its purpose; both are needed.

    For example:
      sottovoce models list
    """
    with world.open(common) as platform:
        found = platform.models()
    world.answer(common, [asdict(one) for one in found], _listed(found))
    return OK


@app.command
def add(
    file: File,
    /,
    *,
    card: CardFile = None,
    key: Annotated[Path | None, Parameter(help="The signer's identity file (else this home's own).")] = None,
    demonstration: Annotated[bool, Parameter(help="Take in a model that is a demonstration only.")] = False,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Take a model file into this home, with its signed card.

    It is verified as `models verify` does, and again whenever it is loaded; the
    signer's identity is pinned with it. Nothing is run by this: see `models list`.

    For example:
      sottovoce models add apparent-sex.tflite --key clinic.identity.json
    """
    data, text = read_small(file), read_text(card or _beside(file))
    with world.open(common) as platform:
        made = platform.add_model(
            data,
            text,
            signer=None if key is None else read_text(key),
            demonstration=demonstration,
            caller=CALLER,
        )
    world.answer(common, asdict(made), f"{made.sha256}: {made.attribute}, signed by {made.signer[:16]}")
    return OK


@app.command
def remove(
    sha256: Annotated[str, Parameter(help="The hash of a model of this home (models list).")],
    /,
    *,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Take a model of its own out of this home.

    What it has said stays with the people it was said of, until it expires or
    they withdraw; it can't be replayed any more.

    For example:
      sottovoce models remove aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    """
    with world.open(common) as platform:
        platform.remove_model(sha256, caller=CALLER)
    world.answer(common, {"sha256": sha256, "removed": True}, f"{printable(sha256)} is removed.")
    return OK


def _listed(found: tuple[RegisteredModel, ...]) -> str:
    if not found:
        return "There is no model here: none is shipped with this release, and this home has none of its own."
    head = ("model", "from", "purpose", "features", "signer", "run", "error on its card")
    rows = [
        (
            one.sha256[:16], one.source, one.purpose, f"{one.feature_profile} {one.feature_version}", one.signer[:16],
            one.problem or ("yes" if one.enabled else "no"),
            one.error + (" (a demonstration)" if one.demonstration else ""),
        )
        for one in found
    ]  # fmt: skip
    return table([head, *[tuple(map(printable, row)) for row in rows]], indent=0)


def _beside(file: Path) -> Path:
    """Where a card is looked for when none is named."""
    return file.with_name(file.name + CARD_SUFFIX)


def _payload(model: ModelFile) -> dict[str, object]:
    about = model.network.about
    return {
        "sha256": model.sha256,
        "size_bytes": model.size_bytes,
        "weights": model.precision,
        "widths": list(model.network.widths),
        "output": model.network.output,
        "attribute": about.attribute,
        "labels": list(about.labels),
        "feature_profile": about.feature_profile,
        "feature_version": about.feature_version,
    }


def _shown(model: ModelFile, card: Mapping[str, Any] | None, standing: str) -> str:
    about = model.network.about
    widths = "-".join(str(width) for width in model.network.widths)
    lines = [
        f"infers    {about.attribute}: {', '.join(about.labels)}",
        f"features  {about.feature_profile}, {about.feature_version}",
        f"network   {widths}, {model.network.output}, weights {model.precision}, {model.size_bytes} bytes",
        f"sha256    {model.sha256}",
        f"card      {standing if card is not None else 'none given'}",
    ]
    for name, value in sorted((card or {}).items()):
        lines += [] if name == "files" else _field(name, value)
    return "\n".join(printable(line) for line in lines)


def _field(name: str, value: object) -> list[str]:
    """A field of a card: on one line where it is one thing, else one line for each thing in it."""
    parts: list[str] = []
    if isinstance(value, Mapping):
        parts = [f"{inner}: {_words(held)}" for inner, held in sorted(value.items()) if inner != "bins"]
        parts += [f"bin: {_words(one)}" for one in value.get("bins", ())]
    elif isinstance(value, list | tuple) and name != "labels":
        parts = [_words(one) for one in value]
    if not parts:
        return [f"  {name:<16} {_words(value)}"]
    return [f"  {name}", *(f"    - {part}" for part in parts)]


def _words(value: object) -> str:
    """A value of a card on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(inner)}" for name, inner in sorted(value.items()))
    if isinstance(value, list | tuple):
        return "; ".join(_words(inner) for inner in value) or "none"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
