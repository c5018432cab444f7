"""A recipient's side of the deletion feed: verify pages, apply them exactly once, acknowledge.

    python feed_consumer.py --key lab.json --store lab.db apply pages/            # a folder, files, or - for stdin
    python feed_consumer.py --key lab.json --store lab.db acknowledge > ack.json  # for `sottovoce feed acknowledge`
    python feed_consumer.py --key lab.json --store lab.db add SUBJECT [SESSION]   # something that was handed over
    python feed_consumer.py --key lab.json --store lab.db anew                    # read the feed from its beginning

`lab.json` is what `sottovoce recipients add --key-out lab.json` wrote: it pins who signs the feed. The store is one
SQLite file; put your own tables in place of `held`. Standard library, and `sottovoce.verify_receipt` for the signature.

What is checked, in this order; the first that fails refuses the page, and nothing of it is applied:
1. signature_broken, unknown_signer, receipt_malformed   the page is what the pinned signer signed
2. other_recipient    it is a page of this feed
   page_malformed     it is a page in a form that this program knows
3. page_missing, out_of_order    it begins where this store has come to, or before
4. forked             what came before is what this store has applied
5. chain_broken       its entries follow one another, number by number and hash by hash
A page that was applied before is skipped ("replayed") and changes nothing. "forked" is what a service looks like that
was restored from an old backup: ask what happened, and only then forget with `anew` how far you had come. What was
done stays done, and doing it again changes nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import re
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sottovoce import SottovoceError, verify_receipt

ENTRY_LABEL = b"sottovoce/feed-entry/1\x00"
ACKNOWLEDGEMENT_LABEL = b"sottovoce/acknowledgement/1\x00"
REFUSED = 5
SPACE = re.compile(r"\s*")
ENTRY: dict[str, tuple[type, ...]] = {  # what an entry holds, and of which types
    "number": (int,), "kind": (str,), "subject": (str,), "session": (str, type(None)), "purposes": (list,),
    "previous": (str,), "hash": (str,),
}  # fmt: skip
SCHEMA = """
create table if not exists applied (number integer primary key, hash text not null) strict;
create table if not exists held (subject text not null, session text, data text not null default '') strict;
create table if not exists stopped (subject text not null, session text, purpose text not null,
    primary key (subject, session, purpose)) strict;
create table if not exists asked_anew (subject text primary key) strict;
"""


class Refused(Exception):
    """A page that is not applied, and why."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


# --- pages ----------------------------------------------------------------------------------------------------


def read_pages(names: Iterable[str]) -> Iterator[str]:
    """The texts of pages: of files, of a folder in order of their names, or of standard input, one after the other."""
    for name in names:
        if name == "-":
            yield from split(sys.stdin.read())
        elif Path(name).is_dir():
            for path in sorted(Path(name).glob("*.json")):
                yield path.read_text(errors="replace")
        else:
            yield Path(name).read_text(errors="replace")


def split(text: str) -> Iterator[str]:
    """One text after the other; what is no JSON is one text to its end, and refused as such."""
    decoder, at = json.JSONDecoder(), 0
    while (at := SPACE.match(text, at).end()) < len(text):  # type: ignore[union-attr]
        try:
            _, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = len(text)
        yield text[at:end]
        at = end


def verified(text: str, key: dict[str, Any]) -> dict[str, Any]:
    """The body of a page that the pinned signer has signed for this recipient."""
    try:
        receipt = verify_receipt(text, key=json.dumps(key["identity"]))
    except SottovoceError as error:
        raise Refused(error.public_code, error.message) from None
    body: dict[str, Any] = dict(receipt.body)
    if receipt.kind != "feed" or body.get("recipient") != key["recipient"]:
        raise Refused("other_recipient", "this is not a page of this recipient's feed")
    if not well_formed(body):
        raise Refused("page_malformed", "this page is signed, but is none that this consumer can read")
    return body


def well_formed(body: dict[str, Any]) -> bool:
    entries = body.get("entries")
    return (
        type(body.get("after")) is int and isinstance(body.get("previous"), str) and type(body.get("last")) is bool
        and isinstance(entries, list)
        and all(isinstance(entry, dict) and entry.keys() >= ENTRY.keys() for entry in entries)
        and all(type(entry[name]) in kinds for entry in entries for name, kinds in ENTRY.items())
        and all(isinstance(purpose, str) for entry in entries for purpose in entry["purposes"])
    )  # fmt: skip


def entry_hash(recipient: str, entry: dict[str, Any]) -> str:
    covered = {"recipient": recipient, **{name: value for name, value in entry.items() if name != "hash"}}
    return hashlib.sha256(ENTRY_LABEL + canonical(covered)).hexdigest()


