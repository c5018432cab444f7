"""Write docs/reference/features/*.md and docs/images/features/*.svg: a page per feature, a picture per group.

Made from the catalog of the package (sottovoce.voice.egemaps.catalog) and the three stored measurements beside the
pages (scripts/feature_sensitivity.py makes those). Nothing is measured here.

Usage: python scripts/feature_pages.py [--check]     --check: write nothing, exit 1 where a page is out of date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import feature_pictures  # beside this file

from sottovoce.voice.egemaps.catalog import CATALOG, GROUPS, Entry, in_group

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "reference" / "features"
IMAGES = ROOT / "docs" / "images" / "features"
PROFILES = ("compat", "corrected")
LITTLE, MUCH = 0.1, 0.5  # of the deviation between recordings
NOTE = "Written by `make feature-pages` from the catalog and stored measurements: do not edit."
SETS = {  # attribution of what was measured; only aggregates stand here
    "emodb": "EmoDB (F. Burkhardt et al. 2005), CC BY 4.0",
    "formats": "seven clips of Mozilla Common Voice, CC0-1.0",
    "fsdd": "Free Spoken Digit Dataset, CC BY-SA 4.0, 8 kHz",
    "ivr": "Asterisk core sounds, CC BY-SA 3.0 and CC BY 3.0, 8 kHz",
    "librispeech": "LibriSpeech (V. Panayotov et al. 2015), CC BY 4.0",
    "ljspeech": "LJSpeech, public domain",
    "meeting": "AMI corpus, CC BY 4.0",
    "misc": "the bundled recording, public domain",
    "vctk": "VCTK (University of Edinburgh), CC BY 4.0",
    "wakeword": "Picovoice wake word benchmark, Apache-2.0",
}


@dataclass(frozen=True)
class Measured:
    """The three stored measurements."""

    typical: dict[str, Any]
    sensitivity: dict[str, Any]
    clip: dict[str, Any]


def measured(folder: Path = PAGES) -> Measured:
    return Measured(
        *(
            json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            for name in ("typical", "sensitivity", "clip")
        )
    )


# --- a page per feature ----------------------------------------------------------------------------------------


def feature_page(entry: Entry, found: Measured) -> str:
    group = GROUPS[entry.group][0]
    sections = [
        f"# {entry.title}",
        NOTE,
        entry.plain,
        table(
            ("", ""),
            (
                ("name", f"`{entry.name}`"),
                ("place in the vector", f"{entry.position} (of 0 to 87)"),
                ("group", f"[{group}](index.md#{anchor(group)})"),
                ("unit", entry.unit),
                ("computed over", entry.frames),
            ),
        ),
        "## Definition\n\n" + entry.definition,
        *(f"**Take care.** {caution}" for caution in entry.cautions),
        "## Formula\n\n```text\n" + entry.formula + "\n```",
        smoothing(entry) + "In the code: " + ", ".join(f"`{place}`" for place in entry.code) + ".",
        profiles(entry, found.clip),
        typical(entry, found.typical),
        sensitivity(entry, found.sensitivity),
        "## Source\n\n" + "\n".join(f"- {source}" for source in entry.sources),
        "## Beside it\n\n" + beside(entry),
    ]
    return "\n\n".join(sections) + "\n"


def smoothing(entry: Entry) -> str:
    if "_sma3nz_" in entry.name:
        return "The contour x, one value per 10 ms, is smoothed over three frames; only values other than 0 enter. "
    if "_sma3_" in entry.name:
        return "The contour x, one value per 10 ms, is smoothed over three frames. "
    return ""


def profiles(entry: Entry, clip: dict[str, Any]) -> str:
    compat, corrected = (clip["values"][profile][entry.name] for profile in PROFILES)
    values = table(
        ("profile", "version", f"value of `{clip['file']}`"),
        (
            ("`compat`", f"`{clip['stamp']['profiles']['compat']}`", number(compat)),
            ("`corrected`", f"`{clip['stamp']['profiles']['corrected']}`", number(corrected)),
        ),
    )
    words = entry.corrected or ("Both profiles share this definition; their values are equal.",)
    heading = "## The two profiles\n\n"
    return (
        heading
        + "\n\n".join(words)
        + f"\n\n{values}\n\n"
        + f"`{clip['file']}` is the recording that comes with the package ({clip['seconds']:g} s): "
        + "`sottovoce features src/sottovoce/data/jfk.flac` prints these values."
    )


def typical(entry: Entry, stored: dict[str, Any]) -> str:
    rows = []
    for key, title in (("all", "all speech"), ("wide", "of these, at least 16 kHz and 1 s")):
        group = stored["groups"][key]
        for profile in PROFILES if entry.corrected else PROFILES[:1]:
            cells = [number(value) for value in group["profiles"][profile][entry.name]]
            who = f"`{profile}`" if entry.corrected else "both"
            rows.append((f"{title} ({group['recordings']:,})", who, *cells))
    head = ("recordings", "profile", *(f"{p} %" for p in stored["percentiles"]))
    return (
        "## Typical range\n\n"
        + f"Unit: {entry.unit}. Measured over real speech on {stored['stamp']['day']}; "
        + "[how, and on what](index.md#how-it-was-measured).\n\n"
        + table(head, rows)
    )


def sensitivity(entry: Entry, stored: dict[str, Any]) -> str:
    rows = []
    for condition in stored["conditions"]:
        cells = []
        for profile in PROFILES:
            pair = stored["profiles"][profile][entry.name].get(condition["name"])
            cells += [share(pair[0]), deviations(pair[1])] if pair else [absent(condition), "-"]
        rows.append((condition["title"], *cells))
    head = ("recording", "`compat`: change", "in deviations", "`corrected`: change", "in deviations")
    return (
        "## Sensitivity to codec and sample rate\n\n"
        + f"Median over {stored['recordings']} recordings of the absolute change against the same recording as "
        + "16-bit PCM at 16 kHz: as a share of the value, and in standard deviations between recordings "
        + f"({number(stored['profiles']['compat'][entry.name]['deviation'])} in `compat`, "
        + f"{number(stored['profiles']['corrected'][entry.name]['deviation'])} in `corrected`): 0.1 is little beside "
        + "how recordings differ, 1 is as much as they differ.\n\n"
        + table(head, rows)
    )


def beside(entry: Entry) -> str:
    """Links to the features of the same group, and its picture."""
    others = [f"[`{other.name}`]({other.name}.md)" for other in in_group(entry.group) if other is not entry]
    title = GROUPS[entry.group][0]
    picture = (
        f"![{title}: a stretch of the bundled recording, typical values, sensitivity]({image(entry.group)})"
    )
    return picture + "\n\n" + ", ".join(others) + "."


# --- the index -------------------------------------------------------------------------------------------------


def index_page(found: Measured) -> str:
    parts = [
        "# A page per feature",
        NOTE,
        "88 numbers are taken from each recording ([overview](../features.md)). Each has a page: what it is, formula, "
        "unit, how large it is in real speech, how the profiles `compat` and `corrected` differ, and what codecs and "
        "sample rates do to it. `sottovoce features --explain NAME` says the same without the measurements.",
        "Features are personal data: [why](../../explanation/features-are-personal-data.md).",
        "## What survives which codec\n\n" + survivors(found.sensitivity),
        *(group_section(group) for group in GROUPS),
        "## How it was measured\n\n" + method(found),
    ]
    return "\n\n".join(parts) + "\n"


def survivors(stored: dict[str, Any]) -> str:
    rows = []
    for condition in stored["conditions"]:
        cells = []
        for profile in PROFILES:
            pairs = [row.get(condition["name"]) for row in stored["profiles"][profile].values()]
            changes = [pair[1] for pair in pairs if pair and pair[1] is not None]
            little = sum(change <= LITTLE for change in changes)
            much = sum(change > MUCH for change in changes)
            cells += [str(little), str(much)] if changes else [absent(condition), "-"]
        rows.append((condition["title"], *cells))
    head = (
        "recording",
        f"`compat`: at most {LITTLE}",
        f"above {MUCH}",
        f"`corrected`: at most {LITTLE}",
        f"above {MUCH}",
    )
    return (
        f"How many of the 88 features change, in the median of {stored['recordings']} recordings, by at most {LITTLE} "
        f"or by more than {MUCH} of the standard deviation between recordings, against 16-bit PCM at 16 kHz.\n\n"
        + table(head, rows)
        + "\n\n`native=True` leaves the recording at its own rate, as a comparison with other extractors needs; "
        "everything else in sottovoce is resampled to 16 kHz first."
    )


def group_section(group: str) -> str:
    title, words = GROUPS[group]
    links = "\n".join(f"- [`{entry.name}`]({entry.name}.md): {entry.title}" for entry in in_group(group))
    return f"## {title}\n\n{words}\n\n![{title}]({image(group)})\n\n{links}"


def method(found: Measured) -> str:
    every, wide, sample = (
        found.typical["groups"]["all"],
        found.typical["groups"]["wide"],
        found.sensitivity,
    )
    stamp = sample["stamp"]
    sets = "\n".join(f"- {SETS[name]}: {count}" for name, count in found.typical["sets"].items())
    return (
        f"**Typical values** ({found.typical['stamp']['day']}): {every['recordings']:,} recordings of "
        f"{every['speakers']} known speakers ({every['speaker_not_known']} recordings name no speaker), the first "
        f"30 s of each. {found.typical['skipped']} more were left out, with fewer than 20 voiced frames or less than "
        f"100 ms. {found.typical['sets']['fsdd']} of them are single spoken digits of four men at 8 kHz, which is why "
        f"a second line counts the {wide['recordings']} recordings of at least 16 kHz and 1 s, of "
        f"{wide['speakers']} known speakers. The sets "
        "are what could be had under free licences: mostly English and German, mostly read or acted. They are no "
        "norm for anybody's voice.\n\n"
        f"**Sensitivity** ({stamp['day']}): a fixed draw (seed {sample['seed']}) of {sample['recordings']} of the 16 "
        f"kHz recordings, {sample['speakers']} known speakers, the first 12 s of each; {sample['dropped']} more were "
        "drawn and left out, as too little voice was left of them under some condition. Each was encoded by PyAV "
        f"{stamp['pyav']} (libavcodec {stamp['ffmpeg']['libavcodec']}; libopus, LAME, FFmpeg's own AAC encoder, "
        "opencore-amr), then decoded, resampled to 16 kHz and measured as the product does. What a codec does to the "
        "time axis is part of its change. The standard deviation between recordings is estimated from the middle half "
        "of them (the distance of the quartiles over 1.349). Rates were made by Fourier resampling; those of 44.1 and "
        "48 kHz hold nothing above 8 kHz, as the recordings don't. At 8 kHz everything above 4 kHz is missing: compare "
        "mu-law and AMR-NB with PCM at 8 kHz to see what the codec adds to that.\n\n"
        f"Versions: sottovoce {stamp['sottovoce']}, numpy {stamp['numpy']}, scipy {stamp['scipy']}, libsndfile "
        f"{stamp['libsndfile']}. `python scripts/feature_sensitivity.py` measures anew where the shared recordings "
        "lie beside the checkout. Stored are aggregates over at least 100 recordings of at least 10 speakers, and the "
        "values of the bundled recording: [typical.json](typical.json), [sensitivity.json](sensitivity.json), "
        "[clip.json](clip.json).\n\n"
        f"The recordings:\n\n{sets}\n\n"
        "**The pictures** show 3 s of the bundled recording (voiced stretches shaded), the 5th to 95th percentile "
        "over all speech with the middle half as a box, and the change under each codec in deviations (`compat`)."
    )


# --- small things ----------------------------------------------------------------------------------------------


def table(head: tuple[str, ...], rows: Any) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def absent(condition: dict[str, Any]) -> str:
    return "not measured here: no encoder" if condition["missing"] else "not defined"


def number(value: float) -> str:
    return f"{value:.4g}"


def share(value: float | None) -> str:
    """A relative change in words: 0.0123 -> 1.2 %."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if value < 1e-4:
        return "< 0.01 %"
    return f"{100 * value:.2g} %" if value < 0.1 else f"{100 * value:,.0f} %"


