"""The measurement of `sottovoce residue`: what is done with the marked recordings, and what is searched when.

Rules upheld here:
1. This process makes the recordings and holds the needles; others do the work and are searched. They get paths only.
2. Each medium has to show a control that was planted by its own way of writing, or the search proves nothing.
3. Audio may be in no file and no memory. Results may be in no file in clear, and in the memory of no process but the
   one that returned them to its caller (I1): that one is measured too, shown, and not judged.
4. What the marked recordings left in the home is erased at the end like any person's; audit entries stay.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sottovoce.doors.cli import residue_process
from sottovoce.doors.cli import residue_search as search
from sottovoce.doors.cli.residue_process import Process
from sottovoce.doors.cli.residue_report import ResidueReport, Stage
from sottovoce.doors.cli.residue_search import Needles, Searched

RATE_HZ = 16_000
_SAMPLES = RATE_HZ  # one second each


@dataclass
class Measurement:
    home: Path
    folder: Path
    recordings: int
    handler: Sequence[str]
    stages: list[Stage] = field(default_factory=list)
    controls: dict[str, bool] = field(default_factory=dict)

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

    def _live(self, office: Process, worker: Process) -> None:
        third = len(self.clips) // 3
        office.tell("grant", self.subject)
        for clip in self.clips[:third]:
            office.tell("submit", self.subject, str(clip))
        self._search_files("submitted, sealed and waiting")
        for _ in range(third):
            worker.tell("work")
        self._search("worked off", worker=worker)
        for clip in self.clips[third : 2 * third]:
            office.tell("analyze", self.subject, str(clip))
        self._search("analysed inline", office=office)
        self._broken(office, worker)
        self._crash(self.clips[2 * third :], office)
        while worker.tell("work") != "nothing":
            pass
        self._search("killed at work, and worked off by another process", worker=worker)
        office.tell("erase", self.subject)
        self._search("erased", office=office, worker=worker)
        self._search_memory(
            "erased: results in the process that returned them", office, self.results, promised=False
        )
        self._controls(office)

    def _broken(self, office: Process, worker: Process) -> None:
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
        self._search("refused as broken", office=office, worker=worker)

    def _crash(self, clips: Sequence[Path], office: Process) -> None:
        """A process is killed with everything it started, while it works."""
        for clip in clips:
            office.tell("submit", self.subject, str(clip))
        doomed = self._start("doomed")
        for _ in clips[: len(clips) // 2]:
            doomed.tell("work")
        doomed.send("work")
        doomed.kill()
        self._search_files("killed at work")

    def _controls(self, office: Process) -> None:
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
        places = search.search_files(self._places(), needle)
        self.controls["search of all files"] = bool(places.found)
        memory = search.search_memory(office.family(), needle)
        if not memory.unreadable:
            self.controls["memory"] = bool(memory.found)
        office.tell("unplant")

    # --- recordings and needles -------------------------------------------------------------------------

    def _make_recordings(self) -> None:
        from sottovoce.voice.containers import BytesSource
        from sottovoce.voice.insight import insight_to_values, voice_profile
        from sottovoce.voice.pipeline import process

        self.clips, audio, results = list[Path](), list[bytes](), list[list[bytes]]()
        first = secrets.randbits(48)
        for number in range(self.recordings):
            samples = search.marked_samples(first + number, samples=_SAMPLES)
            data = search.wav_bytes(samples, rate_hz=RATE_HZ)
            clip = self.folder / "source" / f"{number}.wav"
            clip.write_bytes(data)
            self.clips.append(clip)
            audio += search.audio_needles(samples)
            found = process(BytesSource(data))
            told = insight_to_values(voice_profile(found.features, found.quality))
            results.append(search.value_needles(found.features.values, told))
        marked = search.unique_needles(results)
        self.audio, self.results, self.all = (Needles(tuple(w)) for w in (audio, marked, [*audio, *marked]))

    # --- searching --------------------------------------------------------------------------------------

    def _places(self) -> list[Path]:
        """The home, and the temporary folder of the processes with their logs; not the caller's own source files."""
        return [self.home, self.folder / "temporary"]

    def _search(self, name: str, *, office: Process | None = None, worker: Process | None = None) -> None:
        """Every file, and the memory of those: of the worker, which returns nothing to anybody, for results too."""
        self._search_files(name)
        if worker is not None:
            self._search_memory(name, worker, self.all)
        if office is not None:
            self._search_memory(f"{name}, of the process that returns results", office, self.audio)

    def _search_files(self, name: str) -> None:
        seen = search.search_files(self._places(), self.all)
        self._note(name, "files", self.all, seen)

    def _search_memory(
        self, name: str, process: Process, needles: Needles, *, promised: bool = True
    ) -> None:  # fmt: skip
        seen = search.search_memory(process.family(), needles)
        self._note(name, "memory", needles, seen, run=not seen.unreadable, promised=promised)

    def _note(
        self, name: str, medium: str, needles: Needles, seen: Searched, *, run: bool = True, promised: bool = True
    ) -> None:  # fmt: skip
        windows, found = len(needles.windows), len(seen.found)
        self.stages.append(
            Stage(name, medium, windows, seen.places, seen.searched_bytes, found, run, promised)
        )

    def _start(self, name: str) -> Process:
        return residue_process.start(self.handler, self.home, temporary=self.folder / "temporary", name=name)
