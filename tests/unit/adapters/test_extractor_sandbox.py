"""What a taken-over child can do (nothing), and what its end costs the service (one recording)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sottovoce.adapters.extractor import SealedExtractor
from sottovoce.adapters.memory import InlineExtractor
from sottovoce.errors import AudioRejected, ConfigurationError, ExtractionFailed, InputUnreadable, UsageError
from sottovoce.ports import Descriptor, ExtractOptions

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="seccomp and /proc exist on Linux only")


@pytest.fixture(scope="module")
def extractor() -> Iterator[SealedExtractor]:
    with SealedExtractor(probes=True, cpu_limit_s=2) as running:
        yield running


@pytest.fixture
def clip(jfk_path: Path) -> Iterator[int]:
    fd = os.open(jfk_path, os.O_RDONLY | os.O_NONBLOCK)
    yield fd
    os.close(fd)


def seccomp_here(extractor: SealedExtractor) -> None:
    if extractor.level() != "seccomp":
        pytest.skip("this system has no seccomp or no libseccomp; the level in force is rlimits")


def test_M05_a_child_can_do_nothing_but_read_and_answer(extractor: SealedExtractor, clip: int) -> None:
    """A decoder that was taken over cannot open, write, connect, start, signal or remove anything."""
    seccomp_here(extractor)
    outcome = extractor.probe("escape", clip)
    assert len(outcome) > 15
    assert set(outcome.values()) == {"EPERM"}, outcome


def test_M05_without_the_call_filter_the_limits_still_hold(clip: int) -> None:
    """Where the kernel filter cannot be had, no file can be opened or written, and the level says so."""
    with SealedExtractor(probes=True, use_seccomp=False) as limited:
        assert limited.level() == "rlimits"
        outcome = limited.probe("descriptors", clip)
        assert set(outcome.values()) <= {"EMFILE", "EINVAL"}, outcome  # EINVAL: how a duplicate is refused
        assert limited.extract(Descriptor(clip), ExtractOptions()).quality.has_voice


def test_M05_a_policy_that_demands_seccomp_is_never_served_with_less(clip: int) -> None:
    """If the policy demands the strict sandbox and it cannot be had, no recording is opened at all."""
    with (
        SealedExtractor(required_level="seccomp", use_seccomp=False) as limited,
        pytest.raises(ConfigurationError) as caught,
    ):
        limited.extract(Descriptor(clip), ExtractOptions())
    assert caught.value.reason == "sandbox_level"


def test_probes_are_out_of_reach_in_production(clip: int) -> None:
    with SealedExtractor() as production, pytest.raises(UsageError):
        production.probe("escape", clip)


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        ("segfault", "child_crashed"),
        ("flood", "child_result"),
        ("lie", "child_result"),
        ("memory", "child_memory"),
    ],
)
def test_X21_a_crash_fails_only_that_job(
    extractor: SealedExtractor, clip: int, probe: str, reason: str
) -> None:
    """A decoder that crashes, floods or lies costs its own recording; the next one is analysed as usual."""
    with pytest.raises(ExtractionFailed) as caught:
        extractor.probe(probe, clip)
    assert caught.value.reason == reason
    assert extractor.extract(Descriptor(clip), ExtractOptions()).quality.has_voice


def test_F8_an_endless_loop_ends_by_its_processor_time(extractor: SealedExtractor, clip: int) -> None:
    """A decoder that never ends is stopped after its share of processor time."""
    started = time.monotonic()
    with pytest.raises(ExtractionFailed) as caught:
        extractor.probe("spin", clip, ExtractOptions(wall_limit_s=30.0))
    assert caught.value.reason == "child_timeout"
    assert time.monotonic() - started < 25.0  # by the processor time of 2 s, not by the clock


@pytest.mark.parametrize("probe", ["sleep", "spin"])
def test_F8_a_child_that_does_not_answer_ends_by_the_clock(
    extractor: SealedExtractor, clip: int, probe: str
) -> None:
    """A decoder that waits for ever is stopped by the clock."""
    started = time.monotonic()
    with pytest.raises(ExtractionFailed) as caught:
        extractor.probe(probe, clip, ExtractOptions(wall_limit_s=0.3))
    assert caught.value.reason == "child_timeout"
    assert time.monotonic() - started < 2.0


@LINUX
def test_X18_three_gigabytes_are_not_to_be_had(extractor: SealedExtractor, clip: int) -> None:
    """A recording that would need 3 GB of memory does not get it."""
    assert extractor.probe("allocate", clip) == {"allocate": "MemoryError"}


@LINUX
def test_X18_a_recording_that_needs_too_much_memory_is_its_own_failure(clip: int, tmp_path: Path) -> None:
    """Running out of memory is an error of that recording, with a reason of its own."""
    soundfile.write(tmp_path / "wide.wav", np.zeros((30 * 96_000, 2), np.int16), 96_000)
    fd = os.open(tmp_path / "wide.wav", os.O_RDONLY | os.O_NONBLOCK)
    with SealedExtractor(memory_limit_bytes=2 << 20) as small, pytest.raises(ExtractionFailed) as caught:
        small.extract(Descriptor(fd), ExtractOptions())
    os.close(fd)
    assert caught.value.reason == "child_memory"


def test_X18_a_sparse_body_of_three_gigabytes_is_too_large(
    extractor: SealedExtractor, tmp_path: Path
) -> None:
    """A body above the size limit is refused by its size, without being read."""
    path = tmp_path / "sparse.wav"
    with path.open("wb") as file:
        file.truncate(3 << 30)
    with path.open("rb") as file, pytest.raises(AudioRejected) as caught:
        extractor.extract(Descriptor(file.fileno()), ExtractOptions())
    assert caught.value.reason == "too_large"


def test_a_fifo_a_device_and_a_folder_are_refused_without_waiting(
    extractor: SealedExtractor, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            with pytest.raises(InputUnreadable) as caught:
                extractor.extract(Descriptor(fd), ExtractOptions())
            assert caught.value.reason == "not_a_file"
        finally:
            os.close(fd)


def test_a_descriptor_that_could_be_written_is_refused(extractor: SealedExtractor, tmp_path: Path) -> None:
    with (tmp_path / "a.wav").open("w+b") as file, pytest.raises(UsageError):
        extractor.extract(Descriptor(file.fileno()), ExtractOptions())


def test_a_closed_descriptor_is_unreadable(extractor: SealedExtractor) -> None:
    with pytest.raises(InputUnreadable):
        extractor.extract(Descriptor(1_000_000), ExtractOptions())


def test_a_python_that_cannot_start_is_an_error_with_a_hint(clip: int) -> None:
    with SealedExtractor(python="/nonexistent/python") as broken:
        for _ in range(2):
            with pytest.raises(ExtractionFailed) as caught:
                broken.extract(Descriptor(clip), ExtractOptions())
            assert caught.value.reason == "parent_failed"
            assert caught.value.hint


def parent_of(extractor: SealedExtractor) -> int:
    """The process id of the parent: the one child of this process that runs our program."""
    extractor.level()
    mine = [pid for pid in tree(os.getpid()) if b"sottovoce.adapters.extractor" in command(pid)]
    return max(mine)


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def tree(pid: int) -> set[int]:
    """Living direct children of a process."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.add(int(entry.parent.name))
    return found


