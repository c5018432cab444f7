"""Compare the features of the browser SDK with Python's, on real clips: `python scripts/compare_device.py`.

    --clips 220      how many real clips (they lie beside the checkout in ../shared/data)
    --chromium       in headless Chromium too, not only in Node
    --record         write the result to docs/reference/figures.md

Bounds: at least 99.9 % of the values within 1e-6 relative (1e-4 where polynomial roots are involved), the number of
frames and of voiced frames equal everywhere. Ends with 1 where a bound does not hold. Clips have odd lengths and
begin anywhere; some are clipped on purpose, and digital silence, noise without voice and 100 ms are among them.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))

import chromium
import device_server
from figures import record

from sottovoce.errors import SottovoceError
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.voice.egemaps.extract import analyse

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
RUNNER = ROOT / "tests" / "sdk" / "features_of.mjs"
SETS = ("librispeech", "emodb", "fsdd", "vctk", "ivr", "ljspeech", "meeting", "noise", "wakeword", "misc")
PROFILES = ("compat", "corrected")
ROOTS = range(38, 58)  # features that depend on the roots of a polynomial (specification 17.2)
LIMIT, LIMIT_ROOTS = 1e-6, 1e-4
NEEDED_SHARE = 0.999
LONGEST_S = 6.0
SEED = 20260101

Json = dict[str, Any]
Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Clip:
    """One signal and where it came from."""

    name: str
    samples: Samples
    rate_hz: int


@dataclass(frozen=True)
class Difference:
    """One value of one clip that is not the same on both sides."""

    relative: float
    feature: int
    clip: str
    ours: float
    other: float

    @property
    def allowed(self) -> bool:
        return self.relative <= (LIMIT_ROOTS if self.feature in ROOTS else LIMIT)


def clips(count: int) -> Iterator[Clip]:
    """The special signals, then `count` real clips: a piece of any length from anywhere in a recording."""
    dice = np.random.default_rng(SEED)
    yield from special(dice)
    files = [row["file"] for row in manifest() if row["file"].split("/")[0] in SETS]
    for name in dice.permutation(sorted(files))[:count].tolist():
        with soundfile.SoundFile(DATA / name) as file:
            length = int(min(file.frames, dice.uniform(0.11, LONGEST_S) * file.samplerate))
            file.seek(int(dice.integers(0, file.frames - length + 1)))
            samples = file.read(length, always_2d=True)[:, 0]
            rate_hz = int(file.samplerate)
        if dice.random() < 0.1:
            name, samples = f"{name} (clipped)", np.clip(8 * samples, -1, 1)
        yield Clip(name, samples, rate_hz)


def special(dice: np.random.Generator) -> Iterator[Clip]:
    yield Clip("digital silence", np.zeros(16001), 16000)
    yield Clip("white noise", 0.05 * dice.standard_normal(31999), 16000)
    yield Clip("offset", np.full(16000, 0.25), 16000)
    yield Clip("100 ms of a tone", 0.3 * np.sin(np.arange(1600) / 16), 16000)
    yield Clip("noise between silences", np.pad(0.1 * dice.standard_normal(7919), 4001), 22050)


def refused() -> list[tuple[Samples, int, str]]:
    """What both sides refuse: samples, rate, profile."""
    good = np.zeros(16000)
    return [
        (np.zeros(1599), 16000, "compat"), (np.zeros(0), 16000, "compat"),
        (np.array([0.0] * 16000 + [np.nan]), 16000, "compat"), (np.array([np.inf] * 16000), 16000, "compat"),
        (good, 7999, "compat"), (good, 192001, "compat"), (good, 0, "compat"), (good, 16000, "best"),
    ]  # fmt: skip


def manifest() -> list[dict[str, str]]:
    with (DATA / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["file"].endswith((".flac", ".wav"))]


def by_python(samples: Samples, rate_hz: int, profile: str) -> Json:
    try:
        found = analyse(samples, rate_hz, profile=profile)
    except SottovoceError as error:
        return {"code": error.public_code}
    return {
        "values": list(found.features.values), "frames": found.frames, "voicedFrames": found.voiced_frames
    }  # fmt: skip


def by_node(jobs: list[Json], folder: Path) -> list[Json]:
    """The SDK's answers in Node; jobs name files with little-endian float64."""
    (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    command = ["node", str(RUNNER), str(folder / "jobs.json")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900).stdout
    return [json.loads(line) for line in lines.splitlines()]


def by_chromium(jobs: list[Json], folder: Path) -> list[Json]:
    """The same in a page of headless Chromium, through the worker."""
    with device_page(folder) as browser:
        call = "featuresOf('/samples/{}', {}, {!r})"
        return [
            browser.evaluate(call.format(Path(job["file"]).name, job["rate_hz"], job["profile"]))
            for job in jobs
        ]


class device_page:  # noqa: N801 - read as a verb: with device_page(folder) as browser
    """A browser that has the test page open; `/samples/` is the folder."""

    def __init__(self, folder: Path, arguments: tuple[str, ...] = ()) -> None:
        folders = {
            "/": ROOT / "sdk", "/tests/": ROOT / "tests" / "sdk",
            "/vectors/": ROOT / "vectors", "/samples/": folder,
        }  # fmt: skip
        self._server = device_server.serve(folders=folders, connect="'self'")
        self._arguments = arguments

    def __enter__(self) -> chromium.Chromium:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._browser = chromium.Chromium(self._arguments)
        self._browser.open(f"http://127.0.0.1:{self._server.server_port}/tests/page.html")
        self._browser.evaluate(READY)
        return self._browser

    def __exit__(self, *_: object) -> None:
        self._browser.close()
        self._server.shutdown()
        self._server.server_close()


READY = (
    "new Promise(done => { const look = () => "
    "document.documentElement.dataset.ready ? done() : setTimeout(look, 20); look(); })"
)


def differences(clip: str, ours: Json, other: Json) -> list[Difference]:
    """Every value that is not equal; relative to ours, and as it is where ours is 0."""
    found = []
    for feature, (a, b) in enumerate(zip(ours["values"], other["values"], strict=True)):
        if a != b:
            found.append(Difference(abs(a - b) / (abs(a) or 1.0), feature, clip, a, b))
    return found


def why(difference: Difference, ours: Json) -> str:
    """In words, what makes this value sensitive to the last bit."""
    name = FEATURE_NAMES[difference.feature]
    if difference.feature in ROOTS:
        return "roots: an ill-conditioned polynomial in a frame, two QR iterations that round in other places"
    if name.startswith("slopeUV") and difference.relative > LIMIT:
        return "digital silence: its slope is exactly 0 here, and there the rounding of a sum in short blocks"
    if name.endswith("stddevNorm") and abs(difference.ours) > 20:
        return f"a deviation over a mean near 0 ({ours['values'][difference.feature - 1]:.1e})"
    return (
        "the order of a sum" if difference.relative < 1e-12 else "one float32 rounding or one tie in a frame"
    )


@dataclass
class Outcome:
    """What one engine gave in one profile."""

    engine: str
    profile: str
    values: int = 0
    outside: int = 0
    counts_differ: int = 0
    clips: int = 0

    @property
    def share(self) -> float:
        return 1 - self.outside / self.values

    @property
    def holds(self) -> bool:
        return self.share >= NEEDED_SHARE and self.counts_differ == 0


def compare(
    engine: str, profile: str, all_clips: list[Clip], ours: list[Json], others: list[Json]
) -> tuple[Outcome, list[tuple[Difference, Json]]]:
    outcome, found = Outcome(engine, profile), []
    for clip, mine, other in zip(all_clips, ours, others, strict=True):
        counts = ("frames", "voicedFrames")
        outcome.counts_differ += any(mine[key] != other.get(key) for key in counts)
        outcome.values += len(FEATURE_NAMES)
        outcome.clips += 1
        found += [(difference, mine) for difference in differences(clip.name, mine, other)]
    outcome.outside = sum(not difference.allowed for difference, _ in found)
    return outcome, sorted(found, key=lambda pair: -pair[0].relative)


def jobs_of(all_clips: list[Clip], profile: str, folder: Path) -> list[Json]:
    jobs = []
    for i, clip in enumerate(all_clips):
        file = folder / f"{i}.f64"
        clip.samples.astype("<f8").tofile(file)
        jobs.append({"file": str(file), "rate_hz": clip.rate_hz, "profile": profile})
    return jobs


def same_refusals(engine: Any, folder: Path) -> bool:
    """Whether the SDK refuses what Python refuses, with the same codes; prints them."""
    cases = refused()
    jobs = []
    for i, (samples, rate_hz, profile) in enumerate(cases):
        samples.astype("<f8").tofile(folder / f"bad{i}.f64")
        jobs.append({"file": str(folder / f"bad{i}.f64"), "rate_hz": rate_hz, "profile": profile})
    ours = [by_python(*case).get("code") for case in cases]
    theirs = [answer.get("code") for answer in engine(jobs, folder)]
    print(f"  refused by both: {', '.join(map(str, ours))}" if ours == theirs else f"  {ours} != {theirs}")
    return ours == theirs and None not in ours


def worst_ten(found: list[tuple[Difference, Json]]) -> str:
    """A table of the largest ones, each value of each clip once (engines mostly differ in the same)."""
    found = list({(one.feature, one.clip): (one, ours) for one, ours in reversed(found)}.values())[::-1]
    lines = ["| feature | clip | relative difference | why |", "|---|---|---|---|"]
    for difference, ours in found[:10]:
        name = FEATURE_NAMES[difference.feature]
        lines.append(f"| {name} | {difference.clip} | {difference.relative:.1e} | {why(difference, ours)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=int, default=220)
    parser.add_argument("--chromium", action="store_true")
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    if not DATA.is_dir() or shutil.which("node") is None:
        print("This needs ../shared/data beside the checkout, and node.", file=sys.stderr)
        return 2
    engines = {"Node": by_node} | ({"Chromium": by_chromium} if arguments.chromium else {})
    all_clips = list(clips(arguments.clips))
    outcomes, worst, refusals = [], [], True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for profile in PROFILES:
            jobs = jobs_of(all_clips, profile, folder)
            ours = [by_python(clip.samples, clip.rate_hz, profile) for clip in all_clips]
            for engine, run in engines.items():
                outcome, found = compare(engine, profile, all_clips, ours, run(jobs, folder))
                outcomes.append(outcome)
                worst += found[:10]
        for engine, run in engines.items():
            print(engine)
            refusals &= same_refusals(run, folder)
    report = table(outcomes) + "\n\nThe ten largest differences of all:\n\n"
    report += worst_ten(sorted(worst, key=lambda pair: -pair[0].relative))
    print(report)
    if arguments.record:
        seconds = sum(len(clip.samples) / clip.rate_hz for clip in all_clips)
        record(
            "device-parity", "The browser SDK against Python", report,
            conditions=f"{len(all_clips)} clips, {seconds:.0f} s, of 10 shared sets and 5 special signals",
        )  # fmt: skip
    return 0 if refusals and all(outcome.holds for outcome in outcomes) else 1


def table(outcomes: list[Outcome]) -> str:
    lines = [
        "| engine | profile | clips | values | within the bounds | frames and voicing |",
        "|---|---|---|---|---|---|",
    ]
    for o in outcomes:
        voicing = "equal everywhere" if o.counts_differ == 0 else f"{o.counts_differ} clips differ"
        share = f"{100 * o.share:.3f} % ({o.outside} outside)"
        lines.append(f"| {o.engine} | {o.profile} | {o.clips} | {o.values} | {share} | {voicing} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
