"""Erasure, expiry, sweeping and reading, on the shipped fakes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from sottovoce.app import verify_receipt
from sottovoce.errors import ConsentRequired, KeyUnavailable, NotFound, StorageError, UsageError
from sottovoce.model.policy import Policy
from sottovoce.model.purpose import EMBEDDING, MODEL_TRAINING, VOICE_ANALYSIS, PurposeGrant
from sottovoce.model.recording import RecordingState
from sottovoce.model.retention import RetentionPolicy

if TYPE_CHECKING:
    from conftest import Hall


def rows_about(hall: Hall, subject_id: str) -> dict[str, int]:
    with hall.database.read() as tx:
        return tx.rows_of(subject_id)


def subject_id(hall: Hall, subject: str = "anna") -> str:
    with hall.database.read() as tx:
        person = hall.platform._record.people.find(tx, subject)
    assert person is not None
    return person.id


# --- erasure ----------------------------------------------------------------------------------------------


def test_C11a_erasing_a_person_leaves_no_row_no_key_no_body_no_receipt_copy(hall: Hall) -> None:
    """An erased person's rows, keys, audio and receipts are gone; a tombstone and the signed receipt stay."""
    hall.grant()
    hall.analyze()
    hall.submit()
    person = subject_id(hall)
    outcome = hall.platform.erase(subject="anna")
    assert outcome.result == "erased"
    assert rows_about(hall, person) == {}
    assert list(hall.platform.keyring.rows(subject_id=person)) == []
    assert list(hall.bodies.list()) == []
    copies = {info.path for info in hall.adapters.receipt_copies.list()}
    assert copies == {f"{outcome.request_id}.json"}
    receipt = verify_receipt(outcome.receipt or "", key=hall.platform.identity())
    assert receipt.body["subject_id"] == person
    with hall.database.read() as tx:
        assert [stone.id for stone in tx.requests.tombstones()] == [person]


def test_C11d_the_same_request_gives_the_stored_receipt(hall: Hall) -> None:
    """An erasure asked for twice under one request id is one erasure with one receipt."""
    hall.grant()
    request_id = "req_" + "b" * 24
    first = hall.platform.erase(subject="anna", request_id=request_id)
    again = hall.platform.erase(subject="anna", request_id=request_id)
    assert first.receipt == again.receipt
    assert again.result == "erased"


def test_F26_unknown_and_erased_people_get_the_identical_answer(hall: Hall) -> None:
    """Nobody can learn from an erasure whether a person was ever here: the two answers are the same bytes."""
    hall.grant()
    hall.platform.erase(subject="anna")
    erased, unknown = hall.platform.erase(subject="anna"), hall.platform.erase(subject="never seen")
    assert erased == unknown
    assert erased.result == "nothing_held"
    verify_receipt(erased.receipt or "", key=hall.platform.identity())


def test_X03_a_person_without_any_consent_sees_and_erases_what_is_held(hall: Hall) -> None:
    """Rights are never gated by consent."""
    hall.grant()
    session = hall.analyze().session_id
    hall.platform.withdraw(subject="anna", purposes=["voice_recording", VOICE_ANALYSIS])
    assert [view.session_id for view in hall.platform.sessions(subject="anna")] == [session]
    assert hall.platform.show(session, purpose="subject_access").features is not None
    assert hall.platform.erase(subject="anna").result == "erased"


def test_M33_one_session_is_erased_and_the_others_stay(hall: Hall) -> None:
    """Erasing one recording leaves the person's other recordings readable."""
    hall.grant()
    gone, stays = hall.analyze().session_id, hall.analyze().session_id
    outcome = hall.platform.erase(subject="anna", session_id=gone)
    assert outcome.result == "erased"
    with pytest.raises(NotFound):
        hall.platform.show(gone, purpose="subject_access")
    assert hall.platform.show(stays, purpose="subject_access").features is not None
    assert hall.platform.erase(subject="anna", session_id=gone).result == "nothing_held"


def test_M33_a_session_of_somebody_else_is_not_erased(hall: Hall) -> None:
    """Nobody erases a session of another person by naming its id."""
    hall.grant()
    hall.grant("berta")
    session = hall.analyze().session_id
    assert hall.platform.erase(subject="berta", session_id=session).result == "nothing_held"
    assert hall.platform.show(session, purpose="subject_access").features is not None