@LINUX
def test_X21_a_dead_parent_is_replaced(clip: int) -> None:
    """If the process that makes the children dies, a new one is started by itself."""
    with SealedExtractor() as fresh:
        before = fresh.extract(Descriptor(clip), ExtractOptions())
        os.kill(parent_of(fresh), signal.SIGKILL)
        deadline = time.monotonic() + 20
        while True:
            try:
                assert fresh.extract(Descriptor(clip), ExtractOptions()) == before
                break
            except ExtractionFailed as error:  # the job that ran while it died
                if time.monotonic() > deadline:
                    raise AssertionError("the parent was not replaced") from error


@LINUX
def test_X21_a_dead_idle_child_is_replaced(clip: int) -> None:
    """If a waiting child dies, the next recording goes to another."""
    with SealedExtractor() as fresh:
        before = fresh.extract(Descriptor(clip), ExtractOptions())
        deadline = time.monotonic() + 10
        while not (idle := tree(parent_of(fresh))) and time.monotonic() < deadline:
            time.sleep(0.01)
        for pid in idle:
            os.kill(pid, signal.SIGKILL)
        assert fresh.extract(Descriptor(clip), ExtractOptions()) == before


def test_many_threads_at_once_get_the_same_answer(extractor: SealedExtractor, jfk_path: Path) -> None:
    def one(_: int) -> object:
        fd = os.open(jfk_path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return extractor.extract(Descriptor(fd), ExtractOptions())
        finally:
            os.close(fd)

    with ThreadPoolExecutor(6) as pool:
        assert len({repr(result) for result in pool.map(one, range(12))}) == 1


def test_C9b_the_answer_is_that_of_the_pipeline_bit_for_bit(extractor: SealedExtractor, clip: int) -> None:
    """The sealed child changes nothing in the numbers: they equal those of the open pipeline bit for bit."""
    sealed = extractor.extract(Descriptor(clip), ExtractOptions())
    inline = InlineExtractor().extract(Descriptor(clip), ExtractOptions())
    assert sealed.features.values == inline.features.values
    assert sealed.quality == inline.quality


@LINUX
def test_no_descriptor_is_left_behind(clip: int) -> None:
    with SealedExtractor(probes=True) as fresh:
        fresh.extract(Descriptor(clip), ExtractOptions())
        settle(fresh, clip)
        before = len(os.listdir("/proc/self/fd"))
        for probe in ("segfault", "lie", "escape", "segfault", "memory"):
            try:
                fresh.probe(probe, clip)
            except ExtractionFailed:
                continue
        settle(fresh, clip)
        assert len(os.listdir("/proc/self/fd")) == before


def settle(extractor: SealedExtractor, clip: int) -> None:
    """Wait until the next idle child has arrived, with its two descriptors."""
    extractor.extract(Descriptor(clip), ExtractOptions())
    deadline = time.monotonic() + 5
    while not tree(parent_of(extractor)) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)


