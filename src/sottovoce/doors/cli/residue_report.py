"""What `sottovoce residue` found, for eyes and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """One search: what was searched, and how many windows of audio and features were found."""

    name: str
    medium: str  # "files" or "memory"
    windows: int
    places: int
    searched_bytes: int
    found: int
    run: bool = True
    promised: bool = (
        True  # False: shown and not judged, a process holds results that it returned to its caller
    )


@dataclass(frozen=True, slots=True)
class ResidueReport:
    recordings: int
    stages: tuple[Stage, ...]
    controls: dict[str, bool]  # medium -> whether its control was found

    @property
    def found(self) -> int:
        """Windows found where none may be."""
        return sum(stage.found for stage in self.stages if stage.promised)

    @property
    def clean(self) -> bool:
        return self.found == 0 and all(self.controls.values()) and any(stage.run for stage in self.stages)


def payload(report: ResidueReport) -> dict[str, object]:
    """The JSON form."""
    return {
        "clean": report.clean, "recordings": report.recordings, "found": report.found, "controls": report.controls,
        "stages": [asdict(stage) for stage in report.stages],
    }  # fmt: skip


def lines_of(report: ResidueReport) -> list[str]:
    """The form for eyes."""
    lines = [f"{report.recordings} marked recordings"]
    for stage in report.stages:
        told = "" if stage.promised else "not judged: "
        told += f"{stage.found} of {stage.windows} windows found" if stage.run else "not run: it takes root"
        lines.append(
            f"{stage.medium:<7} {told:<32} {stage.places:>4} {'files' if stage.medium == 'files' else 'processes'}, "
            f"{stage.searched_bytes / 1e6:,.0f} MB: {stage.name}"
        )
    lines += [
        f"control {'found' if found else 'NOT FOUND':<32} {medium}"
        for medium, found in report.controls.items()
    ]
    return lines
