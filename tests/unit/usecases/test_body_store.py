"""Sealed bodies: only ciphertext is stored, it opens as what it was stored for, and nothing of an attempt is left."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sottovoce.errors import AudioRejected, IntegrityError, KeyUnavailable
from sottovoce.model.recording import Recording
from sottovoce.sealing import envelope, suites
from sottovoce.usecases.body_store import BodyStore, SealedArrival
from sottovoce.usecases.intake import Ask

if TYPE_CHECKING:
    from conftest import Hall


def received(hall: Hall) -> Recording:
    """A recording that was promised and has no body yet."""
    hall.grant()
    return hall.platform._record._receive("submit", Ask(subject="anna"), caller=hall.caller)[0]


def reader(data: bytes) -> Callable[[memoryview], int]:
    left = memoryview(data)

    def read_into(buffer: memoryview) -> int:
        nonlocal left
        piece, left = left[: len(buffer)], left[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)

    return read_into


def opened(store: BodyStore, recording: Recording) -> bytes:
    with store.opened(recording) as body:
        return envelope.open_body(body.key, os.pread(body.fd, 1 << 24, body.body_offset), body.context)


def test_M12_a_submitted_body_is_ciphertext(hall: Hall) -> None:
    """What a submission stores is sealed: no piece of the recording is in it."""
    hall.grant()
    source = hall.source()
    answer = hall.submit(source=source)
    with hall.bodies.reader(answer.session_id) as fd:
        stored = os.pread(fd, 1 << 20, 0)
    assert len(stored) > len(source.data)
    assert source.data[16:48] not in stored
    assert hall.audio_left() == (1, 1)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(min_size=1, max_size=4096), repeated=st.sampled_from([1, 1, 1, 90]))
def test_what_is_put_is_what_the_child_opens(hall: Hall, data: bytes, repeated: int) -> None:
    row, voice = received(hall), data * repeated
    size_bytes = hall.platform._record._body_store.put(row, reader(voice))
    with hall.bodies.reader(row.id) as fd:
        assert os.fstat(fd).st_size == size_bytes
    assert opened(hall.platform._record._body_store, row) == voice


def test_X25_a_body_opens_for_nobody_else_and_for_no_other_tenant(hall: Hall) -> None:
    """A stored body opens only as the recording, person and tenant that it was stored for."""
    store, row = hall.platform._record._body_store, received(hall)
    store.put(row, reader(b"RIFF a voice"))
    assert opened(store, row) == b"RIFF a voice"
    with pytest.raises(IntegrityError):
        opened(store, replace(row, subject_id="sub_" + "z" * 24))
    with pytest.raises(IntegrityError):
        opened(replace(store, tenant="another"), row)


def test_F2_a_second_attempt_has_a_key_and_a_body_of_its_own(hall: Hall) -> None:
    """What an interrupted attempt left is removed before the next one stores anything."""
    store, row = hall.platform._record._body_store, received(hall)
    store.put(row, reader(b"RIFF the first attempt"))
    with store.opened(row) as body:
        first = body.key
    store.put(row, reader(b"RIFF the second"))
    with store.opened(row) as body:
        assert body.key != first
    assert opened(store, row) == b"RIFF the second"
    assert hall.audio_left() == (1, 1)


def test_a_recording_over_the_limit_is_not_stored(hall: Hall) -> None:
    row = received(hall)
    store = replace(hall.platform._record._body_store, limit_bytes=1000)
    store.put(row, reader(bytes(1000)))
    with pytest.raises(AudioRejected):
        store.put(row, reader(bytes(1001)))
    assert list(hall.bodies.list()) == []


def test_M16_an_adopted_body_is_stored_as_it_came(hall: Hall) -> None:
    """Of a recording that came sealed the body is stored unopened, behind the hash of its header."""
    store, row, stored = hall.platform._record._body_store, received(hall), bytes(range(256)) * 3000
    arrival = SealedArrival(
        content_key=b"k" * 32, suite=suites.SUITE_X25519, client_hash=b"h" * 32, read_into=reader(stored)
    )
    size_bytes = store.adopt(row, arrival)
    with store.opened(row) as body:
        kept = os.pread(body.fd, 1 << 24, 0)
        assert (body.key, body.context, body.suite) == (b"k" * 32, b"h" * 32, suites.SUITE_X25519)
        assert kept[body.body_offset :] == stored
    assert len(kept) == size_bytes
    assert "kkkk" not in repr(arrival)


def test_M16_a_body_without_its_key_row_does_not_open(hall: Hall) -> None:
    """Destroying the key row is what ends a stored recording; the body alone opens for nobody."""
    store, row = hall.platform._record._body_store, received(hall)
    store.put(row, reader(b"RIFF a voice"))
    hall.platform.keyring.destroy([row.id])
    with pytest.raises(KeyUnavailable), store.opened(row):
        pass