@LINUX
def test_closing_ends_every_process(clip: int) -> None:
    fresh = SealedExtractor(idle_children=3)
    fresh.extract(Descriptor(clip), ExtractOptions())
    parent = parent_of(fresh)
    children = tree(parent)
    fresh.close()
    fresh.close()
    assert not {
        pid for pid in {parent, *children} if Path(f"/proc/{pid}").exists() and pid in tree(os.getpid())
    }
    assert command(parent) == b""


SERVICE = """
    import os, sys, threading, time
    sys.path[:] = {path!r}
    from sottovoce.adapters.extractor import SealedExtractor
    from sottovoce.ports import Descriptor, ExtractOptions
    extractor = SealedExtractor(probes=True, idle_children=2)
    fd = os.open({clip!r}, os.O_RDONLY | os.O_NONBLOCK)
    extractor.level()
    def busy():
        try:
            extractor.probe({probe!r}, fd, ExtractOptions(wall_limit_s=60.0))
        except BaseException:
            pass
    threading.Thread(target=busy, daemon=True).start()
    time.sleep(0.5)
    sys.stdout.write("up\\n")
    sys.stdout.flush()
    time.sleep(60)
"""


@LINUX
@pytest.mark.parametrize(("probe", "deaf"), [("sleep", False), ("spin", False), ("spin", True)])
def test_F3_killing_the_service_leaves_no_process(jfk_path: Path, probe: str, deaf: bool) -> None:
    """When the service is killed in the middle of a recording, what could hold audio is gone within a second."""
    program = textwrap.dedent(SERVICE).format(path=sys.path, clip=str(jfk_path), probe=probe)
    service = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        assert service.stdout is not None
        assert service.stdout.readline() == b"up\n"
        parents = tree(service.pid)
        descendants = parents | {child for parent in parents for child in tree(parent)}
        assert len(descendants) >= 3  # the parent, one busy child, one idle
        for parent in parents if deaf else ():
            os.kill(
                parent, signal.SIGSTOP
            )  # it cannot notice the end of file: only the kernel's signal is left
        service.kill()
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline and any(alive(pid) for pid in descendants):
            time.sleep(0.01)
        assert [pid for pid in descendants if alive(pid)] == []
    finally:
        service.kill()
        service.wait()
        assert service.stdout is not None
        service.stdout.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


@LINUX
def test_a_short_lived_thread_may_start_it(clip: int) -> None:
    with SealedExtractor() as fresh:
        results: list[object] = []
        thread = threading.Thread(target=lambda: results.append(fresh.level()))
        thread.start()
        thread.join()
        parent = parent_of(fresh)
        time.sleep(0.1)  # the parent-death signal would have come by now
        fresh.extract(Descriptor(clip), ExtractOptions())
        assert parent_of(fresh) == parent


@LINUX
def test_F3_nothing_is_written_anywhere_while_audio_is_open(
    jfk_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a recording is analysed no temporary file appears, neither of the service nor of the child."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    opened: list[str] = []

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and watching and arguments[1] and set(str(arguments[1])) & set("wax+"):
            opened.append(str(arguments[0]))

    watching = False
    sys.addaudithook(watch)
    fd = os.open(jfk_path, os.O_RDONLY | os.O_NONBLOCK)
    with SealedExtractor() as fresh:
        fresh.level()
        watching = True
        fresh.extract(Descriptor(fd), ExtractOptions())
        watching = False
    os.close(fd)
    assert opened == []
    assert list(tmp_path.iterdir()) == []
