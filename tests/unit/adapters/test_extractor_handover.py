"""What crosses from the measuring child to the sealing one, and back: checked on both sides, seen by nobody else."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.adapters.extractor import handover, wire
from sottovoce.errors import AudioRejected, ExtractionFailed, IntegrityError, SottovoceError, UsageError
from sottovoce.model.features import Extraction, FeatureVector, Quality
from sottovoce.model.inference import ModelUse
from sottovoce.ports import ExtractOptions, Place
from sottovoce.sealing import envelope
from sottovoce.voice import bodies
from sottovoce.voice.insight import voice_profile

OPTIONS = ExtractOptions()
QUALITY = Quality(2.5, 200, 0.0, None, "wav/pcm_16", 16000, 1, "0", ("short",))
VECTOR = FeatureVector(tuple(20.0 + n / 7 for n in range(88)), "compat", "egemaps-88/1", 16000)
RESULT = Extraction(VECTOR, QUALITY)
PLACES = tuple(
    Place(kind, f"key-of-{kind}", bytes([n]) * 32, f"context of {kind}".encode())
    for n, kind in enumerate(("features", "insight", "decision"))
)


def job_of(answer: bytes, places: tuple[Place, ...] = PLACES) -> handover.SealJob:
    return handover.unpack_job(bytes(handover.pack_job(OPTIONS, places)) + answer)


def test_I1_what_is_sealed_is_what_was_measured_each_under_its_own_key_and_context() -> None:
    """A result that is sealed where it was not looked at opens to exactly what was measured."""
    made = handover.seal(job_of(wire.pack_result(RESULT)))
    given_back = handover.unpack_sealed(handover.pack_sealed(made), OPTIONS, PLACES)
    opened = {
        place.kind: envelope.open(place.key, given_back.bodies[place.kind], place.context) for place in PLACES
    }
    insight = voice_profile(VECTOR, QUALITY)
    features, quality = bodies.read_features(opened["features"])
    assert features.to_float32_bytes() == VECTOR.to_float32_bytes()
    assert quality == QUALITY
    assert bodies.read_insight(opened["insight"]) == insight
    assert bodies.read_decision(opened["decision"])["feature_sha256"] == VECTOR.sha256()
    assert given_back.findings == bodies.findings_of(RESULT, insight)
    assert {envelope.parse_header(given_back.bodies[place.kind]).key_id for place in PLACES} == {
        place.key_id for place in PLACES
    }


def test_I1_nothing_of_a_result_stands_in_what_the_service_reads() -> None:
    """What comes back to the service holds ciphertext, versions and hashes, and none of the numbers."""
    data = handover.pack_sealed(handover.seal(job_of(wire.pack_result(RESULT))))
    row, text = VECTOR.to_float32_bytes(), json.dumps(VECTOR.values).encode()
    for form in (row, struct.pack("<88d", *VECTOR.values), text):
        assert not any(form[at : at + 16] in data for at in range(0, len(form) - 16, 8))


def test_the_job_crosses_unchanged_and_its_repr_shows_nothing() -> None:
    job = job_of(b"answer")
    assert job == handover.SealJob(OPTIONS, PLACES, b"answer")
    shown = repr(job)
    assert "answer=" not in shown
    assert "key=b" not in shown
    assert "context=" not in shown


def test_the_two_kinds_of_jobs_are_told_apart() -> None:
    assert handover.is_job(bytes(handover.pack_job(OPTIONS, PLACES)))
    assert not handover.is_job(bytes(wire.pack_job(wire.Job(options=OPTIONS))))


def test_only_a_result_is_handed_on() -> None:
    """A refusal or a failure is read by the service at once; only numbers are passed on unread."""
    assert handover.holds_numbers(wire.pack_result(RESULT))
    assert not handover.holds_numbers(wire.pack_error(AudioRejected(reason="empty")))
    assert not handover.holds_numbers(wire.pack_error(IntegrityError()))
    assert not handover.holds_numbers(b"")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        wire.pack_result(RESULT)[:-1],
        wire.pack_result(RESULT).replace(b"compat", b"compaT"),
        wire.pack_result(RESULT).replace(b"20.0,", b"1e99,", 1),
        wire.pack_result(replace(RESULT, quality=replace(QUALITY, voiced_frames=-1))),
    ],
)
def test_X21_an_answer_that_is_no_result_is_refused_before_anything_is_sealed(answer: bytes) -> None:
    """What a child wrote that opened a hostile recording is checked before it is sealed and kept."""
    with pytest.raises(ExtractionFailed) as raised:
        handover.seal(job_of(answer))
    assert raised.value.reason == "child_result"
    with pytest.raises(ExtractionFailed) as told:
        handover.unpack_sealed(wire.pack_error(raised.value), OPTIONS, PLACES)
    assert told.value.reason == "child_result"


@pytest.mark.parametrize("places", [PLACES[:2], (*PLACES, replace(PLACES[0], kind="embedding"))])
def test_places_that_are_not_those_of_the_result_are_refused(places: tuple[Place, ...]) -> None:
    with pytest.raises(UsageError):
        handover.seal(job_of(wire.pack_result(RESULT), places))


def sealed() -> tuple[dict[str, object], bytes]:
    made = handover.pack_sealed(handover.seal(job_of(wire.pack_result(RESULT))))
    (size,) = struct.unpack_from("<I", made, 4)
    return json.loads(made[8 : 8 + size]), made[8 + size :]


def framed(head: object, rest: bytes) -> bytes:
    text = json.dumps(head).encode()
    return struct.pack("<II", 4 + len(text) + len(rest), len(text)) + text + rest


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("findings", "feature_sha256", "g" * 64),
        ("findings", "feature_sha256", None),
        ("findings", "insight_kind", "../etc"),
        ("findings", "insight_version", 1),
        ("findings", "profile", "corrected"),
        ("findings", "embedding_sha256", "0" * 64),
        ("findings", "more", "x"),
        ("bodies", "features", 10),
        ("bodies", "features", -1),
        ("bodies", "features", True),
        ("bodies", "features", "10"),
        ("bodies", "audio", 1),
    ],
)
def test_X21_an_answer_of_the_sealing_child_with_a_wrong_field_is_refused(
    part: str, name: str, value: object
) -> None:
    """What the service reads of a child is a closed set of fields, types and lengths, and nothing else."""
    head, rest = sealed()
    assert handover.unpack_sealed(framed(head, rest), OPTIONS, PLACES)
    head[part] = {**head[part], name: value}  # type: ignore[dict-item]
    with pytest.raises(ExtractionFailed):
        handover.unpack_sealed(framed(head, rest), OPTIONS, PLACES)


@given(noise=st.binary(max_size=200), at=st.integers(0, 400), whole=st.booleans())
def test_X21_no_bytes_of_a_child_raise_anything_but_our_own_errors(
    noise: bytes, at: int, whole: bool
) -> None:
    """Whatever a child writes, the answer is a result or one of our errors."""
    made = handover.pack_sealed(handover.seal(job_of(wire.pack_result(RESULT))))
    data = made[:at] + noise + made[at + len(noise) :]
    if whole:
        data = struct.pack("<I", len(data) - 4) + data[4:] if len(data) >= 4 else data
    try:
        handover.unpack_sealed(data, OPTIONS, PLACES)
    except SottovoceError:
        return


def test_M88_the_range_of_a_card_crosses_to_the_sealing_child() -> None:
    """Where nobody sees the numbers, the range of the model's card is applied all the same: it crosses unchanged."""
    use = ModelUse(
        attribute="nothing", sha256="a" * 64, card_sha256="c" * 64, feature_profile="compat",
        feature_version="egemaps-88/1", threshold=0.4, percent=90, guarantee="none", not_for="any use",
        demonstration=False, data=b"", range_inputs=(0, 7), range_bound=1.25,
    )  # fmt: skip
    place = Place("inference:nothing", "key", bytes(32), b"context", use)
    assert job_of(b"answer", (place,)).places[0].model == use
