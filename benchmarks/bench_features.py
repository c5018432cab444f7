"""CPU time of our features against openSMILE's, alternating in one run.

    make bench-features                                # puts opensmile into an environment of its own
    python benchmarks/bench_features.py [--peer PYTHON] [--seconds 1 10 30] [--rates 16000 48000] [--record]

Each side is one process with one thread that gets the same clips in turn; counted is the CPU time of the process
(user and system) around the call, the best of several. Three sides are ours, all with the resampling to 16 kHz that
the other does not do: the features alone, without the compiled loops, and `sottovoce.egemaps` with its judgement of
the quality. Without a peer only ours are measured, and the peer is printed as missing.

openSMILE is under the audEERING Research License: commercial use of it, or of features made with it, needs a
licence of its own. Only its run times appear here, on the terminal; --record writes ours, and the ratio.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
LONG_S = 60.0  # longer clips are measured twice only
SECONDS, RATES_HZ = (1.0, 3.0, 10.0, 30.0, 120.0), (8000, 16000, 44100, 48000)

# What a side runs: "<file> <rate>" in, "<CPU seconds> <peak MiB>" out.
SIDE = """
import resource, sys, time
import numpy as np
if sys.argv[1] == "egemaps":
    from sottovoce import egemaps as call
elif sys.argv[1] == "features":
    from sottovoce.voice.egemaps.extract import extract as call
elif sys.argv[1] == "numpy":
    from sottovoce.voice.egemaps import extract, kernels
    def call(samples, rate):
        with kernels.numpy_only():
            extract.extract(samples, rate)
else:
    import opensmile
    made = {}
    def call(samples, rate):
        if rate not in made:
            made[rate] = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
        made[rate].process_signal(samples, rate)
print("ready", flush=True)
before = None
for line in sys.stdin:
    file, rate = line.rsplit(" ", 1)
    samples = np.load(file)
    if (len(samples), rate) != before:
        call(samples, int(rate))
    before = len(samples), rate
    start = time.process_time()
    call(samples, int(rate))
    took = time.process_time() - start
    print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)
"""


OURS = {"features": "features alone", "egemaps": "with quality", "numpy": "without the compiled loops"}
PEER = "opensmile"


@dataclass
class Side:
    """One process that measures what it is told to."""

    process: subprocess.Popen[str]

    def once(self, file: Path, rate_hz: int) -> tuple[float, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{file} {rate_hz}\n")
        self.process.stdin.flush()
        took, peak = self.process.stdout.readline().split()
        return float(took), float(peak)


@dataclass(frozen=True)
class Row:
    """One clip at one rate."""

    rate_hz: int
    seconds: float
    cpu_ms: dict[str, float]  # best, by side
    peak_mib: dict[str, float]

    def ratio(self, side: str = "features") -> str:
        return f"{self.cpu_ms[PEER] / self.cpu_ms[side]:.2f}" if PEER in self.cpu_ms else ""


def start(python: str, which: str) -> Side | None:
    """The side, or None where its package is not installed."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [python, "-W", "ignore", "-c", SIDE, which], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, env={**os.environ, **threads},
    )  # fmt: skip
    assert process.stdout is not None
    return Side(process) if process.stdout.readline().strip() == "ready" else None


def speech(seconds: float, rate_hz: int) -> np.ndarray:
    """Real speech where the shared recordings are, else a gliding tone with pauses; by linear interpolation."""
    count = int(seconds * 16000)
    base = _shared(count) if (DATA / "librispeech").is_dir() else _synthetic(count)
    times = np.arange(int(seconds * rate_hz)) / rate_hz
    return np.interp(times, np.arange(len(base)) / 16000, base)


def _shared(count: int) -> np.ndarray:
    import soundfile

    pieces, have = [], 0
    for file in sorted((DATA / "librispeech").rglob("*.flac")):
        pieces.append(soundfile.read(file)[0])
        have += len(pieces[-1])
        if have >= count:
            break
    return np.resize(np.concatenate(pieces), count)


def _synthetic(count: int) -> np.ndarray:
    t = np.arange(count) / 16000
    phase = 2 * np.pi * np.cumsum(130 * (1 + 0.2 * np.sin(4 * t))) / 16000
    tone = sum(np.sin(k * phase) / k for k in range(1, 20)) * (np.sin(6 * t) > -0.3)
    return 0.2 * tone + 0.003 * np.random.default_rng(1).standard_normal(count)


