"""Write docs/reference/models/apparent-sex.md and its pictures from the card that is shipped: no figure by hand.

python scripts/model_page.py            # compare with the page
python scripts/model_page.py --write    # write it anew
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import model_pictures  # beside this file

ROOT = Path(__file__).resolve().parents[1]
CARD = ROOT / "src" / "sottovoce" / "data" / "models" / "apparent-sex.tflite.card.json"
PAGE = ROOT / "docs" / "reference" / "models" / "apparent-sex.md"
IMAGES = ROOT / "docs" / "images" / "models"
PICTURES = {
    "apparent-sex-errors.svg": model_pictures.errors,
    "apparent-sex-confidence.svg": model_pictures.reliability,
}


def write(card: Path = CARD) -> None:
    for file, text in made(card).items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def made(card: Path = CARD) -> dict[Path, str]:
    """The page and its pictures as the card has them."""
    receipt = json.loads(card.read_text(encoding="utf-8"))
    pictures = {IMAGES / name: picture(receipt["body"]) for name, picture in PICTURES.items()}
    return {PAGE: rendered(receipt), **pictures}


def rendered(receipt: dict[str, Any]) -> str:
    body = receipt["body"]
    parts = [
        HEAD.format(**body, signer=receipt["signer"]["key_id"][:16]),
        short(body), data(body), error(body), calibration(body), conformal(body), learned_range(body), transfer(body),
        limits(body), files(body),
    ]  # fmt: skip
    return "\n\n".join(part.strip() for part in parts) + "\n"


HEAD = """
# The model of apparent sex

*This page is made from the signed card by `scripts/model_page.py`; no figure of it is typed by hand.*

What it is for: to {purpose}.
It takes the features of the profile `{feature_profile}` ({feature_version}). Its card is signed by `{signer}...`, a key
that `sottovoce models verify` knows without a home. It runs only where an operator asks for it (setting `infer`)
**and** the person has agreed to the purpose `infer_{attribute}`.
"""


def short(body: dict[str, Any]) -> str:
    held, every, refused = body["held_out"], body["transfer"][-1], body["learned_range"]["refused"]
    wrong = held["wrong_of_determined"]
    words = (
        f"Of people like those it has learned from, it answers {shown(held['determined'])} of the recordings, and "
        f"{shown(wrong['value'])} of these answers are wrong ({interval(wrong)}). To the others "
        'it says "not determined". '
        f"Recordings unlike those are refused: {shown(every['unlike'])} of all the others that "
        "were at hand, but only "
        f"{shown(refused['value'])} of those of new people of the same kind. Where it does "
        "answer on other recordings, it "
        f"is much more often wrong ({told(every['wrong_of_determined'])}): it must not be relied on there."
    )
    return "## In short\n\n" + wrapped(words)


def data(body: dict[str, Any]) -> str:
    one = body["training_data"]
    words = (
        f"It is a {one['description']}. Hash of the data it was fitted to: `{one['sha256']}` "
        f"({one['recordings']} recordings of {one['speakers']} people). Privacy guarantee of the training: "
        f"{body['privacy']}. With so few people, one corpus and one way of speaking, the error "
        "on other voices may be "
        "much larger: see below."
    )
    return "## What it has learned from\n\n" + wrapped(words)


def error(body: dict[str, Any]) -> str:
    lines = [
        "## How often it is wrong", "",
        wrapped(
            "Share of wrong answers on people it has not seen; a person counts once. Intervals: "
            f"{body['error']['confidence_percent']} %, exact, over people. An answer that is always the same "
            f"({body['constant_answer']['answer']}) is wrong for {shown(body['constant_answer']['error'])}."
        ), "",
        "![Error by group and on other data, with intervals](../../images/models/apparent-sex-errors.svg)", "",
        wrapped(
            "Here an answer is the likelier label, as if it had to say something. What is said "
            "in fact is less, and less "
            "often wrong: see below."
        ), "",
        "| people | error | interval | speakers | recordings |", "|---|---|---|---|---|",
        row(f"all: {body['error']['split']}", body["error"]), row(body["held_out"]["split"], body["held_out"]),
        *(row(group["name"], group) for group in body["groups"]),
    ]  # fmt: skip
    return "\n".join(lines)


def calibration(body: dict[str, Any]) -> str:
    found = body["calibration"]
    lines = [
        "## What its confidence means", "",
        f"Expected calibration error {shown(found['expected_error'])}, Brier score {found['brier']}.", "",
        "![How often it was right where it was so sure](../../images/models/apparent-sex-confidence.svg)", "",
        "| confidence | mean | right | interval | speakers | recordings |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for one in found["bins"]:
        lines.append(
            f"| {shown(one['from'])} to {shown(one['to'])} | {shown(one['confidence'])} | {shown(one['right'])} | "
            f"{interval(one)} | {one['speakers']} | {one['recordings']} |"
        )
    return "\n".join(lines)


def conformal(body: dict[str, Any]) -> str:
    found = body["conformal"]
    coverage, sizes = found["coverage"], found["sizes"]
    return f"""## When it says "not determined"

