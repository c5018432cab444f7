"""What models say of people: only where set and agreed to, logged, replayed, contested, and forgotten on withdrawal."""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sottovoce.adapters.memory import MemoryModels
from sottovoce.errors import (
    ConfigurationError,
    Conflict,
    ConsentRequired,
    IntegrityError,
    NotFound,
    UnknownSigner,
    UsageError,
)
from sottovoce.model.inference import NOT_AVAILABLE, NOT_DETERMINED, Inference, ModelUse
from sottovoce.model.mark import MarkKind
from sottovoce.model.purpose import SUBJECT_ACCESS, PurposeGrant, notice_text, purpose_of
from sottovoce.model.request import CaseKind
from sottovoce.ports import StoredModel
from sottovoce.sealing import receipt as receipts
from sottovoce.usecases import intake, models
from sottovoce.usecases import record as record_module
from sottovoce.voice.models.card import FORMAT
from sottovoce.voice.models.network import About, Network, make_network
from sottovoce.voice.models.write_tflite import write_tflite

INFER = "infer_apparent_sex"
LABELS = ("female", "male")
NewHall = Callable[..., Any]


def network(bias: float = 2.0, *, attribute: str = "apparent_sex", **about: str) -> Network:
    """Says "male" with the probability sigmoid(bias), whatever it hears, but for a little of the first feature."""
    weights = np.zeros((1, 88))
    weights[0, 0] = 0.01
    given = {"feature_profile": "compat", "feature_version": "egemaps-88/1"} | about
    return make_network(
        mean=np.zeros(88), scale=np.ones(88), layers=[(weights, [bias])], output="sigmoid",
        about=About(attribute, LABELS, **given),
    )  # fmt: skip


def card_body(net: Network, **changes: Any) -> dict[str, Any]:
    about = net.about
    return {
        "format": FORMAT, "purpose": "a test", "attribute": about.attribute, "labels": list(about.labels),
        "output": "sigmoid", "feature_profile": about.feature_profile, "feature_version": about.feature_version,
        "training_data": {"description": "none", "sha256": "not available", "speakers": 0, "recordings": 0},
        "error": "not available", "groups": [],
        "conformal": {"kind": "set", "percent": 90, "threshold": "0.4"},
        "privacy": "none", "not_for": ["hiring", "policing"], "demonstration": False,
        "files": models.file_entries(net, np.zeros((1, 88))),
    } | changes  # fmt: skip


def give_model(hall: Any, net: Network | None = None, **changes: Any) -> str:
    """A model of the home's own, signed by it; its hash."""
    made = net or network()
    data = write_tflite(made)
    card = hall.platform.sign_model_card(card_body(made, **changes), model=data)
    return str(hall.platform.add_model(data, card, demonstration=bool(changes.get("demonstration"))).sha256)


