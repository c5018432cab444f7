"""The stored envelope: what was sealed comes back, whatever was changed does not open."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import AudioRejected, IntegrityError, UsageError
from sottovoce.sealing import envelope
from sottovoce.sealing.context import encode_context

KEY, OTHER_KEY, KEY_ID = bytes(range(32)), bytes(32), "rec_abc"
CONTEXT = encode_context(tenant="t", subject="s", record="r", kind="k", version="1")
OTHER = encode_context(tenant="t", subject="somebody else", record="r", kind="k", version="1")
Oracle = Callable[[bytes, bytes, bytes], bytes | None]
sizes = st.one_of(
    st.integers(0, 300), st.sampled_from([16383, 16384, 16385, 32768, 65535, 65536, 65537, 100_000])
)


def reader_of(data: bytes, rng: random.Random | None = None) -> envelope.ReadInto:
    """Gives the data in short and long reads, as a pipe does."""
    source, rng = io.BytesIO(data), rng or random.Random(7)
    return lambda view: source.readinto(view[: rng.randint(1, 70_000)])


def sealed_stream(data: bytes, *, limit_bytes: int = 1 << 30) -> bytes:
    out = bytearray()
    count = envelope.seal_stream(
        reader_of(data), out.extend, key=KEY, context=CONTEXT, key_id=KEY_ID, limit_bytes=limit_bytes
    )
    assert count == len(data)
    return bytes(out)


def opened_stream(body: bytes, context: bytes, key: bytes = KEY) -> bytes:
    out = bytearray()
    assert envelope.open_stream(reader_of(body), out.extend, key=key, context=context) == len(out)
    return bytes(out)


@given(sizes, st.randoms(use_true_random=False))
def test_M12_what_was_sealed_comes_back_in_one_call_and_as_a_stream(size: int, rng: random.Random) -> None:
    """Features, insights and bodies are stored as ciphertext only, and open again unchanged."""
    data = rng.randbytes(size)
    for sealed in (envelope.seal(KEY, data, CONTEXT, KEY_ID), sealed_stream(data)):
        header = envelope.parse_header(sealed)
        body, context = sealed[header.body_offset :], header.body_context(CONTEXT)
        assert header.key_id == KEY_ID
        assert envelope.open(KEY, sealed, CONTEXT) == data
        assert opened_stream(body, context) == data
        assert size < 16 or data[:16] not in sealed


@given(sizes)
def test_the_body_is_what_the_specification_says(cobblestone_oracle: Oracle, size: int) -> None:
    data = random.Random(size).randbytes(size)
    sealed = sealed_stream(data)
    header = b"SVO1" + bytes([1, 0, len(KEY_ID)]) + KEY_ID.encode()
    assert sealed[: len(header)] == header
    assert cobblestone_oracle(KEY, sealed[len(header) :], header + CONTEXT) == data
    assert len(sealed) == len(header) + 56 + size + 16 * (size // 16384 + 1)


def test_X24_a_bit_flip_anywhere_is_refused() -> None:
    """Altered ciphertext is refused, wherever it was altered."""
    sealed = envelope.seal(KEY, b"seven words of a person, never in clear", CONTEXT, KEY_ID)
    for bit in range(8 * len(sealed)):
        broken = bytearray(sealed)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError):
            envelope.open(KEY, bytes(broken), CONTEXT)


def test_X24_another_process_opens_it(tmp_path: Path) -> None:
    """What one process sealed a second one opens with the same key: nothing depends on the process."""
    (tmp_path / "sealed").write_bytes(envelope.seal(KEY, b"round trip", CONTEXT, KEY_ID))
    code = (
        "import sys, pathlib\nfrom sottovoce.sealing import envelope\n"
        "key, context = map(bytes.fromhex, sys.argv[2:])\n"
        "print(envelope.open(key, pathlib.Path(sys.argv[1]).read_bytes(), context).decode())"
    )
    call = [sys.executable, "-c", code, str(tmp_path / "sealed"), KEY.hex(), CONTEXT.hex()]
    assert subprocess.run(call, capture_output=True, text=True, check=True).stdout == "round trip\n"


def test_X25_a_body_moved_to_another_person_does_not_open() -> None:
    """A sealed record that is moved to another person, record or kind is refused."""
    sealed = envelope.seal(KEY, b"x", CONTEXT, KEY_ID)
    with pytest.raises(IntegrityError):
        envelope.open(KEY, sealed, OTHER)
    with pytest.raises(IntegrityError):
        envelope.open(OTHER_KEY, sealed, CONTEXT)


def test_a_swapped_header_is_refused() -> None:
    one, two = (envelope.seal(KEY, b"x", CONTEXT, key_id) for key_id in ("rec_abc", "rec_xyz"))
    with pytest.raises(IntegrityError):
        envelope.open(KEY, two[:14] + one[14:], CONTEXT)


def chunks_of(sealed: bytes) -> tuple[bytes, list[bytes]]:
    start = envelope.parse_header(sealed).body_offset + envelope.PREFIX_BYTES
    step = envelope.CHUNK_BYTES + envelope.TAG_BYTES
    return sealed[:start], [sealed[i : i + step] for i in range(start, len(sealed), step)]


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("cut", [0, 1, 2]),
        ("swapped", [1, 0, 2, 3]),
        ("reordered", [2, 0, 1, 3]),
        ("left out", [0, 2, 3]),
        ("doubled", [0, 0, 1, 2, 3]),
        ("nothing", []),
    ],
)
def test_X27_cut_swapped_and_reordered_chunks_are_refused(name: str, order: list[int]) -> None:
    """A stored recording whose pieces were cut off, swapped or repeated is refused as a whole."""
    head, chunks = chunks_of(envelope.seal(KEY, random.Random(1).randbytes(50_000), CONTEXT, KEY_ID))
    assert len(chunks) == 4
    broken = head + b"".join(chunks[index] for index in order)
    with pytest.raises(IntegrityError):
        envelope.open(KEY, broken, CONTEXT)
    header = envelope.parse_header(broken)
    with pytest.raises(IntegrityError):
        opened_stream(broken[header.body_offset :], header.body_context(CONTEXT))


@given(st.integers(0, 70_000))
def test_every_cut_of_a_stream_is_refused(cut: int) -> None:
    sealed = sealed_stream(bytes(70_000))
    header = envelope.parse_header(sealed)
    body = sealed[header.body_offset :]
    with pytest.raises(IntegrityError):
        opened_stream(body[: min(cut, len(body) - 1)], header.body_context(CONTEXT))


@given(st.one_of(st.binary(max_size=400), st.binary(max_size=300).map(lambda data: b"SVO1\x01\x00" + data)))
def test_arbitrary_bytes_never_crash_the_readers(data: bytes) -> None:
    for read in (envelope.parse_header, lambda d: envelope.open(KEY, d, CONTEXT)):
        try:
            read(data)
        except IntegrityError:
            continue
    with pytest.raises(IntegrityError):
        opened_stream(data, CONTEXT)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=255))
def test_headers_round_trip(key_id: str) -> None:
    header = envelope.make_header(key_id)
    assert envelope.parse_header(header.to_bytes() + b"body") == header
    assert len(header.to_bytes()) == header.body_offset <= envelope.HEADER_MAX_BYTES


@pytest.mark.parametrize("key_id", ["", "x" * 256, "with space", "ümlaut", "nul\0"])
def test_impossible_key_ids_are_refused(key_id: str) -> None:
    with pytest.raises(UsageError):
        envelope.make_header(key_id)


@pytest.mark.parametrize(
    "data", [b"", b"SVO1", b"SVO1\x02\x00\x01k", b"SVO1\x01\x09\x01k", b"OTHER", b"SVO1\x01\x00\x00"]
)
def test_unknown_and_cut_headers_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        envelope.parse_header(data)


def test_keys_of_another_size_are_refused() -> None:
    for make in (envelope.BodySealer, envelope.seal):
        arguments = (
            (b"short", b"x", CONTEXT, KEY_ID) if make is envelope.seal else (b"short", CONTEXT, KEY_ID)
        )
        with pytest.raises(UsageError):
            make(*arguments)
    with pytest.raises(UsageError):
        envelope.BodyOpener(b"short", CONTEXT)


def test_key_fits_by_the_first_56_bytes_alone() -> None:
    sealed = sealed_stream(b"some audio")
    header = envelope.parse_header(sealed)
    prefix, context = sealed[header.body_offset :][: envelope.PREFIX_BYTES], header.body_context(CONTEXT)
    assert envelope.key_fits(KEY, prefix, context)
    assert not envelope.key_fits(OTHER_KEY, prefix, context)
    assert not envelope.key_fits(KEY, prefix, header.body_context(OTHER))
    assert not envelope.key_fits(KEY, prefix[:-1], context)


def test_more_than_the_limit_is_refused_while_it_arrives() -> None:
    assert len(sealed_stream(bytes(100_000), limit_bytes=100_000)) > 100_000
    written = bytearray()
    endless = lambda view: len(view)  # noqa: E731
    with pytest.raises(AudioRejected) as refused:
        envelope.seal_stream(
            endless, written.extend, key=KEY, context=CONTEXT, key_id=KEY_ID, limit_bytes=200_000
        )
    assert refused.value.reason == "too_large"
    assert len(written) < 300_000
    with pytest.raises(IntegrityError):
        envelope.open(KEY, bytes(written), CONTEXT)


def test_the_plaintext_buffer_is_zeroed_however_the_stream_ends() -> None:
    seen: list[memoryview] = []

    def read_into(view: memoryview) -> int:
        seen.append(view)
        view[:] = b"\xaa" * len(view)
        if len(seen) == 3:
            raise OSError("the disk went away")
        return len(view)

    with pytest.raises(OSError, match="went away"):
        envelope.seal_stream(
            read_into, lambda _: None, key=KEY, context=CONTEXT, key_id=KEY_ID, limit_bytes=1 << 30
        )
    assert {bytes(view).count(0) for view in seen} == {len(seen[0])}
    assert len({id(view.obj) for view in seen}) == 1


def test_an_opened_stream_zeroes_its_buffer_too() -> None:
    views: list[memoryview] = []
    sealed = sealed_stream(b"\xaa" * 200_000)
    header = envelope.parse_header(sealed)
    envelope.open_stream(
        reader_of(sealed[header.body_offset :]), views.append, key=KEY, context=header.body_context(CONTEXT)
    )
    assert len(views) > 2
    assert not any(any(view) for view in views)


def test_a_sealer_says_where_its_body_starts_and_what_it_is_bound_to() -> None:
    sealer = envelope.BodySealer(KEY, CONTEXT, KEY_ID)
    body = sealer.update(b"abc") + sealer.finalize()
    assert sealer.body_offset == len(sealer.header)
    assert opened_stream(body, sealer.body_context) == b"abc"


@given(st.integers(0, 200_000))
def test_the_room_for_a_sealed_piece_is_always_enough(size: int) -> None:
    sealer = envelope.BodySealer(KEY, CONTEXT, KEY_ID)
    buffer = bytearray(envelope.sealed_piece_bytes(size))
    assert sealer.update_into(bytes(100), buffer) <= len(buffer)
    assert sealer.update_into(bytes(size), buffer) <= len(buffer)


@pytest.mark.skipif(
    not Path("/proc/self/mem").exists() or os.geteuid() != 0, reason="reads /proc/PID/mem as root"
)
def test_X16_no_piece_of_a_recording_stays_in_the_memory_of_who_sealed_it(tmp_path: Path) -> None:
    """After a recording was sealed piece by piece, none of it is found in the memory of the process."""
    recording = tmp_path / "recording"
    recording.write_bytes(os.urandom(1_000_003))
    child = subprocess.Popen(
        [sys.executable, "-c", SEAL_AND_WAIT, str(recording)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    control = child.stdout.readline().strip()
    data = recording.read_bytes()
    needles = [data[i : i + 64] for i in range(0, len(data) - 64, 9973)] + [data[-64:]]
    found = find_in_memory(child.pid, [*needles, bytes.fromhex(control)])
    child.communicate()
    assert found == {len(needles)}, "only the control, planted by the process itself, is found"


SEAL_AND_WAIT = """
import io, os, sys
from sottovoce.sealing import envelope
control = bytearray(os.urandom(64))
with io.FileIO(sys.argv[1]) as source:
    envelope.seal_stream(source.readinto, lambda _: None, key=bytes(32), context=b"c", key_id="k", limit_bytes=1 << 30)