def size_mib(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


def main() -> int:
    options = arguments()
    sides = {name: start(sys.executable, name) for name in OURS}
    if sides["features"] is None:
        print("sottovoce cannot be imported here.", file=sys.stderr)
        return 2
    sides[PEER] = start(options.peer, PEER) if Path(options.peer).exists() else None
    here = {name: side for name, side in sides.items() if side is not None}
    conditions = (
        f"load {os.getloadavg()[0]:.1f} at the start, best of {options.repeats} (120 s: of 2), one thread"
    )
    print(conditions)
    print(
        f"{'rate':>6} {'clip':>6}" + "".join(f"{name:>11}" for name in (*OURS, PEER)) + "   ratio  peak MiB"
    )
    rows = []
    for rate_hz in options.rates:
        for seconds in options.seconds:
            rows.append(measured(here, rate_hz, seconds, options.repeats))
            print(line(rows[-1]), flush=True)
    sizes = _sizes(options.peer)
    print(sizes)
    if options.record:
        _record(rows, conditions, sizes)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", default=str(ROOT / ".opensmile-venv" / "bin" / "python"))
    parser.add_argument("--seconds", type=float, nargs="+", default=SECONDS)
    parser.add_argument("--rates", type=int, nargs="+", default=RATES_HZ)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--record", action="store_true", help="write our figures and the ratio to figures.md")
    return parser.parse_args()


def measured(sides: dict[str, Side], rate_hz: int, seconds: float, repeats: int) -> Row:
    file = Path(os.environ.get("TMPDIR", "/tmp")) / f"bench-features-{os.getpid()}.npy"
    np.save(file, speech(seconds, rate_hz))
    try:
        rounds = [
            {name: side.once(file, rate_hz) for name, side in sides.items()}
            for _ in range(min(repeats, 2) if seconds > LONG_S else repeats)
        ]
    finally:
        file.unlink()
    best = {name: 1000 * min(r[name][0] for r in rounds) for name in sides}
    return Row(rate_hz, seconds, best, {name: rounds[-1][name][1] for name in sides})


def line(row: Row) -> str:
    times = "".join(
        f"{row.cpu_ms[name]:9.1f}ms" if name in row.cpu_ms else f"{'missing':>11}" for name in (*OURS, PEER)
    )
    peaks = ", ".join(f"{row.peak_mib[name]:.0f}" for name in ("features", PEER) if name in row.peak_mib)
    return f"{row.rate_hz:6} {row.seconds:5.0f}s{times} {row.ratio():>7}  {peaks}"


def _record(rows: list[Row], conditions: str, sizes: str) -> None:
    """Ours and the ratio; of the other, nothing else."""
    sys.path.insert(0, str(ROOT / "scripts"))
    from figures import record  # type: ignore[import-not-found]

    head = ["rate, clip", *(f"{title}, ms" for title in OURS.values())]
    head += ["openSMILE / features alone", "openSMILE / with quality", "peak MiB"]
    table = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        cells = [f"{row.rate_hz / 1000:g} kHz, {row.seconds:g} s"]
        cells += [f"{row.cpu_ms[name]:.1f}" for name in OURS]
        cells += [row.ratio(), row.ratio("egemaps"), f"{row.peak_mib['features']:.0f}"]
        table.append("| " + " | ".join(cells) + " |")
    body = (
        "CPU time of one clip, resampling included; peak of the measuring process until then, with its clips.\n\n"
        + "\n".join(table)
        + f"\n\n{sizes}"
    )
    record("bench-features", "Features", body, conditions=conditions)


def _sizes(peer: str) -> str:
    names = ("numpy", "numpy.libs", "soundfile.py", "_soundfile_data")
    mine = [ROOT / "src" / "sottovoce", *(Path(np.__file__).parents[1] / name for name in names)]
    text = f"Installed: ours with numpy and soundfile {sum(map(size_mib, mine)):.0f} MiB"
    folder = next(iter(Path(peer).parents[1].glob("lib/*/site-packages")), None)
    return text + (f", the whole environment of openSMILE {size_mib(folder):.0f} MiB." if folder else ".")


if __name__ == "__main__":
    sys.exit(main())
