"""Damaged recordings of every format through the real sealed child; only declared errors may come out.

    python tests/fuzz/files.py [--cases 10000] [--workers 2] [--seed 1] [--longest-s 1200] [--keep FOLDER]

Seeds are the recordings of ../shared/data/formats and bad_inputs where they lie beside the checkout, always the bundled
clip, and what libsndfile writes of it here. Three of four cases hand a descriptor or a sealed body to the child; every
fourth goes the whole way through a home (submit, work), where nothing may be left of a refused one: no body, no key, no
finding of `fsck`. Afterwards the service side has to be unhurt: the same parent of the children, no more
descriptors, no file, and an untouched recording still gives the same numbers bit for bit. Prints one JSON object.
`--keep` stores those that crashed a child, ran out of time or memory, or gave an error that is none of ours.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import mutate  # beside this file: the folder of a program is searched first
import soundfile

from sottovoce import app
from sottovoce.adapters.extractor import SealedExtractor
from sottovoce.errors import SottovoceError
from sottovoce.ports import Descriptor, ExtractOptions, SealedBody
from sottovoce.sealing import envelope
from sottovoce.settings import Settings

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SHARED = ROOT.parent / "shared" / "data"
CLIP = ROOT / "src" / "sottovoce" / "data" / "jfk.flac"
LARGEST_SEED_BYTES = 600_000
OPTIONS = ExtractOptions(max_analysed_s=1.0, wall_limit_s=20.0)
KEY, CONTEXT = bytes(range(32)), b"fuzz"
ALL = ("voice_recording", "voice_analysis", "data_retention_30_days")
BROKEN = ("child_crashed", "child_memory", "child_timeout", "child_result", "parent_failed", "undeclared")
KINDS = {b"RIFF": "wav", b"RIFX": "wav", b"RF64": "wav", b"fLaC": "flac", b"OggS": "ogg", b"FORM": "aiff",
         b".snd": "au", b"\x1a\x45\xdf\xa3": "webm"}  # fmt: skip
WRITTEN = (
    ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAVEX", "PCM_24"), ("RF64", "PCM_16"), ("AIFF", "PCM_16"),
    ("AU", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
)  # fmt: skip


# --- seeds ---------------------------------------------------------------------------------------------------


def written() -> list[bytes]:
    """Three seconds of the bundled clip in every format that libsndfile writes here."""
    samples, rate = soundfile.read(CLIP, frames=48_000, dtype="float64")
    made = []
    for container, codec in WRITTEN:
        file = io.BytesIO()
        soundfile.write(file, samples, rate, format=container, subtype=codec)
        made.append(file.getvalue())
    return made


def seeds() -> dict[str, list[bytes]]:
    """Format -> whole files. What no decoder of ours knows stands under `other`."""
    found: dict[str, list[bytes]] = defaultdict(list)
    for data in [CLIP.read_bytes(), *written()]:
        found[kind_of(data)].append(data)
    for folder in ("formats", "bad_inputs"):
        for path in sorted((SHARED / folder).glob("*")):
            if 0 < path.stat().st_size <= LARGEST_SEED_BYTES:
                data = path.read_bytes()
                found[kind_of(data)].append(data)
    return dict(found)


def kind_of(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        return "mp4"
    mpeg = data[:3] == b"ID3" or (len(data) > 2 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0)
    return KINDS.get(data[:4], "mp3" if mpeg else "other")


# --- one case ------------------------------------------------------------------------------------------------


class Desk:
    """What a worker works with: the sealed children, a home, and a place for one file at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file, self.home = folder, folder / "case", folder / "home"
        self.platform = app.open(
            Settings(home=self.home, max_analysed_s=1.0, retry_after_s=0.0, max_attempts=1)
        )
        self.platform.grant(subject="anna", purposes=ALL)
        self.extractor = SealedExtractor(idle_children=2)

    def close(self) -> None:
        self.extractor.close()
        self.platform.close()

    def by_descriptor(self, data: bytes) -> str:
        self.file.write_bytes(data)
        with self.file.open("rb") as file:
            return self._outcome(Descriptor(file.fileno()))

    def sealed(self, data: bytes) -> str:
        self.file.write_bytes(envelope.seal_body(KEY, data, CONTEXT))
        with self.file.open("rb") as file:
            return self._outcome(SealedBody(file.fileno(), KEY, CONTEXT))

    def whole_way(self, data: bytes) -> str:
        self.file.write_bytes(data)
        try:
            self.platform.submit(self.file, subject="anna")
            outcome = self.platform.work_next()
        except SottovoceError as error:
            return str(error.public_code)
        if outcome is None:
            return "undeclared: nothing to work on"
        return outcome.failure or "accepted"

    def _outcome(self, source: Descriptor | SealedBody) -> str:
        try:
            self.extractor.extract(source, OPTIONS)
        except SottovoceError as error:
            return str(error.public_code)
        return "accepted"

    def left(self) -> dict[str, Any]:
        """What a day of damaged files leaves behind; all of it has to be nothing."""
        self.file.unlink(missing_ok=True)
        self.platform.sweep()
        report = self.platform.fsck()
        return {
            "bodies": len(list(self.platform._adapters.bodies.list())),
            "keys": sum(row.kind == "recording" for row in self.platform.keyring.rows()),
            "findings": [finding.code for finding in report.findings],
            "files": [path.name for path in self.folder.iterdir() if path.name != "home"],
        }


