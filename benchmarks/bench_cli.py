"""How long `sottovoce --help` takes, against `python -c pass` in the same run. Bar: at most 16 times.

Usage: python benchmarks/bench_cli.py        Exit code 1 where the bar is missed.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from figures import record

RUNS = 25
BAR = 16.0
BARE = [sys.executable, "-c", "pass"]
HELP = [sys.executable, "-m", "sottovoce", "--help"]
CYCLOPTS = [sys.executable, "-c", "import cyclopts"]
VERB_HELP = [sys.executable, "-m", "sottovoce", "analyze", "--help"]


def once_ms(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - start) * 1000


def measure(commands: dict[str, list[str]]) -> dict[str, list[float]]:
    """Wall times of each command, taken in turn so that a busy moment hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for command in commands.values():
        once_ms(command)  # caches warm, byte code written
    for _ in range(RUNS):
        for name, command in commands.items():
            times[name].append(once_ms(command))
    return times


def main() -> int:
    commands = {"python -c pass": BARE, "sottovoce --help": HELP, "import cyclopts": CYCLOPTS}
    commands["sottovoce analyze --help"] = VERB_HELP
    times = measure(commands)
    base = statistics.median(times["python -c pass"])
    lines = [f"{'':26}{'min ms':>10}{'median ms':>11}{'max ms':>10}{'ratio':>8}"]
    for name, values in times.items():
        middle = statistics.median(values)
        lines.append(f"{name:26}{min(values):10.1f}{middle:11.1f}{max(values):10.1f}{middle / base:8.1f}")
    ratio = statistics.median(times["sottovoce --help"]) / base
    held = ratio <= BAR
    lines.append(
        f"sottovoce --help / python -c pass: {ratio:.1f}; bar {BAR:.0f}: {'held' if held else 'MISSED'}"
    )
    print("\n".join(lines))
    body = "```text\n" + "\n".join(lines) + "\n```"
    record("bench-cli", "Start of the command line", body, conditions=f"wall time, {RUNS} runs in turn")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
