"""Walk once through everything a person may ask and a data team holds, on every real recording, by the command line.

    python scripts/walk_rights.py [--sets fsdd,emodb] [--keep FOLDER] [--record]

A home in an empty folder takes in all audio of the shared data (damaged files too), is killed twice on the way, and is
asked for everything: copies, requests, marks, retention, rotation, backups, sealed recordings, a recipient's deletion
feed, erasure, a restore of what was backed up before. Every expectation is checked; the first that fails ends the walk
with exit 1. The files of homes, backups and exports are searched for what is known of the erased person: name, id, and
the bytes of every feature vector, with a planted control. `--record` writes the table to docs/reference/figures.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import figures  # scripts/figures.py, beside this file

import sottovoce

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
LABELS = ("bonafide", "spoof", "noise", "bad-input")
CONSENTS = "voice_recording,voice_analysis,data_retention_30_days"
ERASED, ONE_SESSION, HELD, UNTOUCHED = (f"fsdd-{name}" for name in ("jackson", "theo", "george", "yweweler"))
WITHDRAWN = "emodb-03"
DOUBLED = "SELECT count(*) FROM (SELECT 1 FROM records WHERE kind='features' GROUP BY session_id HAVING count(*) > 1)"
TRIED = 40  # results of a person that are opened one by one
KILLS_AT = (0.25, 0.6)  # of all recordings
LEAST_DISTINCT = 4  # different numbers in a needle: an unvoiced clip is all zeros and is found everywhere


class WalkError(Exception):
    """An expectation that did not hold."""


def expect(held: bool, what: str) -> None:
    if not held:
        raise WalkError(what)


class Home:
    """`sottovoce` on one home."""

    def __init__(self, folder: Path, name: str = "home") -> None:
        self.folder, self.path = folder, folder / name
        self.took_s: dict[str, float] = {}

    def command(self, *words: str | Path) -> list[str]:
        return [sys.executable, "-m", "sottovoce", *map(str, words)]

    def environ(self) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("SOTTOVOCE_")}
        return {**plain, "HOME": str(self.folder), "SOTTOVOCE_HOME": str(self.path)}

    def __call__(self, *words: str | Path, code: int = 0) -> str:
        begun = time.perf_counter()
        done = subprocess.run(
            self.command(*words),
            env=self.environ(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        self.took_s[str(words[0])] = time.perf_counter() - begun
        said = f"{' '.join(map(str, words[:3]))}: exit {done.returncode}\n{done.stdout[-800:]}\n{done.stderr[-800:]}"
        expect(done.returncode == code, said)
        expect("Traceback" not in done.stderr, said)
        return done.stdout

    def json(self, *words: str | Path, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code).splitlines()[-1])

    def count(self, query: str) -> int:
        with closing(sqlite3.connect(f"file:{self.path / 'sottovoce.db'}?mode=ro", uri=True)) as database:
            return int(database.execute(query).fetchone()[0])

    def verified(self) -> int:
        return self.count("SELECT count(*) FROM recordings WHERE state = 'verified'")


class Walk:
    """One walk: the home, and the table of what was seen."""

    def __init__(self, folder: Path, rows: Sequence[Mapping[str, str]]) -> None:
        self.folder, self.home, self.rows = folder, Home(folder), rows
        self.table: list[tuple[str, str]] = []
        self.people = sorted({person(row) for row in rows})

    def seen(self, what: str, found: str) -> None:
        self.table.append((what, found))
        print(f"{what}: {found}", flush=True)

    def take_in(self) -> None:
        """Row 6: a corpus, killed twice, resumed; each good file exactly once."""
        manifest = self.folder / "people.csv"
        with manifest.open("w", newline="") as file:
            csv.writer(file).writerows(
                [("file", "subject"), *((row["file"], person(row)) for row in self.rows)]
            )
        grant_all(self.home, self.people)
        words = ("ingest", DATA, "--subject-from", manifest)
        for share in KILLS_AT:
            kill_at(self.home, words, int(share * len(self.rows)))
        begun = time.perf_counter()
        report = self.folder / "outcome.csv"
        self.home(*words, "--report", report, code=1)  # damaged files were among them
        outcome = Counter(row["code"] for row in csv.DictReader(report.read_text().splitlines()))
        good, bad = outcome[""], sum(outcome.values()) - outcome[""]
        expect(good + bad == len(self.rows), "the table of outcomes is not one line per file")
        expect(self.home.verified() == good and self.home.count(DOUBLED) == 0, "a recording twice, or none")
        again = self.home.json(*words, code=1)["summary"]
        expect(again == {"done_before": good, "refused_before": bad}, f"again: {again}")
        kept = self.home.json("footprint")
        self.seen(
            f"`ingest` of {len(self.rows):,} files of {len(self.people)} people, all processes killed twice",
            f"{good:,} results, each once; {bad} refused for {len(outcome) - 1} reasons; a second run finds nothing "
            f"to do; the last part took {time.perf_counter() - begun:.0f} s",
        )
        self.seen("`footprint`", in_clear(kept, good))

    def copies(self) -> Iterator[tuple[str, bytes]]:
        """Row 1 and 3: a request for access, answered by a package; gives what is to be searched for later."""
        case = self.home.json(
            "requests", "open", "--subject", ERASED, "--kind", "access", "--identity", "known"
        )
        package = self.folder / "package.zip"
        self.home("export", "--subject", ERASED, "--out", package)
        self.home("export", "verify", package)
        self.home("requests", "close", case["id"])
        with zipfile.ZipFile(package) as opened:
            files = len(opened.namelist())
            subject = json.loads(opened.read("tables/subjects.json"))
            found = json.loads(opened.read("data.json"))
        broken = self.folder / "broken.zip"
        broken.write_bytes(flipped(package.read_bytes()))
        self.home("export", "verify", broken, code=5)
        yield "the name", ERASED.encode()
        yield "the internal id", subject[0]["id"].encode()
        count = 0
        for number, values in enumerate(vectors(found)):
            piece = values[:8]
            count += 1
            if len(set(piece)) >= LEAST_DISTINCT:
                yield f"feature vector {number}, 4 bytes", struct.pack("<8f", *piece)
                yield f"feature vector {number}, 8 bytes", struct.pack("<8d", *piece)
        self.seen(
            "`requests open`, `export`, `export verify`, `requests close`",
            f"{files} files with {count} results, {package.stat().st_size / 1e6:.1f} MB in "
            f"{self.home.took_s['export']:.1f} s; with a byte changed it is refused; the case is closed",
        )
        package.unlink()
        broken.unlink()

    def marks(self) -> None:
        """Row 2: hold, restriction, objection, rectification; row 4: retention."""
        self.home("hold", "--subject", HELD, "--reason", "legal_claims", "--note", "case 12/26")
        self.home("restrict", "--subject", UNTOUCHED, "--reason", "accuracy_contested")
        session = self.sessions(UNTOUCHED)[0]
        self.home("show", session, "--purpose", "voice_analysis", code=3)
        self.home("unrestrict", "--subject", UNTOUCHED)
        self.home("show", session, "--purpose", "voice_analysis")
        self.home("object", "--subject", UNTOUCHED, "--purpose", "research_statistics")
        self.home("rectify", "--subject", UNTOUCHED, "--statement", "I had a cold that day.")
        (plan,) = self.home.json("retention", "plan", "features=20")["changes"]
        self.home("retention", "set", "features=20")
        self.home("retention", "schedule", "--out", self.folder / "schedule.html")
        self.seen(
            "`hold`, `restrict`, `unrestrict`, `object`, `rectify`, `retention plan|set|schedule`",
            f"a restricted person's results do not open for review; features=20 would delete "
            f"{plan['would_be_due']} of {plan['records']:,} records at the next sweep, and is set",
        )

    def cards(self) -> None:
        """Row 7: access log and facts."""
        session = self.sessions(UNTOUCHED)[0]
        self.home("show", session, "--purpose", "subject_access")
        log = self.home.json("access-log", "--subject", UNTOUCHED)
        for words in (("facts", session), ("access-log", "--subject", UNTOUCHED)):
            page = self.folder / f"{words[0]}.html"
            self.home(*words, "--html", page)
            expect("<script" not in page.read_text(), f"{page.name} has a script")
        card = self.home("facts", session)
        self.seen(
            "`access-log`, `facts` (text, JSON, page)",
            f"{len(log)} lines of one person; a card of {len(card.splitlines())} lines",
        )

    def sealed(self) -> None:
        """Row 6: sealed before anything is written, taken in sealed, opened by who may hear it."""
        public, box = self.folder / "agency.json", self.folder / "upload"
        self.home("keys", "recipient", "create", "--name", "agency-3", "--out", public)
        folder = self.folder / "to-seal"
        folder.mkdir()
        chosen = [row for row in self.rows if row["label"] == "bonafide"][:12]
        for row in chosen:
            shutil.copy(DATA / row["file"], folder)
        grant_all(self.home, ["contractor-17"])
        self.home("seal", folder, "--to", public, "--out", box, "--contractor", "contractor-17")
        names = " ".join(str(file.relative_to(box)) for file in box.rglob("*"))
        expect("contractor-17" not in names, "a name is in the name of a sealed file")
        taken = self.home.json("ingest", box, "--subject-from", "sealed")["summary"]
        self.home("open", *sorted(box.rglob("*.sealed"))[:1], "--out", self.folder / "listen")
        heard = next((self.folder / "listen").rglob("*.*"))
        expect(
            any(heard.read_bytes() == file.read_bytes() for file in folder.iterdir()),
            "opened, and not the same",
        )
        self.seen(
            "`seal`, `ingest --subject-from sealed`, `open`",
            f"{len(chosen)} sealed, {taken['taken']} taken in sealed, one opened: the same bytes",
        )
        for gone in (folder, self.folder / "listen"):
            shutil.rmtree(gone)

    def keys(self) -> None:
        """Row 5: a rotation, then the backup that is restored later."""
        self.home("keys", "rotate")
        made = time.perf_counter()
        self.home(
            "backup", "create", "--data", self.folder / "half-data", "--keys", self.folder / "half-keys"
        )
        took = time.perf_counter() - made
        self.home("backup", "verify", self.folder / "half-data")
        self.home("backup", "verify", self.folder / "half-keys")
        drill = self.home.json(
            "backup", "drill", *self.halves(), "--tombstones", self.home.path / "tombstones.log"
        )
        expect(bool(drill["sound"]), "the drill is not sound")
        self.seen(
            "`keys rotate`, `backup create|verify|drill`",
            f"rotated in {self.home.took_s['keys']:.1f} s, backed up in {took:.1f} s, "
            f"{drill['opened']} of {drill['sampled']} sampled records open",
        )

    def leave(self) -> None:
        """Rows 2 and 6: somebody withdraws, a session and a person are erased; the recipient hears of it."""
        lab, pages = self.folder / "lab.json", self.folder / "pages"
        recipient = self.home.json("recipients", "add", "Lab", "--kind", "team", "--key-out", lab)["id"]
        words = ("--recipient", recipient, "--purpose", "voice_analysis", "--what", "features")
        name = self.home.json("recipients", "disclose", "--subject", ERASED, *words)["subject"]
        consumer = [sys.executable, str(ROOT / "examples" / "feed_consumer.py"), "--key", str(lab)]
        consumer += ["--store", str(self.folder / "lab.db")]
        run(*consumer, "add", name)
        self.home("consent", "withdraw", "--subject", WITHDRAWN, "--purpose", "voice_analysis")
        session = self.sessions(ONE_SESSION)[0]
        self.home("erase", "--subject", ONE_SESSION, "--session", session)
        receipt = self.home.json("erase", "--subject", ERASED)
        took = self.home.took_s["erase"]
        twice = self.home.json("erase", "--subject", ERASED)
        never = self.home.json("erase", "--subject", "nobody-of-that-name")
        expect(twice == never, "erased and unknown people get different answers")
        stored = self.home.json("erase", "--subject", ERASED, "--request-id", receipt["request_id"])
        expect(stored["receipt"] == receipt["receipt"], "the stored receipt is another one")
        self.home("verify", receipt["receipt"])
        self.home("erase", "--subject", HELD, code=0)
        expect(len(self.sessions(HELD)) > 0, "a legal hold was overrun")
        self.home("feed", "export", "--recipient", recipient, "--folder", pages)
        first, second = (run(*consumer, "apply", str(pages)) for _ in range(2))
        acknowledgement = self.folder / "ack.json"
        acknowledgement.write_text(run(*consumer, "acknowledge"))
        self.home("feed", "acknowledge", acknowledgement)
        expect('"applied"' in first and '"applied"' not in second, f"the feed acts twice: {first} {second}")
        self.seen(
            "`consent withdraw`, `erase` (session, person, person under hold, again, unknown), `feed`",
            f"the person was erased in {took:.1f} s (whole command); "
            f"erased and unknown get the same answer; the hold stands; the feed acts once",
        )

    def back(self) -> None:
        """Rows 2 and 5: the old halves restored; nothing of the erased, another person's data whole."""
        old = Home(self.folder, "restored")
        shutil.copytree(self.home.path / "keys" / "kek", old.path / "keys" / "kek")
        words = ("backup", "restore", *self.halves(), "--tombstones")
        old(*words, self.folder / "nowhere", code=5)
        done = old.json(*words, self.home.path / "tombstones.log")
        took = old.took_s["backup"]
        expect(not sessions_of(old, ERASED), "an erased person is back")
        expect(
            len(sessions_of(old, ONE_SESSION)) == len(self.sessions(ONE_SESSION)), "an erased session is back"
        )
        whole = sessions_of(old, UNTOUCHED)
        expect(whole == self.sessions(UNTOUCHED), "somebody else's sessions are missing")
        for session in whole[:TRIED]:
            shown = old.json("show", session, "--purpose", "subject_access")
            expect(len(shown["features"]) == 88, "somebody else's results do not open")
        for home in (self.home, old):
            home("fsck")
            home("audit", "verify")
        self.seen(
            "`backup restore` of the halves from before, with the tombstones of today",
            f"{done['people']} people back in {took:.1f} s, {done['erasures']} erasures done again; of the erased "
            f"nothing, of another {len(whole[:TRIED])} of {len(whole)} results tried, all open; "
            "`fsck` and `audit verify` clean in both homes; "
            "without the tombstones it refuses",
        )

    def search(self) -> None:
        """Row 2: what is left of the erased person, anywhere."""
        (self.folder / "control.bin").write_bytes(b"\0" * 999 + b"".join(self.needles.values()))
        found = self.found(self.folder)
        control = {name for name, files in found.items() if "control.bin" in files}
        expect(control == set(self.needles), "the control was not found: the search is blind")
        elsewhere: Counter[str] = Counter()
        for name, files in found.items():
            for file in files - {"control.bin"}:
                elsewhere[f"{'features' if 'vector' in name else name} in {place(file)}"] += 1
        expect(not any(line.startswith("features") for line in elsewhere), f"features are left: {elsewhere}")
        named = [line for line in elsewhere if line.startswith("the name in")]
        expect(named == [], f"the name is left: {named}")
        self.seen(
            f"search of both homes, both halves and everything written, for {len(self.needles)} needles",
            f"control found; features: nowhere; name: nowhere; {'; '.join(sorted(elsewhere))}",
        )

    def found(self, folder: Path) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {name: set() for name in self.needles}
        own = {"people.csv", "outcome.csv"}  # the operator's own lists, not the product's
        for file in folder.rglob("*"):
            if file.is_file() and not file.is_symlink() and file.name not in own:
                content = file.read_bytes()
                for name, needle in self.needles.items():
                    if needle in content:
                        found[name].add(str(file.relative_to(folder)))
        return found

    def sessions(self, subject: str) -> list[str]:
        return sessions_of(self.home, subject)

    def halves(self) -> list[str | Path]:
        (data,) = (self.folder / "half-data").iterdir()
        (keys,) = (self.folder / "half-keys").iterdir()
        return ["--data", data, "--keys", keys]

    def all(self) -> None:
        self.take_in()
        self.needles = dict(self.copies())
        self.marks()
        self.cards()
        self.sealed()
        self.keys()
        self.leave()
        self.back()
        self.search()


