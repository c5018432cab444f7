"""Files that declare, or unpack to, far more than they hold: a declared answer, in bounded memory and time.

    python tests/fuzz/bombs.py [--quick] [NAME ...]

Each goes through the real sealed child while its peak memory is read from the system. Prints a table; fails where an
answer is none of ours, a child needs more than PEAK_BYTES, or an answer takes longer than LONGEST_S.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from sottovoce.adapters.extractor import SealedExtractor
from sottovoce.errors import SottovoceError
from sottovoce.ports import Descriptor, ExtractOptions

CLIP = Path(__file__).resolve().parents[2] / "src" / "sottovoce" / "data" / "jfk.flac"
PEAK_BYTES = 512 << 20  # resident; what a child may map on top of its parent is 512 MiB as well
LONGEST_S = 30.0
OPTIONS = ExtractOptions(max_analysed_s=5.0, wall_limit_s=60.0)
DECLARED = {
    "accepted", "empty", "too_large", "unknown_format", "format_not_allowed", "header_invalid", "no_samples",
    "sample_rate", "channels", "too_long", "too_short", "non_finite", "amplitude", "truncated", "decode_failed",
    "child_memory", "child_timeout",
}  # fmt: skip

Make = Callable[[], bytes]
BOMBS: dict[str, Make] = {}
SLOW = {"flac, 110 minutes of silence", "flac, 3 hours of silence", "opus, 30 minutes of silence"}


def bomb(name: str) -> Callable[[Make], Make]:
    def keep(make: Make) -> Make:
        BOMBS[name] = make
        return make

    return keep


def riff(
    *, channels: int = 1, rate: int = 16_000, bits: int = 16, tag: int = 1, data_bytes: int | None = None,
    payload: bytes = bytes(32_000), before: bytes = b"",
) -> bytes:  # fmt: skip
    align = (channels * bits // 8) & 0xFFFF
    form = struct.pack("<HHIIHH", tag, channels, rate, (rate * align) & 0xFFFFFFFF, align, bits)
    size = len(payload) if data_bytes is None else data_bytes
    chunks = b"fmt " + struct.pack("<I", 16) + form + before + b"data" + struct.pack("<I", size) + payload
    return b"RIFF" + struct.pack("<I", min(0xFFFFFFFF, 4 + len(chunks))) + b"WAVE" + chunks


@bomb("wav, 4 GiB declared")
def _() -> bytes:
    return riff(data_bytes=0xFFFFFFF0)


@bomb("wav, 65,535 channels")
def _() -> bytes:
    return riff(channels=65_535)


@bomb("wav, 1,000 channels of 8 bits")
def _() -> bytes:
    return riff(channels=1_000, bits=8)


@bomb("wav, 4 GHz")
def _() -> bytes:
    return riff(rate=0xFFFFFFFF)


@bomb("wav, 65,535 bits")
def _() -> bytes:
    return riff(bits=65_535)


@bomb("wav, a chunk of 4 GiB before the data")
def _() -> bytes:
    return riff(before=b"LIST" + struct.pack("<I", 0xFFFFFFFE))


@bomb("wav, a million empty chunks")
def _() -> bytes:
    return riff(before=(b"junk" + bytes(4)) * 1_000_000)


@bomb("wav, a million nested lists")
def _() -> bytes:
    return riff(before=(b"LIST" + struct.pack("<I", 8_000_000) + b"INFO") * 300_000)


@bomb("wav, adpcm with blocks of 65,535 bytes")
def _() -> bytes:
    form = struct.pack("<HHIIHHHH", 0x11, 1, 16_000, 8_000, 65_535, 4, 2, 65_535)
    fact = b"fact" + struct.pack("<II", 4, 0xFFFFFFFF)
    chunks = (
        b"fmt " + struct.pack("<I", 20) + form + fact + b"data" + struct.pack("<I", 32_000) + bytes(32_000)
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@bomb("rf64, 2^62 bytes declared")
def _() -> bytes:
    size = b"ds64" + struct.pack("<IQQQI", 28, 1 << 62, 1 << 62, 1 << 61, 0)
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    data = b"data" + struct.pack("<I", 0xFFFFFFFF) + bytes(32_000)
    return b"RF64\xff\xff\xff\xffWAVE" + size + form + data


@bomb("aiff, 2^32 - 1 frames")
def _() -> bytes:
    rate = struct.pack(">HQ", 16_383 + 13, 16_000 * 2**50)
    comm = b"COMM" + struct.pack(">IhIh", 18, 1, 0xFFFFFFFF, 16) + rate
    data = b"SSND" + struct.pack(">III", 0xFFFFFFF0, 0, 0) + bytes(32_000)
    return b"FORM" + struct.pack(">I", 0xFFFFFFFF) + b"AIFF" + comm + data


@bomb("aiff, rate without end")
def _() -> bytes:
    comm = b"COMM" + struct.pack(">IhIh", 18, 1, 16_000, 16) + b"\x7f\xff" + b"\xff" * 8
    data = b"SSND" + struct.pack(">III", 32_008, 0, 0) + bytes(32_000)
    return b"FORM" + struct.pack(">I", 4 + len(comm) + len(data)) + b"AIFF" + comm + data


@bomb("au, header and data of 4 GiB")
def _() -> bytes:
    return b".snd" + struct.pack(">IIIII", 0xFFFFFFF0, 0xFFFFFFFE, 3, 16_000, 1) + bytes(32_000)


@bomb("au, 4 billion channels")
def _() -> bytes:
    return b".snd" + struct.pack(">IIIII", 24, 32_000, 3, 16_000, 0xFFFFFFFF) + bytes(32_000)


@bomb("flac, 2^36 - 1 samples declared")
def _() -> bytes:
    data = bytearray(CLIP.read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    return bytes(data)


@bomb("flac, a picture of 16 MiB that is not there")
def _() -> bytes:
    data = CLIP.read_bytes()
    return data[:4] + b"\x00" + data[5:42] + b"\x06\xff\xff\xff" + data[42:]


@bomb("flac, 200,000 empty metadata blocks")
def _() -> bytes:
    data = CLIP.read_bytes()
    return data[:4] + b"\x00" + data[5:42] + b"\x01\x00\x00\x00" * 200_000 + b"\x81\x00\x00\x00" + data[42:]


@bomb("flac, comments of 4 GiB")
def _() -> bytes:
    comment = struct.pack("<I", 0xFFFFFFFF) + b"x" * 8 + struct.pack("<I", 0xFFFFFFFF)
    data = CLIP.read_bytes()
    return data[:4] + b"\x00" + data[5:42] + b"\x84" + len(comment).to_bytes(3, "big") + comment + data[42:]


def encoded(minutes: float, container: str, codec: str, rate: int) -> bytes:
    """Silence, written block by block: this process needs no more memory than a block."""
    file = io.BytesIO()
    block = np.zeros(rate * 60, dtype=np.int16)
    with soundfile.SoundFile(file, "w", rate, 1, codec, format=container) as writer:
        for _ in range(int(minutes)):
            writer.write(block)
    return file.getvalue()


@bomb("flac, 110 minutes of silence")
def _() -> bytes:
    return encoded(110, "FLAC", "PCM_16", 48_000)


@bomb("flac, 3 hours of silence")
def _() -> bytes:
    return encoded(180, "FLAC", "PCM_16", 8_000)


@bomb("opus, 30 minutes of silence")
def _() -> bytes:
    return encoded(30, "OGG", "OPUS", 16_000)


def ogg_of_clip() -> bytearray:
    samples, rate = soundfile.read(CLIP, frames=32_000, dtype="float64")
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="OGG", subtype="OPUS")
    return bytearray(file.getvalue())


def ogg_crc(page: bytes) -> int:
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = ((crc << 1) ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return crc


def ogg_page(data: bytearray, number: int) -> tuple[int, int]:
    """Where the page of that number begins and ends."""
    at = end = 0
    for _ in range(number + 1):
        at = end
        segments = data[at + 26]
        end = at + 27 + segments + sum(data[at + 27 : at + 27 + segments])
    return at, end


def with_page(data: bytearray, number: int, change: Callable[[bytearray], None]) -> bytes:
    """One page changed, its check sum right again."""
    at, end = ogg_page(data, number)
    page = data[at:end]
    change(page)
    page[22:26] = bytes(4)
    page[22:26] = struct.pack("<I", ogg_crc(bytes(page)))
    return bytes(data[:at] + page + data[end:])


@bomb("ogg, a last page at 2^62")
def _() -> bytes:
    data = ogg_of_clip()
    number = 0
    while ogg_page(data, number)[1] < len(data):
        number += 1

    def change(page: bytearray) -> None:
        page[6:14] = struct.pack("<q", 1 << 62)

    return with_page(data, number, change)


@bomb("opus, 255 channels")
def _() -> bytes:
    def change(page: bytearray) -> None:
        page[27 + page[26] + 9] = 255

    return with_page(ogg_of_clip(), 0, change)


@bomb("opus, comments of 4 GiB")
def _() -> bytes:
    def change(page: bytearray) -> None:
        at = 27 + page[26] + 8
        page[at : at + 4] = b"\xff\xff\xff\xff"

    return with_page(ogg_of_clip(), 1, change)


@bomb("ogg, 200,000 empty pages")
def _() -> bytes:
    page = bytearray(b"OggS\0\0" + bytes(20) + b"\0")
    page[22:26] = struct.pack("<I", ogg_crc(bytes(page)))
    return bytes(ogg_of_clip()) + bytes(page) * 200_000


@bomb("mp3, a tag of 256 MiB")
def _() -> bytes:
    return b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(64_000)


@bomb("mp3, a hundred thousand tags one after another")
def _() -> bytes:
    return b"ID3\x04\0\0\0\0\0\0" * 100_000 + bytes(64_000)


def box(name: bytes, inside: bytes, size: int | None = None) -> bytes:
    return struct.pack(">I", len(inside) + 8 if size is None else size) + name + inside


@bomb("mp4, boxes nested 100,000 deep")
def _() -> bytes:
    inside = b"".join(struct.pack(">I", 8 * (100_000 - n)) + b"moov" for n in range(100_000))
    return box(b"ftyp", b"M4A \0\0\0\0M4A ") + inside


@bomb("mp4, a million empty boxes")
def _() -> bytes:
    return box(b"ftyp", b"M4A \0\0\0\0M4A ") + box(b"free", b"") * 1_000_000


@bomb("mp4, a box of 2^63 bytes")
def _() -> bytes:
    return box(b"ftyp", b"M4A \0\0\0\0M4A ") + b"\0\0\0\1moov" + struct.pack(">Q", (1 << 63) - 1) + bytes(500)


@bomb("mp4, tables of 4 billion entries")
def _() -> bytes:
    sound = box(b"mp4a", bytes(6) + b"\0\1" + bytes(8) + struct.pack(">HHHHI", 1, 16, 0, 0, 16_000 << 16))
    tables = box(b"stsd", struct.pack(">II", 0, 1) + sound)
    for name in (b"stts", b"stsc", b"stco"):
        tables += box(name, struct.pack(">II", 0, 0xFFFFFFFF))
    tables += box(b"stsz", struct.pack(">III", 0, 1 << 20, 0xFFFFFFFF))
    head = struct.pack(">IIIII", 0, 0, 0, 16_000, 0xFFFFFFFF) + bytes(4)
    handler = box(b"hdlr", bytes(8) + b"soun" + bytes(13))
    media = box(b"mdia", box(b"mdhd", head) + handler + box(b"minf", box(b"stbl", tables)))
    movie = box(b"moov", box(b"mvhd", head + bytes(76)) + box(b"trak", box(b"tkhd", bytes(84)) + media))
    return box(b"ftyp", b"M4A \0\0\0\0M4A ") + movie + box(b"mdat", bytes(4096))


@bomb("webm, elements of unknown and of giant size")
def _() -> bytes:
    head = bytes.fromhex("1a45dfa3") + b"\x84" + bytes.fromhex("4282") + b"\x81w"
    return (
        head
        + bytes.fromhex("18538067")
        + b"\x01"
        + b"\xff" * 7
        + (b"\xec\x01\xff\xff\xff\xff\xff\xff\xfe") * 9_000
    )


@bomb("amr, no frame behind the magic but zeros")
def _() -> bytes:
    return b"#!AMR\n" + bytes(4_000_000)


# --- through the child ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    name: str
    size_bytes: int
    answer: str
    peak_bytes: int
    took_s: float

    @property
    def bad(self) -> bool:
        return self.answer not in DECLARED or self.peak_bytes > PEAK_BYTES or self.took_s > LONGEST_S


class Peak(threading.Thread):
    """The largest resident memory that any process below this one had while it was watched."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes, self._ended = 0, threading.Event()

    def run(self) -> None:
        while True:
            for pid in below(os.getpid()):
                with contextlib.suppress(OSError, ValueError, IndexError):
                    status = Path(f"/proc/{pid}/status").read_text()
                    self.bytes = max(self.bytes, int(status.partition("VmHWM:")[2].split()[0]) * 1024)
            if self._ended.wait(0.005):
                return

    def end(self) -> int:
        self._ended.set()
        self.join()
        return self.bytes