@pytest.fixture
def sexed(new_hall: NewHall) -> Iterator[Any]:
    """A home that is set to infer the apparent sex, with a model for it."""
    hall = new_hall(infer=("apparent_sex",))
    give_model(hall)
    yield hall
    hall.platform.close()


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The attributes whose model was run, in order: seen where `analyze` and where a sealing child would run it."""
    from sottovoce.voice.models import inference as bench

    seen: list[str] = []
    real = bench.infer

    def watched(use: ModelUse, *rest: Any) -> Inference:
        seen.append(use.attribute)
        return real(use, *rest)

    monkeypatch.setattr(record_module, "infer", watched)
    monkeypatch.setattr(bench, "infer", watched)
    return seen


def decisions_of(hall: Any, session_id: str, purpose: str = INFER) -> list[Any]:
    with hall.database.read() as tx:
        return [one for one in tx.records.decisions_of_session(session_id) if one.purpose == purpose]


# --- both the setting and the consent ------------------------------------------------------------------------


def test_BP4_a_model_is_not_run_where_its_attribute_is_not_set(new_hall: NewHall, ran: list[str]) -> None:
    """A model of the voice is not run where the operator has not set its attribute, whatever people agreed to."""
    hall = new_hall()
    give_model(hall)
    hall.grant(purposes=(*intake.NEEDED, "data_retention_30_days", INFER))
    assert hall.analyze().inferences == ()
    hall.submit()
    hall.platform.work_next()
    assert ran == []


@pytest.mark.parametrize("said", ["never asked", "refused", "withdrawn"])
def test_BP4_a_model_is_not_run_without_the_persons_own_consent(
    sexed: Any, ran: list[str], said: str
) -> None:
    """A model is not run on the voice of a person who was not asked, refused, or took that consent back."""
    sexed.grant()
    if said == "withdrawn":
        sexed.grant(purposes=(INFER,))
        sexed.platform.withdraw(subject="anna", purposes=[INFER])
    elif said == "refused":
        sexed.platform.refuse(subject="anna", purposes=[INFER])
    answer = sexed.analyze()
    assert answer.inferences == ()
    assert answer.retention.kept
    sexed.submit()
    assert sexed.platform.work_next().failure is None
    assert ran == []


def test_M92_with_setting_and_consent_a_model_is_run_and_answers(sexed: Any, ran: list[str]) -> None:
    """What a model says is answered with its own confidence, its hash, when it ends, its guarantee and what it is not
    for."""
    sexed.grant()
    sexed.grant(purposes=(INFER,))
    answer = sexed.analyze()
    (view,) = answer.inferences
    said = view.inference
    first = answer.features.values[0]
    expected = 1 / (1 + math.exp(-(2.0 + 0.01 * np.float32(first))))
    assert (said.value, said.label_set, said.percent) == ("male", ("male",), 90)
    assert said.confidence == pytest.approx(expected, abs=1e-7)
    assert (said.guarantee, said.not_for) == ("none", "hiring; policing")
    assert said.feature_sha256 == answer.features.sha256()
    assert view.purpose == INFER
    assert view.expires_at == answer.retention.expires_at
    assert ran == ["apparent_sex"]


def test_M10_X60_another_voice_has_another_confidence_and_an_unvoiced_one_has_none(sexed: Any) -> None:
    """The confidence is the model's own for this recording, never a constant; without voice it is not available."""
    sexed.grant()
    sexed.grant(purposes=(INFER,))
    usual = sexed.extractor.extraction
    seen = set()
    for first in (-150.0, 10.0, 60.0):
        vector = replace(usual.features, values=(first, *usual.features.values[1:]))
        sexed.extractor.extraction = replace(usual, features=vector)
        (view,) = sexed.analyze().inferences
        seen.add(view.inference.confidence)
    assert len(seen) == 3
    sexed.extractor.extraction = replace(usual, quality=replace(usual.quality, voiced_frames=3))
    said = sexed.analyze().inferences[0].inference
    assert (said.value, said.confidence, said.label_set) == (NOT_AVAILABLE, None, None)


def test_M10_what_cannot_be_told_apart_is_not_determined(new_hall: NewHall, tmp_path: Path) -> None:
    """Where the model can rule out no label, or every one, the answer is "not determined", without a confidence."""
    for threshold, label_set in (("0.9", LABELS), ("0.01", ())):
        hall = new_hall(tmp_path / threshold, infer=("apparent_sex",))
        give_model(hall, network(0.2), conformal={"kind": "set", "percent": 90, "threshold": threshold})
        hall.grant()
        hall.grant(purposes=(INFER,))
        said = hall.analyze().inferences[0].inference
        assert (said.value, said.confidence, said.label_set) == (NOT_DETERMINED, None, label_set)
        hall.platform.close()


def test_M10_without_sets_on_the_card_the_set_is_not_available(new_hall: NewHall) -> None:
    """Where the card has no prediction sets, the answer says so, and gives the likelier label with its probability."""
    hall = new_hall(infer=("apparent_sex",))
    give_model(hall, conformal="not available")
    hall.grant()
    hall.grant(purposes=(INFER,))
    said = hall.analyze().inferences[0].inference
    assert (said.value, said.label_set, said.percent) == ("male", None, None)
    assert said.confidence is not None