The answer is a set: the labels that cannot be ruled out with {found["percent"]} % coverage (split conformal prediction,
threshold {found["threshold"]} from one recording of each of {found["speakers"]} people whom the model has not seen).
A set with no label or with both is told as "not determined". Over {coverage["splits"]} speaker-disjoint splits of the
same data the sets held the truth for {shown(coverage["value"])} of the people (exact {coverage["confidence_percent"]} %
interval over {coverage["speakers"]} speakers: {interval(coverage)}). Of the sets, {shown(sizes["one"])} held one label,
{shown(sizes["none"])} none, {shown(sizes["several"])} both. This holds for people like those readers. For another
language, recorder or way of speaking nothing is promised."""


def learned_range(body: dict[str, Any]) -> str:
    found, held = body["learned_range"], body["held_out"]
    refused = found["refused"]
    words = (
        f"{len(found['inputs'])} features of a recording (all that are no spread and no formant: "
        "pitch, loudness, timbre, "
        "steadiness, pace) are compared with those it has learned from: the root of the mean "
        "square of their distances, "
        f'in standard deviations. Above {found["bound"]} the answer is "not determined", with '
        'the reason "unlike what '
        "was learned\", whatever the model's own probability is. The bound is conformal: set by "
        "one recording of each of "
        f"{found['speakers']} people it has not learned from, so that on average at most "
        f"{100 - found['percent']} % of new "
        f"people of the same kind are refused. Measured over {refused['splits']} splits by speaker: "
        f"{shown(refused['value'])} ({interval(refused)})."
    )
    more = (
        "Why it looks at more than the pitch: a man who raises his voice does have a high pitch. By "
        "the four inputs of the model alone such a recording is inside of everything that was "
        "learned, and the model is sure and wrong. The price: loudness counts as well, and so does the "
        "gain of the recorder. "
        "The same voice made much louder or softer is refused too ([figures](../figures.md#models)). "
        "The kind of distance, the features and the share were chosen while "
        "looking at the other data "
        "below: how much of those is refused may be less for data that nobody has looked at."
    )
    last = (
        f"On the readers it has not learned from: {shown(held['unlike'])} refused, "
        f"{shown(held['determined'])} determined, "
        f"of which {told(held['wrong_of_determined'])} wrong."
    )
    return "\n\n".join(["## When a recording is unlike what was learned", *map(wrapped, (words, more, last))])


def transfer(body: dict[str, Any]) -> str:
    promised = body["conformal"]["percent"]
    lines = [
        "## On other recordings", "",
        wrapped(
            "None of these were learned from. Few people: the intervals are wide, and the error "
            "is often large. \"Covered\" "
            f"is how often the set held the truth (promised are {promised} %, to people like "
            "those readers alone; the range "
            "not applied)."
        ), "",
        "| data | error | interval | covered | interval | speakers | recordings |", "|---|---|---|---|---|---|---|",
        *(
            f"| {one['data']} | {shown(one['value'])} | {interval(one)} | {shown(one['coverage']['value'])} | "
            f"{interval(one['coverage'])} | {one['speakers']} | {one['recordings']} |"
            for one in body["transfer"]
        ), "",
        "What was told of them, sets and range applied:", "",
        "| data | unlike what was learned | one label | of these wrong |", "|---|---|---|---|",
        *(
            f"| {one['data'].partition(';')[0]} | {shown(one['unlike'])} | {shown(one['determined'])} | "
            f"{told(one['wrong_of_determined'])} |"
            for one in body["transfer"]
        ),
    ]  # fmt: skip
    return "\n".join(lines)


def told(one: Any) -> str:
    """A share with its interval and how many people it counts; or that there was none."""
    if not isinstance(one, dict):
        return "-"
    people = "1 person" if one["speakers"] == 1 else f"{one['speakers']} people"
    return f"{shown(one['value'])} ({interval(one)}, {people})"


def limits(body: dict[str, Any]) -> str:
    return "\n".join(["## What it must not be used for", "", *(f"- {words}" for words in body["not_for"])])


def files(body: dict[str, Any]) -> str:
    lines = [
        "## Files", "",
        wrapped(
            "Shipped is the first; `sottovoce models export` gives the others, to the byte. The difference is the "
            "largest one of a probability on the recordings above. The bounds of "
            "this house, 80 KiB in full and 25 KiB with int8, are for larger networks; a KiB is 1,024 bytes."
        ), "",
        "| weights | bytes | largest difference | sha256 |", "|---|---|---|---|",
    ]  # fmt: skip
    for one in body["files"]:
        weights = "float32" if one["quantise"] == "none" else one["quantise"]
        lines.append(f"| {weights} | {one['size_bytes']} | {one['largest_difference']} | `{one['sha256']}` |")
    return "\n".join(lines)


def wrapped(words: str) -> str:
    return textwrap.fill(words, 119, break_long_words=False, break_on_hyphens=False)


def row(name: str, one: dict[str, Any]) -> str:
    return f"| {name} | {shown(one['value'])} | {interval(one)} | {one['speakers']} | {one['recordings']} |"


def interval(one: dict[str, Any]) -> str:
    return (
        "not available" if one["low"] == "not available" else f"{shown(one['low'])} to {shown(one['high'])}"
    )


def shown(value: str) -> str:
    return f"{100 * float(value):.1f} %" if value[:1].isdigit() else value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        write()
        return 0
    stale = [f.name for f, text in made().items() if not f.exists() or f.read_text(encoding="utf-8") != text]
    for name in stale:
        print(f"{name} is not what the shipped card says", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
