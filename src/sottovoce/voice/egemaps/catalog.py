"""The catalog of the 88 features: what each one is, for pages, for the command line, for a person's own export.

    entry("jitterLocal_sma3nz_amean").plain

No numpy and no signal here: asking what a feature is costs nothing. The texts stand in `descriptors` and
`contour_descriptors`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sottovoce.errors import UsageError
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.voice.egemaps.contour_descriptors import CONTOURS
from sottovoce.voice.egemaps.descriptors import (
    GROUPS,
    SINGLES,
    SOURCES,
    STATISTICS,
    Contour,
    Single,
    Statistic,
)

NO_UNIT = "none (a number)"
_ROOM = "sottovoce.voice.egemaps."


@dataclass(frozen=True, slots=True)
class Entry:
    """One feature, described."""

    name: str
    group: str  # a key of GROUPS
    title: str
    plain: str  # for the person whose voice it is
    definition: str
    formula: str  # of the contour, line by line; then of the statistic
    frames: str  # "all frames", "voiced frames" or "unvoiced frames"
    unit: str
    corrected: tuple[str, ...]  # how `corrected` differs; empty: the two profiles are equal
    cautions: tuple[str, ...]
    code: tuple[str, ...]  # functions and classes that compute it
    sources: tuple[str, ...]  # full references
    level_dependent: bool  # moves when the same sound is recorded louder

    @property
    def position(self) -> int:
        """Its place in every vector, from 0."""
        return FEATURE_NAMES.index(self.name)


def entry(name: str) -> Entry:
    """The entry of that name; UsageError with the nearest names where there is none."""
    if name in CATALOG:
        return CATALOG[name]
    holding = [known for known in FEATURE_NAMES if name and name.casefold() in known.casefold()]
    near = holding[:3] or difflib.get_close_matches(name, FEATURE_NAMES, n=3, cutoff=0.5)
    hint = (
        f"Perhaps {', '.join(near)}." if near else "The names are the columns of `sottovoce features FILE`."
    )
    raise UsageError("There is no feature of that name.", hint=hint)


def in_group(group: str) -> tuple[Entry, ...]:
    """The features of a group, in the order of the vector."""
    return tuple(found for found in CATALOG.values() if found.group == group)


def explained(found: Entry) -> str:
    """The entry as plain text, for a terminal."""
    differs = found.corrected or ("The same definition, equal values.",)
    parts = [
        (found.name, (found.plain,)),
        ("Definition", (found.definition,)),
        ("Formula", tuple(found.formula.splitlines())),
        ("Unit", (found.unit,)),
        ("Computed over", (found.frames,)),
        ("What `corrected` does otherwise", differs),
        ("Take care", found.cautions),
        ("Sources", found.sources),
    ]
    return "\n\n".join(
        "\n".join((title, *(f"  {line}" for line in lines))) for title, lines in parts if lines
    )


def _of_contour(contour: Contour, statistic: Statistic) -> Entry:
    unit = statistic.unit.format(unit=contour.unit, step=contour.step or contour.unit)
    return Entry(
        name=f"{contour.base}_{statistic.suffix}",
        group=contour.group,
        title=f"{contour.title}: {statistic.title}",
        plain=f"{statistic.plain.format(noun=contour.noun)} {contour.plain}",
        definition=f"{contour.definition} {statistic.definition}",
        formula=f"{contour.formula}\n{statistic.suffix} = {statistic.formula}, over the smoothed contour x",
        frames=contour.frames,
        unit=_first_unit(unit),
        corrected=tuple(text for text in (contour.corrected, statistic.corrected) if text),
        cautions=tuple(text for text in (contour.caution, statistic.caution) if text),
        code=(_ROOM + contour.code, _ROOM + statistic.code),
        sources=tuple(SOURCES[key] for key in contour.sources),
        # what scales all values scales their mean too: the spread is a share of it
        level_dependent=contour.level == "shift"
        or (contour.level == "scale" and statistic.suffix != "stddevNorm"),
    )


def _of_single(single: Single) -> Entry:
    return Entry(
        name=single.name,
        group=single.group,
        title=single.title,
        plain=single.plain,
        definition=single.definition,
        formula=f"x = {single.formula}",
        frames=single.frames,
        unit=single.unit,
        corrected=(single.corrected,) if single.corrected else (),
        cautions=(single.caution,) if single.caution else (),
        code=(_ROOM + single.code,),
        sources=(SOURCES["eyben"],),
        level_dependent=bool(single.level),
    )


def _first_unit(unit: str) -> str:
    return {"": NO_UNIT, " per second": "1/s"}.get(unit, unit)


def _catalog() -> dict[str, Entry]:
    """In the order of FEATURE_NAMES; KeyError where a text is missing (a test builds it)."""
    found = {single.name: _of_single(single) for single in SINGLES}
    for contour in CONTOURS:
        for statistic in STATISTICS:
            described = _of_contour(contour, statistic)
            found[described.name] = described
    return {name: found[name] for name in FEATURE_NAMES}


CATALOG: Mapping[str, Entry] = MappingProxyType(_catalog())

__all__ = ["CATALOG", "GROUPS", "NO_UNIT", "Entry", "entry", "explained", "in_group"]