print(control.hex(), flush=True)
sys.stdin.read()
"""


def find_in_memory(pid: int, needles: list[bytes]) -> set[int]:
    found: set[int] = set()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, mode = line.split()[:2]
            start, end = (int(part, 16) for part in span.split("-"))
            if not mode.startswith("rw") or "[v" in line:
                continue
            memory.seek(start)
            content = memory.read(end - start)
            found |= {index for index, needle in enumerate(needles) if needle in content}
    return found


def changed(case: dict[str, Any], envelopes: dict[str, bytes]) -> bytes:
    """The envelope of an invalid case: slices of a valid one, or one flipped bit."""
    data = envelopes[case["base"]]
    if "keep" in case:
        return b"".join(data[start:end] for start, end in case["keep"])
    broken = bytearray(data)
    if "flip_bit" in case:
        broken[case["flip_bit"] // 8] ^= 1 << case["flip_bit"] % 8
    return bytes(broken)


def test_vectors_of_the_stored_envelope(
    repo_root: Path, pattern: Callable[[int], bytes], cobblestone_oracle: Oracle
) -> None:
    cases = json.loads((repo_root / "vectors/envelope/stored_v1.json").read_text())["cases"]
    envelopes = {c["id"]: base64.b64decode(c["envelope"]) for c in cases if c["outcome"] == "ok"}
    assert len(envelopes) == 8
    assert len(cases) == 29
    for case in cases:
        key, context = bytes.fromhex(case["key"]), bytes.fromhex(case["context"])
        if case["outcome"] == "ok":
            sealed, plaintext = envelopes[case["id"]], pattern(case["plaintext_bytes"])
            header = envelope.parse_header(sealed)
            assert header.key_id == case["key_id"]
            assert envelope.open(key, sealed, context) == plaintext, case["id"]
            body = sealed[header.body_offset :]
            assert cobblestone_oracle(key, body, header.body_context(context)) == plaintext
            continue
        with pytest.raises(IntegrityError):
            envelope.open(key, changed(case, envelopes), context)


def test_the_vectors_are_what_the_second_implementation_writes(repo_root: Path, tmp_path: Path) -> None:
    script = repo_root / "scripts/sealing_vectors.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
    for name in ("context/context_v1.json", "pseudonym/pseudonym_v1.json", "envelope/stored_v1.json"):
        assert (tmp_path / name).read_bytes() == (repo_root / "vectors" / name).read_bytes(), name
