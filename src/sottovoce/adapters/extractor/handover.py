"""From the child that measured to the child that seals: a result crosses the service without being looked at.

The one answers with numbers, framed (wire.py); the service keeps those bytes in one buffer, sends them on with the
places that the records go to (and the models that are to be run, as open files), and zeroes the buffer. The other
checks them as hostile, derives the insight, runs the models, seals it all, answers with ciphertext and what may be
known of the result, and dies. So no number of a result is ever an object of the service, whose floats and strings
nobody could overwrite (docs/adr/0013).

Rules upheld here:
- What the measuring child wrote is parsed in a process that has opened no audio, under the same confinement.
- What the sealing child answers is bounded and checked too: exactly the kinds that were asked for, closed fields.
- Keys and numbers are parts of messages, never of their heads.
- Exactly the models that were verified are run: each by the hash that its place names.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sottovoce.adapters.extractor import wire
from sottovoce.errors import IntegrityError, UsageError
from sottovoce.model.findings import Findings
from sottovoce.model.inference import ModelUse
from sottovoce.ports import ExtractOptions, Place, SealedExtraction
from sottovoce.sealing import envelope
from sottovoce.voice.bodies import bodies_of, findings_of
from sottovoce.voice.insight import voice_profile
from sottovoce.voice.models.inference import infer

MAX_MODELS = 16
_LENGTH = struct.Struct("<I")
_NUMBERS, _FAILED, _SEAL = b'{"features"', b'{"failed"', b'{"seal"'  # how the texts begin


@dataclass(frozen=True, slots=True)
class SealJob:
    """What a child is told that seals what another one has measured."""

    options: ExtractOptions
    places: tuple[Place, ...]
    answer: bytes = field(repr=False)  # of the other child, framed


def holds_numbers(answer: bytes | bytearray | memoryview) -> bool:
    """Whether a whole answer of a measuring child is a result; else `wire.unpack_result` raises what it says."""
    return _begins(answer, _NUMBERS)


def pack_job(options: ExtractOptions, places: Sequence[Place]) -> bytearray:
    """The message but for the answer, which is sent behind it, and the models, whose files go beside it in the order
    of their places. The caller zeroes it: it holds keys."""
    if sum(place.model is not None for place in places) > MAX_MODELS:
        raise UsageError(f"At most {MAX_MODELS} models are run on one recording.")
    named = [
        {"kind": place.kind, "key_id": place.key_id, "key": len(place.key), "context": len(place.context),
         "model": None if place.model is None else asdict(replace(place.model, data=b"")) | {"data": None}}
        for place in places
    ]  # fmt: skip
    text = json.dumps({"seal": named, "options": asdict(options)}).encode()
    secret = [part for place in places for part in (place.key, place.context)]
    message = bytearray().join((_LENGTH.pack(len(text)), text, *secret))
    if len(message) > wire.MAX_JOB_BYTES:
        raise UsageError("The contexts of the records are too long.")
    return message


def is_job(message: bytes) -> bool:
    """Whether this is such a message; for the child, which trusts the service."""
    return _begins(message, _SEAL)


def unpack_job(message: bytes) -> SealJob:
    """The job of pack_job(), with the answer behind it."""
    (size,) = _LENGTH.unpack_from(message)
    at = _LENGTH.size + size
    head = json.loads(message[_LENGTH.size : at])
    places = []
    for named in head["seal"]:
        key_end = at + named["key"]
        end = key_end + named["context"]
        use = None if named["model"] is None else _use(named["model"])
        places.append(Place(named["kind"], named["key_id"], message[at:key_end], message[key_end:end], use))
        at = end
    return SealJob(ExtractOptions(**head["options"]), tuple(places), message[at:])


def _use(said: dict[str, Any]) -> ModelUse:
    lists = {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
    return ModelUse(**{**said, **lists, "data": b""})


def with_models(job: SealJob, files: Sequence[bytes]) -> SealJob:
    """The job with the content of its models, in the order of their places. IntegrityError (reason `model_malformed`)
    where one is not what its place names."""
    left = iter(files)
    places = [place if place.model is None else _with(place, place.model, next(left)) for place in job.places]
    return replace(job, places=tuple(places))


def _with(place: Place, use: ModelUse, data: bytes) -> Place:
    if hashlib.sha256(data).hexdigest() != use.sha256:
        raise IntegrityError("A model is not the one that was verified.", reason="model_malformed")
    return replace(place, model=replace(use, data=data))


def seal(job: SealJob) -> SealedExtraction:
    """The work of the sealing child. ExtractionFailed (reason `child_result`) where the answer is no result."""
    extraction = wire.unpack_result(job.answer, job.options)
    insight = voice_profile(extraction.features, extraction.quality)
    given = {place.kind: place for place in job.places}
    said = {
        kind: infer(place.model, extraction.features, extraction.quality)
        for kind, place in given.items()
        if place.model is not None
    }
    plain = bodies_of(extraction, insight, said)
    if set(given) != set(plain):
        raise UsageError("The places are not those of the result.")
    sealed = {
        kind: envelope.seal(place.key, plain[kind], place.context, place.key_id)
        for kind, place in given.items()
    }
    return SealedExtraction(findings_of(extraction, insight), sealed)


def pack_sealed(made: SealedExtraction) -> bytes:
    """Envelopes behind a JSON text of what may be known of the result."""
    lengths = {kind: len(body) for kind, body in made.bodies.items()}
    text = json.dumps({"findings": asdict(made.findings), "bodies": lengths}).encode()
    rest = b"".join((_LENGTH.pack(len(text)), text, *made.bodies.values()))
    return _LENGTH.pack(len(rest)) + rest


def unpack_sealed(
    data: bytes | bytearray | memoryview, options: ExtractOptions, places: Sequence[Place]
) -> SealedExtraction:
    """What pack_sealed() said, for exactly these places. The failure that the child named, else ExtractionFailed."""
    if _begins(data, _FAILED):
        wire.unpack_result(data, options)
    rest = bytes(data[_LENGTH.size :])
    head, at = _head(rest)
    bodies = {}
    for kind, length in head["bodies"].items():
        bodies[kind] = rest[at : at + wire.checked_whole(length, 1, wire.MAX_RESULT_BYTES)]
        at += length
    if at != len(rest) or set(bodies) != {place.kind for place in places}:
        raise wire.malformed()
    return SealedExtraction(_findings(head["findings"], options), bodies)


def _begins(framed: bytes | bytearray | memoryview, text: bytes) -> bool:
    return framed[_LENGTH.size : _LENGTH.size + len(text)] == text


def _head(rest: bytes) -> tuple[dict[str, Any], int]:
    """The JSON text before the envelopes, and where they begin."""
    try:
        (size,) = _LENGTH.unpack_from(rest)
        head = json.loads(rest[_LENGTH.size : _LENGTH.size + size].decode("ascii"))
    except (ValueError, RecursionError, struct.error):
        raise wire.malformed() from None
    if (
        not isinstance(head, dict)
        or set(head) != {"findings", "bodies"}
        or not isinstance(head["bodies"], dict)
    ):
        raise wire.malformed()
    return head, _LENGTH.size + size


def _findings(said: object, options: ExtractOptions) -> Findings:
    names = set(Findings.__dataclass_fields__)
    if not isinstance(said, dict) or set(said) != names or said["profile"] != options.profile:
        raise wire.malformed()
    if (said["embedding_sha256"] is not None) != (options.embedding_model is not None):
        raise wire.malformed()
    for name, value in said.items():
        if name != "embedding_sha256" or value is not None:
            wire.checked_text(value, wire.SHA256 if name.endswith("_sha256") else wire.VERSION)
    return Findings(**said)
