"""A disk that is full at every possible moment of a verb, and then an erasure on it.

    python tests/faults/full_disk.py VERB [--step 1]        VERB: analyze, submit, work, erase, rotate

Runs itself in a mount namespace of its own with a small tmpfs. For a growing number of free blocks, from none to as
many as the verb needs, a copy of a prepared home is opened, a file fills the rest of the disk, and the verb runs. It
has to end well or with a declared storage error; an erasure of another person goes through on the full disk, in the
same process and in a new one; with room again what was kept before opens and `fsck` finds nothing. Prints JSON;
`{"not_run": why}` where there is no namespace or no tmpfs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import campaign  # beside this file: the folder of a program is searched first

DISK_BYTES = 28 << 20
BALLAST = "ballast"
DECLARED = {"storage_full", "storage", "storage_busy", "home"}
VERBS = ("analyze", "submit", "work", "erase", "rotate")


def prepare(home: Path, source: Path, verb: str) -> dict[str, str]:
    with campaign.opened(home, campaign.Points()) as platform:
        for who in ("anna", "berta", "carla", "dora"):
            platform.grant(subject=who, purposes=campaign.ALL)
        old = platform.analyze(source, subject="berta").session_id
        platform.analyze(source, subject="carla")
        platform.analyze(source, subject="dora")
        if verb in ("work", "erase"):
            platform.submit(source, subject="anna")
    return {"old": old}


def verb_on(home: Path, source: Path, verb: str, free_blocks: int) -> dict[str, Any]:
    """Open the home, fill the disk, run the verb, then erase another person; "ok" or the code of a refusal each."""
    with campaign.opened(home, campaign.Points()) as platform:
        fill(home.parent, free_blocks)
        return {
            "answer": answered(lambda: run_verb(platform, source, verb)),
            "erasing": answered(lambda: str(platform.erase(subject="dora").result)),
        }


def run_verb(platform: Any, source: Path, verb: str) -> str:
    if verb == "work":
        outcome = platform.work_next()
        return "ok" if outcome is not None and outcome.failure is None else f"{outcome and outcome.failure}"
    if verb == "erase":
        return str(platform.erase(subject="anna").result)
    if verb == "rotate":
        platform.rotate_keys()
        return "ok"
    getattr(platform, verb)(source, subject="anna")
    return "ok"


def answered(work: Callable[[], str]) -> str:
    try:
        return work()
    except campaign.SottovoceError as error:
        return str(error.public_code)


def still_reads(home: Path, session_id: str) -> str:
    def read() -> str:
        with campaign.opened(home, campaign.Points()) as platform:
            shown = platform.show(session_id, purpose="subject_access")
            return "ok" if shown.features is not None else "empty"

    return answered(read)


def erase(home: Path) -> str:
    def work() -> str:
        with campaign.opened(home, campaign.Points()) as platform:
            return str(platform.erase(subject="carla").result)

    return answered(work)


def sound(home: Path) -> list[str]:
    with campaign.opened(home, campaign.Points()) as platform:
        while platform.work_next() is not None:
            pass
        return [finding.code for finding in platform.fsck(repair=True).findings]


def fill(folder: Path, free_blocks: int) -> Path:
    """Take everything but so many blocks."""
    ballast = folder / BALLAST
    room = os.statvfs(folder)
    take = max(0, room.f_bavail - free_blocks) * room.f_frsize
    fd = os.open(ballast, os.O_WRONLY | os.O_CREAT, 0o600)
    os.posix_fallocate(fd, 0, max(take, 1))
    os.close(fd)
    return ballast


def one(disk: Path, base: Path, source: Path, verb: str, free_blocks: int, old: str) -> dict[str, Any]:
    home = Path(shutil.copytree(base, disk / "home"))
    dirty = []
    code, said = campaign.in_child(lambda: verb_on(home, source, verb, free_blocks))
    if code:
        dirty.append(f"no error of ours: {str(said).strip().splitlines()[-1]}")
        said = {"answer": "none", "erasing": "none"}
    if said["answer"] not in ("ok", "erased", *DECLARED):
        dirty.append(f"the verb ended with {said['answer']}")
    if verb == "erase" and said["answer"] != "erased":
        dirty.append(f"the erasure did not go through: {said['answer']}")
    if said["erasing"] != "erased":
        dirty.append(f"no erasure of another person in the same process: {said['erasing']}")
    _, erased = campaign.in_child(lambda: erase(home))
    if erased != "erased":
        dirty.append(f"no erasure on the full disk: {erased}")
    (disk / BALLAST).unlink(missing_ok=True)
    _, read = campaign.in_child(lambda: still_reads(home, old))
    if read != "ok":
        dirty.append(f"old data do not open: {read}")
    looked, findings = campaign.in_child(lambda: sound(home))
    dirty += (
        [f"afterwards: {code}" for code in findings] if looked == 0 else [f"not opened again: {findings}"]
    )
    shutil.rmtree(home)
    return {"free_blocks": free_blocks, "answer": said["answer"], "dirty": dirty}


def run(verb: str, step: int) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp())
    disk, base, source = folder / "disk", folder / "base", folder / "clip.wav"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return {"not_run": "no tmpfs can be mounted here"}
    source.write_bytes(campaign.AUDIO)
    code, prepared = campaign.in_child(lambda: prepare(base, source, verb))
    if code:
        sys.exit(str(prepared))
    rows: list[dict[str, Any]] = []
    blocks = good = 0
    while good < 3 and blocks < 2000:
        rows.append(one(disk, base, source, verb, blocks, prepared["old"]))
        good = good + 1 if rows[-1]["answer"] in ("ok", "erased") else 0
        blocks += step
    subprocess.run(["umount", str(disk)], check=False)
    shutil.rmtree(folder, ignore_errors=True)
    return {
        "verb": verb, "tries": len(rows), "refused": sum(row["answer"] in DECLARED for row in rows),
        "dirty": [row for row in rows if row["dirty"]],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("--step", type=int, default=1, help="blocks of 4 KiB from one try to the next")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not given.inside:
        if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
            print(json.dumps({"not_run": "no mount namespace here"}), end="")
            return
        again = [sys.executable, __file__, given.verb, "--step", str(given.step), "--inside"]
        sys.exit(subprocess.run(["unshare", "--mount", "--", *again], check=False).returncode)
    result = run(given.verb, given.step)
    print(json.dumps(result), end="")
    sys.exit(1 if result.get("dirty") else 0)


if __name__ == "__main__":
    main()
