"""A person's own access log, and the way to the privacy facts of a session: who did what with a person's data.

Rules upheld here, in order:
1. What is told is derived from the audit log and the rows as they stand, never kept beside them (BP5).
2. Looking is an entry of its own, committed before anything is shown (law 2); no consent is asked (law 6).
3. Unknown and erased people look the same: NotFound.

The words of the log are in `usecases/access_entries.py`, what a card says in `facts_card.py`, the pages in
`access_pages.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from sottovoce.errors import NotFound
from sottovoce.model.ids import check_id
from sottovoce.model.purpose import SUBJECT_ACCESS
from sottovoce.model.retention import RetentionPolicy
from sottovoce.model.subject import Caller
from sottovoce.ports import Database, UnitOfWork
from sottovoce.sealing.pseudonym import audit_pseudonym
from sottovoce.usecases.access_entries import AccessEntry, entry_of, of_session
from sottovoce.usecases.facts_card import FactsCard, FactsCards
from sottovoce.usecases.group import GroupCommit
from sottovoce.usecases.people import People, locked
from sottovoce.usecases.trail import Trail
from sottovoce.usecases.vault import Vault


@dataclass(frozen=True, kw_only=True)
class AccessLog:
    database: Database
    people: People
    vault: Vault
    trail: Trail
    reads: GroupCommit
    retention: RetentionPolicy
    tenant: str

    def log(self, subject: str, *, session_id: str | None = None, caller: Caller) -> tuple[AccessEntry, ...]:
        """Everything that happened with a person's data, oldest first; of one session where it is named."""
        if session_id is not None:
            check_id(session_id, "session")
        with self.database.read() as tx:
            person = self.people.find(tx, subject)
        if person is None:
            raise nothing_held()
        self._note(person.id, "access_log.shown", session_id, caller=caller)
        with self.database.read() as tx:
            entries = self.entries(tx, person.id)
        return entries if session_id is None else of_session(entries, session_id)

    def card(self, session_id: str, *, caller: Caller) -> FactsCard:
        """The privacy facts of a session; NotFound."""
        check_id(session_id, "session")
        with self.database.read() as tx:
            recording = tx.recordings.get(session_id)
        if recording is None or recording.tenant != self.tenant:
            raise NotFound("There is no session of this id.")
        self._note(recording.subject_id, "session.facts", session_id, caller=caller)
        with self.database.read() as tx:
            recording = tx.recordings.get(session_id)
            if recording is None:
                raise NotFound("There is no session of this id.")
            entries = of_session(self.entries(tx, recording.subject_id), recording.id)
            return self._cards.of(tx, recording, entries)

    def entries(self, tx: UnitOfWork, subject_id: str) -> tuple[AccessEntry, ...]:
        """The person's entries, opened with their own key."""
        return tuple(
            entry_of(event, self.trail.open_details(event) or {})
            for event in tx.events.of_pseudonym(self.pseudonym(subject_id))
        )

    def pseudonym(self, subject_id: str) -> str:
        """How the log calls the person."""
        return audit_pseudonym(self.trail.keyring.subject_key(subject_id, "audit"), subject_id)

    @cached_property
    def _cards(self) -> FactsCards:
        return FactsCards(
            vault=self.vault, keyring=self.trail.keyring, retention=self.retention, tenant=self.tenant
        )

    def _note(self, subject_id: str, kind: str, session_id: str | None, *, caller: Caller) -> None:
        scribe = self.trail.of(subject_id, caller=caller)

        def write(tx: UnitOfWork) -> None:
            locked(tx, subject_id)
            scribe.write(
                tx, kind, purpose=SUBJECT_ACCESS, details={"session": session_id} if session_id else None
            )

        self.reads.run(write)


def nothing_held() -> NotFound:
    """The same for everybody of whom nothing is held, whether unknown or erased."""
    return NotFound(
        "Nothing is held of this person.",
        hint="Check the id; a person who was erased looks the same as one who was never here.",
        reason="nothing_held",
    )