def canonical(value: dict[str, Any]) -> bytes:
    """Keys in order, no spaces, UTF-8 (RFC 8785; all keys here are ASCII, and there are no floats)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def check_chain(body: dict[str, Any]) -> None:
    number, previous = body["after"], body["previous"]
    for entry in body["entries"]:
        follows = (entry["number"], entry["previous"]) == (number + 1, previous)
        if not follows or entry["hash"] != entry_hash(body["recipient"], entry):
            raise Refused("chain_broken", f"entry {number + 1} does not follow the one before")
        number, previous = entry["number"], entry["hash"]


# --- the store ------------------------------------------------------------------------------------------------


def open_store(path: Path) -> sqlite3.Connection:
    store = sqlite3.connect(path, isolation_level=None)
    store.executescript("pragma synchronous = full; pragma secure_delete = on;" + SCHEMA)
    return store


def head(store: sqlite3.Connection) -> tuple[int, str]:
    """Number and hash of the last entry that was applied here."""
    found = store.execute("select number, hash from applied order by number desc limit 1").fetchone()
    return (0, "0" * 64) if found is None else (int(found[0]), str(found[1]))


def apply_page(store: sqlite3.Connection, body: dict[str, Any]) -> int:
    """Apply what is new on a page, all of it or nothing; how many entries."""
    store.execute("begin immediate")
    try:
        check_place(store, body)
        check_chain(body)
        number, _ = head(store)
        new = [entry for entry in body["entries"] if entry["number"] > number]
        for entry in new:
            apply_entry(store, entry)
            store.execute("insert into applied values (?, ?)", (entry["number"], entry["hash"]))
        store.execute("commit")
    except BaseException:
        store.execute("rollback")
        raise
    return len(new)


def check_place(store: sqlite3.Connection, body: dict[str, Any]) -> None:
    """Whether a page begins at or before the place that this store has come to, on the same chain."""
    number, _ = head(store)
    if body["after"] > number:
        raise Refused("page_missing", f"entries {number + 1} to {body['after']} are missing")
    known = {0: "0" * 64, **dict(store.execute("select number, hash from applied"))}
    mine = [(body["after"], body["previous"])] + [(e["number"], e["hash"]) for e in body["entries"]]
    if any(known.get(n, value) != value for n, value in mine):
        raise Refused("forked", "this store has applied another feed")


def apply_entry(store: sqlite3.Connection, entry: dict[str, Any]) -> None:
    """What an entry asks for. Doing it again changes nothing."""
    subject, session = entry["subject"], entry["session"]
    of_session = (subject, session)
    purposes = entry["purposes"] or ["*"]
    match entry["kind"]:
        case "erased":
            store.execute("delete from held where subject = ?", (subject,))
            store.execute("delete from stopped where subject = ?", (subject,))
            store.execute("delete from asked_anew where subject = ?", (subject,))
        case "session_erased":
            store.execute("delete from held where subject = ? and session = ?", of_session)
            store.execute("delete from stopped where subject = ? and session = ?", of_session)
        case "restricted" | "objected" | "consent_withdrawn":
            for purpose in ["*"] if entry["kind"] == "restricted" else purposes:
                row = (subject, session or "", purpose)
                store.execute("insert or ignore into stopped values (?, ?, ?)", row)
        case "restriction_lifted" | "objection_lifted":
            for purpose in ["*"] if entry["kind"] == "restriction_lifted" else purposes:
                row = (subject, session or "", purpose)
                store.execute("delete from stopped where (subject, session, purpose) = (?, ?, ?)", row)
        case "rectified":
            store.execute("insert or ignore into asked_anew values (?)", (subject,))
        case unknown:
            raise Refused("kind_unknown", f"this consumer does not know what {unknown!r} asks for")


# --- verbs ----------------------------------------------------------------------------------------------------


def apply(store: sqlite3.Connection, key: dict[str, Any], names: list[str]) -> int:
    """Apply pages in the order given; what became of each, as one line of JSON."""
    texts = list(read_pages(names))
    refused, last = False, False
    for place, text in enumerate(texts):
        try:
            body = verified(text, key)
            before, _ = head(store)
            through = body["entries"][-1]["number"] if body["entries"] else body["after"]
            count = apply_page(store, body)
            replayed = count == 0 and bool(body["entries"]) and through <= before
            tell(
                outcome="skipped" if replayed else "applied", reason="replayed" if replayed else "", new=count
            )
            last = body["last"]
        except Refused as error:
            reason = error.reason
            if reason == "page_missing" and any(fills(other, store, key) for other in texts[place + 1 :]):
                reason = "out_of_order"
            tell(outcome="refused", reason=reason, new=0)
            refused = True
            break
    tell(outcome="end of the feed" if last else "not the end of the feed", reason="", new=head(store)[0])
    return REFUSED if refused else 0


def fills(text: str, store: sqlite3.Connection, key: dict[str, Any]) -> bool:
    """Whether a page that was given later is the one that is missing now."""
    try:
        return bool(verified(text, key)["after"] <= head(store)[0])
    except Refused:
        return False


def acknowledge(store: sqlite3.Connection, key: dict[str, Any]) -> int:
    """Print the acknowledgement of everything that is applied here."""
    number, last = head(store)
    if not number:
        tell(outcome="refused", reason="nothing_applied", new=0)
        return REFUSED
    content = {
        "format": "sottovoce-acknowledgement/1", "recipient": key["recipient"], "through": number, "hash": last,
        "applied_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    secret = bytes.fromhex(key["acknowledgement_key"])
    mac = hmac.new(secret, ACKNOWLEDGEMENT_LABEL + canonical(content), hashlib.sha256).hexdigest()
    sys.stdout.write(json.dumps({**content, "mac": mac}, indent=2, sort_keys=True) + "\n")
    return 0


def tell(**line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("apply").add_argument("pages", nargs="+")
    verbs.add_parser("acknowledge")
    verbs.add_parser("anew")
    adding = verbs.add_parser("add")
    adding.add_argument("subject")
    adding.add_argument("session", nargs="?")
    given = parser.parse_args(arguments)
    key = json.loads(given.key.read_text())
    with closing(open_store(given.store)) as store:
        if given.verb == "apply":
            return apply(store, key, given.pages)
        if given.verb == "acknowledge":
            return acknowledge(store, key)
        if given.verb == "anew":
            store.execute("delete from applied")
            return 0
        store.execute("insert into held (subject, session) values (?, ?)", (given.subject, given.session))
    return 0


if __name__ == "__main__":
    sys.exit(main())
