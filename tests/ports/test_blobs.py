"""Port `Blobs`: one suite over the fake and the folder; what only a folder can show is in the second half."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.adapters.blobs_file import FileBlobs
from sottovoce.adapters.memory import MemoryBlobs
from sottovoce.errors import Conflict, NotFound, StorageError, UsageError
from sottovoce.ports import Blobs


@pytest.fixture(params=["memory", "file", "file, not durable"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "memory":
        return MemoryBlobs()
    return FileBlobs(tmp_path / "bodies", durable=request.param == "file")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "bodies"


def put(blobs: Blobs, path: str, body: bytes) -> None:
    with blobs.writer(path) as out:
        out.write(body)


def get(blobs: Blobs, path: str) -> bytes:
    with blobs.reader(path) as fd, os.fdopen(os.dup(fd), "rb") as file:
        return file.read()


def names(blobs: Blobs, prefix: str = "") -> list[tuple[str, bool]]:
    return [(info.path, info.finished) for info in blobs.list(prefix)]


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_body_comes_back_as_it_was_written(blobs: Blobs) -> None:
    with blobs.writer("a/ses_1") as out:
        for piece in (b"one", bytearray(b"two"), memoryview(b"three"), b""):
            out.write(piece)
    assert get(blobs, "a/ses_1") == b"onetwothree"
    assert get(blobs, "a/ses_1") == b"onetwothree"  # each reader begins at the beginning
    assert blobs.exists("a/ses_1")


@given(pieces=st.lists(st.binary(max_size=300), max_size=6))
def test_any_pieces_in_any_number_make_the_body(pieces: list[bytes]) -> None:
    blobs = MemoryBlobs()
    with blobs.writer("x") as out:
        for piece in pieces:
            out.write(piece)
    assert get(blobs, "x") == b"".join(pieces)


def test_a_large_body_is_written_whole(blobs: Blobs) -> None:
    body = os.urandom(3 << 20)
    put(blobs, "large", body)
    assert get(blobs, "large") == body
    assert next(iter(blobs.list())).size_bytes == len(body)


def test_a_reader_cannot_write(blobs: Blobs) -> None:
    put(blobs, "x", b"body")
    with blobs.reader("x") as fd:
        assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        assert stat.S_ISREG(os.fstat(fd).st_mode)
        with pytest.raises(OSError):
            os.write(fd, b"x")


def test_descriptors_are_closed(blobs: Blobs) -> None:
    before = open_descriptors()
    put(blobs, "x", b"body")
    with pytest.raises(Conflict):
        put(blobs, "x", b"again")
    with pytest.raises(KeyError), blobs.writer("y"):
        raise KeyError
    with pytest.raises(KeyError), blobs.reader("x"):
        raise KeyError
    blobs.delete("x")
    assert open_descriptors() == before


def test_a_body_is_never_replaced(blobs: Blobs) -> None:
    put(blobs, "x", b"first")
    with pytest.raises(Conflict) as caught:
        put(blobs, "x", b"second")
    assert caught.value.reason == "blob_exists"
    assert get(blobs, "x") == b"first"


def test_F22_of_two_writers_of_one_path_one_wins_whole(blobs: Blobs) -> None:
    """When two uploads name the same recording at once, exactly one is accepted, and it is stored unmixed."""
    refused = []
    start = threading.Barrier(8)

    def upload(n: int) -> None:
        start.wait()
        try:
            put(blobs, "same", bytes([n]) * 100_000)
        except Conflict:
            refused.append(n)

    threads = [threading.Thread(target=upload, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7
    body = get(blobs, "same")
    assert len(body) == 100_000
    assert len(set(body)) == 1
    assert names(blobs) == [("same", True)]


def test_a_body_is_invisible_until_it_is_complete(blobs: Blobs) -> None:
    with blobs.writer("a/x") as out:
        out.write(b"half")
        assert not blobs.exists("a/x")
        with pytest.raises(NotFound), blobs.reader("a/x"):
            pytest.fail("half a body")
        assert [finished for _, finished in names(blobs)] == [False]
        with pytest.raises(Conflict):
            put(blobs, "a/x", b"another")
    assert names(blobs) == [("a/x", True)]


def test_a_writer_left_by_an_exception_leaves_nothing(blobs: Blobs) -> None:
    with pytest.raises(KeyboardInterrupt), blobs.writer("x") as out:
        out.write(b"half")
        raise KeyboardInterrupt
    assert names(blobs) == []
    put(blobs, "x", b"next try")
    assert get(blobs, "x") == b"next try"


def test_deleting_says_whether_it_was_there(blobs: Blobs) -> None:
    put(blobs, "a/x", b"body")
    put(blobs, "a/y", b"body")
    assert blobs.delete("a/x")
    assert not blobs.delete("a/x")
    assert not blobs.delete("never/there")
    assert not blobs.exists("a/x")
    assert names(blobs) == [("a/y", True)]
    with pytest.raises(NotFound), blobs.reader("a/x"):
        pytest.fail("it is gone")


def test_F24_deleting_cuts_off_a_writer_that_is_still_at_work(blobs: Blobs) -> None:
    """An erasure that meets an upload still being written wins: the upload fails and leaves nothing."""
    with pytest.raises(Conflict) as caught, blobs.writer("x") as out:
        out.write(b"half")
        blobs.delete("x")
        out.write(b"rest")
    assert caught.value.reason == "blob_deleted"
    assert names(blobs) == []


def test_a_writer_that_was_cut_off_does_not_harm_the_next(blobs: Blobs) -> None:
    with pytest.raises(Conflict), blobs.writer("x") as first:
        first.write(b"first")
        blobs.delete("x")
        with blobs.writer("x") as second:
            second.write(b"second")
    assert get(blobs, "x") == b"second"


def test_a_writer_that_was_cut_off_never_publishes_the_next_ones_half(blobs: Blobs) -> None:
    first, second = blobs.writer("x"), blobs.writer("x")
    first.__enter__().write(b"first")
    blobs.delete("x")
    half = second.__enter__()
    half.write(b"half")
    with pytest.raises(Conflict) as caught:
        first.__exit__(None, None, None)
    assert caught.value.reason == "blob_deleted"
    assert not blobs.exists("x")
    half.write(b" and half")
    second.__exit__(None, None, None)
    assert get(blobs, "x") == b"half and half"
    assert names(blobs) == [("x", True)]


def test_listing_is_sorted_by_prefix_with_sizes_and_times(blobs: Blobs) -> None:
    for path, size in (("b/2", 5), ("a/1", 3), ("ab", 0)):
        put(blobs, path, bytes(size))
    assert [(info.path, info.size_bytes) for info in blobs.list()] == [("a/1", 3), ("ab", 0), ("b/2", 5)]
    assert names(blobs, "a") == [("a/1", True), ("ab", True)]
    assert names(blobs, "a/") == [("a/1", True)]
    assert names(blobs, "c") == []
    for info in blobs.list():
        assert abs(datetime.now(UTC) - info.modified_at) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../x", "a/../../x", "a/./b", "a//b", "a/", "A", "ä", "a b", "a\0b", "a\n", "x" * 300]
)  # fmt: skip
def test_a_path_cannot_leave_the_folder(blobs: Blobs, path: str) -> None:
    for use in (blobs.exists, blobs.delete):
        with pytest.raises(UsageError):
            use(path)
    with pytest.raises(UsageError), blobs.reader(path):
        pytest.fail("such a path")
    with pytest.raises(UsageError):
        put(blobs, path, b"x")


def test_a_path_of_an_unfinished_body_cannot_be_written(blobs: Blobs) -> None:
    with pytest.raises(UsageError):
        put(blobs, "x.part", b"x")


# --- the folder alone ------------------------------------------------------------------------------


def test_bodies_are_readable_by_their_owner_alone(folder: Path) -> None:
    put(FileBlobs(folder), "a/b/x", b"body")
    assert stat.S_IMODE((folder / "a/b/x").stat().st_mode) == 0o600
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "a", folder / "a/b")} == {0o700}


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder.mkdir()
    (folder / "x").symlink_to(tmp_path / "secret")
    blobs = FileBlobs(folder)
    with pytest.raises((StorageError, NotFound)), blobs.reader("x"):
        pytest.fail("followed")
    (folder / "y.part").symlink_to(tmp_path / "new")
    with pytest.raises(StorageError):
        put(blobs, "y", b"body")
    assert not (tmp_path / "new").exists()


def _killed_while_writing(folder: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from sottovoce.adapters.blobs_file import FileBlobs\n"
        "with FileBlobs(Path(sys.argv[1])).writer('a/x') as out: out.write(b'half'); os._exit(137)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(folder)], check=False).returncode == 137


def test_F2_a_killed_writer_leaves_an_unfinished_part_that_is_listed_and_collected(folder: Path) -> None:
    """An upload killed half-way never shows as a recording; its remains are listed and can be removed."""
    _killed_while_writing(folder)
    blobs = FileBlobs(folder)
    assert not blobs.exists("a/x")
    assert names(blobs) == [("a/x.part", False)]
    assert blobs.delete("a/x.part")
    assert names(blobs) == []


def test_F2_a_retry_replaces_what_a_killed_writer_left(folder: Path) -> None:
    """Sending the recording again after a crash works: what the crash left behind is not in the way."""
    _killed_while_writing(folder)
    blobs = FileBlobs(folder)
    put(blobs, "a/x", b"whole")
    assert get(blobs, "a/x") == b"whole"
    assert names(blobs) == [("a/x", True)]


def test_deleting_removes_the_second_name_that_a_kill_may_leave(folder: Path) -> None:
    """A kill between link and unlink leaves the body under both names."""
    blobs = FileBlobs(folder)
    put(blobs, "x", b"body")
    os.link(folder / "x", folder / "x.part")
    assert blobs.delete("x")
    assert list(folder.iterdir()) == []


class _Recorder:
    """Notes which descriptors were fsynced, by the name of the file; the real fsync still happens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        real = os.fsync

        def fsync(fd: int) -> None:
            self.names.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name)
            real(fd)

        monkeypatch.setattr(os, "fsync", fsync)


