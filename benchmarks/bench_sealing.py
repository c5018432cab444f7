"""What sealing costs: 100 MiB beside `openssl speed`, small records per second, and re-wrapping 100,000 keys.

    python benchmarks/bench_sealing.py [--rows 100000] [--json] [--record]

The stream is sealed in 64 KiB pieces into one reused buffer, turn about with `openssl speed -evp aes-256-gcm` on
blocks of 16 KiB in the same run, best of 5 each; the bar is a ratio of 0.8. Re-wrapping runs over SQLite files and
the local key provider in a temporary folder, everything durable.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cryptography

from sottovoce.adapters.clock_system import SystemClock
from sottovoce.adapters.keys_local import LocalKeys
from sottovoce.adapters.keystore_sqlite import SqliteKeyStore
from sottovoce.model.keys import KeyRow
from sottovoce.sealing import envelope
from sottovoce.sealing.keytree import wrap_row
from sottovoce.usecases.keyring import Keyring

MIB = 1 << 20
STREAM_BYTES = 100 * MIB
PIECE_BYTES = 64 * 1024
BAR = 0.8
KEY, CONTEXT, KEY_ID = bytes(range(32)), b"bench", "rec_" + "a" * 24


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--record", action="store_true", help="write the figures into docs/reference/figures.md"
    )
    arguments = parser.parse_args()
    figures: dict[str, Any] = {
        "conditions": conditions(),
        "stream_100_mib": stream_beside_openssl(),
        "records_4_kb_per_s": small_records(),
        "rewrap": rewrap(arguments.rows),
    }
    print(json.dumps(figures, indent=None if arguments.json else 2))
    if arguments.record:
        write_down(figures)
    ratio = figures["stream_100_mib"].get("ratio")
    return 1 if ratio is not None and ratio < BAR else 0


def conditions() -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "cryptography": cryptography.__version__,
        "cpus": os.cpu_count(),
        "load_1_min": round(os.getloadavg()[0], 2),
        "openssl": openssl("version") or "missing",
    }


def stream_beside_openssl() -> dict[str, float | str | None]:
    """MB/s of CPU time for us (one thread), MB/s as openssl prints it (CPU time as well), best of 5 turns."""
    ours, theirs = [], []
    for _ in range(5):
        ours.append(sealed_mb_per_s())
        theirs.append(openssl_mb_per_s())
    best = max(ours)
    peer = max((rate for rate in theirs if rate is not None), default=None)
    return {
        "ours_mb_s": round(best),
        "ours_min_mb_s": round(min(ours)),
        "openssl_mb_s": None if peer is None else round(peer),
        "ratio": None if peer is None else round(best / peer, 2),
        "bar": BAR,
        "peer": "present" if peer is not None else "openssl is missing: no ratio",
    }


def sealed_mb_per_s() -> float:
    piece, out = bytearray(os.urandom(PIECE_BYTES)), bytearray(envelope.sealed_piece_bytes(PIECE_BYTES))
    started_s = time.process_time()
    sealer = envelope.BodySealer(KEY, CONTEXT, KEY_ID)
    for _ in range(STREAM_BYTES // PIECE_BYTES):
        sealer.update_into(piece, out)
    sealer.finalize()
    return STREAM_BYTES / 1e6 / (time.process_time() - started_s)


def openssl_mb_per_s() -> float | None:
    text = openssl("speed", "-mr", "-seconds", "1", "-bytes", "16384", "-evp", "aes-256-gcm")
    found = re.search(r"\+F:\d+:[^:]+:([\d.]+)", text or "")
    return float(found[1]) / 1e6 if found else None


def openssl(*arguments: str) -> str | None:
    program = shutil.which("openssl")
    if program is None:
        return None
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def small_records() -> int:
    """Whole envelopes of 4 KB sealed in a second of CPU time."""
    plaintext, count = os.urandom(4096), 20_000
    started_s = time.process_time()
    for _ in range(count):
        envelope.seal(KEY, plaintext, CONTEXT, KEY_ID)
    return round(count / (time.process_time() - started_s))


def rewrap(rows: int) -> dict[str, float | int]:
    """Wall seconds of one rotation over so many record keys, and of erasing one subject among them."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        stores = [SqliteKeyStore(home / name) for name in ("keys.db", "audio-keys.db")]
        keyring = Keyring(
            provider=LocalKeys(home / "kek"), long_lived=stores[0], short_lived=stores[1],
            random_bytes=os.urandom, clock=SystemClock(),
        )  # fmt: skip
        keyring.set_up()
        keyring.make_subject("sub_" + "a" * 24)
        filled_s = timed(lambda: fill(keyring, rows))
        before_s = time.process_time()
        rotated_s = timed(keyring.rotate)
        rotated_cpu_s = time.process_time() - before_s
        erased_s = timed(lambda: keyring.destroy_subject("sub_" + "a" * 24))
        for store in stores:
            store.close()
        return {
            "rows": rows,
            "insert_wall_s": round(filled_s, 2),
            "rotate_wall_s": round(rotated_s, 2),
            "rotate_cpu_s": round(rotated_cpu_s, 2),
            "erase_everything_wall_s": round(erased_s, 2),
            "file_mb": round((home / "keys.db").stat().st_size / 1e6, 1),
        }


def fill(keyring: Keyring, rows: int) -> None:
    """Insert wrapped rows directly: what is measured is rotation, not the making of keys one by one."""
    store = keyring.long_lived
    epoch = store.epochs()[-1]
    epoch_key = keyring._epochs.epoch_key("long_lived", epoch)
    subject_key = keyring.subject_key("sub_" + "a" * 24, "features")
    for start in range(0, rows, 5000):
        store.insert(
            [
                record_row(n, epoch.epoch, epoch_key, subject_key)
                for n in range(start, min(rows, start + 5000))
            ]
        )


def record_row(number: int, epoch: int, epoch_key: bytes, subject_key: bytes) -> KeyRow:
    return wrap_row(
        os.urandom(32), epoch_key=epoch_key, epoch=epoch, key_id=f"rec_{number:024}", tenant="default",
        kind="record", key_class="features", subject_id="sub_" + "a" * 24,
        created_at=SystemClock().now(), random_bytes=os.urandom, subject_key=subject_key,
    )  # fmt: skip


def timed(work: object) -> float:
    started_s = time.monotonic()
    work()  # type: ignore[operator]
    return time.monotonic() - started_s


def write_down(figures: dict[str, Any]) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
    from figures import record  # type: ignore[import-not-found,unused-ignore]

    stream, rows = figures["stream_100_mib"], figures["rewrap"]
    table = "\n".join(
        [
            "| what | figure |",
            "|---|---|",
            f"| 100 MiB in 64 KiB pieces | {stream['ours_mb_s']} MB/s of CPU time |",
            f"| `openssl speed` AES-256-GCM, 16 KiB blocks | {stream['openssl_mb_s']} MB/s |",
            f"| ratio (bar {BAR}) | {stream['ratio']} |",
            f"| records of 4 KB sealed | {figures['records_4_kb_per_s']} per second of CPU time |",
            f"| rotation over {rows['rows']} live key rows in SQLite |"
            f" {rows['rotate_wall_s']} s wall, {rows['rotate_cpu_s']} s CPU |",
            f"| erasing a subject with all of them | {rows['erase_everything_wall_s']} s wall |",
        ]
    )
    words = "; ".join(f"{name} {value}" for name, value in figures["conditions"].items() if name != "python")
    record("sealing", "Sealing and keys", table, conditions=words)


if __name__ == "__main__":
    sys.exit(main())