def deviations(value: float | None) -> str:
    if value is None:
        return "-"
    if value == 0:
        return "0"
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def image(group: str) -> str:
    return f"../../images/features/{group}.svg"


def files(found: Measured) -> Iterator[tuple[Path, str]]:
    """Every file that this script writes."""
    yield PAGES / "index.md", index_page(found)
    for entry in CATALOG.values():
        yield PAGES / f"{entry.name}.md", feature_page(entry, found)
    for group in GROUPS:
        picture = feature_pictures.picture(group, found.typical, found.sensitivity, found.clip)
        yield IMAGES / f"{group}.svg", picture


def stale(wanted: dict[Path, str]) -> list[Path]:
    """Files that differ from what they should be, or should not be there."""
    there = {*PAGES.glob("*.md"), *IMAGES.glob("*.svg")}
    differing = {
        path for path, text in wanted.items() if path not in there or path.read_text(encoding="utf-8") != text
    }
    return sorted(differing | (there - set(wanted)))


def main(arguments: list[str]) -> int:
    wanted = dict(files(measured()))
    changed = stale(wanted)
    if "--check" in arguments:
        for path in changed:
            print(f"{path.relative_to(ROOT)} is out of date: run `make feature-pages`", file=sys.stderr)
        return 1 if changed else 0
    IMAGES.mkdir(parents=True, exist_ok=True)
    for path in changed:
        if path in wanted:
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()
    print(f"{len(changed)} of {len(wanted)} files written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
