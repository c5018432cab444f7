"""The consent ledger's fold and gate, against an independent reference."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sottovoce.model.consent import (
    ConsentAction,
    ConsentDecision,
    ConsentEvent,
    ConsentStatus,
    NoticeVersion,
    PurposeConsent,
    decide,
    fold,
    material_ordinals,
)

GRANT, REFUSE, WITHDRAW = ConsentAction.GRANT, ConsentAction.REFUSE, ConsentAction.WITHDRAW
T0 = datetime(2026, 3, 1, tzinfo=UTC)


def at(minute: int) -> datetime:
    return T0 + timedelta(minutes=minute)


def event(
    sequence: int, action: ConsentAction, *, occurred: int | None = None, ordinal: int = 1, purpose: str = "p"
) -> ConsentEvent:
    return ConsentEvent(
        id=f"con_{sequence}_{action}_{purpose}_{ordinal}_{occurred}", tenant="default", subject_id="sub_1",
        sequence=sequence, batch_id="bat_1", purpose=purpose, action=action, notice_id=f"ntc_{ordinal}",
        notice_ordinal=ordinal, channel="web", evidence=None,
        occurred_at=at(sequence if occurred is None else occurred), recorded_at=at(sequence),
    )  # fmt: skip


def status(*events: ConsentEvent) -> ConsentStatus:
    return fold(events)["p"].status


# A second way to say the same rules: no running state, each grant is judged against all that came before it.


def reference(events: Sequence[ConsentEvent]) -> dict[str, tuple[str, str | None, int]]:
    """Purpose -> (status, id of the event that decides, ordinal of its notice)."""
    found = {}
    for purpose in {e.purpose for e in events}:
        mine = [e for e in events if e.purpose == purpose]
        mine.sort(key=lambda e: e.id)
        mine.sort(key=lambda e: 0 if e.action == "grant" else 1)
        mine.sort(key=lambda e: e.sequence)
        in_force = [i for i in range(len(mine)) if _counts(mine, i)]
        if not in_force:
            found[purpose] = ("never_asked", None, 0)
            continue
        last = mine[in_force[-1]]
        word = {"grant": "granted", "refuse": "refused", "withdraw": "withdrawn"}[last.action.value]
        found[purpose] = (word, last.id, last.notice_ordinal)
    return found


def _counts(mine: list[ConsentEvent], i: int) -> bool:
    """Whether the i-th event has any effect: a stop always has, a grant unless a stop before it forbids it."""
    if mine[i].action != "grant":
        return True
    standing = [mine[k] for k in range(i) if _counts(mine, k)][-1:]
    if any(e.action == "grant" and e.notice_ordinal > mine[i].notice_ordinal for e in standing):
        return False
    return not any(_forbids(mine, j, mine[i]) for j in range(i) if mine[j].action != "grant")


def _forbids(mine: list[ConsentEvent], j: int, grant: ConsentEvent) -> bool:
    before = [mine[k].notice_ordinal for k in range(j) if _counts(mine, k)]
    newest_version = max([mine[j].notice_ordinal, *before[-1:]])
    return grant.occurred_at < mine[j].occurred_at or grant.notice_ordinal < newest_version


EVENTS = st.lists(
    st.builds(
        event,
        st.integers(1, 12),
        st.sampled_from(ConsentAction),
        occurred=st.integers(0, 12),
        ordinal=st.integers(0, 3),
        purpose=st.sampled_from(["p", "q"]),
    ),
    max_size=12,
    unique_by=lambda e: e.id,
)


@given(events=EVENTS)
@settings(max_examples=300)
def test_C1c_the_fold_equals_a_reference(events: list[ConsentEvent]) -> None:
    """What holds now, computed from all consents and withdrawals, equals what a second, independent rule says."""
    folded = fold(events)
    assert {p: (s.status.value, s.event_id, s.notice_ordinal) for p, s in folded.items()} == reference(events)


def test_C1c_a_thousand_random_orders_of_arrival_fold_to_the_same_state() -> None:
    """In whatever order the stored consents are read back, the same state comes out."""
    dice = random.Random(1)
    for _ in range(1000):
        events = [
            event(
                dice.randint(1, 8), dice.choice(list(ConsentAction)), occurred=dice.randint(0, 8),
                ordinal=dice.randint(0, 3), purpose=dice.choice("pq"),
            )
            for _ in range(10)
        ]  # fmt: skip
        events = list({e.id: e for e in events}.values())
        expected = reference(events)
        dice.shuffle(events)
        folded = fold(events)
        assert {p: (s.status.value, s.event_id, s.notice_ordinal) for p, s in folded.items()} == expected


def test_C1c_on_a_tie_withdrawal_wins() -> None:
    """When a consent and its withdrawal carry the same number, the withdrawal holds."""
    assert status(event(1, GRANT), event(1, WITHDRAW)) is ConsentStatus.WITHDRAWN
    assert status(event(1, WITHDRAW), event(1, GRANT)) is ConsentStatus.WITHDRAWN
    assert status(event(1, REFUSE), event(1, GRANT)) is ConsentStatus.REFUSED


def test_C1c_two_grants_in_one_instant_are_both_kept() -> None:
    """Two consents given in the same instant for two purposes both hold."""
    one, two = event(1, GRANT, occurred=0, purpose="p"), event(2, GRANT, occurred=0, purpose="q")
    assert {p: s.status for p, s in fold([two, one]).items()} == dict.fromkeys("pq", ConsentStatus.GRANTED)


def test_X01_a_withdrawal_ends_an_older_consent() -> None:
    """After a withdrawal the older consent no longer counts."""
    state = fold([event(1, GRANT), event(2, WITHDRAW)])["p"]
    assert state.status is ConsentStatus.WITHDRAWN
    assert not decide({"p": state}, ["p"], material={}).allowed


def test_C2b_what_occurred_before_the_withdrawal_revives_nothing() -> None:
    """A consent that was given before the withdrawal but arrives after it does not count."""
    assert status(event(1, GRANT), event(2, WITHDRAW), event(3, GRANT, occurred=1)) is ConsentStatus.WITHDRAWN
    assert status(event(1, REFUSE, occurred=5), event(2, GRANT, occurred=4)) is ConsentStatus.REFUSED


def test_C2b_a_late_consent_to_an_older_notice_revives_nothing() -> None:
    """After a withdrawal, a consent to an older text than the one withdrawn from does not count."""
    before = (event(1, GRANT, ordinal=2), event(2, WITHDRAW, ordinal=0))
    assert status(*before, event(3, GRANT, ordinal=1)) is ConsentStatus.WITHDRAWN
    assert status(*before, event(3, GRANT, ordinal=2)) is ConsentStatus.GRANTED
    named = (event(1, GRANT, ordinal=1), event(2, WITHDRAW, ordinal=3))
    assert status(*named, event(3, GRANT, ordinal=2)) is ConsentStatus.WITHDRAWN


def test_C2b_the_barrier_of_an_earlier_withdrawal_still_stands() -> None:
    """A second withdrawal that occurred earlier does not open the door for a consent between the two."""
    events = [event(1, WITHDRAW, occurred=10), event(2, WITHDRAW, occurred=3), event(3, GRANT, occurred=5)]
    assert status(*events) is ConsentStatus.WITHDRAWN
    revived = fold([*events, event(4, GRANT, occurred=11), event(5, GRANT, occurred=6)])["p"]
    assert revived.event_id == event(4, GRANT, occurred=11).id  # nor does a later grant remove the barrier


def test_a_new_consent_after_a_withdrawal_counts() -> None:
    state = fold([event(1, GRANT), event(2, WITHDRAW), event(3, GRANT)])["p"]
    assert state == PurposeConsent(
        purpose="p", status=ConsentStatus.GRANTED, event_id=event(3, GRANT).id, notice_id="ntc_1",
        notice_ordinal=1, since=at(3), barrier_at=at(2), barrier_ordinal=1,
    )  # fmt: skip


def test_nothing_recorded_means_no() -> None:
    assert fold([]) == {}
    assert decide({}, ["p"], material={}) == ConsentDecision(missing=("p",))
    assert decide(fold([event(1, GRANT)]), ["p", "q"], material={}).missing == ("q",)


def notice(ordinal: int, *, material: bool, purpose: str = "p") -> NoticeVersion:
    return NoticeVersion(
        id=f"ntc_{ordinal}", tenant="default", purpose=purpose, version=str(ordinal), ordinal=ordinal, locale="en",
        material=material, sha256="", text=b"the text", published_at=T0,
    )  # fmt: skip


def test_C3a_a_material_change_asks_again_and_an_editorial_one_does_not() -> None:
    """When the text changes materially, a person has to be asked again; after a mere correction they do not."""
    first = [notice(1, material=True)]
    states = fold([event(1, GRANT, ordinal=1)])
    assert decide(states, ["p"], material=material_ordinals(first)).allowed
    assert decide(states, ["p"], material=material_ordinals([*first, notice(2, material=False)])).allowed
    changed = material_ordinals(
        [*first, notice(2, material=False), notice(3, material=True), notice(4, material=False)]
    )
    assert decide(states, ["p"], material=changed) == ConsentDecision(outdated=("p",))
    for ordinal in (3, 4):
        again = fold([event(1, GRANT, ordinal=1), event(2, GRANT, ordinal=ordinal)])
        assert decide(again, ["p"], material=changed).allowed


@given(
    notices=st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.sampled_from("pq")), max_size=8),
    granted=st.integers(1, 9),
)
def test_C3a_a_consent_stands_until_the_next_material_text(
    notices: list[tuple[int, bool, str]], granted: int
) -> None:
    """A consent holds exactly as long as no material text with a higher number has been published."""
    versions = [notice(ordinal, material=material, purpose=p) for ordinal, material, p in notices]
    answer = decide(fold([event(1, GRANT, ordinal=granted)]), ["p"], material=material_ordinals(versions))
    newer = [o for o, material, p in notices if p == "p" and material and o > granted]
    assert answer.allowed == (not newer)
    assert answer.missing == ()


@pytest.mark.parametrize("action", [REFUSE, WITHDRAW])
def test_what_was_refused_or_withdrawn_is_missing_and_not_outdated(action: ConsentAction) -> None:
    answer = decide(fold([event(1, action)]), ["p"], material={"p": 9})
    assert answer == ConsentDecision(missing=("p",))


def test_evidence_and_notice_text_are_in_no_repr() -> None:
    secret = b"canary"
    assert "canary" not in repr(replace(event(1, GRANT), evidence=secret))
    assert "canary" not in repr(replace(notice(1, material=True), text=secret))


def test_C2b_a_late_grant_on_an_older_notice_replaces_no_newer_one() -> None:
    """A consent on the newest text stands; an older form that arrives late takes nothing of it away."""
    newer = event(1, ConsentAction.GRANT, occurred=5, ordinal=2)
    late = event(2, ConsentAction.GRANT, occurred=1, ordinal=1)
    state = fold([newer, late])["p"]
    assert (state.event_id, state.notice_ordinal) == (newer.id, 2)
