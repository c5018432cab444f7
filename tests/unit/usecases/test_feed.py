"""Recipients, what was handed to them, and the feeds that tell them what to undo, on the shipped fakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sottovoce.app import assemble, verify_receipt
from sottovoce.errors import (
    Conflict,
    ConsentRequired,
    IntegrityError,
    KeyUnavailable,
    NotFound,
    StorageError,
    UsageError,
)
from sottovoce.model.mark import MarkKind
from sottovoce.model.purpose import (
    MODEL_TRAINING,
    RESEARCH_STATISTICS,
    RETENTION,
    SUBJECT_ACCESS,
    VOICE_ANALYSIS,
    VOICE_RECORDING,
)
from sottovoce.model.recipient import FeedEntry, follows
from sottovoce.model.request import CaseKind
from sottovoce.sealing import acknowledgement
from sottovoce.settings import Settings

if TYPE_CHECKING:
    from conftest import Hall
    from sottovoce.app import Platform

EVERYTHING = (VOICE_RECORDING, VOICE_ANALYSIS, RETENTION, MODEL_TRAINING, RESEARCH_STATISTICS)


@pytest.fixture
def served(hall: Hall) -> Hall:
    """A person who agreed to everything, with one recording."""
    hall.grant(purposes=EVERYTHING)
    hall.analyze()
    return hall


def lab(hall: Hall, name: str = "Lab", kind: str = "team") -> str:
    return hall.platform.add_recipient(name, kind=kind, caller=hall.caller).id


def hand_over(hall: Hall, recipient: str, subject: str = "anna", purpose: str = MODEL_TRAINING) -> str:
    """Every session of a person to a recipient; how it knows the person."""
    names = set()
    for recording in hall.recordings(subject):
        handed = hall.platform.show(recording.id, purpose=purpose, recipient=recipient).handed
        assert handed is not None
        names.add(handed.subject)
    (name,) = names
    return name


def feed(hall: Hall, recipient: str) -> tuple[FeedEntry, ...]:
    with hall.database.read() as tx:
        entries = tx.recipients.entries(recipient, after=0, limit=1000)
    assert all(follows(one, last) for one, last in zip(entries, [None, *entries], strict=False))
    return entries


def kinds(hall: Hall, recipient: str) -> list[str]:
    return [str(entry.kind) for entry in feed(hall, recipient)]


def applied(
    hall: Hall, recipient: str, *, through: int | None = None, at: datetime | None = None, **changes: object
) -> str:
    """The acknowledgement of a recipient that has applied its feed."""
    entries = feed(hall, recipient)
    last = entries[(through or len(entries)) - 1]
    key = bytes.fromhex(json.loads(hall.platform.feed_key(recipient))["acknowledgement_key"])
    given = {"recipient_id": recipient, "through": last.number, "last_hash": last.hash, **changes}
    return acknowledgement.sign(key, applied_at=at or hall.clock.now(), **given)  # type: ignore[arg-type]


# --- who receives what --------------------------------------------------------------------------------------


def test_C15a_what_is_shown_to_a_recipient_is_written_down_before_it_is_opened(served: Hall) -> None:
    """Whoever receives a person's numbers is recorded, with purpose, time and form, before anything is opened."""
    recipient = lab(served)
    (recording,) = served.recordings()
    content = served.platform.show(recording.id, purpose=MODEL_TRAINING, recipient=recipient)
    assert content.features is not None
    (row,) = served.platform.disclosures(subject="anna")
    assert (row.recipient, row.purpose, row.what, row.form) == ("Lab", MODEL_TRAINING, "features", "shown")
    assert row.session_id == recording.id
    assert content.handed is not None
    assert content.handed.subject == row.known_as
    assert len({content.handed.subject, content.handed.sessions[recording.id], recording.subject_id}) == 3
    assert "data.disclosed" in served.kinds_of_events()
    view = served.platform.recipient(recipient)
    assert (view.people, view.disclosures) == (1, 1)


def test_law_2_a_hand_over_that_cannot_be_written_down_opens_nothing(served: Hall) -> None:
    """Where the record of a hand-over cannot be stored, nothing is handed over."""
    recipient = lab(served)
    served.database.disk_full = True
    with pytest.raises(StorageError):
        hand_over(served, recipient)
    served.database.disk_full = False
    assert served.platform.disclosures(subject="anna") == ()


