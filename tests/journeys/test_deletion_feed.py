"""The deletion feed end to end: a home, its command line, and the reference consumer with a store of its own."""

from __future__ import annotations

import io
import json
import runpy
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, closing, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sottovoce
from sottovoce.app import Platform
from sottovoce.model.mark import MarkKind
from sottovoce.model.recipient import FeedKind

if TYPE_CHECKING:
    from conftest import Cli

CONSENTS = ("voice_recording", "voice_analysis", "data_retention_30_days", "model_training")


@dataclass(frozen=True)
class Lab:
    """A recipient on its own machine: a key file, a store, and the consumer as it is shipped."""

    folder: Path
    script: Path

    def run(self, *arguments: str | Path, given: str = "") -> tuple[int, list[dict[str, Any]], str]:
        """As `python feed_consumer.py ...` would, in this process."""
        with (
            chdir(self.folder),
            redirect_stdout(io.StringIO()) as printed,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(sys, "stdin", io.StringIO(given))
            main = runpy.run_path(str(self.script))["main"]
            code = main(["--key", "lab.json", "--store", "lab.db", *map(str, arguments)])
        text = printed.getvalue()
        return code, [json.loads(line) for line in text.splitlines() if line.startswith('{"')], text

    def apply(self, *pages: str | Path, given: str = "") -> tuple[int, list[tuple[str, str]]]:
        code, lines, _ = self.run("apply", *pages, given=given)
        return code, [(line["outcome"], line["reason"]) for line in lines[:-1]]

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / "lab.db")) as store:
            return sorted(store.execute(f"select * from {table}"))

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        return {table: self.rows(table) for table in ("held", "stopped", "asked_anew", "applied")}


@pytest.fixture
def lab(tmp_path: Path, repo_root: Path) -> Lab:
    folder = tmp_path / "lab"
    folder.mkdir()
    return Lab(folder, repo_root / "examples" / "feed_consumer.py")


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with sottovoce.open(home=tmp_path / "home", sandbox="rlimits") as opened:
        yield opened


@dataclass(frozen=True)
class Fed:
    """A home with a recipient that has something of three people, and pages of its feed."""

    platform: Platform
    recipient: str
    names: dict[str, str]
    pages: list[str]


