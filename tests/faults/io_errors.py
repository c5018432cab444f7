"""A disk that fails at every write in turn: EIO once, EIO from there on, half a write, ENOSPC from there on.

    python tests/faults/io_errors.py SCENARIO [--how turns|once|on|half|full|all] [--step 1] [--calls KIND ...]

Builds disk_errors.c with the C compiler of this machine and preloads it. A dry run counts the writes, truncations,
allocations, fsyncs, renames, links and unlinks below the home, from its opening to its closing; then for each of them
a child runs the scenario on a copy of a prepared home and that call fails. The verb may end well or with an error of
ours. Afterwards, in the same process where the disk has recovered and then in a new one: what was kept before opens,
an erasure of another person goes through, nothing that was acknowledged is missing, and `fsck` finds nothing
(campaign.look). `turns`, the default: each call fails once, and in one of the other ways in turn. Prints JSON;
`{"not_run": why}` where there is no compiler or the library cannot be preloaded.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import campaign  # beside this file: the folder of a program is searched first

HERE = Path(__file__).resolve().parent
HOWS = {"once": 1, "on": 2, "half": 3, "full": 4}
MARK = "FAULTS_DISK_LIBRARY"  # the library that this process was started with


class Disk:
    """The preloaded library."""

    def __init__(self) -> None:
        self._calls = ctypes.CDLL(os.environ[MARK])
        self._calls.faults_seen.restype = ctypes.c_long
        self._calls.faults_name.restype = ctypes.c_char_p

    def arm(self, home: Path, number: int, how: str) -> None:
        self._calls.faults_arm(os.fsencode(home.resolve()), ctypes.c_long(number), HOWS.get(how, 0))

    def disarm(self) -> None:
        self._calls.faults_disarm()

    def seen(self) -> list[str]:
        """The calls so far, by kind."""
        count = self._calls.faults_seen()
        return [self._calls.faults_name(ctypes.c_long(n)).decode() for n in range(1, count + 1)]


def prepare(scenario: str, home: Path, source: Path) -> tuple[str, list[str]]:
    """The scenario's own preparation, and two others whose data were there before."""
    with campaign.opened(home, campaign.Points(), **campaign.PREPARED_WITH.get(scenario, {})) as platform:
        campaign.SCENARIOS[scenario][0](platform, source)
        platform._adapters.extractor._inner.refuses = False
        for who in ("berta", "carla"):
            platform.grant(subject=who, purposes=campaign.ALL)
        platform.analyze(source, subject="carla")
        old = platform.analyze(source, subject="berta").session_id
    return old, sorted(sys.modules)


def run(scenario: str, home: Path, source: Path, number: int, how: str, old: str) -> dict[str, Any]:
    """The scenario on a disk that fails; what it acknowledged, and what is wrong in the same process."""
    campaign.SOURCE[:] = [source]
    disk, said = Disk(), dict[str, Any]()
    disk.arm(home, number, how)
    try:
        with campaign.opened(home, campaign.Points(), **campaign.RUN_WITH.get(scenario, {})) as platform:
            try:
                said["acknowledged"] = campaign.SCENARIOS[scenario][1](platform, source)
            except campaign.SottovoceError as error:
                said["refused"] = error.public_code
            if number and how in ("once", "half") and len(disk.seen()) >= number:  # the disk has recovered
                said["dirty"] = others(platform, scenario, old)
    except campaign.SottovoceError as error:
        said["refused"] = error.public_code
    said["calls"] = disk.seen()
    disk.disarm()
    return said


def others(platform: Any, scenario: str, old: str) -> list[str]:
    """Data from before open, and another person can be erased."""
    dirty = []
    try:
        if scenario != "expire" and platform.show(old, purpose="subject_access").features is None:
            dirty.append("old data are empty")
    except campaign.SottovoceError as error:
        dirty.append(f"old data do not open: {error.public_code}")
    try:
        if platform.erase(subject="carla").result not in ("erased", "nothing_held"):
            dirty.append("an erasure did not go through")
    except campaign.SottovoceError as error:
        dirty.append(f"an erasure is refused: {error.public_code}")
    return dirty


