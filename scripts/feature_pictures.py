"""The picture of each feature group, as SVG: a real stretch of speech, typical values, what codecs do.

Pure functions from stored measurements to text: the same input gives the same bytes. Readable on light and on dark
paper (prefers-color-scheme). Used by scripts/feature_pages.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from xml.sax.saxutils import escape

from sottovoce.voice.egemaps.catalog import GROUPS, Entry, in_group
from sottovoce.voice.egemaps.peaks import find_extrema

WIDTH = 960
LEFT, RIGHT = 214.0, 936.0  # of the strips
AXIS = (356.0, 486.0)  # of the typical values
CELLS = 562.0
CELL_W, ROW_H = 34.0, 34.0
HEAT = (0.05, 0.1, 0.25, 0.5, 1.0)  # in deviations; darker above each
COLUMNS = {
    "flac": "FLAC", "opus64": "Opus 64", "opus32": "Opus 32", "opus16": "Opus 16", "aac64": "AAC 64",
    "mp3-64": "MP3 64", "rate48": "48 kHz", "rate44": "44.1 kHz", "rate8": "8 kHz", "mulaw": "mu-law 8k",
    "amr": "AMR-NB",
}  # fmt: skip
PROFILES = ("compat", "corrected")

STYLE = """
    .paper { fill: #fbfaf6; stroke: #d8d3c4; }
    .voice { fill: #e6ecf4; }
    .rule { stroke: #b9b4a6; stroke-width: 1; fill: none; }
    .dash { stroke: #4a5a6a; stroke-width: 1; stroke-dasharray: 4 4; fill: none; }
    .compat { stroke: #2f5d91; fill: none; }
    .corrected { stroke: #b3541e; fill: none; }
    .both { stroke: #4a5a6a; fill: none; }
    .fcompat { fill: #2f5d91; }
    .fcorrected { fill: #b3541e; }
    .fboth { fill: #4a5a6a; }
    .ink { fill: #24303c; }
    .curve { stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
    .dot { stroke-width: 3.4; stroke-linecap: round; }
    .h0 { fill: #f1eee5; } .h1 { fill: #f3e3c6; } .h2 { fill: #f0cb93; } .h3 { fill: #e3a35f; }
    .h4 { fill: #c8703a; } .h5 { fill: #943f1e; }
    text { font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 12px; fill: #24303c; }
    .title { font-size: 18px; font-weight: 700; }
    .head { font-weight: 700; }
    .small { font-size: 10.5px; fill: #52606e; }
    .cell { font-size: 10.5px; text-anchor: middle; fill: #24303c; }
    .strong { fill: #ffffff; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #171c22; stroke: #39434e; }
      .voice { fill: #232d38; }
      .rule { stroke: #4b5763; }
      .dash { stroke: #aeb9c4; }
      .compat { stroke: #83b1e6; } .corrected { stroke: #eda06f; } .both { stroke: #c3ccd5; }
      .fcompat { fill: #83b1e6; } .fcorrected { fill: #eda06f; } .fboth { fill: #c3ccd5; }
      .ink { fill: #e8edf2; }
      .h0 { fill: #212932; } .h1 { fill: #3a3226; } .h2 { fill: #5a4326; } .h3 { fill: #855527; }
      .h4 { fill: #b8672f; } .h5 { fill: #e28a55; }
      text, .cell { fill: #e8edf2; }
      .small { fill: #aeb9c4; }
      .strong { fill: #14181d; }
    }"""


@dataclass(frozen=True)
class Strip:
    """One contour of the bundled recording over time."""

    title: str
    unit: str
    column: str
    where: str = "all"  # "all", "voiced" or "unvoiced" frames
    profiles: tuple[str, ...] = ("compat",)
    factor: float = 1.0
    height: float = 52.0
    marks: str = ""  # "percentiles" or "peaks"


_BALANCE = (
    ("alpha ratio", "dB", "alphaRatio_sma3"),
    ("Hammarberg index", "dB", "hammarbergIndex_sma3"),
    ("slope 0-500 Hz", "dB/Hz", "slope0-500_sma3"),
    ("slope 500-1500 Hz", "dB/Hz", "slope500-1500_sma3"),
)
_FLUX = ("spectral flux", "", "spectralFlux_sma3")
_TIMBRE = (_FLUX, *((f"MFCC {i}", "", f"mfcc{i}_sma3") for i in (1, 2, 3, 4)))
_PITCH = "F0semitoneFrom27.5Hz_sma3nz"

STRIPS: dict[str, tuple[Strip, ...]] = {
    "pitch": (Strip("pitch", "semitones", _PITCH, "voiced", PROFILES, height=150.0, marks="percentiles"),),
    "loudness": (Strip("loudness", "", "Loudness_sma3", height=120.0, marks="percentiles"),),
    "spectrum": tuple(Strip(*strip) for strip in _TIMBRE),
    "steadiness": (
        Strip("jitter", "%", "jitterLocal_sma3nz", "voiced", factor=100.0),
        Strip("shimmer", "dB", "shimmerLocaldB_sma3nz", "voiced"),
        Strip("HNR", "dB", "HNRdBACF_sma3nz", "voiced"),
    ),
    "harmonics": (
        Strip("H1-H2", "dB", "logRelF0-H1-H2_sma3nz", "voiced", PROFILES, height=80.0),
        Strip("H1-A3", "dB", "logRelF0-H1-A3_sma3nz", "voiced", PROFILES, height=80.0),
    ),
    "formants": (),
    "balance": tuple(Strip(*strip, "voiced") for strip in _BALANCE),
    "timbre": tuple(Strip(*strip, "voiced") for strip in _TIMBRE),
    "unvoiced": tuple(Strip(*strip, "unvoiced") for strip in (*_BALANCE, _FLUX)),
    "rhythm": (Strip("loudness peaks", "", "Loudness_sma3", height=120.0, marks="peaks"),),
}


def picture(group: str, typical: dict[str, Any], sensitivity: dict[str, Any], clip: dict[str, Any]) -> str:
    """The SVG of one group."""
    title, words = GROUPS[group]
    body = [
        text(24, 36, title, "title"),
        text(24, 57, words),
        *legend(),
    ]
    top = 82.0
    if group == "formants":
        body += formant_strip(clip, top)
        top += 190.0
    for strip in STRIPS[group]:
        body += drawn(strip, clip, top)
        top += strip.height + 12
    body += time_axis(clip, top)
    top += 118
    body += table_head(top)
    for entry in in_group(group):
        body += row(entry, typical, sensitivity, top)
        top += ROW_H
    body += heat_legend(top + 8)
    height = math.ceil(top + 44)
    return document(height, title, words, body)


# --- the recording ---------------------------------------------------------------------------------------------


def drawn(strip: Strip, clip: dict[str, Any], top: float) -> Iterator[str]:
    """Voiced stretches, the contours, and the range of values at the left."""
    bottom = top + strip.height
    series = {p: [strip.factor * v for v in clip["contours"][p][strip.column]] for p in strip.profiles}
    shown = {p: masked(values, strip.where, clip) for p, values in series.items()}
    heights = [v for values in shown.values() for v in values if v is not None]
    low, high = min(heights), max(heights)
    y = scale(low, high, bottom - 4, top + 4)
    yield from voiced_stretches(clip, top, bottom)
    yield text(24, top + 16, strip.title, "head")
    yield text(24, top + 32, strip.unit, "small") if strip.unit else ""
    yield text(LEFT - 8, top + 12, number(high), "small", "end")
    yield text(LEFT - 8, bottom - 2, number(low), "small", "end")
    if strip.marks == "percentiles":
        yield from percentiles(strip, clip, top, y)
    for profile, values in shown.items():
        kind = profile if len(shown) > 1 else "both"
        yield path(curve(values, clip, y), f"{kind} curve")
    if strip.marks == "peaks":
        yield from peaks(series[strip.profiles[0]], clip, y)


def masked(values: list[float], where: str, clip: dict[str, Any]) -> list[float | None]:
    """None outside the frames that count, and where a contour of voiced frames is 0."""
    if where == "all":
        return list(values)
    wanted = where == "voiced"
    kept = zip(values, voiced(clip), strict=True)
    return [v if has == wanted and not (wanted and v == 0) else None for v, has in kept]


def voiced(clip: dict[str, Any]) -> list[bool]:
    return [value > 0 for value in clip["contours"]["compat"][_PITCH]]


def curve(values: list[float | None], clip: dict[str, Any], y: Any) -> str:
    """One stroke per stretch of values; a dot is a very short stroke."""
    pieces: list[str] = []
    pen_down = False
    for i, value in enumerate(values):
        if value is not None:
            pieces.append(f"{'L' if pen_down else 'M'}{x_of(i, clip):.1f} {y(value):.1f}")
            if not pen_down:
                pieces.append("h0.1")
        pen_down = value is not None
    return "".join(pieces)


def voiced_stretches(clip: dict[str, Any], top: float, bottom: float) -> Iterator[str]:
    at = 0
    for has, run in groupby(voiced(clip)):
        length = len(list(run))
        if has:
            x = x_of(at, clip)
            yield rect(x, top, x_of(at + length, clip) - x, bottom - top, "voice")
        at += length


def percentiles(strip: Strip, clip: dict[str, Any], top: float, y: Any) -> Iterator[str]:
    """The three percentiles of the whole recording."""
    yield text(24, top + 48, f"dashed: of all {clip['seconds']:g} s", "small")
    base = strip.column.replace("Loudness", "loudness")
    for percent in (20, 50, 80):
        level = y(clip["values"]["compat"][f"{base}_percentile{percent}.0"])
        yield path(f"M{LEFT} {level:.1f}H{RIGHT}", "dash")
        yield text(RIGHT + 2, level + 4, f"p{percent}", "small")


def peaks(values: list[float], clip: dict[str, Any], y: Any) -> Iterator[str]:
    for extremum in find_extrema(values):
        if extremum.is_max:
            x, height = x_of(extremum.position, clip), y(extremum.value)
            yield f'<circle class="fcorrected" cx="{x:.1f}" cy="{height:.1f}" r="3.5"/>'


def formant_strip(clip: dict[str, Any], top: float) -> Iterator[str]:
    """The spectrogram up to 5 kHz, with the three formants of both profiles on it."""
    bottom = top + 178.0
    y = scale(0.0, 5000.0, bottom, top)
    yield text(24, top + 16, "formants 1 to 3", "head")
    yield text(24, top + 32, "over the spectrogram", "small")
    for level_hz in (0, 1000, 2000, 3000, 4000, 5000):
        yield text(LEFT - 8, y(level_hz) + 4, f"{level_hz:,} Hz", "small", "end")
    yield from spectrogram(clip["spectrogram"], top, bottom)
    for profile in PROFILES:
        for k in (1, 2, 3):
            values = clip["contours"][profile][f"F{k}frequency_sma3nz"]
            dots = "".join(
                f"M{x_of(i, clip):.1f} {y(value):.1f}h0.1"
                for i, value in enumerate(values)
                if value > 0 and i % 2 == 0
            )
            yield path(dots, f"{profile} dot")


def spectrogram(rows: list[str], top: float, bottom: float) -> Iterator[str]:
    """Three shades, each over the next: runs of cells of at least a level, column by column."""
    width, height = (RIGHT - LEFT) / len(rows[0]), (bottom - top) / len(rows)
    for threshold in (3, 5, 7):
        cells = []
        for column in range(len(rows[0])):
            at = 0
            for loud, run in groupby(int(band[column]) >= threshold for band in rows):
                length = len(list(run))
                if loud:
                    x, y = LEFT + column * width, bottom - at * height
                    cells.append(f"M{x:.1f} {y:.1f}h{width:.1f}v{-length * height:.1f}h{-width:.1f}z")
                at += length
        yield path("".join(cells), "ink", 'fill-opacity="0.16"')


def time_axis(clip: dict[str, Any], top: float) -> Iterator[str]:
    start, end = clip["shown_s"]
    yield path(f"M{LEFT} {top:.1f}H{RIGHT}", "rule")
    for half in range(math.ceil(2 * start), math.floor(2 * end) + 1):
        x = LEFT + (half / 2 - start) / (end - start) * (RIGHT - LEFT)
        yield path(f"M{x:.1f} {top:.1f}v5", "rule")
        yield text(x, top + 18, f"{half / 2:g} s", "small", "middle")
    yield text(24, top + 18, "bundled recording", "small")


def x_of(frame: float, clip: dict[str, Any]) -> float:
    start, end = clip["shown_s"]
    return LEFT + frame / (100 * (end - start)) * (RIGHT - LEFT)


# --- the table -------------------------------------------------------------------------------------------------


def table_head(top: float) -> Iterator[str]:
    yield text(24, top - 10, "feature", "head")
    yield text(sum(AXIS) / 2, top - 26, "typical values", "head", "middle")
    yield text(sum(AXIS) / 2, top - 10, "5 % to 95 %, middle half, median", "small", "middle")
    for i, title in enumerate(COLUMNS.values()):
        x = CELLS + i * CELL_W + 12
        yield f'<text class="small" transform="translate({x:.1f} {top - 10:.1f}) rotate(-50)">{title}</text>'


def row(entry: Entry, typical: dict[str, Any], sensitivity: dict[str, Any], top: float) -> Iterator[str]:
    yield path(f"M24 {top:.1f}H{RIGHT}", "rule")
    yield text(24, top + 21, entry.title)
    yield from boxes(entry, typical, top)
    changes = sensitivity["profiles"]["compat"][entry.name]
    for i, condition in enumerate(COLUMNS):
        pair = changes.get(condition)
        value = pair[1] if pair else None
        x = CELLS + i * CELL_W
        step = sum(value > limit for limit in HEAT) if value is not None else 0
        yield rect(x + 1, top + 2, CELL_W - 2, ROW_H - 4, f"h{step}")
        strong = " strong" * (step >= 4)
        yield text(x + CELL_W / 2, top + 21, cell(value), f"cell{strong}")


def boxes(entry: Entry, typical: dict[str, Any], top: float) -> Iterator[str]:
    """One box per profile, or one for both, on an axis of the feature's own."""
    tables = typical["groups"]["all"]["profiles"]
    shown = PROFILES if entry.corrected else PROFILES[:1]
    values = {profile: tables[profile][entry.name] for profile in shown}
    low, high = min(v[0] for v in values.values()), max(v[4] for v in values.values())
    x = scale(low, high, *AXIS)
    yield text(AXIS[0] - 8, top + 21, number(low), "small", "end")
    yield text(AXIS[1] + 8, top + 21, number(high), "small")
    for i, (profile, (p5, p25, p50, p75, p95)) in enumerate(values.items()):
        kind = profile if len(values) > 1 else "both"
        y = top + (ROW_H / 2 if len(values) == 1 else 11 + 12 * i)
        yield path(f"M{x(p5):.1f} {y:.1f}H{x(p95):.1f}", kind, 'stroke-width="1.4"')
        yield path(f"M{x(p25):.1f} {y:.1f}H{max(x(p75), x(p25) + 1):.1f}", kind, 'stroke-width="6"')
        yield f'<circle class="paper" cx="{x(p50):.1f}" cy="{y:.1f}" r="2.2"/>'


def legend() -> Iterator[str]:
    for x, profile in ((700, "compat"), (780, "corrected"), (880, "both")):
        yield rect(x, 26, 14, 10, f"f{profile}")
        yield text(x + 19, 35, profile, "small")


def heat_legend(top: float) -> Iterator[str]:
    yield text(
        24,
        top + 16,
        "cells: median change against 16-bit PCM in deviations between recordings (compat)",
        "small",
    )
    labels = [f"<= {HEAT[0]:g}", *(f"> {limit:g}" for limit in HEAT)]
    for i, label in enumerate(labels):
        x = CELLS + 60 * i + 14 * (i > 0)
        yield rect(x, top + 5, 14, 14, f"h{i}")
        yield text(x + 18, top + 16, label, "small")


def cell(value: float | None) -> str:
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if value < 0.005:
        return "<.01"
    return f"{value:.2f}".lstrip("0") if value < 1 else f"{value:.1f}"


# --- SVG -------------------------------------------------------------------------------------------------------


def document(height: int, title: str, words: str, body: list[str]) -> str:
    lines = "\n".join(f"  {line}" for line in body if line)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="t d">\n'
        f'  <title id="t">{escape(title)}</title>\n'
        f'  <desc id="d">{escape(words)} Above, a stretch of the bundled recording; below, for each feature, typical '
        "values over real speech and how much codecs and sample rates change it.</desc>\n"
        f"  <style>{STYLE}\n  </style>\n"
        f'  <rect class="paper" x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="14"/>\n'
        f"{lines}\n</svg>\n"
    )


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "") -> str:
    extra = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x:g}" y="{y:g}"{extra}>{escape(words)}</text>'


def rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def path(d: str, kind: str, extra: str = "") -> str:
    return f'<path class="{kind}" d="{d}"{" " + extra if extra else ""}/>'


def scale(low: float, high: float, start: float, end: float) -> Any:
    """A straight line from values to places; a range of nothing lies at its start."""
    span = high - low or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
