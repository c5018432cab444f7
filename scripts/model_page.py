"""Write docs/reference/models/apparent-sex.md from the card that is shipped: no figure is typed by hand.

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

ROOT = Path(__file__).resolve().parents[1]
CARD = ROOT / "src" / "sottovoce" / "data" / "models" / "apparent-sex.tflite.card.json"
PAGE = ROOT / "docs" / "reference" / "models" / "apparent-sex.md"


def write(card: Path = CARD, page: Path = PAGE) -> None:
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(rendered(json.loads(card.read_text(encoding="utf-8"))), encoding="utf-8")


def rendered(receipt: dict[str, Any]) -> str:
    body = receipt["body"]
    parts = [
        HEAD.format(**body, signer=receipt["signer"]["key_id"][:16]),
        data(body), error(body), calibration(body), conformal(body), transfer(body), limits(body), files(body),
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


def data(body: dict[str, Any]) -> str:
    one = body["training_data"]
    words = (
        f"It is a {one['description']}. Hash of the data it was fitted to: `{one['sha256']}` "
        f"({one['recordings']} recordings of {one['speakers']} people). Privacy guarantee of the training: "
        f"{body['privacy']}. With so few people, one corpus and one way of speaking, the error on other voices may be "
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


def transfer(body: dict[str, Any]) -> str:
    lines = [
        "## On other recordings", "",
        "None of these were learned from. Few people: the intervals are wide, and the error is often large.", "",
        "| data | error | interval | speakers | recordings |", "|---|---|---|---|---|",
        *(row(one["data"], one) for one in body["transfer"]),
    ]  # fmt: skip
    return "\n".join(lines)


def limits(body: dict[str, Any]) -> str:
    return "\n".join(["## What it must not be used for", "", *(f"- {words}" for words in body["not_for"])])


def files(body: dict[str, Any]) -> str:
    lines = [
        "## Files", "",
        wrapped(
            "Shipped is the first; `sottovoce models export` gives the others, to the byte. The difference is the "
            "largest one of a probability on the recordings above."
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
    if PAGE.read_text(encoding="utf-8") == rendered(json.loads(CARD.read_text(encoding="utf-8"))):
        return 0
    print(f"{PAGE.name} is not what the shipped card says", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
