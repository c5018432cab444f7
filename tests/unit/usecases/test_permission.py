"""What a person allows, against an independent reading of their consents and marks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import ConsentRequired, ReconsentRequired
from sottovoce.model.consent import ConsentStatus, PurposeConsent
from sottovoce.model.inference import ModelUse
from sottovoce.model.mark import Mark, MarkKind
from sottovoce.usecases.permission import Consents, consent_error, consents_of

if TYPE_CHECKING:
    from conftest import Hall

PURPOSES = ("voice_recording", "voice_analysis", "infer_apparent_sex")
AT = datetime(2026, 1, 1, tzinfo=UTC)

states = st.dictionaries(
    st.sampled_from(PURPOSES),
    st.tuples(st.sampled_from(ConsentStatus), st.integers(0, 3)),
)
marks = st.lists(
    st.tuples(
        st.sampled_from([MarkKind.RESTRICTION, MarkKind.OBJECTION, MarkKind.HOLD]),
        st.sampled_from([*PURPOSES, None]),
        st.booleans(),
    ),
    max_size=3,
)


def a_mark(kind: MarkKind, purpose: str | None, lifted: bool) -> Mark:
    return Mark(
        id="mrk_a", tenant="default", subject_id="sub_a", session_id=None, kind=kind,
        purpose=purpose if kind is MarkKind.OBJECTION else None, reason="other", asked_by="person",
        request_id=None, detail=None, placed_at=AT, lifted_at=AT if lifted else None,
    )  # fmt: skip


def a_model(attribute: str) -> ModelUse:
    return ModelUse(
        attribute=attribute, sha256="ab" * 32, card_sha256="cd" * 32, feature_profile="compat",
        feature_version="egemaps-88/1", threshold=None, percent=None, guarantee="none", not_for="",
        demonstration=True, data=b"",
    )  # fmt: skip


@given(
    states,
    st.dictionaries(st.sampled_from(PURPOSES), st.integers(0, 3)),
    marks,
    st.sets(st.sampled_from(PURPOSES)),
)
def test_C2c_C12b_nothing_is_allowed_but_what_is_granted_on_a_notice_that_stands_and_is_not_stopped(
    said: dict[str, tuple[ConsentStatus, int]],
    material: dict[str, int],
    stands: list[tuple[MarkKind, str | None, bool]],
    wanted: set[str],
) -> None:
    """A use is allowed where every purpose of it is granted on a notice that still holds, and no restriction or
    objection stands against it; in every other case it is refused."""
    consents = Consents(
        {name: PurposeConsent(name, status, notice_ordinal=shown) for name, (status, shown) in said.items()},
        material,
        tuple(a_mark(*one) for one in stands),
    )
    restricted = any(kind is MarkKind.RESTRICTION and not lifted for kind, _, lifted in stands)
    objected = any(
        kind is MarkKind.OBJECTION and not lifted and (purpose is None or purpose in wanted)
        for kind, purpose, lifted in stands
    )
    granted = all(
        name in said and said[name][0] == "granted" and said[name][1] >= material.get(name, 0)
        for name in wanted
    )
    allowed = granted and not restricted and not objected
    purposes = sorted(wanted)
    assert consents.allow(purposes) == allowed
    if allowed:
        consents.check(purposes)
    else:
        with pytest.raises(ConsentRequired) as raised:
            consents.check(purposes)
        stopped = raised.value.reason in ("restricted", "objected")
        assert stopped == (restricted or objected)  # what stands against it is told before what is missing


def test_BP4_a_model_may_speak_where_its_own_purpose_is_granted() -> None:
    """Of several models only those may speak whose own purpose the person has agreed to."""
    sex, age = a_model("apparent_sex"), a_model("apparent_age")
    granted = {"infer_apparent_sex": PurposeConsent("infer_apparent_sex", ConsentStatus.GRANTED)}
    assert Consents(granted, {}).agreed((age, sex)) == (sex,)
    assert Consents({}, {}).agreed((age, sex)) == ()


def test_what_is_missing_is_told_before_what_is_outdated() -> None:
    missing, outdated = (
        consent_error(("voice_analysis",), ("voice_recording",)),
        consent_error((), ("voice_recording",)),
    )
    assert type(missing) is ConsentRequired
    assert "--purpose voice_analysis" in missing.hint
    assert isinstance(outdated, ReconsentRequired)
    assert "voice_recording" in outdated.message


def test_C2c_an_unknown_person_allows_nothing(hall: Hall) -> None:
    """Nobody has agreed to anything before they were asked."""
    with hall.database.read() as tx:
        consents = consents_of(tx, "sub_" + "z" * 24, tenant="default")
    assert not any(consents.allow((purpose,)) for purpose in PURPOSES)


def test_what_is_read_is_what_stands_now(hall: Hall) -> None:
    hall.grant(purposes=PURPOSES[:2])
    with hall.database.read() as tx:
        person = tx.subjects.ids()[0]
        assert consents_of(tx, person, tenant="default").allow(PURPOSES[:2])
    hall.platform.mark(subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested")
    with hall.database.read() as tx:
        stopped = consents_of(tx, person, tenant="default")
        assert not stopped.allow(PURPOSES[:2])
        assert consents_of(tx, person, tenant="another").marks == stopped.marks