def one(desk: Desk, data: bytes, number: int) -> str:
    way = (desk.by_descriptor, desk.sealed, desk.by_descriptor, desk.whole_way)[number % 4]
    try:
        return way(data)
    except SottovoceError as error:
        return str(error.public_code)
    except Exception as error:
        return f"undeclared: {type(error).__name__}"


# --- a worker ------------------------------------------------------------------------------------------------


def work(cases: int, seed: int, longest_s: float, keep: Path | None) -> dict[str, Any]:
    dice = random.Random(seed)
    pool = seeds()
    formats = sorted(pool)
    everything = [data for datas in pool.values() for data in datas]
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    kept: list[str] = []
    slowest_s, began = 0.0, time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        desk = Desk(Path(temporary))
        before = state(desk)
        for number in range(cases):
            if time.monotonic() - began > longest_s:
                break
            kind = formats[number % len(formats)]
            others = pool[kind] if dice.random() < 0.7 else everything
            data = mutate.mutated(dice.choice(pool[kind]), dice, others)
            start = time.monotonic()
            outcome = one(desk, data, number // len(formats))
            slowest_s = max(slowest_s, time.monotonic() - start)
            outcomes[kind][outcome] += 1
            if keep is not None and outcome.startswith(BROKEN):
                (keep / f"{kind}-{seed}-{number}").write_bytes(data)
                kept.append(f"{kind}-{seed}-{number}: {outcome}")
        after = state(desk)
        left = desk.left()
        desk.close()
    hurt = [name for name in before if before[name] != after[name]]
    return {
        "cases": sum(each.total() for each in outcomes.values()), "outcomes": outcomes, "hurt": hurt, "left": left,
        "slowest_s": round(slowest_s, 2), "wall_s": round(time.monotonic() - began, 1), "kept": kept,
    }  # fmt: skip


def state(desk: Desk) -> dict[str, Any]:
    """What must not change while files are thrown at it."""
    with CLIP.open("rb") as file:
        numbers = [
            desk.extractor.extract(Descriptor(file.fileno()), OPTIONS).features.values for _ in range(2)
        ]
    desk.whole_way(CLIP.read_bytes())
    time.sleep(0.3)
    return {
        "the numbers of an untouched recording": numbers[0],
        "the parents of the children": children_of(os.getpid()),
        "open descriptors": descriptors(),
    }


def descriptors() -> int:
    """Files and folders only: sockets and pipes of idle children come and go."""
    names = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            names.append(os.readlink(entry))
        except OSError:
            continue
    return sum(name.startswith("/") for name in names)


def children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return sorted(found)


# --- the campaign --------------------------------------------------------------------------------------------


def campaign(cases: int, workers: int, seed: int, longest_s: float, keep: Path | None) -> dict[str, Any]:
    command = [sys.executable, __file__, "--as-worker", "--longest-s", str(longest_s)]
    command += ["--keep", str(keep)] if keep else []
    shares = [cases // workers + (number < cases % workers) for number in range(workers)]
    started = [
        subprocess.Popen(
            [*command, "--cases", str(share), "--seed", str(seed * 1000 + number)],
            stdout=subprocess.PIPE,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        for number, share in enumerate(shares)
    ]
    answers = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit("a worker ended by itself: the service side was hurt")
    return together([json.loads(answer) for answer in answers], cases, seed)


def together(parts: list[dict[str, Any]], wanted: int, seed: int) -> dict[str, Any]:
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for part in parts:
        for kind, counts in part["outcomes"].items():
            outcomes[kind].update(counts)
    return {
        "wanted": wanted, "cases": sum(part["cases"] for part in parts), "seed": seed,
        "outcomes": {kind: dict(outcomes[kind].most_common()) for kind in sorted(outcomes)},
        "undeclared": sum(n for c in outcomes.values() for code, n in c.items() if code.startswith("undeclared")),
        "hurt": [what for part in parts for what in part["hurt"]],
        "left": [part["left"] for part in parts if any(part["left"].values())],
        "slowest_s": max(part["slowest_s"] for part in parts), "wall_s": max(part["wall_s"] for part in parts),
        "kept": [name for part in parts for name in part["kept"]],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest-s", type=float, default=1200.0)
    parser.add_argument("--keep", type=Path, default=None)
    parser.add_argument("--as-worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.as_worker:
        print(json.dumps(work(given.cases, given.seed, given.longest_s, given.keep)))
        return
    found = campaign(given.cases, given.workers, given.seed, given.longest_s, given.keep)
    print(json.dumps(found))
    sys.exit(1 if found["undeclared"] or found["hurt"] or found["left"] else 0)


if __name__ == "__main__":
    main()