def test_a_reading_that_is_refused_hands_nothing_over(served: Hall) -> None:
    recipient = lab(served)
    served.platform.withdraw(subject="anna", purposes=[MODEL_TRAINING])
    with pytest.raises(ConsentRequired):
        hand_over(served, recipient)
    served.platform.mark(subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested")
    with pytest.raises(ConsentRequired):
        hand_over(served, recipient, purpose=RESEARCH_STATISTICS)
    assert served.platform.disclosures(subject="anna") == ()
    assert kinds(served, recipient) == []


@pytest.mark.parametrize("kind", ["processor", "outside"])
def test_C15a_a_consent_covers_a_recipient_outside_only_where_its_notice_named_who_receives_it(
    served: Hall, kind: str
) -> None:
    """Who agreed to a notice that says nobody outside receives it, has nothing handed to anybody outside."""
    recipient = lab(served, kind=kind)
    with pytest.raises(ConsentRequired) as refused:
        hand_over(served, recipient)
    assert refused.value.reason == "notice_names_no_recipient"
    assert served.platform.disclosures(subject="anna") == ()
    served.platform.grant(
        subject="anna", purposes=[MODEL_TRAINING], notice=b"The Lab receives it.", notice_version="2"
    )
    hand_over(served, recipient)
    assert len(served.platform.disclosures(subject="anna")) == 1


def test_nothing_is_handed_to_others_by_the_persons_own_right_of_access(served: Hall) -> None:
    with pytest.raises(UsageError):
        hand_over(served, lab(served), purpose=SUBJECT_ACCESS)


def test_who_has_ended_receives_nothing_more_and_is_still_told(served: Hall) -> None:
    recipient = lab(served)
    hand_over(served, recipient)
    served.platform.end_recipient(recipient)
    with pytest.raises(Conflict):
        hand_over(served, recipient)
    with pytest.raises(Conflict):
        served.platform.disclose(subject="anna", recipient=recipient, purpose=MODEL_TRAINING, what="features")
    served.platform.erase(subject="anna")
    assert kinds(served, recipient) == ["erased"]


def test_who_states_that_nothing_is_left_is_told_nothing_more(served: Hall) -> None:
    recipient = lab(served)
    hand_over(served, recipient)
    served.platform.end_recipient(recipient, destroyed=True)
    served.platform.erase(subject="anna")
    served.advance(days=30)
    assert kinds(served, recipient) == []
    assert not served.platform.feed_status(recipient)[0].overdue


def test_C13a_the_package_and_the_facts_name_who_has_received_what(served: Hall, tmp_path: Path) -> None:
    """A person sees in their package, and on the card of a session, who else received what, and for what."""
    import zipfile

    recipient = lab(served, "Institute of voices")
    hand_over(served, recipient)
    served.platform.disclose(
        subject="anna", recipient=recipient, purpose=RESEARCH_STATISTICS, what="insight", note="by courier"
    )
    served.platform.export_person(subject="anna", out=tmp_path / "anna.zip")
    archive = zipfile.ZipFile(tmp_path / "anna.zip")
    data = json.loads(archive.read("data.json"))
    assert {row["recipient"] for row in data["recipients"]} == {"Institute of voices"}
    assert {row["purpose"] for row in data["recipients"]} == {MODEL_TRAINING, RESEARCH_STATISTICS}
    assert "by courier" in archive.read("recipients.csv").decode()
    assert "Institute of voices" in archive.read("index.html").decode()
    assert {row["note"] for row in json.loads(archive.read("tables/disclosures.json"))} == {
        None, "by courier",
    }  # fmt: skip
    card = served.platform.facts(served.recordings()[0].id)
    assert {row.purpose for row in card.recipients} == {MODEL_TRAINING, RESEARCH_STATISTICS}
    words = [entry.words for entry in served.platform.access_log(subject="anna")]
    assert words.count("data of yours was handed to a recipient") == 2


def test_M44_a_recipient_is_seen_in_the_log_of_who_saw_what(served: Hall) -> None:
    """Each hand-over stands in the person's own access log as something that somebody saw."""
    hand_over(served, lab(served))
    reads = [entry.kind for entry in served.platform.access_log(subject="anna") if entry.read]
    assert "data.disclosed" in reads


def test_recipients_have_names_of_their_own(served: Hall) -> None:
    lab(served)
    with pytest.raises(Conflict):
        lab(served)
    keys = [row for row in served.platform.keyring.rows() if ":recipient:" in row.key_id]
    assert len(keys) == 1  # the key of the refused one is gone
    with pytest.raises(UsageError):
        lab(served, "a\nb")
    with pytest.raises(UsageError):
        lab(served, "b", kind="friend")
    with pytest.raises(NotFound):
        served.platform.recipient("rcp_" + "a" * 24)
    with pytest.raises(NotFound):
        served.platform.disclosures(subject="nobody")
    assert [view.name for view in served.platform.recipients()] == ["Lab"]


# --- telling ------------------------------------------------------------------------------------------------


def test_C15a_every_recipient_is_told_of_an_erasure_in_its_own_words(served: Hall) -> None:
    """When a person is erased, each who has something of them is told, under a name that only that one can place."""
    served.grant("ben", EVERYTHING)
    served.analyze("ben")
    one, two, three = lab(served, "One"), lab(served, "Two"), lab(served, "Three")
    names = {one: hand_over(served, one), two: hand_over(served, two)}
    hand_over(served, three, "ben")
    served.platform.erase(subject="anna")
    for recipient, name in names.items():
        (entry,) = feed(served, recipient)
        assert (str(entry.kind), entry.opaque_subject) == ("erased", name)
    assert names[one] != names[two]
    assert kinds(served, three) == []


def test_C15a_what_was_told_outlives_the_person_and_leads_back_to_nobody(served: Hall) -> None:
    """After the erasure the feed says no internal id, no name; what was handed over is known of nobody any more."""
    recipient = lab(served)
    hand_over(served, recipient)
    (recording,) = served.recordings()
    served.platform.erase(subject="anna")
    page = served.platform.feed_page(recipient).text
    for word in ("anna", recording.subject_id, recording.id, "req_"):
        assert word not in page
    with served.database.read() as tx:
        assert tx.recipients.disclosed_to(recipient) == (0, 0)
    assert served.platform.keyring.has_subject(recording.subject_id) is False
    assert kinds(served, recipient) == ["erased"]


def test_C29c_what_was_told_links_no_entries_of_the_log_and_holds_no_id_of_the_person(served: Hall) -> None:
    """After an erasure nothing in a feed leads from the recipient's name for a person to entries of the audit log."""
    recipient = lab(served)
    hand_over(served, recipient)
    served.platform.disclose(subject="anna", recipient=recipient, purpose="infer_age", what="features")
    served.platform.mark(subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested")
    served.platform.withdraw(subject="anna", purposes=[MODEL_TRAINING])
    served.platform.rectify(subject="anna", new_id="anna-2")
    (recording,) = served.recordings("anna-2")
    served.platform.erase(subject="anna-2")
    with served.database.read() as tx:
        entries = {event.id for event in tx.events.iterate()}
    told = feed(served, recipient)
    assert len(told) == 5
    assert not entries & {entry.cause for entry in told}
    stored = repr([replace(entry, hash="") for entry in told])
    assert recording.subject_id not in stored
    assert recording.id not in stored


def test_C15a_erasing_a_session_tells_of_that_session_alone(served: Hall) -> None:
    """When one session is erased, only who has that session is told, and of that session."""
    recipient, other = lab(served), lab(served, "Other")
    hand_over(served, recipient)
    first = served.recordings()[0].id
    served.analyze()
    second = next(r.id for r in served.recordings() if r.id != first)
    served.platform.show(second, purpose=MODEL_TRAINING, recipient=other)
    served.platform.erase(subject="anna", session_id=first)
    (entry,) = feed(served, recipient)
    assert str(entry.kind) == "session_erased"
    assert entry.opaque_session is not None
    assert kinds(served, other) == []
    served.platform.erase(subject="anna")
    assert kinds(served, recipient) == ["session_erased"]  # it has nothing else of the person
    assert kinds(served, other) == ["erased"]


def test_GDPR_19_restriction_objection_and_rectification_are_told_and_taken_back(served: Hall) -> None:
    """Who has something of a person learns of a restriction, an objection, a correction, and of their end."""
    recipient = lab(served)
    hand_over(served, recipient)
    platform = served.platform
    platform.mark(subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested")
    platform.unrestrict(subject="anna")
    objection = platform.mark(
        subject="anna", kind=MarkKind.OBJECTION, reason="objection", purpose=MODEL_TRAINING
    )
    platform.lift(objection.marks[0].id)
    platform.mark(subject="anna", kind=MarkKind.CORRECTION, reason="statement", note="I had a cold.")
    platform.rectify(subject="anna", new_id="anna-2")
    hold = platform.mark(subject="anna-2", kind=MarkKind.HOLD, reason="legal_claims")  # nobody is told
    platform.lift(hold.marks[0].id)
    assert kinds(served, recipient) == [
        "restricted", "restriction_lifted", "objected", "objection_lifted", "rectified", "rectified",
    ]  # fmt: skip
    assert [entry.purposes for entry in feed(served, recipient)] == [
        "",
        "",
        MODEL_TRAINING,
        MODEL_TRAINING,
        "",
        "",
    ]
    assert "cold" not in platform.feed_page(recipient).text


def test_C15a_an_objection_to_another_use_is_not_told(served: Hall) -> None:
    """A recipient is told of nothing that the person decides about somebody else's use."""
    recipient = lab(served)
    hand_over(served, recipient)
    served.platform.mark(
        subject="anna", kind=MarkKind.OBJECTION, reason="objection", purpose=RESEARCH_STATISTICS
    )
    served.platform.withdraw(subject="anna", purposes=[RESEARCH_STATISTICS])
    assert kinds(served, recipient) == []


@pytest.mark.parametrize("action", ["withdraw", "refuse"])
@pytest.mark.parametrize("purpose", [MODEL_TRAINING, RETENTION, VOICE_ANALYSIS])
def test_C15a_a_withdrawal_is_told_to_whom_it_touches(served: Hall, action: str, purpose: str) -> None:
    """A consent that is taken back is told to who received data by it, or by what it rests on."""
    recipient = lab(served)
    hand_over(served, recipient)
    getattr(served.platform, action)(subject="anna", purposes=[purpose, RESEARCH_STATISTICS])
    (entry,) = feed(served, recipient)
    assert (str(entry.kind), entry.purposes) == ("consent_withdrawn", purpose)


def test_C12a_an_erasure_that_waits_for_a_legal_hold_is_told_when_it_runs(served: Hall) -> None:
    """Recipients are told to erase when the person is erased, not while a legal hold keeps that from happening."""
    recipient = lab(served)
    hand_over(served, recipient)
    hold = served.platform.mark(subject="anna", kind=MarkKind.HOLD, reason="legal_claims")
    assert served.platform.erase(subject="anna").result == "held"
    assert kinds(served, recipient) == []
    served.platform.lift(hold.marks[0].id)
    assert kinds(served, recipient) == ["erased"]


def test_C15a_a_change_that_is_rolled_back_is_not_told(served: Hall) -> None:
    """A recipient is told in the transaction of the change: where that is not written, nothing is told."""
    recipient = lab(served)
    hand_over(served, recipient)
    served.database.disk_full = True
    with pytest.raises(StorageError):
        served.platform.mark(subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested")
    served.database.disk_full = False
    assert kinds(served, recipient) == []


def test_I10_recipients_are_told_while_the_key_provider_is_down(served: Hall) -> None:
    """Telling needs no key: what is told is taken from what was written down at the hand-over."""
    from sottovoce.model.recipient import FeedKind
    from sottovoce.usecases.feed import tell

    recipient = lab(served)
    name = hand_over(served, recipient)
    (recording,) = served.recordings()
    served.platform.keyring.destroy_tenant_key(f"recipient:{recipient}")
    with served.database.begin() as tx:
        (entry,) = tell(tx, recording.subject_id, FeedKind.ERASED, cause="req_1")
    assert entry.opaque_subject == name


def test_F25_an_erasure_that_comes_while_a_package_is_made_tells_the_recipient_and_hands_nothing_out(
    served: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person erased while their package is made for somebody: nothing leaves, and that one is told to erase."""
    recipient = lab(served, kind="outside")
    real = served.platform._exports._package

    def erased_meanwhile(*args: object) -> object:
        served.platform.erase(subject="anna")
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(type(served.platform._exports), "_package", lambda _, *args: erased_meanwhile(*args))
    with pytest.raises((Conflict, KeyUnavailable)):
        served.platform.export_person(subject="anna", out=tmp_path / "anna.zip", recipient=recipient)
    assert list(tmp_path.glob("*.zip")) == []
    assert kinds(served, recipient) == ["erased"]


def test_a_package_for_a_recipient_says_under_which_names_its_feed_will_speak(
    served: Hall, tmp_path: Path
) -> None:
    import zipfile

    recipient = lab(served, kind="outside")
    made = served.platform.export_person(subject="anna", out=tmp_path / "anna.zip", recipient=recipient)
    names = json.loads(zipfile.ZipFile(tmp_path / "anna.zip").read("recipient.json"))
    assert made.handed is not None
    assert names["subject"] == made.handed.subject
    session = served.recordings()[0].id
    served.platform.erase(subject="anna", session_id=session)
    served.platform.erase(subject="anna")
    first, second = feed(served, recipient)
    assert first.opaque_session == names["sessions"][session]
    assert second.opaque_subject == names["subject"]


# --- what was handed over by hand -----------------------------------------------------------------------------


def test_a_hand_over_outside_of_the_service_is_written_down_whatever_the_consents_are(served: Hall) -> None:
    recipient = lab(served, kind="outside")
    yesterday = served.clock.now() - timedelta(days=1)
    names = served.platform.disclose(
        subject="anna", recipient=recipient, purpose="infer_age", what="features, insight", at=yesterday
    )
    assert len(names.sessions) == 1
    rows = served.platform.disclosures(subject="anna")
    assert {(row.session_id is None, row.what, row.at) for row in rows} == {
        (True, "features insight", yesterday), (False, "features insight", yesterday),
    }  # fmt: skip
    assert kinds(served, recipient) == ["consent_withdrawn"]  # there is no such consent: told at once
    served.platform.erase(subject="anna")
    assert kinds(served, recipient) == ["consent_withdrawn", "erased"]


def test_C15a_what_is_written_down_late_is_told_at_once(served: Hall) -> None:
    """A hand-over that is written down after a restriction: the recipient learns of it in the same transaction."""
    recipient, other = lab(served), lab(served, "Other")
    hand_over(served, other)
    served.platform.mark(subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested")
    served.platform.disclose(subject="anna", recipient=recipient, purpose=MODEL_TRAINING, what="features")
    assert kinds(served, recipient) == ["restricted"]
    assert kinds(served, other) == ["restricted"]  # once


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"subject": "nobody"}, NotFound), ({"recipient": "rcp_" + "a" * 24}, NotFound),
        ({"recipient": "x"}, UsageError),
        ({"purpose": "fun"}, UsageError), ({"what": " "}, UsageError), ({"what": "x" * 201}, UsageError),
        ({"session_id": "ses_" + "a" * 24}, NotFound), ({"session_id": "x"}, UsageError),
        ({"note": "x" * 5000}, UsageError),
    ],
)  # fmt: skip
def test_what_cannot_be_written_down_changes_nothing(
    served: Hall, changes: dict[str, str], error: type[Exception]
) -> None:
    given = {"subject": "anna", "recipient": lab(served), "purpose": MODEL_TRAINING, "what": "features"}
    with pytest.raises(error):
        served.platform.disclose(**{**given, **changes})  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        served.platform.disclose(**given, at=served.clock.now() + timedelta(days=1))
    assert served.platform.disclosures(subject="anna") == ()


# --- pages ----------------------------------------------------------------------------------------------------


def told_often(hall: Hall, times: int) -> str:
    recipient = lab(hall)
    hand_over(hall, recipient)
    for _ in range(times):
        hall.platform.mark(subject="anna", kind=MarkKind.CORRECTION, reason="statement")
    return recipient


def body(hall: Hall, text: str) -> dict[str, object]:
    receipt = verify_receipt(text, key=hall.platform.identity())
    assert receipt.kind == "feed"
    return dict(receipt.body)


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_C15a_pages_are_signed_and_join_without_a_gap_while_the_feed_grows(served: Hall, limit: int) -> None:
    """However the feed is cut, and whatever comes in meanwhile, its pages hold every entry once, in order."""
    recipient = told_often(served, 5)
    after, found, pages = 0, [], 0
    while True:
        page = served.platform.feed_page(recipient, after=after, limit=limit)
        content = body(served, page.text)
        assert (content["after"], content["recipient"], content["last"]) == (after, recipient, page.last)
        assert page.entries == len(content["entries"]) <= limit  # type: ignore[arg-type]
        found += content["entries"]  # type: ignore[operator]
        after, pages = page.through, pages + 1
        if pages <= 3:  # it grows while it is read
            served.platform.mark(subject="anna", kind=MarkKind.CORRECTION, reason="statement")
        elif page.last:
            break
    assert [entry["number"] for entry in found] == list(range(1, 9))  # type: ignore[index,call-overload]
    assert [entry["hash"] for entry in found] == [entry.hash for entry in feed(served, recipient)]  # type: ignore[index,call-overload]


def test_C15a_a_full_page_is_the_same_bytes_for_ever_and_the_last_says_when(served: Hall) -> None:
    """A page that is full never changes; only the last one says that it is, and as of when."""
    recipient = told_often(served, 3)
    full = served.platform.feed_page(recipient, after=0, limit=2).text
    last = body(served, served.platform.feed_page(recipient, after=2, limit=2).text)
    assert "as_of" not in body(served, full)
    assert last["as_of"] == served.clock.now().isoformat(timespec="seconds")
    served.advance(days=3)
    served.platform.mark(subject="anna", kind=MarkKind.CORRECTION, reason="statement")
    assert served.platform.feed_page(recipient, after=0, limit=2).text == full


def test_an_empty_feed_has_a_last_page(served: Hall) -> None:
    content = body(served, served.platform.feed_page(lab(served)).text)
    assert (content["entries"], content["last"], content["previous"]) == ([], True, "0" * 64)


def test_pages_that_cannot_be(served: Hall) -> None:
    recipient = told_often(served, 1)
    for after, limit in ((-1, 5), (0, 0), (0, 1001), (2, 5)):
        with pytest.raises(UsageError):
            served.platform.feed_page(recipient, after=after, limit=limit)
    with pytest.raises(NotFound):
        served.platform.feed_page("rcp_" + "a" * 24)


def mark(platform: Platform, kind: MarkKind, reason: str) -> object:
    return platform.mark(subject="anna", kind=kind, reason=reason)


# --- acknowledging and being late -------------------------------------------------------------------------------


def test_C15b_who_has_not_applied_in_time_is_overdue_wherever_that_is_asked(served: Hall) -> None:
    """A recipient that has not erased in time is shown overdue: in the feed's status, by doctor, and in the request."""
    recipient = lab(served)
    hand_over(served, recipient)
    case = served.platform.open_request(subject="anna", kind=CaseKind.ERASURE)
    served.platform.close_request(case.id)
    assert not served.platform.feed_status()[0].overdue
    assert served.platform.request(case.id).recipients_overdue == 0
    served.advance(days=7, seconds=1)
    (status,) = served.platform.feed_status()
    assert (status.overdue, status.waiting) == (True, 1)
    view = served.platform.request(case.id)
    assert view.recipients_overdue == 1
    assert (view.recipients[0].name, view.recipients[0].applied_at) == ("Lab", None)
    assert served.platform.requests(everything=True)[0].recipients_overdue == 1
    check = next(one for one in served.platform.doctor() if one.name == "recipients")
    assert (check.state, "Lab" in check.found) == ("fail", True)
    served.platform.acknowledge_feed(applied(served, recipient))
    assert not served.platform.feed_status()[0].overdue
    view = served.platform.request(case.id)
    assert view.recipients_overdue == 0
    assert view.recipients[0].applied_at == served.clock.now()
    assert next(one for one in served.platform.doctor() if one.name == "recipients").state == "ok"


def test_C15b_the_time_is_a_setting(new_hall: Callable[..., Hall]) -> None:
    """How long a recipient has to apply its feed is the operator's policy, at most thirty days."""
    hall = new_hall(recipients_days=2)
    hall.grant(purposes=EVERYTHING)
    hall.analyze()
    recipient = lab(hall)
    hand_over(hall, recipient)
    hall.platform.erase(subject="anna")
    hall.advance(days=2, seconds=1)
    assert hall.platform.feed_status(recipient)[0].overdue


@pytest.mark.parametrize(
    ("kind", "act"),
    [
        (CaseKind.RESTRICTION, lambda p: mark(p, MarkKind.RESTRICTION, "accuracy_contested")),
        (CaseKind.OBJECTION, lambda p: mark(p, MarkKind.OBJECTION, "objection")),
        (CaseKind.RECTIFICATION, lambda p: p.rectify(subject="anna", new_id="anna-2")),
    ],
)  # fmt: skip
def test_C15b_other_requests_show_their_recipients_too(
    served: Hall, kind: CaseKind, act: Callable[[object], object]
) -> None:
    """A request to restrict, to stop or to correct shows which recipients were told, and whether they have done it."""
    recipient = lab(served)
    hand_over(served, recipient)
    case = served.platform.open_request(subject="anna", kind=kind)
    act(served.platform)
    served.platform.close_request(case.id)
    (told,) = served.platform.request(case.id).recipients
    assert told.recipient_id == recipient
    assert served.platform.request(case.id).recipients_overdue == 0


def test_C15b_the_receipt_of_an_erasure_names_who_was_told(served: Hall) -> None:
    """The signed receipt of an erasure says which recipients were told, and that they had not confirmed it yet."""
    recipient = lab(served, "Institute")
    hand_over(served, recipient)
    outcome = served.platform.erase(subject="anna")
    assert outcome.receipt is not None
    (line,) = verify_receipt(outcome.receipt, key=served.platform.identity()).body["recipients"]  # type: ignore[misc]
    assert (line["name"], line["entry"]) == ("Institute", 1)  # type: ignore[index,call-overload]
    assert "not yet" in line["applied"]  # type: ignore[index,call-overload,operator]


def test_C15a_the_same_acknowledgement_again_changes_nothing(served: Hall) -> None:
    """An acknowledgement that is handed in twice has one effect; an older one is refused."""
    recipient = told_often(served, 3)
    text = applied(served, recipient, through=2)
    older = applied(served, recipient, through=1)
    first = served.platform.acknowledge_feed(text)
    assert served.platform.acknowledge_feed(text) == first
    assert first.through == 2
    with pytest.raises(Conflict) as refused:
        served.platform.acknowledge_feed(older)
    assert refused.value.reason == "acknowledgement_old"


def test_C15a_an_acknowledgement_that_does_not_fit_is_refused_with_its_reason(served: Hall) -> None:
    """What was forged, is of another feed, or of entries that were never handed out, is no acknowledgement."""
    recipient, other = told_often(served, 3), lab(served, "Other")
    served.platform.disclose(subject="anna", recipient=other, purpose="infer_age", what="features")
    key = bytes.fromhex(json.loads(served.platform.feed_key(other))["acknowledgement_key"])
    good = json.loads(applied(served, recipient))
    foreign = acknowledgement.sign(
        key, recipient_id=recipient, through=3, last_hash=good["hash"], applied_at=served.clock.now()
    )
    cases = {
        "acknowledgement_forged": [json.dumps({**good, "through": 2}), foreign],
        "acknowledgement_forked": [
            applied(served, recipient, last_hash="ab" * 32),
            applied(served, recipient, last_hash=feed(served, other)[0].hash),
        ],
        "acknowledgement_malformed": ["{}", applied(served, recipient, at=served.clock.now() + timedelta(hours=1))],
    }  # fmt: skip
    for reason, texts in cases.items():
        for text in texts:
            with pytest.raises(IntegrityError) as refused:
                served.platform.acknowledge_feed(text)
            assert refused.value.reason == reason
    assert served.platform.feed_status(recipient)[0].through == 0


def test_the_key_file_is_for_one_recipient_and_pins_the_signer(served: Hall) -> None:
    one, two = lab(served, "One"), lab(served, "Two")
    first, second = (json.loads(served.platform.feed_key(recipient)) for recipient in (one, two))
    assert first["acknowledgement_key"] != second["acknowledgement_key"]
    assert json.dumps(first["identity"], sort_keys=True) == json.dumps(
        json.loads(served.platform.identity()), sort_keys=True
    )


# --- fsck -----------------------------------------------------------------------------------------------------


def codes(hall: Hall) -> set[str]:
    return {finding.code for finding in hall.platform.fsck().findings} - {"reserve_missing"}


def test_fsck_finds_nothing_where_nothing_is_wrong(served: Hall) -> None:
    recipient = told_often(served, 3)
    served.platform.mark(subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested")
    served.platform.acknowledge_feed(applied(served, recipient))
    assert codes(served) == set()
    served.platform.erase(subject="anna")
    assert codes(served) == set()


def test_C15a_fsck_finds_a_feed_that_was_changed_cut_or_not_told(served: Hall) -> None:
    """A feed that somebody shortened or changed, or a restriction that was kept from a recipient, is found."""
    recipient = told_often(served, 3)
    state = served.database._state
    served.platform.acknowledge_feed(applied(served, recipient))

    def tampered(change: Callable[[dict[tuple[str, int], FeedEntry]], object]) -> set[str]:
        tables, counters = served.database._state
        before = served.database._state
        entries = dict(tables["feed_entries"])
        change(entries)
        served.database._state = ({**tables, "feed_entries": entries}, counters)
        found = codes(served)
        served.database._state = before
        return found

    last, middle = (recipient, 3), (recipient, 2)
    assert state is not served.database._state
    assert "feed_broken" in tampered(lambda rows: rows.pop(middle))
    assert "feed_broken" in tampered(lambda rows: rows.update({last: replace(rows[last], purposes="x")}))
    assert "acknowledgement_unfounded" in tampered(lambda rows: rows.pop(last))
    served.platform.mark(subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested")
    assert "recipient_not_told" in tampered(lambda rows: rows.pop((recipient, 4)))
    served.platform.erase(subject="anna")
    assert "feed_cut" in tampered(lambda rows: rows.pop((recipient, 5)))


def test_fsck_finds_a_recipient_without_its_key_and_the_sweep_takes_a_key_without_its_recipient(
    served: Hall,
) -> None:
    recipient = told_often(served, 1)
    served.platform.keyring.make_tenant_key("recipient:rcp_" + "a" * 24)
    served.advance(hours=3)
    assert "key_without_data" in codes(served)
    served.platform.sweep()
    assert codes(served) == set()
    assert served.platform.keyring.has_tenant_key(f"recipient:{recipient}")
    served.platform.keyring.destroy_tenant_key(f"recipient:{recipient}")
    assert "recipient_without_key" in codes(served)


def test_I9_fsck_ends_a_recipient_whose_key_is_gone_and_goes_on_telling_it(served: Hall) -> None:
    """A recipient whose key is lost receives nothing more, and is still told of an erasure by the name it knows."""
    recipient = told_often(served, 1)
    served.platform.keyring.destroy_tenant_key(f"recipient:{recipient}")
    report = served.platform.fsck(repair=True)
    assert {finding.code for finding in report.repaired} == {"recipient_without_key"}
    assert codes(served) == set()
    (view,) = served.platform.recipients()
    assert (view.ended_at is not None, view.destroyed) == (True, False)
    ended = [line for line in served.platform.show_audit(kind="recipient") if line.kind == "recipient.ended"]
    assert [line.outcome for line in ended] == ["no_keys"]
    served.platform.erase(subject="anna")
    assert kinds(served, recipient)[-1] == "erased"
    assert codes(served) == set()


def test_a_home_that_is_opened_again_goes_on_with_the_same_feed(served: Hall) -> None:
    recipient = told_often(served, 2)
    again = assemble(served.adapters, Settings(home=served.platform.home))
    again.erase(subject="anna")
    assert kinds(served, recipient) == ["rectified", "rectified", "erased"]
    again.close()