def others_anew(scenario: str, home: Path, old: str) -> list[str]:
    when = campaign.RUN_WITH.get(scenario, {}).get("offset", timedelta(0))
    with campaign.opened(home, campaign.Points(), offset=when) as platform:
        return others(platform, scenario, old)


def one(scenario: str, folder: Path, source: Path, number: int, how: str, old: str) -> dict[str, Any]:
    source.write_bytes(campaign.AUDIO)
    home = campaign.fresh(folder / "base", folder)
    code, said = campaign.in_child(lambda: run(scenario, home, source, number, how, old))
    if code:
        dirty = [f"no error of ours: {str(said).strip().splitlines()[-1]}"]
        said = {}
    else:
        dirty = [f"in the same process: {what}" for what in said.get("dirty", ())]
    for step, look in (
        ("anew", lambda: others_anew(scenario, home, old)),
        ("looked at", lambda: campaign.look(scenario, home, source, said.get("acknowledged"))),
    ):
        code, found = campaign.in_child(look)
        dirty += [f"{step}: {what}" for what in found] if code == 0 else [f"{step}: not opened: {found}"]
    shutil.rmtree(home)
    answer = "ok" if "acknowledged" in said else said.get("refused", "none")
    return {"call": number, "how": how, "answer": answer, "dirty": dirty}


def hows_of(number: int, kind: str, asked: str) -> list[str]:
    """In which ways this call fails; only a write can be done by half."""
    possible = [how for how in HOWS if how != "half" or kind in ("write", "pwrite", "writev")]
    if asked == "turns":
        lasting = possible[1:]
        return ["once", lasting[number % len(lasting)]]
    return possible if asked == "all" else [how for how in possible if how == asked]


def every(scenario: str, asked: str, step: int, kinds: list[str], folder: Path) -> dict[str, Any]:
    source, base = folder / "clip.wav", folder / "base"
    source.write_bytes(campaign.AUDIO)
    code, prepared = campaign.in_child(lambda: prepare(scenario, base, source))
    if code:
        sys.exit(str(prepared))
    old, used = prepared
    campaign.warm(used)
    home = campaign.fresh(base, folder)
    code, dry = campaign.in_child(lambda: run(scenario, home, source, 0, "", old))
    if code or "acknowledged" not in dry:
        sys.exit(f"the scenario does not run without faults: {dry}")
    numbers = [number for number, kind in enumerate(dry["calls"], start=1) if not kinds or kind in kinds]
    rows = [
        one(scenario, folder, source, number, how, old)
        for number in numbers[::step]
        for how in hows_of(number, dry["calls"][number - 1], asked)
    ]
    return {
        "scenario": scenario, "calls": Counter(dry["calls"]), "tries": len(rows),
        "refused": sum(row["answer"] not in ("ok", "none") for row in rows),
        "answers": Counter(row["answer"] for row in rows),
        "dirty": [row for row in rows if row["dirty"]],
    }  # fmt: skip


def preloaded(folder: Path) -> dict[str, str] | str:
    """The environment with the library in it, or why there is none."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:
        return "no C compiler here"
    library = folder / "disk_errors.so"
    build = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "disk_errors.c"), "-ldl"]
    if subprocess.run(build, capture_output=True, check=False).returncode:
        return "the C compiler could not build the library"
    environment = {**os.environ, "LD_PRELOAD": str(library), MARK: str(library)}
    probe = "import ctypes, os; ctypes.CDLL(None).faults_seen"
    tried = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, check=False)
    return environment if tried.returncode == 0 else "a library cannot be preloaded here"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=sorted(campaign.SCENARIOS))
    parser.add_argument("--how", choices=[*HOWS, "all", "turns"], default="turns")
    parser.add_argument("--step", type=int, default=1, help="every so-many-th call only")
    parser.add_argument("--calls", action="append", default=[], help="calls of this kind only")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if MARK not in os.environ:
            found = preloaded(folder)
            if isinstance(found, str):
                print(json.dumps({"not_run": found}), end="")
                return
            sys.exit(subprocess.run([sys.executable, *sys.argv], env=found, check=False).returncode)
        result = every(given.scenario, given.how, given.step, given.calls, folder)
    print(json.dumps(result), end="")
    sys.exit(1 if result["dirty"] else 0)


if __name__ == "__main__":
    main()