def below(pid: int) -> set[int]:
    found, fresh = set[int](), {pid}
    while fresh:
        next_ones = set[int]()
        for each in fresh:
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{each}/task").iterdir():
                    next_ones |= {int(word) for word in (task / "children").read_text().split()}
        fresh = next_ones - found
        found |= fresh
    return found


def thrown(extractor: SealedExtractor, name: str, folder: Path) -> Result:
    file = folder / "bomb"
    file.write_bytes(BOMBS[name]())
    watch, began = Peak(), time.monotonic()
    watch.start()
    try:
        with file.open("rb") as opened:
            extractor.extract(Descriptor(opened.fileno()), OPTIONS)
        answer = "accepted"
    except SottovoceError as error:
        answer = error.public_code
    took_s = time.monotonic() - began
    size_bytes = file.stat().st_size
    file.unlink()
    return Result(name, size_bytes, answer, watch.end(), took_s)


def campaign(names: list[str]) -> list[Result]:
    with tempfile.TemporaryDirectory() as folder, SealedExtractor() as extractor:
        extractor.level()  # the parent is there before anybody looks at the clock
        return [thrown(extractor, name, Path(folder)) for name in names]


def table(results: list[Result]) -> str:
    lines = ["| file | bytes | answer | peak MB of a process | s |", "|---|---:|---|---:|---:|"]
    for each in results:
        lines.append(
            f"| {each.name} | {each.size_bytes:,} | {each.answer} | {each.peak_bytes / 1e6:.0f} | {each.took_s:.2f} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", choices=[*BOMBS, []], metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="without those that take long to make")
    given = parser.parse_args()
    names = given.names or [name for name in BOMBS if not (given.quick and name in SLOW)]
    results = campaign(names)
    print(table(results))
    return int(any(each.bad for each in results))


if __name__ == "__main__":
    sys.exit(main())
