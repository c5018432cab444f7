"""Make the models that the shared recordings honestly allow, with their signed cards.

    python scripts/make_models.py [--ship] [--seed-file FILE] [--record]

Apparent sex (LibriSpeech) and age (nine people: a demonstration) are written to build/models/. With --ship the first
one also goes to src/sottovoce/data/models/ with its card and the public key that signed it; the private half is made
for this run (or read from --seed-file, 32 bytes) and not kept: a new build brings a new signer. The same recordings
give the same model files and cards on the same machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the same order of additions in every run

import figures  # scripts/figures.py, beside this file
import model_page
import numpy as np
import soundfile
from model_data import Recordings, louder, of_set, read, together
from numpy.typing import NDArray

import sottovoce
from sottovoce.learning.conformal import conformal_bound, conformal_threshold, label_probabilities, scores
from sottovoce.learning.coverage import Repeated, repeated_coverage, repeated_refusal
from sottovoce.learning.evaluation import Calibration, Classified, Threshold, classified, sets_of
from sottovoce.learning.fitting import Fitted, Shape, sigmoid
from sottovoce.learning.intervals import CONFIDENCE, Estimate, share_of_speakers
from sottovoce.learning.selection import Choice, Labelled, choose, made, nested, train
from sottovoce.learning.units import halves, one_row_each, per_speaker
from sottovoce.model.canonical import JsonValue
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.sealing import receipt as receipts
from sottovoce.usecases.models import file_entries, issue_card
from sottovoce.voice.egemaps.extract import COMPAT
from sottovoce.voice.models.card import (
    FORMAT_3,
    NO_GUARANTEE,
    NO_QUANTITY,
    NOT_AVAILABLE,
    NOT_ENOUGH,
    Card,
    learned_range,
    read_card,
)
from sottovoce.voice.models.network import About, Network, distances, make_network, run
from sottovoce.voice.models.read_tflite import read_tflite
from sottovoce.voice.models.write_tflite import write_tflite

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
BUILD = ROOT / "build" / "models"
SHIPPED = ROOT / "src" / "sottovoce" / "data" / "models"
GOLDEN = ROOT / "vectors" / "models" / "shipped.json"
CLIP = ROOT / "src" / "sottovoce" / "data" / "jfk.flac"
SEX, AGE = "apparent-sex.tflite", "age-demonstration.tflite"

SEED = 2026
FOLDS = 5
PERCENT = 90
SPLITS = 200
CALIBRATION_SHARE = 1 / 3
SHORT_S = 5.0
GAINS_DB = (-12, -6, 6, 12)
YEARS = (20, 50)  # what an output of 0 and of 1 stands for
LABELS = ("female", "male")

# The formants of `compat` are those of a defect (docs/reference/features.md): nothing that is told of a person is made
# from them (design M10). A3 is the amplitude at the third one.
_FORMANTS = frozenset(
    i for i, name in enumerate(FEATURE_NAMES) if name[:2] in ("F1", "F2", "F3") or "A3" in name
)
_PITCH_LEVEL = ("amean", "percentile20.0", "percentile50.0", "percentile80.0")
PITCH = tuple(
    i for i, name in enumerate(FEATURE_NAMES) if name.startswith("F0") and name.endswith(_PITCH_LEVEL)
)
LEVELS = tuple(
    i for i, name in enumerate(FEATURE_NAMES) if i not in _FORMANTS and "stddev" not in name.lower()
)
ALL_BUT_FORMANTS = tuple(i for i in range(len(FEATURE_NAMES)) if i not in _FORMANTS)

# Whether a recording is like what was learned from is asked of more than the model looks at: a raised voice has a pitch
# that others have too. Spreads are left out: divided by a mean, they have long tails.
RANGE_INPUTS = LEVELS

# From the simplest on: fewer inputs before more, no hidden layer before one, a strong penalty before a weak one.
FAMILIES: Mapping[str, tuple[Shape, ...]] = {
    "logistic regression, 4 inputs (level of the pitch)": tuple(Shape(p, (), PITCH) for p in (0.1, 0.01)),
    f"logistic regression, {len(LEVELS)} inputs (no spreads)": tuple(
        Shape(p, (), LEVELS) for p in (0.1, 0.03, 0.01, 0.003)
    ),
    f"logistic regression, {len(ALL_BUT_FORMANTS)} inputs (all but formants)": tuple(
        Shape(p, (), ALL_BUT_FORMANTS) for p in (0.1, 0.03, 0.01)
    ),
    "network 88-8-1": tuple(Shape(p, (8,), ALL_BUT_FORMANTS) for p in (0.03, 0.01, 0.003)),
    "network 88-32-16-1": tuple(Shape(p, (32, 16), ALL_BUT_FORMANTS) for p in (0.03, 0.01)),
}
SHAPES = tuple(shape for family in FAMILIES.values() for shape in family)
WITH_FORMANTS = tuple(Shape(p) for p in (0.1, 0.03, 0.01))  # for comparison only

NOT_FOR = (
    "saying what gender a person has or how they see themselves: it says which of two sets of readers a voice is like",
    "recognising or following a person",
    "any decision about a person, such as work, credit, insurance, schooling, prices, policing or access to a service",
    "sorting people at work, at school or in public places",
    "children, other languages than English, acted or strong emotion, telephone and other channels: not learned from",
)
NOT_FOR_AGE = (
    "any use: nine people are no basis, and it does not reliably do better than one constant answer",
    "any decision about a person, and any check of an age",
)


@dataclass(frozen=True, slots=True)
class Made:
    """A model file, the body of its card, and what is told beside it."""

    data: bytes
    body: dict[str, JsonValue]
    notes: list[str]


# --- apparent sex -----------------------------------------------------------------------------------------


def sex_labelled(recordings: Recordings) -> Labelled:
    targets = np.array([float(one == "M") for one in recordings.column("gender")])
    return Labelled(recordings.rows.astype(np.float64), targets, recordings.speakers)


def make_sex(libri: Recordings, corrected: Recordings, others: Mapping[str, Recordings]) -> Made:
    data = sex_labelled(libri)
    logits, choices = nested(data, SHAPES, count=FOLDS, seed=SEED)
    judged = classified(
        sigmoid(logits)[:, None], data.targets.astype(int), data.speakers,
        groups=sex_groups(libri), threshold=None,
    )  # fmt: skip
    fitting, known = halves(data.strata, data.speakers, share=1 - CALIBRATION_SHARE, seed=SEED)
    choice = choose(data.take(fitting), SHAPES, seed=SEED)
    network = as_network(made(data.take(fitting), choice, seed=SEED), "apparent_sex", LABELS)
    threshold, calibration_speakers = sex_threshold(network, data.take(known))
    held = on(network, libri.take(known))
    bound = range_bound(network, data.take(known))
    every = together(list(others.values()))
    repeated = repeated_coverage(data, choice.shape, percent=PERCENT, splits=SPLITS, seed=SEED)
    body = {
        **common_body(network, libri.rows),
        "purpose": "tell whether a voice is like those of female or of male readers of English, or not determined",
        "quantity": NO_QUANTITY,
        "training_data": training_of(
            libri.take(fitting), "gender",
            f"{family_of(choice.shape)}, from LibriSpeech (V. Panayotov et al., CC BY 4.0): "
            f"{len(libri)} recordings of {data.speakers.count} readers, "
            f"of which {data.take(fitting).speakers.count} taught the model and {calibration_speakers} set the "
            "threshold of its sets; read English, sex as the corpus states it",
        ),
        "error": error_of(
            judged.error, "share of wrong answers",
            f"{FOLDS} folds by speaker; choice of the model and calibration inside each fold",
        ),
        "held_out": {
            "measure": "share of wrong answers",
            "split": "this file, on the readers it has not learned from (they set the threshold and the bound)",
            **figures_of(held.error), **answers_of(network, libri.take(known), threshold, bound),
        },
        "constant_answer": constant_sex(data),
        "groups": [group_of(name, one) for name, one in judged.groups.items()],
        "calibration": calibration_of(judged.calibration),
        "conformal": conformal_of(threshold, calibration_speakers, repeated),
        "learned_range": range_of(data, bound, calibration_speakers),
        "not_for": list(NOT_FOR), "demonstration": False,
        "transfer": [
            transfer_of(name, one, network, threshold, bound)
            for name, one in [*others.items(), ("all of these", every)]
        ],
    }  # fmt: skip
    notes = [families(data, corrected), words_of(choice, choices, threshold, held)]
    return Made(write_tflite(network), body, notes)


def sex_groups(recordings: Recordings) -> dict[str, NDArray[np.bool_]]:
    gender = np.array(recordings.column("gender"))
    seconds = np.array(recordings.column("seconds"), dtype=float)
    return {
        "female": gender == "F", "male": gender == "M",
        f"recordings under {SHORT_S:g} s": seconds < SHORT_S,
        f"recordings of {SHORT_S:g} s and more": seconds >= SHORT_S,
    }  # fmt: skip


def sex_threshold(network: Network, known: Labelled) -> tuple[Threshold, int]:
    """From one recording of each speaker whom the model has not seen."""
    rows = one_row_each(known.speakers, seed=SEED)
    probabilities = label_probabilities(run(network, known.rows[rows]))
    value = conformal_threshold(scores(probabilities, known.targets[rows]), percent=PERCENT)
    return Threshold(PERCENT, value), known.speakers.count


def range_bound(network: Network, known: Labelled) -> float:
    """How far a recording may lie from what was learned: from one recording of each speaker the model has not seen."""
    rows = one_row_each(known.speakers, seed=SEED)
    return conformal_bound(distances(network, known.rows[rows], RANGE_INPUTS), percent=PERCENT)


def on(network: Network, recordings: Recordings) -> Classified:
    labels = np.array([int(one == "M") for one in recordings.column("gender")])
    return classified(run(network, recordings.rows), labels, recordings.speakers, groups={}, threshold=None)


def families(data: Labelled, corrected: Recordings) -> str:
    """Every family by itself, by the same nested cross-validation; the last two are no candidates."""
    lines = [
        "| candidate | error, held-out speakers | 95 % | cross-entropy |",
        "|---|---|---|---|",
    ]
    extra = {
        "for comparison: all 88 of `compat`, its defective formants too": (data, WITH_FORMANTS),
        "for comparison: all 88 of `corrected`": (sex_labelled(corrected), WITH_FORMANTS),
    }
    every = {name: (data, shapes) for name, shapes in FAMILIES.items()} | extra
    for name, (rows, shapes) in every.items():
        logits, _ = nested(rows, shapes, count=FOLDS, seed=SEED)
        wrong = share_of_speakers((logits > 0) != (rows.targets > 0.5), rows.speakers)
        loss = per_speaker(np.logaddexp(0, logits) - rows.targets * logits, rows.speakers).mean()
        lines.append(
            f"| {name} | {percent(wrong.value)} | {percent(wrong.low)} to {percent(wrong.high)} | {loss:.3f} |"
        )
    return "\n".join(lines)


def words_of(choice: Choice, folds: tuple[Choice, ...], threshold: Threshold, held: Classified) -> str:
    names = [family_of(one.shape) for one in folds]
    return (
        f"Taken: {family_of(choice.shape)}, penalty {choice.shape.penalty:g}. In the folds of the nested "
        f"cross-validation: {'; '.join(names)}. Threshold of the sets: {threshold.value:.6f}. Speakers that the file "
        f"has not learned from: error {percent(held.error.value)} ({percent(held.error.low)} to "
        f"{percent(held.error.high)}, {held.error.speakers} speakers)."
    )


def family_of(shape: Shape) -> str:
    return next(name for name, shapes in FAMILIES.items() if shape in shapes)


# --- age --------------------------------------------------------------------------------------------------


def make_age(people: Recordings) -> Made:
    """Nothing is chosen here: nine people do not allow a choice. One shape, laid down beforehand."""
    ages = np.array(people.column("age"), dtype=float)
    data = Labelled(
        people.rows.astype(np.float64), (ages - YEARS[0]) / (YEARS[1] - YEARS[0]), people.speakers
    )
    shape = Shape(0.1, (), LEVELS)
    guesses, constant = np.empty(len(people)), np.empty(len(people))
    for person in range(data.speakers.count):
        held = np.flatnonzero(data.speakers.index == person)
        rest = data.without(held)
        guesses[held] = in_years(train(rest, shape).probabilities(data.rows[held]))
        constant[held] = in_years(per_speaker(rest.targets, rest.speakers).mean())
    error = float(per_speaker(np.abs(guesses - ages), data.speakers).mean())
    plain = float(per_speaker(np.abs(constant - ages), data.speakers).mean())
    network = as_network(train(data, shape), "age", tuple(f"nearer to {years} years" for years in YEARS))
    body = {
        **common_body(network, people.rows),
        "purpose": "demonstrate how a model of a quantity is made, judged and refused; it is not shipped",
        "quantity": {"unit": "years", "values": [str(years) for years in YEARS]},
        "training_data": training_of(
            people, "age",
            "EmoDB (F. Burkhardt et al., CC BY 4.0), VCTK (CSTR, CC BY 4.0) and one public domain speech: "
            f"{data.speakers.count} people of known age, {ages.min():g} to {ages.max():g} years",
        ),
        "error": error_of(
            Estimate(error, None, None, data.speakers.count, len(people)),
            "mean absolute error in years", "each speaker left out once; too few for an interval",
        ),
        "held_out": NOT_AVAILABLE,
        "constant_answer": {"answer": "the mean age of the other speakers", "error": decimal(plain)},
        "groups": [group_of(name, *count) for name, count in age_groups(people).items()],
        "calibration": NOT_AVAILABLE, "conformal": NOT_AVAILABLE, "learned_range": NOT_AVAILABLE,
        "not_for": list(NOT_FOR_AGE), "demonstration": True, "transfer": [],
    }  # fmt: skip
    note = (
        f"Age, {data.speakers.count} people: mean absolute error {error:.1f} years, each left out once; the mean age "
        f"of the others as the answer: {plain:.1f} years. No interval: too few people. Not shipped."
    )
    return Made(write_tflite(network), body, [note])


def age_groups(people: Recordings) -> dict[str, tuple[Estimate]]:
    """Only how many there are: fewer than 10 people are "not enough data"."""
    found = {}
    for name, letter in (("female", "F"), ("male", "M")):
        chosen = [one["speaker"] for one in people.facts if one["gender"] == letter]
        found[name] = (Estimate(0.0, None, None, len(set(chosen)), len(chosen)),)
    return found


def in_years(outputs: Any) -> Any:
    return YEARS[0] + (YEARS[1] - YEARS[0]) * outputs


# --- the card ---------------------------------------------------------------------------------------------


def as_network(fitted: Fitted, attribute: str, labels: tuple[str, ...]) -> Network:
    about = About(attribute, labels, COMPAT.name, COMPAT.version)
    return make_network(
        mean=fitted.mean, scale=fitted.scale, layers=list(fitted.layers), output="sigmoid", about=about
    )


def common_body(network: Network, rows: NDArray[np.float32]) -> dict[str, JsonValue]:
    about = network.about
    return {
        "format": FORMAT_3, "attribute": about.attribute, "labels": list(about.labels), "output": network.output,
        "feature_profile": about.feature_profile, "feature_version": about.feature_version,
        "privacy": NO_GUARANTEE, "files": file_entries(network, rows),
    }  # fmt: skip


def training_of(recordings: Recordings, label: str, words: str) -> dict[str, JsonValue]:
    return {
        "description": words, "sha256": recordings.sha256(label), "speakers": recordings.speakers.count,
        "recordings": len(recordings),
    }  # fmt: skip


def figures_of(one: Estimate) -> dict[str, JsonValue]:
    return {
        "value": decimal(one.value), "low": end(one.low), "high": end(one.high),
        "confidence_percent": round(100 * CONFIDENCE), "speakers": one.speakers, "recordings": one.recordings,
    }  # fmt: skip


def error_of(one: Estimate, measure: str, split: str) -> dict[str, JsonValue]:
    return {"measure": measure, "split": split, **figures_of(one)}


def group_of(name: str, one: Estimate) -> dict[str, JsonValue]:
    told = figures_of(one)
    del told["confidence_percent"]
    hidden = {} if one.enough else {"value": NOT_ENOUGH, "low": NOT_AVAILABLE, "high": NOT_AVAILABLE}
    return {"name": name, **told, **hidden}


def calibration_of(one: Calibration) -> dict[str, JsonValue]:
    bins: list[JsonValue] = []
    for place in one.bins:
        right = place.right or Estimate(0.0, None, None, 0, 0)
        bins.append({
            "from": decimal(place.low), "to": decimal(place.high), "confidence": end(place.confidence),
            "right": end(right.value if place.right else None), "low": end(right.low), "high": end(right.high),
            "speakers": right.speakers, "recordings": right.recordings,
        })  # fmt: skip
    return {"expected_error": decimal(one.error), "brier": decimal(one.brier), "bins": bins}


def conformal_of(threshold: Threshold, speakers: int, found: Repeated) -> dict[str, JsonValue]:
    sizes = found.sizes
    return {
        "kind": "set", "percent": threshold.percent, "threshold": decimal(threshold.value, 6), "speakers": speakers,
        "coverage": {"splits": found.splits, **figures_of(found.coverage)},
        "sizes": {"none": decimal(sizes.none), "one": decimal(sizes.one), "several": decimal(sizes.several)},
    }  # fmt: skip


def range_of(data: Labelled, bound: float, speakers: int) -> dict[str, JsonValue]:
    refused = repeated_refusal(data, RANGE_INPUTS, percent=PERCENT, splits=SPLITS, seed=SEED)
    return {
        "inputs": [FEATURE_NAMES[i] for i in RANGE_INPUTS], "bound": decimal(bound, 6), "percent": PERCENT,
        "speakers": speakers, "refused": {"splits": SPLITS, **figures_of(refused)},
    }  # fmt: skip


def gains(data: Path, libri: Recordings, made_sex: Made) -> str:
    """How many recordings of readers it has not learned from the range refuses when they are made louder or softer."""
    network = read_tflite(made_sex.data).network
    bound = float(made_sex.body["learned_range"]["bound"])  # type: ignore[index, call-overload, arg-type]
    labelled = sex_labelled(libri)
    _, known = halves(labelled.strata, labelled.speakers, share=1 - CALIBRATION_SHARE, seed=SEED)
    some = libri.take(known[one_row_each(labelled.speakers.take(known), seed=SEED)])
    shares = {0: float((distances(network, some.rows, RANGE_INPUTS) > bound).mean())}
    for gain_db in GAINS_DB:
        rows = louder(data, some, gain_db, profile="compat").rows
        shares[gain_db] = float((distances(network, rows, RANGE_INPUTS) > bound).mean())
    told = ", ".join(f"{percent(shares[gain_db])} at {gain_db:+d} dB" for gain_db in sorted(shares))
    return (
        f"Unlike what was learned, of {len(some)} recordings of as many readers that the file has not learned from, "
        f"made softer and louder (cut at full scale): {told}. The range depends on the gain of the recorder."
    )


def answers_of(
    network: Network, recordings: Recordings, threshold: Threshold, bound: float
) -> dict[str, JsonValue]:
    """What a person is told: how much is refused, how much determined, and how much of that is wrong."""
    labels = np.array([int(one == "M") for one in recordings.column("gender")])
    probabilities = label_probabilities(run(network, recordings.rows))
    unlike = distances(network, recordings.rows, RANGE_INPUTS) > bound
    found = sets_of(probabilities, labels, recordings.speakers, threshold, unlike)
    wrong = found.wrong_when_one
    return {
        "coverage": figures_of(found.coverage), "unlike": decimal(found.unlike), "determined": decimal(found.sizes.one),
        "wrong_of_determined": NOT_AVAILABLE if wrong is None else figures_of(wrong),
    }  # fmt: skip


def transfer_of(
    name: str, recordings: Recordings, network: Network, threshold: Threshold, bound: float
) -> dict[str, JsonValue]:
    one = on(network, recordings).error
    gone = recordings.asked - len(recordings)
    words = f"{name}; {gone} of {recordings.asked} recordings without voice left out" if gone else name
    return {"data": words, **figures_of(one), **answers_of(network, recordings, threshold, bound)}


def constant_sex(data: Labelled) -> dict[str, JsonValue]:
    share = float(per_speaker(data.targets, data.speakers).mean())
    answer = LABELS[int(share > 0.5)]
    return {"answer": f"always {answer}", "error": decimal(min(share, 1 - share))}


def decimal(value: float, places: int = 4) -> str:
    return f"{value:.{places}f}"


def end(value: float | None) -> str:
    return NOT_AVAILABLE if value is None else decimal(value)


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


# --- the run ----------------------------------------------------------------------------------------------


def recordings_of(data: Path) -> tuple[Recordings, Recordings, dict[str, Recordings], Recordings]:
    """Of LibriSpeech in both profiles, of other sets with known sex, of people with known age."""
    libri, corrected = (
        read(data, of_set("librispeech", known="gender"), profile=profile)
        for profile in ("compat", "corrected")
    )
    sets = {
        "EmoDB, acted emotion, German": "emodb", "VCTK, read English": "vctk", "FSDD, single digits, men only": "fsdd",
        "LJSpeech, one reader": "ljspeech", "one public speech of 1961": "misc", "telephone prompts": "ivr",
    }  # fmt: skip
    others = {
        words: read(data, of_set(name, known="gender"), profile="compat") for words, name in sets.items()
    }
    aged = [read(data, of_set(name, known="age"), profile="compat") for name in ("emodb", "vctk", "misc")]
    return libri, corrected, {name: one for name, one in others.items() if len(one)}, together(aged)


def write(made_models: Mapping[str, Made], identity: receipts.Identity, folder: Path, at: datetime) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, one in made_models.items():
        (folder / name).write_bytes(one.data)
        (folder / (name + ".card.json")).write_text(issue_card(one.body, one.data, identity=identity))
    (folder / "signers.json").write_text(receipts.identity_document(identity.public_key, created_at=at))


def is_shipped(one: Made) -> bool:
    """Whether the package holds exactly this file, and a card that says exactly this."""
    card = SHIPPED / (SEX + ".card.json")
    if not card.exists() or (SHIPPED / SEX).read_bytes() != one.data:
        return False
    return bool(json.loads(card.read_text(encoding="utf-8"))["body"] == one.body)


def ship(folder: Path) -> None:
    SHIPPED.mkdir(exist_ok=True)
    for name in (SEX, SEX + ".card.json", "signers.json"):
        shutil.copyfile(folder / name, SHIPPED / name)
    model_page.write(SHIPPED / (SEX + ".card.json"))
    card = read_card(json.loads((SHIPPED / (SEX + ".card.json")).read_text(encoding="utf-8"))["body"])
    GOLDEN.write_text(json.dumps(golden((SHIPPED / SEX).read_bytes(), card), indent=1) + "\n")


def golden(data: bytes, card: Card) -> dict[str, Any]:
    """What every implementation computes with the shipped file: for the public domain clip, and around the mean."""
    file = read_tflite(data)
    samples, rate_hz = soundfile.read(CLIP, dtype="float32")
    real = np.array(sottovoce.egemaps(samples, rate_hz, file.network.about.feature_profile).values)
    dice = np.random.default_rng(SEED)
    spread = np.repeat([0.5, 1.5], 10)[:, None]  # like what was learned from, and mostly not
    near = file.network.mean + spread * dice.normal(size=(20, len(FEATURE_NAMES))) / file.network.gain
    rows = np.vstack([real, file.network.mean, near]).astype(np.float32)
    stated = learned_range(card)
    far = [] if stated is None else (distances(file.network, rows, stated[0]) > stated[1]).tolist()
    return {
        "sha256": file.sha256, "rows": rows.tolist(), "outputs": run(file.network, rows).tolist(), "unlike": far,
    }  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ship", action="store_true", help="put the model of apparent sex into the package")
    parser.add_argument(
        "--seed-file", type=Path, help="32 bytes: the signing key (else one is made and not kept)"
    )
    parser.add_argument("--out", type=Path, default=BUILD, help="where the files go")
    parser.add_argument(
        "--record", action="store_true", help="write the figures to docs/reference/figures.md"
    )
    return parser.parse_args()


def main() -> int:
    given, started = arguments(), time.perf_counter()
    if not (DATA / "MANIFEST.csv").exists():
        print("the shared recordings (../shared/data) are not beside this checkout", file=sys.stderr)
        return 1
    libri, corrected, others, aged = recordings_of(DATA)
    measured_s = time.perf_counter() - started
    made_models = {SEX: make_sex(libri, corrected, others), AGE: make_age(aged)}
    made_models[SEX].notes.append(gains(DATA, libri, made_models[SEX]))
    seed = given.seed_file.read_bytes() if given.seed_file else os.urandom(receipts.SEED_BYTES)
    write(made_models, receipts.Identity(seed), given.out, datetime.now(UTC).replace(microsecond=0))
    same = is_shipped(made_models[SEX])
    if given.ship:
        ship(given.out)
    total_s = time.perf_counter() - started
    text = "\n\n".join(note for one in made_models.values() for note in one.notes)
    print(text)
    print(f"\n{total_s:.0f} s, of which {measured_s:.0f} s for measuring; written to {given.out}")
    print(
        f"file and card of apparent sex are {'' if same else 'not '}those that were shipped before this run"
    )
    if given.record:
        figures.record(
            "models",
            "Models",
            text,
            conditions=f"`make models`, {time.process_time():.0f} s of processor time; seed {SEED}",
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