@pytest.fixture
def fed(platform: Platform, lab: Lab) -> Fed:
    """anna is restricted, then erased; ben takes a consent back; of carl something is corrected."""
    recipient = platform.add_recipient("Lab of voices", kind="team").id
    platform.write_feed_key(recipient, lab.folder / "lab.json")
    names = {}
    for person in ("anna", "ben", "carl"):
        platform.grant(subject=person, purposes=CONSENTS)
        names[person] = platform.disclose(
            subject=person, recipient=recipient, purpose="model_training", what="features"
        ).subject
        lab.run("add", names[person])
    platform.mark(subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested")
    platform.withdraw(subject="ben", purposes=["model_training"])
    platform.mark(subject="carl", kind=MarkKind.CORRECTION, reason="statement")
    platform.unrestrict(subject="anna")
    platform.erase(subject="anna")
    return Fed(platform, recipient, names, pages_of(platform, recipient, limit=2))


def pages_of(platform: Platform, recipient: str, *, limit: int) -> list[str]:
    pages = [platform.feed_page(recipient, limit=limit)]
    while not pages[-1].last:
        pages.append(platform.feed_page(recipient, after=pages[-1].through, limit=limit))
    return [page.text for page in pages]


def laid_out(folder: Path, pages: list[str]) -> list[Path]:
    paths = [folder / f"{number}.json" for number in range(len(pages))]
    for path, text in zip(paths, pages, strict=True):
        path.write_text(text)
    return paths


def test_C15a_the_reference_consumer_applies_the_feed_twice_with_one_effect(fed: Fed, lab: Lab) -> None:
    """A recipient that applies its feed has erased and stopped what it was told; doing it again changes nothing."""
    (lab.folder / "pages").mkdir()
    laid_out(lab.folder / "pages", fed.pages)
    assert len(fed.pages) == 3
    assert lab.apply("pages") == (0, [("applied", "")] * 3)
    after = lab.everything()
    assert [row[0] for row in after["held"]] == sorted([fed.names["ben"], fed.names["carl"]])
    assert after["stopped"] == [(fed.names["ben"], "", "model_training")]
    assert after["asked_anew"] == [(fed.names["carl"],)]
    assert lab.apply("pages") == (0, [("skipped", "replayed")] * 3)
    assert lab.apply("-", given="".join(fed.pages)) == (0, [("skipped", "replayed")] * 3)
    assert lab.everything() == after


def test_C15a_pages_from_standard_input_and_cut_otherwise_have_the_same_effect(fed: Fed, lab: Lab) -> None:
    """However the feed is cut into pages, and however they overlap, the effect is the same."""
    whole = pages_of(fed.platform, fed.recipient, limit=1000)
    assert lab.apply("-", given=fed.pages[0]) == (0, [("applied", "")])
    assert lab.apply("-", given=whole[0]) == (0, [("applied", "")])  # it begins before, and goes on
    assert [row[0] for row in lab.rows("held")] == sorted([fed.names["ben"], fed.names["carl"]])
    assert [row[0] for row in lab.rows("applied")] == [1, 2, 3, 4, 5]


def _altered(text: str, **changes: object) -> str:
    data = json.loads(text)
    data["body"] |= changes
    return json.dumps(data)


def _other_feed(fed: Fed) -> str:
    other = fed.platform.add_recipient("Other", kind="team").id
    fed.platform.disclose(subject="carl", recipient=other, purpose="model_training", what="features")
    fed.platform.mark(subject="carl", kind=MarkKind.CORRECTION, reason="statement")
    return fed.platform.feed_page(other).text


def _unpinned(fed: Fed) -> str:
    with sottovoce.open(home=fed.platform.home.parent / "elsewhere", sandbox="rlimits") as other:
        recipient = other.add_recipient("Lab of voices", kind="team").id
        return other.feed_page(recipient).text


BAD: dict[str, tuple[str, Callable[[Fed], list[str]]]] = {
    "a page is missing": ("page_missing", lambda fed: [fed.pages[0], fed.pages[2]]),
    "the first is missing": ("page_missing", lambda fed: fed.pages[1:]),
    "out of order": ("out_of_order", lambda fed: [fed.pages[0], fed.pages[2], fed.pages[1]]),
    "an entry was left out": ("signature_broken", lambda fed: [_altered(fed.pages[0], entries=[])]),
    "another end": ("signature_broken", lambda fed: [_altered(fed.pages[0], last=True)]),
    "of another recipient": ("other_recipient", lambda fed: [_other_feed(fed)]),
    "of another service": ("unknown_signer", lambda fed: [_unpinned(fed)]),
    "a receipt that is no page": ("other_recipient", lambda fed: [_receipt(fed)]),
    "no page at all": ("receipt_malformed", lambda _: ['{"format": "x"}']),
}


def _receipt(fed: Fed) -> str:
    return fed.platform.grant(subject="carl", purposes=["voice_recording"]).receipt


@pytest.mark.parametrize("case", sorted(BAD))
def test_C15a_what_is_missing_forged_or_out_of_order_is_refused_with_a_reason(
    case: str, fed: Fed, lab: Lab
) -> None:
    """A page that was forged, is missing, is of another or comes too early is not applied, and the reason is told."""
    reason, make = BAD[case]
    pages = make(fed)
    good = pages.index(fed.pages[0]) + 1 if fed.pages[0] in pages else 0
    laid = laid_out(lab.folder, pages)
    code, told = lab.apply(*laid)
    assert (code, told[-1]) == (5, ("refused", reason))
    assert told[:-1] == [("applied", "")] * good
    assert [row[0] for row in lab.rows("applied")] == list(range(1, 2 * good + 1))
    assert len(lab.rows("held")) == 3  # nothing was erased by it


def test_C15a_a_signed_page_whose_chain_is_broken_is_refused_whole(fed: Fed, lab: Lab) -> None:
    """Even the signer cannot leave an entry out: the hashes do not fit, and nothing of the page is applied."""
    body = json.loads(pages_of(fed.platform, fed.recipient, limit=1000)[0])["body"]
    del body["entries"][1]
    forged = fed.platform._receipts.signer().sign("feed", body)
    assert lab.apply("-", given=forged) == (5, [("refused", "chain_broken")])
    assert (len(lab.rows("held")), lab.rows("applied")) == (3, [])


def test_C15a_what_is_no_page_is_refused_by_a_reason_and_applies_nothing(fed: Fed, lab: Lab) -> None:
    """Noise, endless nesting, and pages of an impossible form that are signed all the same are refused, each with a
    reason."""
    for noise in ("not JSON", "{", "[" * 100_000, "\ufffd\x00", "5", '{"a": 1} {', "9" * 5000):
        assert lab.apply("-", given=noise) == (5, [("refused", "receipt_malformed")])
    (lab.folder / "bytes.json").write_bytes(b"\xff\xfe\x00")
    assert lab.apply("bytes.json") == (5, [("refused", "receipt_malformed")])
    sound = json.loads(pages_of(fed.platform, fed.recipient, limit=1000)[0])["body"]
    entry = sound["entries"][0]
    impossible = [
        {},
        {**entry, "number": "1"},
        {**entry, "subject": ["s"]},
        {**entry, "purposes": [["p"]]},
        5,
    ]
    wrong = [{**sound, "entries": [one]} for one in impossible]
    wrong += [{**sound, name: None} for name in ("after", "previous", "entries", "last")]
    for body in wrong:
        page = fed.platform._receipts.signer().sign("feed", body)
        assert lab.apply("-", given=page) == (5, [("refused", "page_malformed")])
    assert (len(lab.rows("held")), lab.rows("applied")) == (3, [])


def test_F30_a_home_that_went_back_to_an_old_backup_is_noticed_by_its_recipients(
    fed: Fed, lab: Lab, tmp_path: Path
) -> None:
    """After a service was restored from an old backup, its recipients see another feed, and can read it anew."""
    home, old = fed.platform.home, tmp_path / "old"
    with sottovoce.open(home=tmp_path / "fresh", sandbox="rlimits"):
        pass
    fed.platform.close()
    shutil.copytree(home, old)
    laid = laid_out(lab.folder, fed.pages)
    with sottovoce.open(home=home, sandbox="rlimits") as platform:
        platform.withdraw(subject="carl", purposes=["model_training"])
        (lab.folder / "new.json").write_text(platform.feed_page(fed.recipient, after=5).text)
    assert lab.apply(*laid, "new.json")[0] == 0
    with sottovoce.open(home=old, sandbox="rlimits") as platform:
        platform.erase(subject="carl")
        (lab.folder / "after.json").write_text(platform.feed_page(fed.recipient, after=5).text)
        whole = pages_of(platform, fed.recipient, limit=1000)[0]
    assert lab.apply("after.json") == (5, [("refused", "forked")])
    lab.run("anew")
    assert lab.apply("-", given=whole) == (0, [("applied", "")])
    assert [row[0] for row in lab.rows("held")] == [fed.names["ben"]]


def test_every_kind_of_entry_is_known_to_the_consumer(lab: Lab) -> None:
    text = lab.script.read_text()
    for kind in FeedKind:
        assert f'"{kind}"' in text


def test_C15a_C15b_the_whole_way_by_hand(cli: Cli, repo_root: Path) -> None:
    """A person is erased; a recipient reads the feed, erases, acknowledges; the request shows when it was done."""
    lab = Lab(cli.folder, repo_root / "examples" / "feed_consumer.py")
    cli.grant("anna", *CONSENTS)
    session = cli("analyze", repo_root / "src/sottovoce/data/jfk.flac", "--subject", "anna", "--json").json[
        "session_id"
    ]
    made = cli("recipients", "add", "Lab", "--kind", "team", "--key-out", cli.folder / "lab.json", "--json")
    recipient = made.json["id"]
    assert (cli.folder / "lab.json").stat().st_mode & 0o777 == 0o600
    shown = cli("show", session, "--purpose", "model_training", "--recipient", recipient, "--json").json
    assert shown["session_id"] != session
    assert session not in json.dumps(shown)
    lab.run("add", shown["subject"], shown["session_id"])
    assert "Lab" in cli("recipients", "list", "--subject", "anna").out
    assert "Lab" in cli("facts", session).out
    case = cli("requests", "open", "--subject", "anna", "--kind", "erasure", "--json").json["id"]
    assert "not applied yet" in cli("requests", "close", case).out
    (cli.folder / "pages").mkdir()
    assert cli("feed", "export", "--recipient", recipient, "--folder", "pages", "--json").json["entries"] == 1
    assert "0 of 1" in cli("feed", "status").out
    alone = [sys.executable, lab.script, "--key", "lab.json", "--store", "lab.db", "apply", "pages"]
    done = subprocess.run(alone, cwd=cli.folder, env=cli.environ, capture_output=True, text=True, check=True)
    assert '"outcome": "applied"' in done.stdout
    assert lab.rows("held") == []
    (cli.folder / "ack.json").write_text(lab.run("acknowledge")[2])
    assert "1 of 1" in cli("feed", "acknowledge", "ack.json").out
    assert "applied 20" in cli("requests", "show", case).out
    forged = (cli.folder / "ack.json").read_text().replace('"through": 1', '"through": 2')
    (cli.folder / "forged.json").write_text(forged)
    assert "forged" in cli("feed", "acknowledge", "forged.json", code=5).err
    assert "ended" in cli("recipients", "end", recipient, "--destroyed").out
    assert cli("fsck", "--json").json["sound"] is True