def test_I9_a_stored_body_and_a_deletion_are_on_disk_when_the_call_returns(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a stored recording nor its deletion can be undone by a power cut after it was acknowledged."""
    blobs = FileBlobs(folder)
    put(blobs, "a/first", b"makes the folders")
    synced = _Recorder(monkeypatch)
    put(blobs, "a/x", b"body")
    assert synced.names == ["x.part", "a"]  # the file, then the name in its folder
    synced.names.clear()
    blobs.delete("a/x")
    assert synced.names == ["a"]
    put(FileBlobs(folder, durable=False), "a/y", b"a copy")
    assert synced.names == ["a"]


def test_new_folders_are_on_disk_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = _Recorder(monkeypatch)
    put(FileBlobs(folder), "a/b/x", b"body")
    assert synced.names == [folder.parent.name, "bodies", "a", "x.part", "b"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("not run: cannot mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_F10_a_body_that_does_not_fit_leaves_nothing(small_disk: Path) -> None:
    """When the disk is full a recording is refused as a whole, and what is stored can still be deleted."""
    blobs = FileBlobs(small_disk)
    put(blobs, "small", bytes(100_000))
    with pytest.raises(StorageError) as caught:
        put(blobs, "large", bytes(1 << 20))
    assert caught.value.reason == "storage_full"
    assert names(blobs) == [("small", True)]
    assert blobs.delete("small")


def test_a_folder_that_cannot_be_used_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    blobs = FileBlobs(tmp_path / "file")
    with pytest.raises(StorageError) as caught:
        put(blobs, "x", b"body")
    assert str(tmp_path) not in str(caught.value)
    assert str(tmp_path) not in repr(blobs)
    assert not blobs.exists("x")
    assert not blobs.delete("x")