def test_C11e_an_erased_record_does_not_open_with_what_is_left(hall: Hall) -> None:
    """The ciphertext of an erased record, kept by somebody, opens with no key that is left."""
    hall.grant()
    session = hall.analyze().session_id
    with hall.database.read() as tx:
        copy = tx.records.of_session(session)
    hall.platform.erase(subject="anna", session_id=session)
    for record in copy:
        grant = PurposeGrant("subject_access", record.subject_id, session)
        with pytest.raises(KeyUnavailable):
            hall.platform._disclosure.vault._open(record, grant)


@pytest.mark.parametrize("step", ["destroy_subject", "erase_rows", "complete"])
def test_X07_an_interrupted_erasure_is_resumed_by_the_next_start(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """An erasure that was promised and interrupted is finished by the next start, without being asked again."""
    hall.grant()
    hall.analyze()
    person = subject_id(hall)
    target = {
        "destroy_subject": (type(hall.platform.keyring), "destroy_subject"),
        "erase_rows": (type(hall.database), "tidy"),
        "complete": (type(hall.platform._rights), "_complete"),
    }[step]

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*target, interrupted)
        with pytest.raises(KeyboardInterrupt):
            hall.platform.erase(subject="anna")
    assert hall.platform.start().erasures_resumed == 1
    assert rows_about(hall, person) == {}
    assert not hall.platform.keyring.holds_anything_of(person)
    with hall.database.read() as tx:
        assert tx.requests.unfinished() == ()


