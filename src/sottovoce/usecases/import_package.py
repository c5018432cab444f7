"""Reading a person's package as hostile: its words become values of ours, or the package is refused as a whole.

A package was signed, by a key that was pinned; whoever holds that key may still write anything into it.

Rules upheld here:
1. Every value has a type, a size and a range before it is used, and goes through the same constructors as our own.
2. Numbers are finite (`Package.json` reads no others), times are aware and of this age, ids are of our form, nothing
   is in it twice.
3. IntegrityError (reason `export_malformed`), or UsageError (reason `unknown_purpose`) for a purpose that this release
   does not know, are the only ways to fail. Nothing of the content is in a message.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sottovoce.errors import UsageError
from sottovoce.model.consent import ConsentAction, ConsentEvent, NoticeVersion
from sottovoce.model.features import FEATURE_NAMES, Embedding, Extraction, FeatureVector, Quality
from sottovoce.model.ids import check_id
from sottovoce.model.purpose import consent_purpose
from sottovoce.model.recording import Recording, RecordingState
from sottovoce.usecases.portable import Package, malformed

_LONGEST_WORD = 200
_MOST_FLAGS = 32
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Session:
    """A recording that ended there, and its result."""

    recording: Recording  # of no subject yet
    extraction: Extraction
    insight_values: dict[str, float | None] = field(repr=False)
    insight_version: str
    insight_sha256: str
    created_at: datetime
    expires_at: datetime

    @property
    def newest_at(self) -> datetime:
        """The latest time at which something is said to have happened."""
        recording = self.recording
        ends = (recording.received_at, recording.body_stored_at, recording.committed_at, recording.ended_at)
        return max(self.created_at, *(at for at in ends if at is not None))


@dataclass(frozen=True, slots=True)
class Content:
    """A person as the package tells of them."""

    name: str = field(repr=False)
    subject_id: str
    notices: dict[str, NoticeVersion]
    consents: tuple[tuple[ConsentEvent, str | None], ...]
    sessions: tuple[Session, ...]
    without_result: int


def read(package: Package, tenant: str) -> Content:
    """The values in a checked package; IntegrityError (reason `export_malformed`) where one of them is none."""
    data = package.json("data.json")
    try:
        notices = {one["id"]: _notice(one, package, tenant) for one in data["notices"]}
        _once(one["id"] for one in data["notices"])
        consents = tuple(_consent(one, tenant, notices) for one in data["consents"])
        kept = [one for one in data["sessions"] if one.get("features") and one.get("insight")]
        sessions = tuple(_session(one, tenant) for one in kept)
        _once(event.id for event, _ in consents)
        _once(one.recording.id for one in sessions)
        return Content(
            name=_word(data["name"], 512), subject_id=check_id(data["subject_id"], "subject"), notices=notices,
            consents=consents, sessions=sessions, without_result=len(data["sessions"]) - len(kept),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError):
        raise malformed() from None
    except UsageError as error:
        if error.reason == "unknown_purpose":
            raise
        raise malformed() from None


def _notice(one: Any, package: Package, tenant: str) -> NoticeVersion:
    text = package.members[f"notices/{check_id(one['id'], 'notice')}.txt"]
    if hashlib.sha256(text).hexdigest() != one["sha256"]:
        raise malformed()
    return NoticeVersion(
        id=one["id"], tenant=tenant, purpose=consent_purpose(_word(one["purpose"])).id, version=_word(one["version"]),
        ordinal=0, locale=_word(one["locale"]), material=False, sha256=one["sha256"], text=text,
        published_at=_time(one["published_at"]),
    )  # fmt: skip


def _consent(one: Any, tenant: str, notices: Mapping[str, NoticeVersion]) -> tuple[ConsentEvent, str | None]:
    evidence = one["evidence"]
    if one["notice_id"] is not None and notices[one["notice_id"]].purpose != one["purpose"]:
        raise malformed()
    event = ConsentEvent(
        id=check_id(one["id"], "consent"), tenant=tenant, subject_id="", sequence=0,
        batch_id=check_id(one["batch_id"], "batch"), purpose=consent_purpose(_word(one["purpose"])).id,
        action=ConsentAction(one["action"]), notice_id=one["notice_id"], notice_ordinal=0,
        channel=_word(one["channel"]), evidence=None, occurred_at=_time(one["occurred_at"]),
        recorded_at=_time(one["recorded_at"]),
    )  # fmt: skip
    return event, None if evidence is None else _word(evidence, 1 << 16)


def _session(one: Any, tenant: str) -> Session:
    features = one["features"]
    vector = FeatureVector(
        values=tuple(_number(features["values"][name]) for name in FEATURE_NAMES), profile=_word(features["profile"]),
        version=_word(features["version"]), sample_rate_hz=_whole(features["sample_rate_hz"]),
    )  # fmt: skip
    embedding = one.get("embedding")
    numbers = None
    if embedding is not None:
        numbers = Embedding(tuple(_number(v) for v in embedding["values"]), _hash(embedding["model_sha256"]))
    records = one["records"]
    return Session(
        recording=_recording(one, tenant), extraction=Extraction(vector, _quality(one["quality"]), numbers),
        insight_values={
            _word(item["name"]): None if item["value"] is None else _number(item["value"])
            for item in one["insight"]["items"]
        },
        insight_version=_word(one["insight"]["version"]), insight_sha256=_hash(one["insight"]["model_sha256"]),
        created_at=min(_time(record["created_at"]) for record in records),
        expires_at=min(_time(record["due_at"]) for record in records),
    )  # fmt: skip


def _quality(said: Any) -> Quality:
    """Its last field came later: an older package does not say it."""
    flags = said["flags"]
    if not isinstance(flags, list) or len(flags) > _MOST_FLAGS:
        raise ValueError
    snr_db, steady_tones = said["snr_db"], said.get("steady_tones")
    return Quality(
        duration_s=_number(said["duration_s"]), voiced_frames=_whole(said["voiced_frames"]),
        clipped_share=_number(said["clipped_share"]), snr_db=None if snr_db is None else _number(snr_db),
        source_codec=_word(said["source_codec"]), source_rate_hz=_whole(said["source_rate_hz"]),
        source_channels=_whole(said["source_channels"]), channel=_word(said["channel"]), flags=tuple(map(_word, flags)),
        steady_tones=None if steady_tones is None else _number(steady_tones),
    )  # fmt: skip


def _recording(one: Any, tenant: str) -> Recording:
    """As it ended there; nothing of it runs here."""
    if one["state"] != RecordingState.VERIFIED or one["shape"] not in ("analyze", "submit"):
        raise malformed()
    return Recording(
        id=check_id(one["id"], "session"), tenant=tenant, subject_id="", shape=one["shape"],
        state=RecordingState.VERIFIED, received_at=_time(one["received_at"]), discard_by=_time(one["discard_by"]),
        keep=True, discard_source=_flag(one["discard_source"]), profile=_word(one["profile"]),
        channel=_word(one["channel"]), accept_truncated=_flag(one["accept_truncated"]),
        body_stored_at=_maybe(one["body_stored_at"]), body_bytes=_whole(one["body_bytes"]),
        committed_at=_maybe(one["committed_at"]), ended_at=_time(one["ended_at"]),
    )  # fmt: skip


def _word(value: Any, longest: int = _LONGEST_WORD) -> str:
    if not isinstance(value, str) or not value or len(value) > longest:
        raise ValueError
    value.encode()
    return value


def _hash(value: Any) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ValueError
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise ValueError
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _once(ids: Iterable[str]) -> None:
    """Nothing is in a package twice: what is written by its id would be written over."""
    found = list(ids)
    if len(set(found)) < len(found):
        raise ValueError


def _time(value: Any) -> datetime:
    at = datetime.fromisoformat(value)
    if at.tzinfo is None or not 1970 <= at.year <= 9000:
        raise ValueError
    return at


def _maybe(value: Any) -> datetime | None:
    return None if value is None else _time(value)
