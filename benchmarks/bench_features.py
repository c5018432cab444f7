"""CPU time of our features against openSMILE's, alternating in one run; prints, writes nothing.

    make bench-features                                # puts opensmile into an environment of its own
    python benchmarks/bench_features.py [--peer PYTHON] [--seconds 1 10 30] [--rates 16000 48000]

Each side is one process with one thread that gets the same clips in turn; counted is the CPU time of the process
(user and system) around the call, the best of several. Ours includes the resampling to 16 kHz, which the other
does not do. Without a peer only ours is measured, and the peer is printed as missing.

openSMILE is under the audEERING Research License: commercial use of it, or of features made with it, needs a
licence of its own. Only its run times appear here, on the terminal.
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
SECONDS, RATES_HZ = (1.0, 3.0, 10.0, 30.0, 120.0), (8000, 16000, 44100, 48000)

# What a side runs: "<file> <rate>" in, "<CPU seconds> <peak MiB>" out.
SIDE = """
import resource, sys, time
import numpy as np
if sys.argv[1] == "ours":
    from sottovoce import egemaps
    call = egemaps
else:
    import opensmile
    made = {}
    def call(samples, rate):
        if rate not in made:
            made[rate] = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
        made[rate].process_signal(samples, rate)
print("ready", flush=True)
for line in sys.stdin:
    file, rate = line.rsplit(" ", 1)
    samples = np.load(file)
    call(samples, int(rate))
    start = time.process_time()
    call(samples, int(rate))
    took = time.process_time() - start
    print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)
"""


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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", default=str(ROOT / ".opensmile-venv" / "bin" / "python"))
    parser.add_argument("--seconds", type=float, nargs="+", default=SECONDS)
    parser.add_argument("--rates", type=int, nargs="+", default=RATES_HZ)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    ours = start(sys.executable, "ours")
    if ours is None:
        print("sottovoce cannot be imported here.", file=sys.stderr)
        return 2
    theirs = start(options.peer, "opensmile") if Path(options.peer).exists() else None
    print(
        f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, best of {options.repeats}, one thread"
    )
    print(f"{'rate':>6} {'clip':>6} {'ours':>9} {'openSMILE':>10} {'ratio':>6}   peak MiB (ours, openSMILE)")
    for rate_hz in options.rates:
        for seconds in options.seconds:
            _row(ours, theirs, rate_hz, seconds, options.repeats)
    _sizes(options.peer)
    return 0


def _row(ours: Side, theirs: Side | None, rate_hz: int, seconds: float, repeats: int) -> None:
    file = Path(os.environ.get("TMPDIR", "/tmp")) / f"bench-features-{os.getpid()}.npy"
    np.save(file, speech(seconds, rate_hz))
    try:
        rounds = [(ours.once(file, rate_hz), theirs and theirs.once(file, rate_hz)) for _ in range(repeats)]
    finally:
        file.unlink()
    mine, peak = min(r[0][0] for r in rounds), rounds[-1][0][1]
    line = f"{rate_hz:6} {seconds:5.0f}s {1000 * mine:7.1f}ms"
    if theirs is None:
        print(f"{line} {'missing':>10} {'':>6}   {peak:.0f}")
        return
    other = min(r[1][0] for r in rounds if r[1])
    print(f"{line} {1000 * other:8.1f}ms {other / mine:6.2f}   {peak:.0f}, {rounds[-1][1][1]:.0f}")  # type: ignore[index]


def _sizes(peer: str) -> None:
    names = ("numpy", "numpy.libs", "soundfile.py", "_soundfile_data")
    mine = [ROOT / "src" / "sottovoce", *(Path(np.__file__).parents[1] / name for name in names)]
    print(f"installed: ours with numpy and soundfile {sum(map(size_mib, mine)):.0f} MiB", end="")
    folder = next(iter(Path(peer).parents[1].glob("lib/*/site-packages")), None)
    print(f", the whole environment of openSMILE {size_mib(folder):.0f} MiB" if folder else "")


if __name__ == "__main__":
    sys.exit(main())
