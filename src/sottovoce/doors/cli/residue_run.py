"""residue: marked recordings go through this home, then every file and every process that handled them is searched.

Rules upheld here:
1. This process makes the recordings and holds the needles; others do the work and are searched. They get paths only.
2. Each medium has to show a control that was planted by its own way of writing, or the search proves nothing.
3. Features in the memory of a process that sealed them are measured and shown, and not part of the verdict: this
   version does not overwrite them there, and says so.
4. What the marked recordings left in the home is erased at the end like any person's; audit entries stay.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sottovoce.doors.cli.errors import INTEGRITY, OK
from sottovoce.doors.cli.world import COMMON, Common, Outside
from sottovoce.errors import SottovoceError, UsageError

if TYPE_CHECKING:
    from sottovoce.doors.cli.residue_search import Needles

RATE_HZ = 16_000
_SAMPLES = RATE_HZ  # one second each
_SMALLEST, _LARGEST = 6, 200
HANDLER = (sys.executable, "-m", "sottovoce.doors.cli.residue_handler")


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
    promised: bool = True  # whether what is found breaks a promise of this version


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


def residue(
    *,
    recordings: Annotated[
        int, Parameter(help="How many marked recordings (30 windows in 6 forms each).")
    ] = 24,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Put marked recordings through this home and search for what is left.

    Pseudo-random recordings of a person who does not exist are submitted,
    worked off, analysed inline, cut short, interrupted by a kill and erased.
    At every stage all files of the home, the temporary folder, the log and the
    memory of the processes that handled them are searched for windows of the
    audio and of the features. A control shows that the search finds what is
    there. Searching memory takes root or the right to trace; else it is
    reported as not run.

    For example:
      sottovoce residue
      sottovoce residue --home /srv/voices --recordings 48 --json
    """
    from sottovoce.settings import default_home

    if not _SMALLEST <= recordings <= _LARGEST:
        raise UsageError(f"--recordings is {_SMALLEST} to {_LARGEST}.")
    with world.console.progress("marked recordings go through this home"):
        report = run(common.folder or default_home(), recordings=recordings)
    world.answer(common, payload(report), "\n".join(_lines(report)))
    if report.clean:
        return OK
    world.console.error(
        what=f"{report.found} windows found; {sum(report.controls.values())} of {len(report.controls)} controls found.",
        code="integrity",
        hint="See docs/how-to/check-a-home.md; what was found names its stage.",
    )
    return INTEGRITY


