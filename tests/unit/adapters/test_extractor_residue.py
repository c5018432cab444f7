"""After a recording was analysed, its samples are in no process that lives on.

The needles are read by this process; the scanned ones are a service of its own, its parent and idle children. A
window planted by the service itself has to be found, else the scan proves nothing.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sottovoce.sealing.envelope import seal_body

KEY, CONTEXT = bytes(range(32)), b"residue"
RATE, WINDOW = 16_000, 64

SERVICE = """
    import os, sys
    sys.path[:] = {path!r}
    from sottovoce.adapters.extractor import SealedExtractor
    from sottovoce.ports import Descriptor, ExtractOptions, SealedBody
    control = bytearray({window})
    with open({control!r}, "rb", buffering=0) as file:
        file.readinto(control)
    extractor = SealedExtractor(idle_children=1)
    plain = os.open({plain!r}, os.O_RDONLY | os.O_NONBLOCK)
    body = os.open({body!r}, os.O_RDONLY | os.O_NONBLOCK)
    extractor.extract(Descriptor(plain), ExtractOptions())
    extractor.extract(SealedBody(body, {key!r}, {context!r}), ExtractOptions())
    print("done", flush=True)
    sys.stdin.read()
    extractor.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory of other processes is read from /proc")
def test_X16_no_window_of_the_audio_stays_in_memory(tmp_path: Path) -> None:
    """After the analysis no piece of the recording is found in the memory of any process that still runs."""
    dice = np.random.default_rng(16)
    samples = dice.integers(-20_000, 20_000, 3 * RATE).astype(np.int16)
    soundfile.write(tmp_path / "clip.wav", samples, RATE, subtype="PCM_16")
    (tmp_path / "body").write_bytes(seal_body(KEY, (tmp_path / "clip.wav").read_bytes(), CONTEXT))
    control = os.urandom(WINDOW)
    (tmp_path / "control").write_bytes(control)
    service = start_service(tmp_path)
    try:
        processes = family(service.pid)
        assert len(processes) >= 2  # the service, the parent, perhaps an idle child
        images = [image for pid in processes if (image := memory_of(pid)) is not None]
        if len(images) < len(processes):
            pytest.skip(
                "not run: the memory of other processes cannot be read here (it takes root or ptrace rights)"
            )
        assert sum(image.count(control) for image in images) >= 1, "the scanner found not even the control"
        for needle in needles(samples):
            assert not any(needle in image for image in images)
    finally:
        service.communicate(b"")


def start_service(folder: Path) -> subprocess.Popen[bytes]:
    program = textwrap.dedent(SERVICE).format(
        path=sys.path,
        window=WINDOW,
        control=str(folder / "control"),
        plain=str(folder / "clip.wav"),
        body=str(folder / "body"),
        key=KEY,
        context=CONTEXT,
    )
    service = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert service.stdout is not None
    assert service.stdout.readline() == b"done\n"
    return service


def needles(samples: np.ndarray[tuple[int, ...], np.dtype[np.int16]]) -> list[bytes]:
    """Windows spread over the clip in the forms that samples have on their way."""
    found = []
    for start in range(1000, len(samples) - 100, len(samples) // 10):
        for form in (samples.astype("<i2"), samples / np.float32(32768), samples / 32768):
            found.append(form[start : start + WINDOW // form.itemsize].tobytes())
    return found


def family(pid: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def memory_of(pid: int) -> bytes | None:
    """Everything writable of a process (what is read-only came from files of ours); None where it must not be read."""
    image = bytearray()
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in maps:
                span = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
                if span is None or "[v" in line:
                    continue
                start, stop = (int(part, 16) for part in span.groups())
                image += read_span(memory.fileno(), start, stop)
    except PermissionError:
        return None
    except OSError:
        return b""  # it ended meanwhile
    return bytes(image)


def read_span(fd: int, start: int, stop: int) -> bytes:
    try:
        return os.pread(fd, stop - start, start)
    except (OSError, OverflowError):
        return b""