# --- consent at the commit -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["analyze", "submit"])
def test_C2a_a_consent_withdrawn_before_the_commit_drops_the_inference_alone(
    sexed: Any, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consent to an inference that is taken back while the model runs: nothing of it is kept or told, the rest is."""
    from sottovoce.voice.models import inference as bench

    sexed.grant()
    sexed.grant(purposes=(INFER,))
    real = bench.infer

    def meanwhile(*arguments: Any) -> Inference:
        sexed.platform.withdraw(subject="anna", purposes=[INFER])
        return real(*arguments)

    monkeypatch.setattr(record_module, "infer", meanwhile)
    monkeypatch.setattr(bench, "infer", meanwhile)
    if shape == "analyze":
        answer = sexed.analyze()
        assert answer.inferences == ()
        session = answer.session_id
    else:
        sexed.submit()
        session = sexed.platform.work_next().session_id
    assert sexed.recording(session).failure is None
    assert decisions_of(sexed, session) == []
    assert len(decisions_of(sexed, session, "voice_analysis")) == 1
    with sexed.database.read() as tx:
        kept = tx.records.ids_of_subject(sexed.recording(session).subject_id)
    assert {row.key_id for row in sexed.platform.keyring.rows() if row.kind == "record"} == set(kept)
    assert "inference.made" not in sexed.kinds_of_events()


def test_BP4_without_the_consent_to_keep_an_inference_is_told_once_and_not_kept(sexed: Any) -> None:
    """A person who agrees to an inference but not to keeping results gets it told once; nothing of it is stored."""
    sexed.grant(purposes=("voice_recording", "voice_analysis", INFER))
    answer = sexed.analyze()
    (view,) = answer.inferences
    assert (view.inference.value, view.decision_id, view.expires_at) == ("male", None, None)
    assert decisions_of(sexed, answer.session_id) == []
    assert "inference.made" in sexed.kinds_of_events()


# --- withdrawal ------------------------------------------------------------------------------------------------


def test_M92_withdrawing_an_inference_destroys_it_and_nothing_else(sexed: Any) -> None:
    """When the consent to one inference is taken back, what the model said is gone with its key; the rest stays."""
    sexed.grant()
    sexed.grant(purposes=(INFER,))
    answer = sexed.analyze()
    (decision,) = decisions_of(sexed, answer.session_id)
    sexed.platform.withdraw(subject="anna", purposes=[INFER])
    assert decisions_of(sexed, answer.session_id) == []
    assert not sexed.platform.keyring.exists(decision.id)
    content = sexed.platform.show(answer.session_id, purpose=SUBJECT_ACCESS)
    assert content.inferences == ()
    assert content.features is not None
    assert content.insight is not None
    assert {one.code for one in sexed.platform.fsck().findings} <= {
        "reserve_missing"
    }  # a home in memory has none


def test_C12a_under_a_hold_a_withdrawn_inference_is_unreadable_for_use_and_destroyed_after_it(
    sexed: Any,
) -> None:
    """A legal hold keeps a withdrawn inference from being destroyed, not from being unusable; it goes when the hold
    does."""
    sexed.grant()
    sexed.grant(purposes=(INFER,))
    session = sexed.analyze().session_id
    mark = sexed.platform.mark(subject="anna", kind=MarkKind.HOLD, reason="legal_claims", asked_by="operator")
    sexed.platform.withdraw(subject="anna", purposes=[INFER])
    with pytest.raises(ConsentRequired):
        sexed.platform.show(session, purpose=INFER)
    assert len(sexed.platform.show(session, purpose=SUBJECT_ACCESS).inferences) == 1
    sexed.platform.lift(mark.marks[0].id)
    sexed.platform.sweep()
    assert decisions_of(sexed, session) == []


def test_a_new_consent_does_not_bring_back_what_was_said_before(sexed: Any) -> None:
    sexed.grant()
    sexed.grant(purposes=(INFER,))
    session = sexed.analyze().session_id
    sexed.platform.withdraw(subject="anna", purposes=[INFER])
    sexed.grant(purposes=(INFER,))
    assert sexed.platform.show(session, purpose=INFER).inferences == ()
    assert len(sexed.analyze().inferences) == 1


def test_an_inference_is_opened_for_its_own_purpose_and_by_right_alone(sexed: Any) -> None:
    sexed.grant()
    sexed.grant(purposes=(INFER, "research_statistics"))
    session = sexed.analyze().session_id
    for purpose, count in (
        (INFER, 1),
        (SUBJECT_ACCESS, 1),
        ("voice_analysis", 0),
        ("research_statistics", 0),
    ):
        assert len(sexed.platform.show(session, purpose=purpose).inferences) == count
    assert sexed.platform.sessions(subject="anna")[0].inferred == ("apparent_sex",)


# --- the decision log --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["analyze", "submit"])
def test_C34b_a_decision_holds_hashes_and_confidence_and_a_replay_gives_the_same_value(
    sexed: Any, shape: str
) -> None:
    """A decision names the exact model and features and the model's own confidence; computed again from what is kept it
    is the same to the bit."""
    sexed.grant()
    sexed.grant(purposes=(INFER,))
    if shape == "analyze":
        session = sexed.analyze().session_id
    else:
        sexed.submit()
        session = sexed.platform.work_next().session_id
    (line,) = [one for one in sexed.platform.decisions(subject="anna") if one.purpose == INFER]
    content = sexed.platform.show(session, purpose=SUBJECT_ACCESS)
    assert line.feature_sha256 == content.features.sha256()
    assert line.model_sha256 == sexed.platform.models()[0].sha256
    assert line.inference.probabilities[0] + line.inference.probabilities[1] == pytest.approx(1)
    replay = sexed.platform.replay(line.id)
    assert (replay.verdict, replay.again.probabilities) == ("same", line.inference.probabilities)
    assert {"decisions.listed", "decision.replayed"} <= set(sexed.kinds_of_events())


def test_C34b_the_voice_profile_is_replayed_too(sexed: Any) -> None:
    """The plain voice profile is computed again from the stored numbers: the same, but for the digits not stored."""
    sexed.grant()
    session = sexed.analyze().session_id
    (line,) = sexed.platform.decisions(session_id=session)
    assert line.values["pitch_level"] > 0
    assert sexed.platform.replay(line.id).verdict in ("same", "same_but_rounding")


def test_C34b_a_replay_that_cannot_be_done_says_why(sexed: Any) -> None:
    """Where the model or the features are gone, a replay says which, and gives no value."""
    sexed.grant()
    sexed.grant(purposes=(INFER,))
    session = sexed.analyze().session_id
    (line,) = [one for one in sexed.platform.decisions(session_id=session) if one.purpose == INFER]
    sexed.platform.remove_model(line.model_sha256[:12])
    gone = sexed.platform.replay(line.id)
    assert (gone.verdict, gone.reason, gone.again) == ("not_replayed", "model_gone", None)
    give_model(sexed)
    assert sexed.platform.replay(line.id).verdict == "same"
    with sexed.database.begin() as tx:
        tx.records.delete([one.id for one in tx.records.of_session(session) if one.kind == "features"])
    assert sexed.platform.replay(line.id).reason == "features_gone"


def test_C34b_an_altered_value_is_found_by_the_replay(sexed: Any) -> None:
    """A decision that says something else than its model does is shown as different."""
    from sottovoce.sealing import envelope
    from sottovoce.voice import bodies

    sexed.grant()
    sexed.grant(purposes=(INFER,))
    session = sexed.analyze().session_id
    (decision,) = decisions_of(sexed, session)
    vault = sexed.platform._record.vault
    key = sexed.platform.keyring.open_key(decision.id)
    context = vault._context(decision.subject_id, decision.id, "inference")
    said = bodies.read_inference(envelope.open(key, decision.body, context))
    forged = bodies._inference_body(replace(said, probabilities=(0.5, 0.5)))
    with sexed.database.begin() as tx:
        tx.records.delete([decision.id])
        tx.records.add([], [replace(decision, body=envelope.seal(key, forged, context, decision.id))])
    assert sexed.platform.replay(decision.id).verdict == "differs"


def test_a_replay_needs_the_purpose_or_the_persons_right(sexed: Any) -> None:
    sexed.grant()
    session = sexed.analyze().session_id
    (line,) = sexed.platform.decisions(session_id=session)
    sexed.platform.withdraw(subject="anna", purposes=["voice_analysis"])
    with pytest.raises(ConsentRequired):
        sexed.platform.replay(line.id)
    assert sexed.platform.replay(line.id, purpose=SUBJECT_ACCESS).verdict != "differs"
    sexed.grant()
    sexed.platform.mark(subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested")
    with pytest.raises(ConsentRequired) as refusal:
        sexed.platform.replay(line.id)
    assert refusal.value.reason == "restricted"


def test_decisions_past_their_date_are_not_shown(sexed: Any) -> None:
    sexed.grant()
    sexed.grant(purposes=(INFER,))
    session = sexed.analyze().session_id
    (decision,) = decisions_of(sexed, session)
    sexed.advance(days=31)
    assert sexed.platform.decisions(subject="anna") == ()
    with pytest.raises(NotFound):
        sexed.platform.replay(decision.id)


def test_whose_decisions_has_to_be_said(sexed: Any) -> None:
    with pytest.raises(UsageError):
        sexed.platform.decisions()
    with pytest.raises(NotFound):
        sexed.platform.decisions(subject="nobody")
    with pytest.raises(NotFound):
        sexed.platform.replay("dec_" + "a" * 24)


def test_C34a_a_contested_decision_opens_a_human_review_that_names_it(sexed: Any) -> None:
    """A person who contests what a model said gets a human review, and the case and its receipt name the decision."""
    sexed.grant()
    sexed.grant(purposes=(INFER,))
    (decision,) = decisions_of(sexed, sexed.analyze().session_id)
    case = sexed.platform.open_request(subject="anna", kind=CaseKind.HUMAN_REVIEW, decision_id=decision.id)
    assert sexed.platform.request(case.id).decision_id == decision.id
    closed = sexed.platform.close_request(case.id)
    assert closed.decision_id == decision.id
    with pytest.raises(UsageError):
        sexed.platform.open_request(subject="anna", kind=CaseKind.ACCESS, decision_id=decision.id)
    sexed.grant("berta")
    with pytest.raises(NotFound):
        sexed.platform.open_request(subject="berta", kind=CaseKind.HUMAN_REVIEW, decision_id=decision.id)


def test_BP5_facts_and_export_say_what_was_inferred(sexed: Any, tmp_path: Path) -> None:
    """The card of a session and the person's package name each inference with what was said and by which model."""
    sexed.grant()
    sexed.grant(purposes=(INFER,))
    session = sexed.analyze().session_id
    (line,) = [one for one in sexed.platform.facts(session).inferred if one.purpose == INFER]
    assert line.said.startswith("male (the model's own confidence: ")
    (tmp_path / "home").mkdir(exist_ok=True)
    sexed.platform.export_person(subject="anna", out=tmp_path / "anna.zip")
    with zipfile.ZipFile(tmp_path / "anna.zip") as package:
        table = package.read("inferences.csv").decode()
        page = package.read("index.html").decode()
        data = json.loads(package.read("data.json"))
    assert line.model_sha256 in table
    assert ",apparent_sex,male," in table
    assert "hiring; policing" in page
    (said,) = [one for one in data["sessions"][0]["decisions"] if one["purpose"] == INFER]
    assert said["content"]["label_set"] == ["male"]


# --- which models are taken ----------------------------------------------------------------------------------------


def test_M65_only_a_model_that_can_be_verified_and_is_asked_for_is_taken_in(hall: Any) -> None:
    """A home takes in no model of an unknown signer, with a broken card, with rounded weights, of an attribute that
    nobody could agree to, or, unless that is said, one that is a demonstration."""
    net, other = network(), receipts.Identity(bytes([9]) * 32)
    data = write_tflite(net)
    good = hall.platform.sign_model_card(card_body(net), model=data)
    with pytest.raises(UnknownSigner):
        hall.platform.add_model(data, models.issue_card(card_body(net), data, identity=other))
    with pytest.raises(IntegrityError):
        hall.platform.add_model(data, good.replace("a test", "a quest"))
    small = write_tflite(net, quantise="int8")
    for bad, changes, code in (
        (small, {}, "model_not_full"),
        (data, {"demonstration": True}, "model_demonstration"),
    ):
        card = hall.platform.sign_model_card(card_body(net, **changes), model=bad)
        with pytest.raises(UsageError) as refusal:
            hall.platform.add_model(bad, card)
        assert refusal.value.reason == code
    odd = network(attribute="favourite_colour")
    with pytest.raises(UsageError) as refusal:
        give_model(hall, odd)
    assert refusal.value.reason == "unknown_purpose"
    assert hall.platform.models() == ()
    hall.platform.add_model(data, good)
    with pytest.raises(Conflict):
        give_model(hall, network(1.0))


def test_M65_a_model_of_somebody_else_is_pinned_with_their_identity(hall: Any) -> None:
    """A model that another house signed is taken in with that house's key, which the operator names."""
    other = receipts.Identity(bytes([9]) * 32)
    document = receipts.identity_document(other.public_key, created_at=hall.platform.now())
    data = write_tflite(network())
    card = models.issue_card(card_body(network()), data, identity=other)
    hall.platform.add_model(data, card, signer=document)
    (line,) = hall.platform.models()
    assert (line.signer, line.source, line.problem) == (other.key_id, "own", "")


@pytest.mark.parametrize(
    ("settings", "changes", "about", "code"),
    [
        ({}, {"demonstration": True}, {}, "model_demonstration"),
        ({}, {}, {"feature_profile": "corrected", "feature_version": "egemaps-88/c1"}, "model_profile"),
        ({}, {}, {"feature_version": "egemaps-88/0"}, "model_profile"),
        ({"profile": "corrected"}, {}, {}, "model_profile"),
    ],
)
def test_M65_a_model_that_must_not_be_run_is_refused_before_a_recording_is_touched(
    new_hall: NewHall, tmp_path: Path, settings: dict[str, Any], changes: dict[str, Any], about: dict[str, str],
    code: str,
) -> None:  # fmt: skip
    """A demonstration that nobody asked for, or a model for other features, is refused with its code before any
    recording is taken in; the rights of people do not wait for that."""
    hall = new_hall(infer=("apparent_sex",), **settings)
    give_model(hall, network(**about), **changes)
    hall.grant()
    with pytest.raises(ConfigurationError) as refusal:
        hall.platform.analyze(tmp_path / "none.wav", subject="anna")
    assert refusal.value.reason == code
    assert hall.platform.models()[0].problem == code
    assert hall.recordings() == ()
    assert hall.platform.erase(subject="anna").result == "erased"
    hall.platform.close()


def test_M65_a_demonstration_is_run_with_the_explicit_setting_and_says_so(new_hall: NewHall) -> None:
    """With the explicit setting a demonstration is run, and its answer says that it is one."""
    hall = new_hall(infer=("age",), demonstration_models=True)
    give_model(hall, network(attribute="age"), demonstration=True, conformal="not available")
    hall.grant()
    hall.grant(purposes=("infer_age",))
    said = hall.analyze().inferences[0].inference
    assert (said.attribute, said.demonstration) == ("age", True)
    hall.platform.close()


def test_a_home_without_the_model_that_is_set_says_so(new_hall: NewHall, tmp_path: Path) -> None:
    hall = new_hall(infer=("apparent_sex",))
    with pytest.raises(ConfigurationError) as refusal:
        hall.platform.analyze(tmp_path / "none.wav", subject="anna")
    assert refusal.value.reason == "model_missing"
    hall.platform.close()


def test_M65_a_model_exchanged_on_the_disk_is_refused_when_it_is_loaded(new_hall: NewHall) -> None:
    """A model file that was altered after it was taken in is refused when it is loaded, and `models list` says why."""
    hall = new_hall(infer=("apparent_sex",))
    own: MemoryModels = hall.adapters.models
    sha256 = give_model(hall)
    stored = own.get(sha256)
    assert stored is not None
    own.remove(sha256)
    own.add(StoredModel(sha256, write_tflite(network(5.0)), stored.card))
    hall.platform._registry._loaded.clear()
    with pytest.raises(IntegrityError):
        hall.platform.models_to_run()
    assert hall.platform.models()[0].problem == "model_not_of_card"
    hall.platform.close()


def test_M65_a_model_is_loaded_once(sexed: Any) -> None:
    """A model is read and verified once, by its hash, however many recordings it is run on."""
    reads: list[str] = []
    own: MemoryModels = sexed.adapters.models
    real = own.get
    own.get = lambda sha256: reads.append(sha256) or real(sha256)  # type: ignore[method-assign,func-returns-value]
    sexed.platform._registry._loaded.clear()
    sexed.grant()
    sexed.grant(purposes=(INFER,))
    for _ in range(3):
        assert len(sexed.analyze().inferences) == 1
    assert len(reads) == 1


def test_the_homes_own_model_stands_before_a_shipped_one(sexed: Any) -> None:
    shipped = network(-3.0)
    data = write_tflite(shipped)
    card = sexed.platform.sign_model_card(card_body(shipped), model=data)
    document = sexed.platform.identity()
    sexed.adapters.shipped_models.add(StoredModel(hashlib.sha256(data).hexdigest(), data, card, document))
    own, other = sexed.platform.models()
    assert (own.source, own.enabled, other.source, other.enabled) == ("own", True, "shipped", False)
    sexed.platform.remove_model(own.sha256)
    assert sexed.platform.models_to_run()[0].sha256 == other.sha256


# --- where it may be asked ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        ("work", "use_context_forbidden"),
        ("education", "use_context_forbidden"),
        (None, "use_context_missing"),
    ],
)
def test_C35a_emotion_at_work_or_school_refuses_to_start(
    new_hall: NewHall, context: str | None, reason: str
) -> None:
    """A home that is to infer emotion at work or in education, or does not say where it is used, does not start."""
    with pytest.raises(ConfigurationError) as refusal:
        new_hall(infer=("emotion",), use_context=context)
    assert refusal.value.reason == reason


