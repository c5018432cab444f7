"""Port `Database`: recipients, disclosures, feeds and acknowledgements, one suite over the fake and every real one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sottovoce.errors import Conflict
from sottovoce.model.recipient import (
    Acknowledgement,
    Disclosure,
    DisclosureForm,
    FeedEntry,
    FeedKind,
    Recipient,
    RecipientKind,
)
from sottovoce.model.recording import Recording, RecordingState
from sottovoce.model.subject import Subject, SubjectState
from sottovoce.ports import Database, UnitOfWork

T0 = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
DAY = timedelta(days=1)


def recipient(n: int = 1, **changes: Any) -> Recipient:
    return replace(
        Recipient(f"rcp_{n}", "default", b"sealed", RecipientKind.PROCESSOR, T0 + n * DAY), **changes
    )


def disclosure(n: int = 1, who: str = "ada", **changes: Any) -> Disclosure:
    made = Disclosure(
        id=f"dsc_{n}", tenant="default", recipient_id="rcp_1", subject_id=who, session_id=f"session of {who}",
        purpose="model_training", what="features", form=DisclosureForm.SHOWN, opaque_subject=f"{who} there",
        opaque_session="session there", note=b"sealed", at=T0 + n * DAY,
    )  # fmt: skip
    return replace(made, **changes)


def entry(n: int = 1, to: str = "rcp_1", **changes: Any) -> FeedEntry:
    made = FeedEntry(
        recipient_id=to, tenant="default", number=n, kind=FeedKind.ERASED, opaque_subject="ada there",
        opaque_session=None, purposes="", at=T0 + n * DAY, cause="req_1", previous="0" * 64, hash=f"{n:064x}",
    )  # fmt: skip
    return replace(made, **changes)


def people(tx: UnitOfWork, *names: str) -> None:
    for name in names:
        tx.subjects.add(Subject(name, "default", f"blind {name}", b"sealed", SubjectState.ACTIVE, T0))
        session = f"session of {name}"
        tx.recordings.add(
            Recording(session, "default", name, "analyze", RecordingState.VERIFIED, T0, T0, keep=True)
        )


def test_recipients_are_listed_and_ended_once(database: Database) -> None:
    with database.begin() as tx:
        for one in (recipient(2), recipient(1), recipient(3, tenant="other")):
            tx.recipients.add(one)
        assert tx.recipients.all("default") == (recipient(1), recipient(2))
        assert tx.recipients.get("rcp_2") == tx.recipients.lock("rcp_2") == recipient(2)
        assert tx.recipients.get("nobody") is None
        tx.recipients.end("rcp_1", at=T0, destroyed=False)
        tx.recipients.end("rcp_1", at=T0 + DAY, destroyed=True)
        tx.recipients.end("rcp_1", at=T0 + 2 * DAY, destroyed=False)
        assert tx.recipients.get("rcp_1") == recipient(1, ended_at=T0, destroyed=True)
        tx.recipients.end("nobody", at=T0, destroyed=True)
    with pytest.raises(Conflict) as taken, database.begin() as tx:
        tx.recipients.add(recipient(1))
    assert taken.value.reason == "recipient_exists"


def test_what_was_handed_over_is_found_by_person_and_counted_by_recipient(database: Database) -> None:
    with database.begin() as tx:
        people(tx, "ada", "ben")
        tx.recipients.add(recipient())
        tx.recipients.disclose([])
        tx.recipients.disclose(
            [disclosure(2), disclosure(1, session_id=None, opaque_session=None, note=None)]
        )
        tx.recipients.disclose([disclosure(3, "ben")])
        first, second = tx.recipients.disclosures_of("ada")
        assert (first.id, second) == ("dsc_1", disclosure(2))
        assert tx.recipients.disclosed_to("rcp_1") == (2, 3)
        assert tx.recipients.disclosed_to("nobody") == (0, 0)
        assert len(tx.export_rows("ada", pseudonym=None)["disclosures"]) == 2


def test_F24_nothing_is_handed_over_of_who_is_gone_or_to_nobody(database: Database) -> None:
    """Nothing that is written down late of somebody who was erased is accepted."""
    for who, to in (("ada", "rcp_1"), ("ben", "nobody")):
        with pytest.raises(Conflict) as refused, database.begin() as tx:
            people(tx, "ben")
            tx.recipients.add(recipient())
            tx.recipients.disclose([disclosure(1, who, recipient_id=to)])
        assert refused.value.reason == "unknown_reference"


def test_C15a_what_was_handed_over_goes_with_the_person_and_the_feed_stays(database: Database) -> None:
    """Erasing a person deletes who received what of them; what the recipients were told stays, under opaque names."""
    with database.begin() as tx:
        people(tx, "ada", "ben")
        tx.recipients.add(recipient())
        tx.recipients.disclose([disclosure(1), disclosure(2, session_id=None), disclosure(3, "ben")])
        tx.recipients.append(entry())
        assert tx.erase_session_rows("session of ada")["disclosures"] == 1
        assert tx.erase_rows("ada")["disclosures"] == 1
        assert tx.recipients.disclosures_of("ada") == ()
        assert len(tx.recipients.disclosures_of("ben")) == 1
        assert tx.recipients.entries("rcp_1", after=0, limit=9) == (entry(),)


def test_a_feed_is_read_by_number_and_its_numbers_are_taken_once(database: Database) -> None:
    with database.begin() as tx:
        tx.recipients.add(recipient(1))
        tx.recipients.add(recipient(2))
        assert tx.recipients.head("rcp_1") is None
        for n in (2, 1, 3):
            tx.recipients.append(entry(n))
        tx.recipients.append(entry(1, "rcp_2", cause="mrk_1", opaque_session="s", purposes="a b"))
        assert tx.recipients.head("rcp_1") == entry(3)
        assert tx.recipients.entries("rcp_1", after=1, limit=1) == (entry(2),)
        assert tx.recipients.entries("rcp_1", after=3, limit=5) == ()
        assert tx.recipients.entry("rcp_1", 3) == entry(3)
        assert tx.recipients.entry("rcp_1", 4) is None
        assert [one.number for one in tx.recipients.told("req_1")] == [1, 2, 3]
        assert tx.recipients.told("mrk_1")[0].purposes == "a b"
    with pytest.raises(Conflict) as taken, database.begin() as tx:
        tx.recipients.append(entry(3))
    assert taken.value.reason == "entry_exists"


def test_acknowledgements_are_kept_by_number(database: Database) -> None:
    made = Acknowledgement("rcp_1", "default", 3, "ab", T0, T0 + DAY)
    with database.begin() as tx:
        tx.recipients.add(recipient())
        tx.recipients.acknowledge(made)
        tx.recipients.acknowledge(replace(made, through=1))
        assert [one.through for one in tx.recipients.acknowledgements("rcp_1")] == [1, 3]
        assert tx.recipients.acknowledgements("rcp_1")[1] == made
    with pytest.raises(Conflict) as taken, database.begin() as tx:
        tx.recipients.acknowledge(made)
    assert taken.value.reason == "acknowledgement_exists"
