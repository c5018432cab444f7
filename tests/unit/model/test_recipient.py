"""The feed's rules: an entry is bound to its recipient, its number and everything before it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import Conflict, NotFound, UsageError
from sottovoce.model.recipient import (
    GENESIS,
    FeedEntry,
    FeedKind,
    Recipient,
    RecipientKind,
    check_name,
    check_receives,
    entry_hash,
    follows,
    recipient_kind,
)

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NAMES = st.text("0123456789abcdef", min_size=64, max_size=64)
KINDS = st.sampled_from(list(FeedKind))
PURPOSES = st.lists(st.sampled_from(["voice_analysis", "model_training"]), unique=True)


def link(told: list[tuple[FeedKind, str, list[str]]], to: str = "rcp_a") -> list[FeedEntry]:
    """A whole feed."""
    feed: list[FeedEntry] = []
    for number, (kind, subject, purposes) in enumerate(told, start=1):
        made = FeedEntry(
            recipient_id=to, tenant="default", number=number, kind=kind, opaque_subject=subject, opaque_session=None,
            purposes=" ".join(purposes), at=T0 + timedelta(seconds=number), cause="req_1",
            previous=feed[-1].hash if feed else GENESIS,
        )  # fmt: skip
        feed.append(replace(made, hash=entry_hash(made)))
    return feed


def whole(feed: list[FeedEntry]) -> bool:
    before = [None, *feed]
    return all(follows(one, last) for one, last in zip(feed, before, strict=False))


def oracle(entry: FeedEntry) -> str:
    """The hash as docs/reference/deletion-feed.md has it, written down a second time."""
    text = json.dumps(
        {
            "recipient": entry.recipient_id, "number": entry.number, "kind": entry.kind.value,
            "subject": entry.opaque_subject, "session": entry.opaque_session, "purposes": entry.purposes.split(),
            "at": entry.at.strftime("%Y-%m-%dT%H:%M:%S+00:00"), "previous": entry.previous,
        },
        sort_keys=True, separators=(",", ":"),
    )  # fmt: skip
    return hashlib.sha256(b"sottovoce/feed-entry/1\x00" + text.encode()).hexdigest()


@given(st.lists(st.tuples(KINDS, NAMES, PURPOSES), max_size=6))
def test_a_feed_is_whole_and_hashed_as_documented(told: list[tuple[FeedKind, str, list[str]]]) -> None:
    feed = link(told)
    assert whole(feed)
    assert [one.hash for one in feed] == [oracle(one) for one in feed]


CHANGES = {
    "number": lambda e: replace(e, number=e.number + 1),
    "kind": lambda e: replace(e, kind=next(kind for kind in FeedKind if kind is not e.kind)),
    "subject": lambda e: replace(e, opaque_subject=e.opaque_subject[::-1] + "0"),
    "session": lambda e: replace(e, opaque_session="ab"),
    "purposes": lambda e: replace(e, purposes=e.purposes + " other"),
    "at": lambda e: replace(e, at=e.at + timedelta(seconds=1)),
    "previous": lambda e: replace(e, previous="f" * 64),
    "recipient": lambda e: replace(e, recipient_id="rcp_b"),
    "hash": lambda e: replace(e, hash="0" * 64),
}  # fmt: skip


@given(
    st.lists(st.tuples(KINDS, NAMES, PURPOSES), min_size=2, max_size=6, unique_by=lambda t: t[1]), st.data()
)
def test_C15a_no_entry_of_a_feed_can_be_changed_left_out_moved_or_told_twice(
    told: list[tuple[FeedKind, str, list[str]]], data: st.DataObject
) -> None:
    """Whatever is done to a feed that was handed out, the recipient finds it by the hashes."""
    feed = link(told)
    place = data.draw(st.integers(0, len(feed) - 1))
    change = data.draw(st.sampled_from(sorted(CHANGES)))
    changed = [*feed[:place], CHANGES[change](feed[place]), *feed[place + 1 :]]
    assert not whole(changed)
    if place < len(feed) - 1:
        assert not whole([*feed[:place], *feed[place + 1 :]])  # left out
        assert not whole([*feed[:place], feed[place + 1], feed[place], *feed[place + 2 :]])  # swapped
    assert not whole([*feed[: place + 1], feed[place], *feed[place + 1 :]])  # told twice
    other = link(told, to="rcp_b")
    assert not whole([*feed[:place], other[place], *feed[place + 1 :]])  # moved to another feed


def test_C15a_what_is_handed_out_has_no_internal_id() -> None:
    """A recipient is told opaque names, a number, a time and what to do; nothing else of the person leaves."""
    (entry,) = link([(FeedKind.WITHDRAWN, "a" * 64, ["model_training"])])
    assert set(entry.to_dict()) == {
        "number", "kind", "subject", "session", "purposes", "at", "previous", "hash",
    }  # fmt: skip
    assert "req_1" not in json.dumps(entry.to_dict())


def test_names_and_kinds_of_recipients_are_checked() -> None:
    assert check_name("  Lab of voices ") == "Lab of voices"
    for bad in ("", "  ", "a\nb", "x" * 101, "\x1b[1m"):
        with pytest.raises(UsageError):
            check_name(bad)
    assert recipient_kind("team") is RecipientKind.TEAM
    with pytest.raises(UsageError):
        recipient_kind("friend")


def test_who_has_ended_receives_nothing() -> None:
    recipient = Recipient("rcp_1", "default", b"", RecipientKind.TEAM, T0)
    assert check_receives(recipient) is recipient
    assert recipient.is_told
    assert not replace(recipient, destroyed=True).is_told
    with pytest.raises(Conflict):
        check_receives(replace(recipient, ended_at=T0))
    with pytest.raises(NotFound):
        check_receives(None)