def test_C35a_what_will_be_inferred_is_told_before_the_first_frame(sexed: Any) -> None:
    """Which attribute a model is going to estimate is told before the recording is read, and only where it will be."""
    told: list[tuple[str, ...]] = []
    sexed.extractor.before = lambda: told.append(("read",))

    def note(uses: tuple[ModelUse, ...]) -> None:
        told.append(tuple(use.attribute for use in uses))

    sexed.grant()
    sexed.analyze(on_inference=note)
    sexed.grant(purposes=(INFER,))
    sexed.analyze(on_inference=note)
    assert told == [("read",), ("apparent_sex",), ("read",)]


def test_C35a_the_notice_of_an_inference_says_what_it_is() -> None:
    """What a person is shown before agreeing says that a model estimates, may be wrong, and that a human can review."""
    text = notice_text(purpose_of(INFER)).decode()
    for words in ("estimates the apparent sex", "may be wrong", "a human", "the model is not run"):
        assert words in " ".join(text.split())


# --- fsck -----------------------------------------------------------------------------------------------------------


def test_I5_fsck_finds_a_decision_without_consent_at_its_commit(sexed: Any) -> None:
    """A check of the home finds an inference that was committed without the person's consent to it."""
    sexed.grant()
    session = sexed.analyze().session_id
    (rule,) = decisions_of(sexed, session, "voice_analysis")
    forged = replace(rule, id="dec_" + "b" * 24, purpose=INFER)
    with sexed.database.begin() as tx:
        tx.records.add([], [forged])
    sexed.advance(minutes=1)
    sexed.grant(purposes=(INFER,))  # too late: agreed to after the commit
    codes = {finding.code for finding in sexed.platform.fsck().findings}
    assert "inference_without_consent" in codes
    assert "inference_after_withdrawal" not in codes


