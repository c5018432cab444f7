"""A folder of recordings and who speaks in each: what is taken in, and what is set aside before it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sottovoce.model.recording import SourceFate

# taken: analysed now. done_before: the same recording of the same person is here already. refused_before: it was
# refused when it was tried before, for what it is. failed: it could not be taken in this time.
IngestStatus = Literal["taken", "done_before", "refused_before", "failed"]


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """One recording of a corpus."""

    path: str = field(repr=False)  # relative to the corpus's folder
    subject: str = field(repr=False)  # the operator's own id of who speaks; "": its sealed note says it
    sealed: bool = False  # to a recipient key of this home


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file or row of the manifest that is not touched, and why."""

    path: str = field(repr=False)
    code: str
    words: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """What a folder holds, in a stable order."""

    files: tuple[CorpusFile, ...]
    set_aside: tuple[SetAside, ...] = ()
    unlisted: int = 0  # files that the manifest does not name

    def subjects(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(file.subject for file in self.files if file.subject))


@dataclass(frozen=True, slots=True)
class IngestOutcome:
    """What became of one recording of a corpus."""

    status: IngestStatus
    session_id: str | None
    source: SourceFate
    source_bytes: int
    code: str = ""  # of the refusal or failure


@dataclass(frozen=True, slots=True)
class FootprintRow:
    """How much is stored of one kind of thing."""

    kind: str
    count: int
    size_bytes: int