def test_X07_erasing_again_after_an_interruption_carries_out_the_same_promise(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking again after an interrupted erasure finishes it and gives its receipt, also with the rows gone;
    nobody who was promised an erasure is told that nothing was held."""
    hall.grant()
    with monkeypatch.context() as patch:
        patch.setattr(type(hall.platform._rights), "_complete", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            hall.platform.erase(subject="anna")
    with hall.database.read() as tx:
        (promised,) = tx.requests.unfinished()
    again = hall.platform.erase(subject="anna")  # her rows are gone already
    assert (again.result, again.request_id) == ("erased", promised.id)
    with hall.database.read() as tx:
        assert tx.requests.unfinished() == ()
    assert hall.platform.erase(subject="anna").result == "nothing_held"


def test_X07_asking_again_before_the_rows_are_gone_carries_out_the_same_promise(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An erasure interrupted after its keys were destroyed is carried out by simply asking again."""
    hall.grant()
    with monkeypatch.context() as patch:
        patch.setattr(type(hall.platform._rights), "_inventory", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            hall.platform.erase(subject="anna")
    with hall.database.read() as tx:
        (promised,) = tx.requests.unfinished()
    assert hall.platform.erase(subject="anna").request_id == promised.id


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_I10_erasure_works_on_a_full_disk(hall: Hall) -> None:
    """When the disk is full, nothing new is accepted, and a person can still be erased."""
    hall.grant()
    hall.analyze()
    person = subject_id(hall)
    hall.database.disk_full = True
    with pytest.raises(StorageError) as raised:
        hall.analyze()
    assert raised.value.reason == "storage_full"
    assert hall.platform.erase(subject="anna").result == "erased"
    assert rows_about(hall, person) == {}


def test_C11a_nothing_is_called_erased_while_something_is_left(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a store keeps what it was told to delete, no receipt says that it is gone."""
    hall.grant()
    hall.submit()
    with monkeypatch.context() as patch:
        patch.setattr(hall.bodies, "delete", lambda path: True)
        with pytest.raises(StorageError):
            hall.platform.erase(subject="anna")
    with hall.database.read() as tx:
        (request,) = tx.requests.unfinished()
        assert request.receipt is None
    hall.platform.start()
    assert list(hall.bodies.list()) == []


def test_erase_dry_run_counts_and_changes_nothing(hall: Hall) -> None:
    hall.grant()
    session = hall.analyze().session_id
    whole = hall.platform.erase(subject="anna", dry_run=True)
    assert (whole.result, whole.counts["sessions"], whole.counts["records"]) == ("would_erase", 1, 2)
    one = hall.platform.erase(subject="anna", session_id=session, dry_run=True)
    assert one.result == "would_erase"
    assert hall.platform.erase(subject="nobody", dry_run=True).result == "nothing_held"
    assert hall.platform.show(session, purpose="subject_access").features is not None


@pytest.mark.parametrize("ids", [{"session_id": "../x"}, {"request_id": "x"}])
def test_ids_that_are_none_are_refused(hall: Hall, ids: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        hall.platform.erase(subject="anna", **ids)


def test_erased_people_can_come_back_as_somebody_new(hall: Hall) -> None:
    """After an erasure the same outside id is a new person without any past."""
    hall.grant()
    before = subject_id(hall)
    hall.platform.erase(subject="anna")
    with pytest.raises(ConsentRequired):
        hall.analyze()
    hall.grant()
    assert subject_id(hall) != before
    assert hall.platform.sessions(subject="anna") == ()


# --- expiry -----------------------------------------------------------------------------------------------


def test_C10a_records_expire_at_the_earlier_of_promise_and_policy(hall: Hall) -> None:
    """A shorter policy takes effect with the next sweep; a longer one never extends a promise."""
    hall.grant()
    session = hall.analyze().session_id
    set_policy(hall, days=90)
    hall.advance(days=29)
    assert hall.platform.sweep().records_expired == 0
    hall.advance(days=2)
    assert hall.platform.sweep().records_expired == 3
    second = hall.analyze().session_id
    set_policy(hall, days=1)
    hall.advance(days=2)
    with pytest.raises(NotFound):
        hall.platform.show(second, purpose="subject_access")  # due, though not swept
    assert hall.platform.sweep().records_expired == 3
    assert session != second
    assert "record.expired" in hall.kinds_of_events()


def set_policy(hall: Hall, *, days: int) -> None:
    policy = RetentionPolicy(dict.fromkeys(("features", "insight", "embedding", "decision"), days))
    sweep = replace(hall.platform._sweep, policy=replace(hall.platform._policy, retention=policy))
    hall.platform._sweep = sweep
    hall.platform._disclosure = replace(hall.platform._disclosure, retention=policy)


def test_X11_an_overdue_item_is_swept_and_counted(hall: Hall) -> None:
    """An expiry date is acted upon: what is overdue is found, alarmed about and gone."""
    hall.grant()
    hall.submit()
    hall.advance(hours=30)
    assert hall.platform.sweep(dry_run=True).overdue == 1
    assert hall.platform.sweep().overdue == 1
    assert hall.platform.sweep().overdue == 0


def test_C10b_a_live_lease_is_respected_until_the_deadline_never_after(hall: Hall) -> None:
    """Work in progress is left alone until the promised deadline, and not one moment longer."""
    hall.grant()
    seen = []

    def meanwhile() -> None:
        seen.append(hall.platform.sweep().interrupted_finished)
        hall.advance(hours=24)
        seen.append(hall.platform.sweep().audio_discarded)

    hall.submit()
    hall.extractor.before = meanwhile
    hall.platform.work_next()
    assert seen == [0, 1]
    assert hall.audio_left() == (0, 0)


def test_I2_bodies_and_keys_without_an_owner_go_after_a_grace(hall: Hall) -> None:
    """Stored audio that belongs to no recording, and keys that seal nothing, are collected after a grace."""
    from sottovoce.usecases.keyring import NewKey

    hall.grant()
    person = subject_id(hall)
    with hall.bodies.writer("ses_" + "c" * 24) as writer:
        writer.write(b"orphan")
    hall.platform.keyring.new_key(NewKey("recording", "audio", person, "ses_" + "c" * 24))
    hall.platform.keyring.new_key(NewKey("record", "features", person, "rec_" + "d" * 24))
    hall.platform.keyring.make_subject("sub_" + "e" * 24)
    assert hall.platform.sweep().orphan_bodies == 0
    hall.advance(hours=2)
    assert hall.platform.sweep(dry_run=True).orphan_keys == 7
    report = hall.platform.sweep()
    assert (report.orphan_bodies, report.orphan_keys) == (1, 7)
    hall.grant()
    assert hall.analyze().retention.kept  # the living keep their keys


def test_one_thing_that_cannot_be_finished_never_stops_the_rest(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    hall.grant()
    hall.submit()
    hall.grant("berta")
    hall.submit("berta")
    hall.advance(hours=25)
    settle, calls = type(hall.platform._discard).settle, []

    def sometimes(self: object, session_id: str, **rest: object) -> object:
        calls.append(session_id)
        if len(calls) == 1:
            raise StorageError("Not now.", reason="audio_remains")
        return settle(self, session_id, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(type(hall.platform._discard), "settle", sometimes)
    report = hall.platform.sweep()
    assert (report.audio_discarded, report.errors) == (1, ("audio_remains",))
    assert hall.platform.sweep().interrupted_finished == 1


# --- reading ----------------------------------------------------------------------------------------------


def test_C5a_no_record_opens_without_a_purpose_that_is_granted(hall: Hall) -> None:
    """Nothing is opened without a purpose; an unknown purpose means no."""
    hall.grant()
    session = hall.analyze().session_id
    assert hall.platform.show(session, purpose=VOICE_ANALYSIS).insight is not None
    with pytest.raises(UsageError):
        hall.platform.show(session, purpose="curiosity")
    with pytest.raises(ConsentRequired):
        hall.platform.show(session, purpose=MODEL_TRAINING)
    hall.grant(purposes=[MODEL_TRAINING])
    content = hall.platform.show(session, purpose=MODEL_TRAINING)
    assert content.features is not None
    assert content.insight is None  # that purpose does not open insights


def test_C5a_a_grant_for_one_session_opens_no_other(hall: Hall) -> None:
    """The permission to open one session opens nothing else."""
    hall.grant()
    first, second = hall.analyze().session_id, hall.analyze().session_id
    with hall.database.read() as tx:
        record = tx.records.of_session(first)[0]
    vault = hall.platform._disclosure.vault
    with pytest.raises(ConsentRequired):
        vault._open(record, PurposeGrant("subject_access", record.subject_id, second))
    with pytest.raises(ConsentRequired):
        vault._open(record, PurposeGrant(EMBEDDING, record.subject_id, first))


def test_X37_the_read_is_in_the_log_before_the_data_is_opened(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a read cannot be logged, it does not happen."""
    hall.grant()
    session = hall.analyze().session_id
    opened: list[str] = []
    vault = type(hall.platform._disclosure.vault)
    monkeypatch.setattr(vault, "open_features", lambda *a: opened.append("opened"))
    monkeypatch.setattr(hall.database, "disk_full", True)
    with pytest.raises(StorageError):
        hall.platform.show(session, purpose="subject_access")
    assert opened == []


def test_M33_unknown_sessions_are_not_found(hall: Hall) -> None:
    """An id that names no session is not found, whoever asks."""
    with pytest.raises(NotFound):
        hall.platform.show("ses_" + "a" * 24, purpose="subject_access")
    assert hall.platform.sessions(subject="nobody") == ()


def test_X25_a_record_moved_to_another_person_does_not_open(hall: Hall) -> None:
    """A sealed record copied into another person's row is refused."""
    from sottovoce.errors import IntegrityError

    hall.grant()
    hall.grant("berta")
    session, other = hall.analyze().session_id, hall.analyze("berta").session_id
    with hall.database.read() as tx:
        (mine, *_), (theirs, *_) = tx.records.of_session(session), tx.records.of_session(other)
    moved = replace(theirs, body=mine.body)
    with pytest.raises(IntegrityError):
        hall.platform._disclosure.vault._open(moved, PurposeGrant("subject_access", moved.subject_id, other))


def test_sessions_show_states_and_what_is_kept(hall: Hall) -> None:
    hall.grant()
    hall.analyze()
    queued = hall.submit().session_id
    views = {view.session_id: view for view in hall.platform.sessions(subject="anna")}
    assert views[queued].state is RecordingState.RECEIVED
    assert not views[queued].kept
    done = next(view for view in views.values() if view.session_id != queued)
    assert (done.kept, done.record_kinds) == (True, ("features", "insight"))
    assert done.expires_at == done.ended_at + timedelta(days=30)  # type: ignore[operator]


# --- audit, keys, health ----------------------------------------------------------------------------------


def test_I6_every_change_of_state_has_its_entry_and_the_log_verifies(hall: Hall) -> None:
    """Everything that happened to a recording is in the log, in order, and the log verifies."""
    hall.grant()
    hall.analyze()
    hall.submit()
    hall.platform.work_next()
    assert hall.kinds_of_events() == [
        "consent.grant", "recording.received", "recording.committed", "recording.verified",
        "recording.received", "recording.stored", "recording.claimed", "recording.committed", "recording.verified",
    ]  # fmt: skip
    report = hall.platform.verify_audit()
    assert report.intact
    assert report.events == 9


def test_X34_an_empty_log_says_no_evidence(hall: Hall) -> None:
    """A log without entries is no evidence of anything, and says so."""
    assert hall.platform.verify_audit().evidence == "no evidence"


def test_X39_after_erasure_entries_cannot_be_linked_and_the_log_still_verifies(hall: Hall) -> None:
    """Once a person is erased, nothing that is left says which entries were theirs, and the log still verifies."""
    hall.grant()
    hall.analyze()
    lines = hall.platform.show_audit(subject="anna")
    assert all(line.details for line in lines if line.kind == "recording.received")
    hall.platform.erase(subject="anna")
    assert hall.platform.verify_audit().intact
    later = hall.platform.show_audit(limit=100)
    assert all(line.details is None for line in later if line.pseudonym)
    with pytest.raises(NotFound):
        hall.platform.show_audit(subject="anna")


def test_X17_no_entry_holds_a_persons_id(hall: Hall) -> None:
    """The log names people only by a pseudonym, never by an id of the operator or of ours."""
    hall.grant("anna@example.org")
    person = subject_id(hall, "anna@example.org")
    session = hall.analyze("anna@example.org").session_id
    with hall.database.read() as tx:
        text = repr([(e.to_canonical(), e.details) for e in tx.events.iterate()])
    assert "anna" not in text
    assert session not in text
    assert person not in text


def test_M14_rotation_keeps_everything_readable(hall: Hall) -> None:
    """Changing the keys that wrap keys loses nothing and re-encrypts no data."""
    hall.grant()
    session = hall.analyze().session_id
    with hall.database.read() as tx:
        before = [record.body for record in tx.records.of_session(session)]
    report = hall.platform.rotate_keys()
    assert report.to_epoch == report.from_epoch + 1
    with hall.database.read() as tx:
        assert [record.body for record in tx.records.of_session(session)] == before
    assert hall.platform.show(session, purpose="subject_access").features is not None
    assert hall.platform.keys_status().epoch == report.to_epoch


def test_C4b_receipts_stay_valid_when_the_signing_key_is_replaced(hall: Hall) -> None:
    """A receipt signed by an older key still verifies after the key was replaced, by the old key's own statement."""
    hall.grant()
    old_pin = hall.platform.identity()
    before = hall.analyze().audio.receipt or ""
    document = hall.platform.replace_identity()
    after = hall.analyze().audio.receipt or ""
    for text in (before, after):
        verify_receipt(text, key=document)
    verify_receipt(before, key=old_pin)
    from sottovoce.errors import UnknownSigner

    with pytest.raises(UnknownSigner):
        verify_receipt(after, key=old_pin)


def test_doctor_says_what_is_overdue_and_in_force(hall: Hall) -> None:
    hall.grant()
    hall.submit()
    names = {check.name: check for check in hall.platform.doctor()}
    assert names["overdue"].state == "ok"
    assert "rlimits" in names["sealed child"].found
    assert "nothing can be destroyed while nothing runs" in names["mode"].found
    hall.advance(hours=25)
    assert {c.name: c for c in hall.platform.doctor()}["overdue"].state == "warn"


def test_policy_refuses_what_would_break_a_promise() -> None:
    from sottovoce.errors import ConfigurationError

    for wrong in (
        {"hold_ttl": timedelta(days=31)},
        {"lease": timedelta(seconds=10)},
        {"orphan_grace": timedelta(seconds=1)},
    ):
        with pytest.raises(ConfigurationError):
            Policy(**wrong)


@pytest.mark.parametrize("swaps", [("/swapfile",), ()])
def test_M05_a_policy_may_refuse_active_swap(
    new_hall: Callable[..., Hall], monkeypatch: pytest.MonkeyPatch, swaps: tuple[str, ...], jfk_path: object
) -> None:
    """Where the policy says so, no audio is handled beside active unencrypted swap."""
    from sottovoce.errors import ConfigurationError

    hall = new_hall(refuse_swap=True)
    hall.grant()
    monkeypatch.setattr("sottovoce.adapters.host_linux.active_swaps", lambda: swaps)
    if swaps:
        with pytest.raises(ConfigurationError):
            hall.platform.analyze(str(jfk_path), subject="anna")
    else:
        assert hall.platform.analyze(str(jfk_path), subject="anna").retention.kept


def test_F18_a_used_home_without_its_key_store_does_not_go_on_under_new_keys(hall: Hall) -> None:
    """A home whose key store has vanished is refused; it never goes on silently under new keys."""
    from sottovoce.adapters.memory import MemoryKeyStore
    from sottovoce.app import assemble

    hall.grant()
    emptied = replace(hall.adapters, long_lived=MemoryKeyStore(), short_lived=MemoryKeyStore())
    with pytest.raises(KeyUnavailable) as raised:
        assemble(emptied, hall.platform.settings)
    assert raised.value.reason == "key_store_missing"
