"""What a command gets besides its arguments: its streams, and the ways into the house.

Everything a command touches comes in through `World`, so a test runs commands over streams and a platform of
its own. `Common` holds the options that every verb has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

from cyclopts import Parameter

from sottovoce.doors.cli.console import Console, Payload
from sottovoce.doors.cli.errors import Internal, trace
from sottovoce.errors import SottovoceError, UsageError
from sottovoce.model.subject import Caller

if TYPE_CHECKING:
    from sottovoce.app import Platform
    from sottovoce.model.corpus import Corpus
    from sottovoce.model.outcome import ArchiveOutcome, VerifiedProof, WorkOutcome
    from sottovoce.sealing.receipt import Receipt

CALLER = Caller(actor="operator", channel="operator-cli")


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Common:
    """The options that every verb has."""

    home: Annotated[str | None, Parameter(help="Where this home lives (else SOTTOVOCE_HOME).")] = None
    json: Annotated[bool, Parameter(help="Data as JSON.")] = False

    @property
    def folder(self) -> Path | None:
        """The home that was named, None for the default one; UsageError for an empty name (an unset variable of
        a shell would else make the current folder a home)."""
        if self.home == "":
            raise UsageError(
                "The home named with --home is empty.", hint="Name a folder, or leave --home out."
            )
        return None if self.home is None else Path(self.home)


COMMON = Common()


class WorkerLoop(Protocol):
    """The loop of the worker's own door."""

    def __call__(
        self, platform: Platform, *, once: bool, report: Callable[[WorkOutcome], None]
    ) -> Sequence[WorkOutcome]: ...


class OpenPlatform(Protocol):
    """Opens a home (None: the default one); what is named in `settings` wins over the environment."""

    def __call__(self, home: Path | None, /, **settings: str) -> Platform: ...


class ReadCorpus(Protocol):
    def __call__(self, folder: Path, subject_from: str, /) -> Corpus: ...


class VerifyReceipt(Protocol):
    def __call__(self, text: str, /, *, key: str | None, home: Path | None) -> Receipt: ...


class VerifyProof(Protocol):
    def __call__(self, text: str, /, *, key: str | None, home: Path | None) -> VerifiedProof: ...


class VerifyArchive(Protocol):
    def __call__(self, path: Path, /, *, key: str | None, home: Path | None) -> ArchiveOutcome: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The outside of a command."""

    console: Console
    open_platform: OpenPlatform
    verify_receipt: VerifyReceipt
    verify_proof: VerifyProof
    verify_archive: VerifyArchive
    run_worker: WorkerLoop
    read_corpus: ReadCorpus

    def open(self, common: Common) -> Platform:
        """The platform of the home named on the command line; opening it sweeps what is overdue."""
        with self.console.progress("opening the home"):
            return self.open_platform(common.folder)

    def debug(self, error: SottovoceError) -> None:
        """Where an unexpected error happened, only when asked for by SOTTOVOCE_DEBUG=1."""
        if isinstance(error, Internal) and self.console.environ.get("SOTTOVOCE_DEBUG") == "1":
            self.console.message(trace(error))

    def answer(self, common: Common, payload: Payload, text: str) -> None:
        """The answer of a command, in the form that was asked for."""
        if common.json:
            self.console.json(payload)
        else:
            self.console.data(text)


Outside = Annotated[World, Parameter(parse=False)]  # given by main(), never parsed
Subject = Annotated[str, Parameter(help="Your own id of the person acted for.")]
DryRun = Annotated[bool, Parameter(help="Say what would be done, and do nothing.")]
