"""The pictures of a model's page, as SVG, from its card alone: error by group, and what its confidence is worth.

Pure functions from a card's body to text: the same card gives the same bytes. Readable on light and on dark paper
(prefers-color-scheme). Used by scripts/model_page.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

WIDTH = 760
_ROW = 30
_LEFT, _RIGHT = 300.0, 700.0  # of the share axis of the error picture
_BOX = (80.0, 60.0, 360.0)  # left, top and side of the reliability picture

STYLE = """
    .paper { fill: #fbfaf6; stroke: #d8d3c4; }
    .rule { stroke: #d0cbbd; stroke-width: 1; }
    .dash { stroke: #4a5a6a; stroke-width: 1; stroke-dasharray: 4 4; }
    .whisker { stroke: #2f5d91; stroke-width: 2; }
    .dot { fill: #2f5d91; }
    .other { stroke: #b3541e; } .fother { fill: #b3541e; }
    text { font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 12px; fill: #24303c; }
    .title { font-size: 16px; font-weight: 700; }
    .small { font-size: 11px; fill: #52606e; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #171c22; stroke: #39434e; }
      .rule { stroke: #39434e; } .dash { stroke: #aeb9c4; }
      .whisker { stroke: #83b1e6; } .dot { fill: #83b1e6; }
      .other { stroke: #eda06f; } .fother { fill: #eda06f; }
      text { fill: #e8edf2; } .small { fill: #aeb9c4; }
    }"""


def errors(body: dict[str, Any]) -> str:
    """Share of wrong answers with its interval: on people like those learned from (blue), on other data (brown)."""
    rows = [("all, held out", body["error"], False)]
    rows += [(group["name"], group, False) for group in body["groups"]]
    rows += [(one["data"].split(";")[0], one, True) for one in body["transfer"]]
    height = 112 + _ROW * len(rows)
    bottom = 62.0 + _ROW * len(rows)
    parts = [_text(24, 34, "How often it is wrong: share of people's recordings, with interval", "title")]
    for percent in range(0, 101, 25):
        x = _share(percent / 100)
        parts.append(f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="54" y2="{bottom:.1f}"/>')
        parts.append(_text(x, bottom + 18, f"{percent} %", "small", anchor="middle"))
    parts.append(_text(_RIGHT + 16, 50, "people", "small"))
    chance = _share(float(body["constant_answer"]["error"]))
    parts.append(f'<line class="dash" x1="{chance:.1f}" x2="{chance:.1f}" y1="54" y2="{bottom:.1f}"/>')
    parts.append(
        _text(_RIGHT, bottom + 38, "dashed: an answer that is always the same", "small", anchor="end")
    )
    for number, (name, one, other) in enumerate(rows):
        y = 76.0 + _ROW * number
        parts.append(_text(_LEFT - 14, y + 4, name, "", anchor="end"))
        parts += _whisker(one, y, other)
    words = "Error with interval for each group and for other data; the same numbers stand in the tables."
    return _svg(height, words, parts)


def reliability(body: dict[str, Any]) -> str:
    """How often it was right where it was so and so sure; on the dashed line a confidence is what it says."""
    left, top, side = _BOX
    bottom = top + side
    parts = [_text(24, 34, "How often it was right where it was so sure", "title")]
    for percent in range(50, 101, 10):
        x = left + side * (percent - 50) / 50
        parts.append(f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>')
        parts.append(_text(x, bottom + 18, f"{percent} %", "small", anchor="middle"))
    for percent in range(0, 101, 20):
        y = bottom - side * percent / 100
        parts.append(f'<line class="rule" x1="{left:.1f}" x2="{left + side:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(left - 8, y + 4, f"{percent} %", "small", anchor="end"))
    parts.append(f'<line class="dash" x1="{left}" y1="{bottom - side / 2}" x2="{left + side}" y2="{top}"/>')
    parts.append(_text(left + side / 2, bottom + 38, "its own confidence", "small", anchor="middle"))
    for place in body["calibration"]["bins"]:
        if place["confidence"][:1].isdigit():
            parts += _bin(place)
    lines = (
        "Each point: recordings of people it", "had not learned from. Upright bars:",
        "95 % intervals. On the dashed line", "a confidence is worth what it says;",
        "above it the model is more often", "right than it claims, below it less.",
        "At the bottom: how many people.",
    )  # fmt: skip
    parts += [_text(left + side + 40, top + 24 + 20 * i, line, "") for i, line in enumerate(lines)]
    words = "Share of right answers over confidence; the same numbers stand in the table."
    return _svg(480, words, parts)


def _bin(place: dict[str, Any]) -> list[str]:
    left, top, side = _BOX
    bottom = top + side
    x = left + side * (float(place["confidence"]) - 0.5) / 0.5
    right, low, high = (bottom - side * float(place[name]) for name in ("right", "low", "high"))
    return [
        f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" y1="{high:.1f}" y2="{low:.1f}"/>',
        f'<circle class="dot" cx="{x:.1f}" cy="{right:.1f}" r="5"/>',
        _text(x, bottom - 8, str(place["speakers"]), "small", anchor="middle"),
    ]


def _whisker(one: dict[str, Any], y: float, other: bool) -> list[str]:
    if not one["value"][:1].isdigit():
        return [_text(_LEFT + 8, y + 4, "not enough data", "small")]
    line, dot = ("whisker other", "dot fother") if other else ("whisker", "dot")
    low, high = ("low", "high") if one["low"][:1].isdigit() else ("value", "value")
    return [
        f'<line class="{line}" x1="{_share(float(one[low])):.1f}" x2="{_share(float(one[high])):.1f}" '
        f'y1="{y:.1f}" y2="{y:.1f}"/>',
        f'<circle class="{dot}" cx="{_share(float(one["value"])):.1f}" cy="{y:.1f}" r="5"/>',
        _text(_RIGHT + 16, y + 4, str(one["speakers"]), "small"),
    ]


def _share(value: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * value


def _text(x: float, y: float, words: str, kind: str, *, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(height: int, words: str, parts: Sequence[str]) -> str:
    inner = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">\n'
        f"<title>{escape(words)}</title>\n<style>{STYLE}\n</style>\n"
        f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>\n{inner}\n</svg>\n'
    )
