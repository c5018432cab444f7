"""Sealing before upload: speed of `seal` beside plain copying and openssl, and what sealed recordings cost on arrival.

Everything in one run, alternating, so that the ratios hold whatever else the machine does. Copying is done as sealing
is: read, write, fsync of file and folder. Processor time is told beside wall time: it says more on a busy machine.

    python benchmarks/bench_sealed_files.py [--megabytes 256] [--repeats 5] [--recordings 20] [--record]
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

import sottovoce
from sottovoce import app as house
from sottovoce.doors.cli import ingest_pool
from sottovoce.model.corpus import CorpusFile
from sottovoce.model.subject import Caller
from sottovoce.sealing import recipients, suites

ROOT = Path(__file__).resolve().parents[1]
CONSENTS = ["voice_recording", "voice_analysis", "data_retention_30_days"]


def best_of(repeats: int, *works: Callable[[int], None]) -> list[tuple[float, float]]:
    """The best wall time and the best processor time of each, taken in turns."""
    walls: list[list[float]] = [[] for _ in works]
    spent: list[list[float]] = [[] for _ in works]
    for number in range(repeats):
        for wall, cpu, work in zip(walls, spent, works, strict=True):
            start, start_cpu = time.perf_counter(), time.process_time()
            work(number)
            wall.append(time.perf_counter() - start)
            cpu.append(time.process_time() - start_cpu)
    return [(min(wall), min(cpu)) for wall, cpu in zip(walls, spent, strict=True)]


def copied(source: Path, target: Path) -> None:
    with source.open("rb", buffering=0) as read, target.open("wb", buffering=0) as write:
        buffer = memoryview(bytearray(1 << 16))
        while count := read.readinto(buffer):
            write.write(buffer[:count])
        os.fsync(write.fileno())
    folder = os.open(target.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def openssl_mb_s() -> float | None:
    """AES-256-GCM in pieces of 16 KiB, one thread, for a second."""
    command = ["openssl", "speed", "-elapsed", "-seconds", "1", "-bytes", "16384", "-evp", "aes-256-gcm"]
    try:
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"AES-256-GCM\s+([\d.]+)k", out, re.IGNORECASE)
    return float(found[1]) / 1000 if found else None


def one_large_file(folder: Path, megabytes: int, repeats: int) -> list[tuple[str, float, float]]:
    """(way to write it, MB/s of wall time, MB per second of processor time)."""
    source = folder / "large.wav"
    piece = os.urandom(1 << 20)
    with source.open("wb") as file:
        for _ in range(megabytes):
            file.write(piece)
    copied(source, folder / "warm")
    private = {suite: suites.generate_recipient(suite, random_bytes=os.urandom) for suite in (3, 1)}
    texts = {suite: recipients.public_document(key.public()) for suite, key in private.items()}

    def seal(suite: int, *, discard: bool = False) -> Callable[[int], None]:
        def work(number: int) -> None:
            out = folder / f"out {suite} {discard} {number}"
            taken = source
            if discard:
                taken = folder / f"link {suite} {number}"
                os.link(source, taken)
            house.seal_file(taken, to=texts[suite], out=out, contractor="c-17", discard_source=discard)
            shutil.rmtree(out)

        return work

    def copy(number: int) -> None:
        copied(source, folder / f"copy {number}")
        (folder / f"copy {number}").unlink()

    names = ["plain copy, fsynced", "seal, xwing", "seal, rsa", "seal, xwing, read back (--discard-source)"]
    times = best_of(repeats, copy, seal(3), seal(1), seal(3, discard=True))
    size_mb = megabytes * 1.048576
    return [(name, size_mb / wall, size_mb / cpu) for name, (wall, cpu) in zip(names, times, strict=True)]


def cpu_s() -> float:
    """Of this process and of its ended children."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def arrivals(folder: Path, count: int, repeats: int) -> list[tuple[str, float, float]]:
    """(way, CPU ms, wall ms) per recording of 30 s, plain and sealed in turns."""
    made = recordings(folder / "plain", count)
    taken: dict[str, list[tuple[float, float]]] = {"plain": [], "sealed": []}
    for number in range(repeats):
        for way, results in taken.items():
            results.append(one_ingest(folder, made, sealed=way == "sealed", number=number))
    return [
        (way, 1000 * statistics.median(cpu for cpu, _ in results) / count,
         1000 * statistics.median(wall for _, wall in results) / count)
        for way, results in taken.items()
    ]  # fmt: skip


def recordings(folder: Path, count: int) -> list[Path]:
    samples, rate = soundfile.read(ROOT / "src/sottovoce/data/jfk.flac", dtype="int16")
    voice = np.tile(samples, 3)[: 30 * rate]
    folder.mkdir()
    for number in range(count):
        soundfile.write(folder / f"{number}.wav", np.roll(voice, 997 * number), rate)
    return sorted(folder.iterdir())


def one_ingest(folder: Path, made: list[Path], *, sealed: bool, number: int) -> tuple[float, float]:
    home = folder / f"home {sealed} {number}"
    files, root = [CorpusFile(path.name, "anna") for path in made], made[0].parent
    platform = sottovoce.open(home=home)
    platform.grant(subject="anna", purposes=CONSENTS)
    if sealed:
        root = folder / f"sealed {number}"
        key = platform.create_recipient_key().document or ""
        with house.sealing_desk(root, to=key) as desk:
            for path in made:
                desk.seal(path, contractor="anna")
        corpus = platform.name_sealed(root, house.read_corpus(root, "sealed"))
        files = list(corpus.files)
    request = ingest_pool.Request(str(root), Caller(actor="bench", channel="bench"))
    next(ingest_pool.here(platform, files[:1], request))  # the children are warm
    cpu, wall = cpu_s(), time.perf_counter()
    for _, answer in ingest_pool.here(platform, files[1:], request):
        if getattr(answer, "status", "") != "taken":
            raise SystemExit(f"not taken: {answer}")
    wall = time.perf_counter() - wall
    platform.close()  # its children count when they have ended
    spent = cpu_s() - cpu
    shutil.rmtree(home)
    return spent, wall


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--recordings", type=int, default=20)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        speeds = one_large_file(folder, given.megabytes, given.repeats)
        costs = arrivals(folder, given.recordings, max(1, given.repeats - 2))
    openssl = openssl_mb_s()
    if openssl is not None:
        speeds.append(("openssl speed, AES-256-GCM, no disk", openssl, openssl))
    copy, copy_cpu = speeds[0][1:]
    text = table(
        ("one file", "MB/s", "to copying", "MB per CPU second", "to copying"),
        [
            (way, f"{wall:.0f}", f"{wall / copy:.2f}x", f"{cpu:.0f}", f"{cpu / copy_cpu:.2f}x")
            for way, wall, cpu in speeds
        ],
    )
    plain = costs[0]
    text += "\n\n" + table(
        ("ingest of 30 s, one process", "CPU ms", "wall ms", "CPU to plain"),
        [(way, f"{cpu:.0f}", f"{wall:.0f}", f"{cpu / plain[1]:.2f}x") for way, cpu, wall in costs],
    )
    print(text)
    if given.record:
        sys.path.insert(0, str(ROOT / "scripts"))
        from figures import record  # type: ignore[import-not-found]

        conditions = f"{given.megabytes} MiB, best of {given.repeats} in turns; "
        conditions += f"{given.recordings} recordings of 30 s; load {os.getloadavg()[0]:.1f}"
        record("bench-sealed-files", "Sealing before upload", text, conditions=conditions)


if __name__ == "__main__":
    main()
