"""The Platform: everything that can be done with a home, from its opening to its end.

    with open(home="/srv/voices") as platform:
        platform.analyze("anna.wav", subject="anna")

The verbs stand in files of their own, by who asks for them and why they change; here is only the life of a home.
"""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType

from sottovoce import settings as configuration
from sottovoce.app.audit import AuditVerbs
from sottovoce.app.connecting import Adapters, connect
from sottovoce.app.disclosures import DisclosureVerbs
from sottovoce.app.hall import SWEEPER
from sottovoce.app.models import ModelVerbs
from sottovoce.app.recordings import RecordingVerbs
from sottovoce.app.rights import RightsVerbs
from sottovoce.app.upkeep import UpkeepVerbs
from sottovoce.errors import SottovoceError
from sottovoce.model.outcome import SweepReport
from sottovoce.settings import Settings


def open(target: str | Settings | None = None, /, **given: object) -> Platform:
    """A platform on a home: created where it is new, migrated where it is older, swept before it serves.

    `target` is `sqlite:///PATH` (the home is its folder), a Settings, or nothing (then `home=` or
    SOTTOVOCE_HOME). ConfigurationError, StorageError, SchemaNewer, KeyUnavailable, IntegrityError.
    """
    settings = configuration.load(target, **given)
    return assemble(connect(settings), settings)


def assemble(adapters: Adapters, settings: Settings) -> Platform:
    """The hall on its adapters: keys set up, interrupted work resumed, overdue audio gone, before it serves."""
    platform = Platform(adapters, settings)
    try:
        platform.start()
    except BaseException:
        platform.close()
        raise
    return platform


class Platform(RecordingVerbs, RightsVerbs, DisclosureVerbs, ModelVerbs, AuditVerbs, UpkeepVerbs):
    """Everything that can be done with a home. Safe to use from several threads; close it when done."""

    def start(self) -> SweepReport:
        """What open() does before it serves: keys, identity pin, overdue work, audit numbers."""
        self._pin.check_key_store(self.keyring)
        self.keyring.set_up()
        self._rotation.resume(caller=SWEEPER)
        self._pin.pin(self._oversight)
        self._number()  # before the sweep: its receipts carry a checkpoint
        self.replayed = self._replay.run(caller=SWEEPER)  # nothing that an old backup brought back is served
        report = self._sweep.overdue(caller=SWEEPER)
        self._cases.resume(caller=SWEEPER)
        with suppress(SottovoceError):  # a key whose time is over opens nothing; the next sweep destroys it
            self._recipient_keys.tidy(caller=SWEEPER)
        self._number()
        self._started = True
        return report

    def close(self) -> None:
        """Sign what was not signed yet, end the children and close every file. Idempotent."""
        if self._started:
            self._started = False
            with suppress(SottovoceError):
                self._sequencer.checkpoint()
            with suppress(SottovoceError):
                if self._heads.news.is_set():
                    self._heads.sign()
                self._deliver()
        for close in self._adapters.closing:
            with suppress(SottovoceError):
                close()

    def __enter__(self) -> Platform:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<sottovoce.Platform tenant={self.settings.tenant!r}>"
