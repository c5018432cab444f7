"""Training lineage: what a person's receipt says of a round, what the data team has to do, what follows of leaving."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sottovoce.errors import Conflict, NotFound, SottovoceError, StorageError, UsageError
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.model.mark import MarkKind
from sottovoce.model.purpose import CONSENT_PURPOSES, MODEL_TRAINING, RETENTION
from sottovoce.sealing import receipt as receipts

Hall = Any
ALL = (*("voice_recording", "voice_analysis"), RETENTION, MODEL_TRAINING)
HASH = "ab" * 32


def _finish(hall: Hall, done: Any, version: str = "1.0", **given: Any) -> Any:
    return hall.platform.finish_training(
        done.id, model_sha256=HASH, version=version, caller=hall.caller, **given
    )


def _withdraw(hall: Hall, name: str, *purposes: str) -> dict[str, Any]:
    outcome = hall.platform.withdraw(subject=name, purposes=purposes or [MODEL_TRAINING], caller=hall.caller)
    return _body(hall, outcome.receipt)


def _erase(hall: Hall, name: str, **given: Any) -> dict[str, Any]:
    return _body(hall, hall.platform.erase(subject=name, caller=hall.caller, **given).receipt)


def _body(hall: Hall, text: str) -> dict[str, Any]:
    receipts.verify(text, trusted=receipts.trusted_keys(hall.platform.identity()))
    body: dict[str, Any] = json.loads(text)["body"]
    return body


def _doctor(hall: Hall) -> str:
    state: str = next(one.state for one in hall.platform.doctor() if one.name == "training")
    return state


# --- what the receipts say --------------------------------------------------------------------------------


def test_C16a_a_withdrawal_lists_rounds_versions_epsilon_and_what_is_done(hall: Hall, tmp_path: Path) -> None:
    """Who takes back the consent to training is told in a signed receipt which models used them and what follows."""
    hall.person("anna", recordings=2)
    hall.person("ben")
    plain, _ = hall.begin_round(tmp_path, "plain")
    _finish(hall, plain, "2.1")
    private, _ = hall.begin_round(tmp_path, "private", epsilon="3", delta="0.00001", on_leave="covered")
    _finish(hall, private, "0.9")
    gone, _ = hall.begin_round(tmp_path, "short", on_leave="retire")
    _finish(hall, gone)
    hall.begin_round(tmp_path, "early")
    told = _withdraw(hall, "anna")
    lines = {line["model"]: line for line in told["training"]}
    assert {model: line["action"] for model, line in lines.items()} == {
        "plain": "retrain", "private": "covered", "short": "retire", "early": "exclude",
    }  # fmt: skip
    assert (lines["plain"]["version"], lines["plain"]["model_sha256"], lines["plain"]["recordings"]) == (
        "2.1",
        HASH,
        2,
    )
    assert (lines["private"]["epsilon"], lines["private"]["delta"], lines["private"]["unit"]) == (
        "3", "0.00001", "speaker",
    )  # fmt: skip
    assert lines["plain"]["epsilon"] is None
    assert lines["early"]["version"] is None
    assert any("epsilon 3, delta 0.00001 for one speaker" in one for one in told["remains"])
    assert "removed from the model" not in json.dumps(told)
    again = _withdraw(hall, "anna")  # asked once more: the same is said, nobody is counted twice
    assert [line["model"] for line in again["training"]] == sorted(lines)
    views = {one.round.model: one for one in hall.platform.training_rounds()}
    assert {model: view.left for model, view in views.items()} == dict.fromkeys(lines, 2)
    assert {model for model, view in views.items() if view.due} == {"plain", "short", "early"}
    assert "training" not in _withdraw(hall, "ben", "research_statistics")


def test_C16a_an_erasure_lists_them_too_and_leaves_counts_and_nobody(hall: Hall, tmp_path: Path) -> None:
    """After an erasure the receipt names the models; of the rounds counts are kept, and nothing that leads to who."""
    hall.person("anna", recordings=2)
    hall.person("ben")
    done, rows = hall.begin_round(tmp_path)
    _finish(hall, done)
    subject_id = hall.recordings("anna")[0].subject_id
    hall.advance(hours=13, minutes=45)
    told = _erase(hall, "anna")
    assert [(one["model"], one["version"], one["recordings"], one["action"]) for one in told["training"]] == [
        ("tone", "1.0", 2, "retrain")
    ]
    with hall.database.read() as tx:
        assert tx.lineage.uses_of_subject(subject_id) == ()
        kept = [*tx.lineage.rounds("default"), *tx.lineage.departures(done.id)]
        assert len(tx.lineage.uses_of_round(done.id)) == 1  # ben's
    assert subject_id not in repr(kept)
    view, left = hall.platform.training_round(done.id)
    assert (view.round.people, view.round.records, view.left, view.speakers_left) == (2, 3, 2, 1)
    assert {one.label for one in left} < {row["row"] for row in rows}
    assert not any(one.label in json.dumps(told) for one in left)  # the receipt does not lead to the table
    assert {(one.day.hour, one.day.minute, one.day.microsecond) for one in left} == {(0, 0, 0)}


def test_C16a_erasing_one_session_concerns_its_rows_alone(hall: Hall, tmp_path: Path) -> None:
    """Who erases one recording is told of the models that used that one; the others of the person stay in."""
    first, second = hall.person("anna", recordings=2)
    done, rows = hall.begin_round(tmp_path)
    told = _erase(hall, "anna", session_id=first)
    assert [(one["recordings"], one["action"]) for one in told["training"]] == [(1, "exclude")]
    view, _ = hall.platform.training_round(done.id)
    assert (view.left, len(rows)) == (1, 2)
    assert _finish(hall, done, dropped=1).records == 1
    assert _erase(hall, "anna", session_id=second)["training"][0]["action"] == "retrain"


def test_C16a_the_person_sees_in_their_package_what_they_were_used_for(hall: Hall, tmp_path: Path) -> None:
    """The package of a person names the rounds of training that used their recordings."""
    import zipfile

    session = hall.person("anna")[0]
    done, _ = hall.begin_round(tmp_path)
    hall.platform.export_person(subject="anna", out=tmp_path / "anna.zip", caller=hall.caller)
    table = json.loads(zipfile.ZipFile(tmp_path / "anna.zip").read("tables/training_uses.json"))
    assert [(row["round_id"], row["session_id"]) for row in table] == [(done.id, session)]


# --- what the data team has to do -------------------------------------------------------------------------


def test_C16a_a_model_is_recorded_only_without_those_who_have_left(hall: Hall, tmp_path: Path) -> None:
    """A data team cannot record a model as long as it has not dropped the rows of who left since."""
    for name in ("anna", "ben", "carl"):
        hall.person(name)
    done, rows = hall.begin_round(tmp_path)
    _withdraw(hall, "anna")
    hall.platform.mark(
        subject="ben", kind=MarkKind.RESTRICTION, reason="accuracy_contested", caller=hall.caller
    )
    for dropped in (0, 1, 3):
        with pytest.raises(Conflict) as refused:
            _finish(hall, done, dropped=dropped)
        assert refused.value.reason == "rows_to_drop"
    view, left = hall.platform.training_round(done.id)
    assert {str(one.reason) for one in left} == {"withdrawn", "restricted"}
    assert {one.label for one in left} < {row["row"] for row in rows}
    assert (str(view.action), view.due) == ("exclude", True)
    finished = _finish(hall, done, dropped=2)
    assert (finished.people, finished.records) == (1, 1)
    assert hall.platform.training_rounds(only_due=True) == ()
    assert hall.platform.training_round(done.id)[1] == ()


def test_C16a_a_model_that_needs_action_is_due_until_it_is_retired(hall: Hall, tmp_path: Path) -> None:
    """Models that have to be trained anew or taken out of use are listed until that is done."""
    hall.person("anna")
    hall.person("ben")
    done, _ = hall.begin_round(tmp_path)
    _finish(hall, done)
    assert hall.platform.training_rounds(only_due=True) == ()
    _withdraw(hall, "anna")
    assert [one.round.id for one in hall.platform.training_rounds(only_due=True)] == [done.id]
    assert _doctor(hall) == "warn"
    second, _ = hall.begin_round(tmp_path)
    _finish(hall, second, "1.1")
    assert len(hall.platform.training_rounds(only_due=True)) == 1
    hall.platform.retire_training(done.id, caller=hall.caller)
    assert hall.platform.training_rounds(only_due=True) == ()
    assert _doctor(hall) == "ok"
    with pytest.raises(Conflict):
        hall.platform.retire_training(done.id, caller=hall.caller)
    with pytest.raises(Conflict):
        _finish(hall, done)
    assert _withdraw(hall, "ben")["training"][0]["action"] == "none"


def test_I7_a_table_past_the_date_of_its_rows_is_due(hall: Hall, tmp_path: Path) -> None:
    """A table that a data team still has when the first of its rows is due is listed until the round is ended."""
    hall.person("anna")
    done, _ = hall.begin_round(tmp_path)
    assert not hall.platform.training_rounds()[0].due
    hall.advance(days=30)
    view = hall.platform.training_rounds(only_due=True)[0]
    assert view.past_date
    assert "delete it" in view.why
    hall.platform.retire_training(done.id, caller=hall.caller)
    assert hall.platform.training_rounds(only_due=True) == ()


def test_a_restriction_does_not_reach_a_model_that_is_there(hall: Hall, tmp_path: Path) -> None:
    hall.person("anna")
    done, _ = hall.begin_round(tmp_path)
    _finish(hall, done)
    hall.platform.mark(
        subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested", caller=hall.caller
    )
    assert hall.platform.training_round(done.id)[1] == ()
    hall.platform.mark(subject="anna", kind=MarkKind.OBJECTION, reason="objection", caller=hall.caller)
    assert [str(one.reason) for one in hall.platform.training_round(done.id)[1]] == ["objected"]


# --- while a table is made --------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["render", "write"])
@pytest.mark.parametrize("how", ["withdraw", "erase", "restrict"])
def test_F25_who_leaves_while_the_table_is_made_is_not_in_it(
    hall: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, how: str
) -> None:
    """A person who withdraws or is erased while a table is being made is not in the file that is handed over."""
    from sottovoce.adapters import export_file, training_file

    hall.person("anna")
    hall.person("ben")
    acts = {
        "withdraw": lambda: _withdraw(hall, "anna"),
        "erase": lambda: _erase(hall, "anna"),
        "restrict": lambda: hall.platform.mark(
            subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested", caller=hall.caller
        ),
    }
    place, name = (training_file, "to_csv") if when == "render" else (export_file, "write_new")
    real, done = getattr(place, name), []

    def meanwhile(*given: Any) -> Any:
        answer = real(*given)
        if not done:
            done.append(acts[how]())
        return answer

    monkeypatch.setattr(place, name, meanwhile)
    begun, rows = hall.begin_round(tmp_path, name="t.csv")
    assert (begun.people, len(rows)) == (1, 1)
    assert hashlib.sha256((tmp_path / "t.csv").read_bytes()).hexdigest() == begun.dataset_sha256
    view, left = hall.platform.training_round(begun.id)
    assert (view.left, left, view.round) == (0, (), begun)
    assert _finish(hall, begun).people == 1


def test_a_table_that_cannot_be_written_leaves_no_round_in_use(
    hall: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sottovoce.adapters import export_file

    hall.person("anna")
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(UsageError):
        hall.begin_round(tmp_path, name="there.csv")
    assert (tmp_path / "there.csv").read_text() == "mine"
    assert hall.platform.training_rounds() == ()

    def full(*given: Any) -> None:
        raise StorageError("full", reason="storage_full")

    monkeypatch.setattr(export_file, "write_new", full)
    with pytest.raises(StorageError):
        hall.begin_round(tmp_path, name="new.csv")
    view = hall.platform.training_rounds()[0]
    assert (str(view.round.state), view.due) == ("retired", False)
    assert "training" not in _withdraw(hall, "anna")  # nothing of the person was handed over


def test_a_table_that_is_interrupted_is_taken_back(
    hall: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sottovoce.adapters import export_file

    hall.person("anna")
    honest = export_file.write_new

    def stopped(path: Path, data: bytes) -> None:
        honest(path, data)
        raise KeyboardInterrupt

    monkeypatch.setattr(export_file, "write_new", stopped)
    with pytest.raises(KeyboardInterrupt):
        hall.begin_round(tmp_path, name="new.csv")
    assert list(tmp_path.glob("*.csv")) == []
    assert str(hall.platform.training_rounds()[0].round.state) == "retired"
    assert "training" not in _withdraw(hall, "anna")


# --- what is given by people ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"epsilon": "3"}, {"delta": "0.1"}, {"epsilon": "x", "delta": "0.1"}, {"epsilon": "-1", "delta": "0.1"},
        {"epsilon": "nan", "delta": "0.1"}, {"epsilon": "1", "delta": "1"}, {"model": "a b"}, {"model": ""},
        {"epsilon": "1", "delta": "0.1", "unit": "word"}, {"on_leave": "nothing"}, {"on_leave": "covered"},
        {"on_leave": "covered", "epsilon": "11", "delta": "0.001"},
        {"on_leave": "covered", "epsilon": "1", "delta": "0.5"},
        {"on_leave": "covered", "epsilon": "1", "delta": "0.001", "unit": "recording"},
    ],
)  # fmt: skip
def test_a_round_that_says_nothing_true_is_not_begun(
    hall: Hall, tmp_path: Path, given: dict[str, str]
) -> None:
    hall.person("anna")
    hall.person("ben")
    with pytest.raises(UsageError):
        hall.begin_round(tmp_path, name="t.csv", **given)
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.parametrize("name", ["t.json", "t", "t.xlsx"])
def test_another_kind_of_file_is_refused(hall: Hall, tmp_path: Path, name: str) -> None:
    hall.person("anna")
    with pytest.raises(UsageError):
        hall.platform.begin_training(model="tone", out=tmp_path / name, caller=hall.caller)
    assert hall.platform.training_rounds() == ()


def test_parquet_holds_the_same_as_csv(hall: Hall, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    hall.person("anna", recordings=2)
    out = tmp_path / "t.parquet"
    done = hall.platform.begin_training(model="tone", out=out, caller=hall.caller)
    table = parquet.read_table(out).to_pylist()
    assert hashlib.sha256(out.read_bytes()).hexdigest() == done.dataset_sha256
    assert [row["speaker"] for row in table] == [table[0]["speaker"]] * 2
    assert [table[0][name] for name in FEATURE_NAMES] == pytest.approx(
        [20.0 + i / 7 for i in range(88)], rel=1e-6
    )


def test_an_unknown_round_is_not_found(hall: Hall) -> None:
    for verb in (
        lambda: hall.platform.training_round("rnd_" + "a" * 24),
        lambda: hall.platform.retire_training("rnd_" + "a" * 24),
        lambda: hall.platform.finish_training("rnd_" + "a" * 24, model_sha256=HASH, version="1"),
    ):
        with pytest.raises(NotFound):
            verb()
    for bad in ("x", "ses_" + "a" * 24):
        with pytest.raises(UsageError):
            hall.platform.training_round(bad)


# --- any order of things ----------------------------------------------------------------------------------

_ACTS = st.lists(
    st.tuples(
        st.sampled_from(("grant", "withdraw", "erase", "begin", "finish", "retire")), st.integers(0, 2)
    ),
    max_size=14,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=_ACTS)
def test_C16b_in_any_order_a_round_has_those_who_agree_at_that_moment(
    new_hall: Any, tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int]]
) -> None:
    """Whatever is granted, withdrawn, erased and trained in whatever order, no round ever has who does not agree."""
    folder = tmp_path_factory.mktemp("rounds")
    hall = new_hall(folder / "home")
    agrees: set[str] = set()
    open_rounds: list[Any] = []
    for act, number in acts:
        name = f"person {number}"
        if act == "grant":
            hall.person(name)
            agrees.add(name)
        elif act == "withdraw" and name in agrees:
            _withdraw(hall, name)
            agrees.discard(name)
        elif act == "erase":
            hall.platform.erase(subject=name, caller=hall.caller)
            agrees.discard(name)
        elif act == "begin" and agrees:
            open_rounds.append(hall.begin_round(folder, name=f"{len(list(folder.iterdir()))}.csv")[0])
            assert open_rounds[-1].people == len(agrees)
        elif act == "begin":
            with pytest.raises(NotFound):
                hall.begin_round(folder, name="none.csv")
        elif open_rounds:
            one = open_rounds.pop(number % len(open_rounds))
            if act == "finish":
                left = len(hall.platform.training_round(one.id)[1])
                assert _finish(hall, one, dropped=left).records == one.records - left
            else:
                hall.platform.retire_training(one.id, caller=hall.caller)
    with hall.database.read() as tx:
        for one in tx.lineage.rounds("default"):
            departed = {d.label for d in tx.lineage.departures(one.id)}
            for use in tx.lineage.uses_of_round(one.id):
                assert (use.left_at is not None) == (use.label in departed)
    hall.platform.close()


def test_what_is_raised_while_a_table_is_made_is_ours(hall: Hall, tmp_path: Path) -> None:
    with pytest.raises(SottovoceError):
        hall.begin_round(tmp_path)
    hall.person("anna", purposes=CONSENT_PURPOSES)
    assert hall.begin_round(tmp_path)[0].people == 1


# --- handed to a recipient --------------------------------------------------------------------------------


def test_C16a_C15a_a_table_for_a_recipient_speaks_the_language_of_its_feed(
    hall: Hall, tmp_path: Path
) -> None:
    """A recipient of a table is told in its own feed whom to leave out, by the names that stand in the table."""
    hall.person("anna", recordings=2)
    hall.person("ben")
    team = hall.platform.add_recipient("data team", kind="team").id
    done, rows = hall.begin_round(tmp_path, recipient=team)
    assert list(rows[0])[:6] == ["row", "speaker", "profile", "version", "person", "session"]
    assert len({row["person"] for row in rows}) == 2
    mine = next(
        name for name in (row["person"] for row in rows) if [r["person"] for r in rows].count(name) == 2
    )
    _erase(hall, "anna")
    with hall.database.read() as tx:
        told = tx.recipients.entries(team, after=0, limit=10)
    assert [(one.opaque_subject, str(one.kind)) for one in told] == [(mine, "erased")]
    assert hall.platform.training_round(done.id)[0].left == 2


# --- fsck -------------------------------------------------------------------------------------------------


def _codes(hall: Hall) -> set[str]:
    return {finding.code for finding in hall.platform.fsck().findings} - {"reserve_missing"}


def test_I5_fsck_finds_a_round_that_counts_on_who_has_left(
    hall: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round of training that still counts on somebody who withdrew, or forgot which row to drop, is found."""
    from sottovoce.usecases import consent

    hall.person("anna")
    done, _ = hall.begin_round(tmp_path)
    before = _codes(hall)
    with monkeypatch.context() as patch:
        patch.setattr(consent, "leave", lambda *_, **__: ())
        _withdraw(hall, "anna")
    assert _codes(hall) - before == {"trained_after_withdrawal"}
    _withdraw(hall, "anna")
    assert _codes(hall) == before
    with hall.database.begin() as tx:
        tx._tables.training_departures.drop([one.label for one in tx.lineage.departures(done.id)])
    assert _codes(hall) - before == {"departure_missing"}