def run(home: Path, *, recordings: int, handler: Sequence[str] = HANDLER) -> ResidueReport:
    """The whole measurement; leaves the home without the marked person, and the temporary folder removed."""
    folder = Path(tempfile.mkdtemp(prefix="sottovoce-residue-"))
    try:
        return _Measurement(home.absolute(), folder, recordings, handler).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _Measurement:
    home: Path
    folder: Path
    recordings: int
    handler: Sequence[str]
    stages: list[Stage] = field(default_factory=list)
    controls: dict[str, bool] = field(default_factory=dict)
    made: dict[int, Needles] = field(default_factory=dict)

    def run(self) -> ResidueReport:
        self.subject = "residue-" + secrets.token_hex(8)
        self.control = secrets.token_hex(32)
        (self.folder / "temporary").mkdir()
        (self.folder / "source").mkdir()
        self._make_recordings()
        office, worker = self._start("office"), self._start("worker")
        try:
            self._live(office, worker)
        finally:
            office.end()
            worker.end()
        self._search_files("at rest, everything ended")
        return ResidueReport(self.recordings, tuple(self.stages), self.controls)

    def _live(self, office: _Process, worker: _Process) -> None:
        third = len(self.clips) // 3
        office.tell("grant", self.subject)
        for clip in self.clips[:third]:
            office.tell("submit", self.subject, str(clip))
        self._search_files("submitted, sealed and waiting")
        for _ in range(third):
            worker.tell("work")
        self._search("worked off", worker)
        for clip in self.clips[third : 2 * third]:
            office.tell("analyze", self.subject, str(clip))
        self._search("analysed inline", office)
        self._broken(office, worker)
        self._crash(self.clips[2 * third :], office)
        while worker.tell("work") != "nothing":
            pass
        self._search("killed at work, and worked off by another process", worker)
        office.tell("erase", self.subject)
        self._search_files("erased")
        self._search_memory("erased", [worker], self.audio)
        self._search_memory("erased: features only", [worker], self.features, promised=False)
        self._search_memory("erased, of the other process", [office], self.audio)
        self._controls(office)

    def _broken(self, office: _Process, worker: _Process) -> None:
        """A recording that is cut short, and one whose end is no audio at all."""
        whole = self.clips[0].read_bytes()
        for name, content in (
            ("cut.wav", whole[: len(whole) // 2]),
            ("long.wav", whole[:40] + b"\xff" * 4 + whole[44:]),
        ):
            broken = self.folder / "source" / name
            broken.write_bytes(content)
            office.tell("analyze", self.subject, str(broken))
            office.tell("submit", self.subject, str(broken))
            worker.tell("work")
        self._search("refused as broken", office, worker)

    def _crash(self, clips: Sequence[Path], office: _Process) -> None:
        """A process is killed with everything it started, while it works."""
        for clip in clips:
            office.tell("submit", self.subject, str(clip))
        doomed = self._start("doomed")
        for _ in clips[: len(clips) // 2]:
            doomed.tell("work")
        doomed.send("work")
        doomed.kill()
        self._search_files("killed at work")

    def _controls(self, office: _Process) -> None:
        from sottovoce.doors.cli.residue_search import Needles, search_files, search_memory

        needle = Needles((self.control.encode(),))
        (self.folder / "source" / "control").write_text(self.control)
        office.tell("plant", str(self.folder / "source" / "control"), str(self.folder / "temporary"))
        media = {
            "database with its WAL": [*self.home.glob("*.db"), *self.home.glob("*.db-wal")],
            "body store": [self.home / "bodies" / "residue_control"],
            "temporary folder": [self.folder / "temporary" / "control"],
            "log": [self.folder / "temporary" / "office.log"],
        }
        for medium, paths in media.items():
            self.controls[medium] = any(
                needle.found_in(p.read_bytes() + bytes(16)) for p in paths if p.exists()
            )
        places = search_files(self._places(), needle)
        self.controls["search of all files"] = bool(places.found)
        memory = search_memory(office.family(), needle)
        if not memory.unreadable:
            self.controls["memory"] = bool(memory.found)
        office.tell("unplant")

    # --- recordings and needles -------------------------------------------------------------------------

    def _make_recordings(self) -> None:
        from sottovoce.doors.cli import residue_search as search
        from sottovoce.voice.containers import BytesSource
        from sottovoce.voice.pipeline import process

        self.clips, self.audio, self.features = list[Path](), list[bytes](), list[bytes]()
        first = secrets.randbits(48)
        for number in range(self.recordings):
            samples = search.marked_samples(first + number, samples=_SAMPLES)
            data = search.wav_bytes(samples, rate_hz=RATE_HZ)
            clip = self.folder / "source" / f"{number}.wav"
            clip.write_bytes(data)
            self.clips.append(clip)
            self.audio += search.audio_needles(samples)
            self.features += search.value_needles(process(BytesSource(data)).features.values)

    # --- searching --------------------------------------------------------------------------------------

    def _places(self) -> list[Path]:
        """The home, and the temporary folder of the processes with their logs; not the caller's own source files."""
        return [self.home, self.folder / "temporary"]

    def _search(self, name: str, *processes: _Process) -> None:
        self._search_files(name)
        self._search_memory(name, processes, self.audio)

    def _search_files(self, name: str) -> None:
        from sottovoce.doors.cli.residue_search import search_files

        needles = self._needles([*self.audio, *self.features])
        seen = search_files(self._places(), needles)
        self.stages.append(
            Stage(name, "files", len(needles.windows), seen.places, seen.searched_bytes, len(seen.found))
        )

    def _search_memory(
        self, name: str, processes: Sequence[_Process], windows: list[bytes], *, promised: bool = True
    ) -> None:  # fmt: skip
        from sottovoce.doors.cli.residue_search import search_memory

        pids = [pid for process in processes for pid in process.family()]
        seen = search_memory(pids, self._needles(windows))
        run = not seen.unreadable
        self.stages.append(
            Stage(
                name, "memory", len(windows), seen.places, seen.searched_bytes, len(seen.found), run, promised
            )
        )

    def _needles(self, windows: list[bytes]) -> Needles:
        from sottovoce.doors.cli.residue_search import Needles

        if len(windows) not in self.made:
            self.made[len(windows)] = Needles(tuple(windows))
        return self.made[len(windows)]

    def _start(self, name: str) -> _Process:
        temporary = self.folder / "temporary"
        environment = {**os.environ, "TMPDIR": str(temporary)}
        with (temporary / f"{name}.log").open("wb") as log:
            child = subprocess.Popen(
                [*self.handler, str(self.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                cwd=temporary, env=environment, text=True,
            )  # fmt: skip
        started = _Process(child)
        started.hear()
        return started


@dataclass
class _Process:
    """One of the processes that do the work."""

    child: subprocess.Popen[str]

    def tell(self, *command: str) -> str:
        self.send(*command)
        return self.hear()

    def send(self, *command: str) -> None:
        with suppress(OSError):
            (self.child.stdin or sys.stdout).write(json.dumps(command) + "\n")
            (self.child.stdin or sys.stdout).flush()

    def hear(self) -> str:
        line = self.child.stdout.readline() if self.child.stdout else ""
        if not line:
            raise SottovoceError(
                "A process that handles the marked recordings has ended by itself.",
                hint="`sottovoce doctor` checks this home and machine.",
            )
        return line.strip()

    def family(self) -> tuple[int, ...]:
        from sottovoce.doors.cli.residue_search import family

        return family(self.child.pid)

    def kill(self) -> None:
        """SIGKILL for it and everything it has started."""
        for pid in self.family():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._close()

    def end(self) -> None:
        self._close()

    def _close(self) -> None:
        for stream in (self.child.stdin, self.child.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()
        self.child.wait(timeout=60)


def payload(report: ResidueReport) -> dict[str, object]:
    """The JSON form."""
    return {
        "clean": report.clean, "recordings": report.recordings, "found": report.found, "controls": report.controls,
        "stages": [asdict(stage) for stage in report.stages],
    }  # fmt: skip


def _lines(report: ResidueReport) -> list[str]:
    lines = [f"{report.recordings} marked recordings"]
    for stage in report.stages:
        told = "" if stage.promised else "not promised in this version: "
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