def person(row: Mapping[str, str]) -> str:
    """Who speaks: unknown speakers are one person per set."""
    return row["speaker"] or f"unknown-{row['file'].split('/')[0]}"


def grant_all(home: Home, people: Sequence[str]) -> None:
    """Consents of many people, by the library: a command for each would take minutes."""
    with sottovoce.open(home=home.path) as platform:
        for subject in people:
            platform.grant(subject=subject, purposes=CONSENTS.split(","))


def kill_at(home: Home, words: Sequence[str | Path], results: int) -> None:
    """Begin it, and kill all its processes without a word when so many results are in."""
    process = subprocess.Popen(
        home.command(*words), env=home.environ(), cwd=home.folder, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while home.verified() < results:
        expect(process.poll() is None, "it ended before it was killed")
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def sessions_of(home: Home, subject: str) -> list[str]:
    found = home.json("sessions", "--subject", subject)
    return [row["session_id"] for row in found]


def in_clear(footprint: Any, recordings: int) -> str:
    """What the footprint says, in one line."""
    kinds = ", ".join(f"{each['kind']} {each['bytes']:,}" for each in footprint["kinds"] if each["bytes"])
    return f"{footprint['bytes']:,} bytes for {recordings:,} recordings ({kinds})"


def vectors(found: Any) -> Iterator[list[float]]:
    """Every table of 88 numbers in the package."""
    if isinstance(found, list):
        for value in found:
            yield from vectors(value)
    elif isinstance(found, dict):
        numbers = [value for value in found.values() if isinstance(value, float | int)]
        if len(numbers) == 88:
            yield [float(value) for value in numbers]
        else:
            yield from vectors(list(found.values()))


def place(file: str) -> str:
    """The folder that was walked and the file, without ids and times."""
    top, name = file.split("/")[0], Path(file).name
    return f"{top}/{re.sub('_[a-z2-7]{24}', '_…', name)}"


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"{Path(words[1]).name}: {done.stderr[-500:]}")
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default="", help="only these folders of the shared data")
    parser.add_argument("--keep", type=Path, help="a new folder that is kept (else a temporary one)")
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    if not DATA.exists():
        print("the shared data are not beside this checkout", file=sys.stderr)
        return 1
    sets = {name for name in given.sets.split(",") if name}
    with (DATA / "MANIFEST.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in LABELS]
    rows = [row for row in rows if not sets or row["file"].split("/")[0] in sets]
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="sottovoce-walk-") as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(exist_ok=True, parents=True)
        walk = Walk(folder, rows)
        try:
            walk.all()
        except WalkError as wrong:
            print(f"NOT AS EXPECTED: {wrong}", file=sys.stderr)
            return 1
    took = f"{(time.perf_counter() - begun) / 60:.0f} min in all"
    if given.record:
        body = "| What was done | What was seen |\n| --- | --- |\n" + "\n".join(
            f"| {a} | {b} |" for a, b in walk.table
        )
        figures.record(
            "walk-rights", "Everything a person may ask, on all real recordings", body, conditions=took
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