def test_I5_fsck_finds_and_ends_an_inference_that_outlives_its_withdrawal(sexed: Any) -> None:
    """An inference that is still readable after its purpose was withdrawn is found, and a repair destroys it."""
    sexed.grant()
    sexed.grant(purposes=(INFER,))
    session = sexed.analyze().session_id
    (decision,) = decisions_of(sexed, session)
    sexed.advance(minutes=1)
    sexed.platform.withdraw(subject="anna", purposes=[INFER])
    with sexed.database.begin() as tx:  # the row comes back, as from an older copy of the database
        tx.records.add([], [decision])
    found = {finding.code for finding in sexed.platform.fsck().findings}
    assert "inference_after_withdrawal" in found
    after = sexed.platform.fsck(repair=True)
    assert "inference_after_withdrawal" in {one.code for one in after.repaired}
    assert decisions_of(sexed, session) == []


def test_retention_expires_an_inference_with_its_features(sexed: Any) -> None:
    sexed.grant()
    sexed.grant(purposes=(INFER,))
    session = sexed.analyze().session_id
    sexed.advance(days=30, seconds=1)
    sexed.platform.confirm_clock()
    sexed.platform.sweep()
    assert decisions_of(sexed, session) == []


def test_M10_a_quantity_has_a_number_with_its_unit_and_no_confidence(new_hall: NewHall) -> None:
    """A model of a quantity answers with a number and its unit; its outputs are no probabilities, so it has no
    confidence, and without an interval on the card it has none."""
    hall = new_hall(infer=("age",), demonstration_models=True)
    net = network(0.0, attribute="age")
    second = {
        "format": "sottovoce-model-card/2", "quantity": {"unit": "years", "values": ["20", "50"]},
        "held_out": "not available", "constant_answer": "not available", "calibration": "not available",
        "transfer": [], "conformal": "not available", "demonstration": True,
    }  # fmt: skip
    give_model(hall, net, **second)
    hall.grant()
    hall.grant(purposes=("infer_age",))
    said = hall.analyze().inferences[0].inference
    first = hall.extractor.extraction.features.values[0]
    expected = 20 + 30 / (1 + math.exp(-0.01 * np.float32(first)))
    assert said.number == pytest.approx(expected, abs=1e-5)
    assert (said.value, said.confidence, said.label_set) == (f"{expected:.0f} years", None, None)
    (line,) = [one for one in hall.platform.decisions(subject="anna") if one.purpose == "infer_age"]
    assert hall.platform.replay(line.id).verdict == "same"
    hall.platform.close()


def test_C5a_no_inference_is_opened_without_a_grant_for_it(sexed: Any) -> None:
    """What a model said is opened for its own purpose and session, or by the person's right; for nothing else."""
    sexed.grant()
    sexed.grant(purposes=(INFER,))
    session = sexed.analyze().session_id
    (decision,) = decisions_of(sexed, session)
    vault, subject_id = sexed.platform._record.vault, decision.subject_id
    for purpose in (INFER, SUBJECT_ACCESS):
        assert vault.open_inference(decision, PurposeGrant(purpose, subject_id, session)).value == "male"
    wrong = (
        PurposeGrant("voice_analysis", subject_id, session),
        PurposeGrant("infer_age", subject_id, session),
        PurposeGrant(INFER, subject_id, "ses_" + "a" * 24),
        PurposeGrant(INFER, "sub_" + "a" * 24, session),
    )
    for grant in wrong:
        with pytest.raises(ConsentRequired):
            vault.open_inference(decision, grant)
    with pytest.raises(ConsentRequired):
        vault.open_decision(decision, PurposeGrant(INFER, subject_id, session))
