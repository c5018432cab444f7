"""Looking over the whole: the audit log verified and shown, keys rotated, the identity published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sottovoce.audit import chain
from sottovoce.errors import NotFound
from sottovoce.model.event import AuditEvent
from sottovoce.model.outcome import AuditLine, AuditReport, KeysStatus, RotationReport
from sottovoce.model.subject import Caller
from sottovoce.ports import Clock, Database
from sottovoce.sealing import pseudonym
from sottovoce.sealing import receipt as receipts
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.people import People
from sottovoce.usecases.trail import Trail

NO_EVIDENCE = "no evidence"
_PAGE = 100_000


@dataclass(frozen=True, kw_only=True)
class Oversight:
    database: Database
    keyring: Keyring
    people: People
    trail: Trail
    clock: Clock

    def verify_audit(self) -> AuditReport:
        """Recompute every leaf and link of the log, and check the entries that have no number yet."""
        with self.database.read() as tx:
            waiting = tx.events.unsequenced(limit=_PAGE)
            report = chain.verify_chain(tx.events.iterate(), waiting)
        if report.events == report.unsequenced == 0 and report.intact:
            return AuditReport(True, 0, 0, None, "", report.head, NO_EVIDENCE)
        checked = f"{report.events} entries with number and chain link, {report.unsequenced} not numbered yet"
        return AuditReport(
            intact=report.intact, events=report.events, unsequenced=report.unsequenced,
            first_bad=report.first_bad, problem=report.problem, head=report.head,
            evidence=f"{checked}; a cut tail or a whole new chain shows only against a copy of the head kept elsewhere",
        )  # fmt: skip

    def show_audit(
        self, *, subject: str | None = None, limit: int = 50, caller: Caller
    ) -> tuple[AuditLine, ...]:  # fmt: skip
        """The last entries (of one person), newest last; looking is an entry of its own."""
        with self.database.begin() as tx:
            wanted, subject_id = None, None
            if subject is not None:
                person = self.people.find(tx, subject)
                if person is None:
                    raise NotFound("Nothing is held of this person.")
                subject_id = person.id
                wanted = pseudonym.audit_pseudonym(self.keyring.subject_key(person.id, "audit"), person.id)
            self.trail.of(subject_id, caller=caller).write(tx, "audit.shown")
            events = _last(self._select(tx.events.iterate(), wanted), limit)
            events += [event for event in tx.events.unsequenced(limit=_PAGE) if _matches(event, wanted)]
        return tuple(self._line(event) for event in events[-limit:])

    def rotate_keys(
        self, *, progress: Callable[[int, int], None] | None = None, caller: Caller
    ) -> RotationReport:
        """Retire the epoch, re-wrap every live key row, destroy the old KEK; the log says so before and after."""
        started_s = self.clock.monotonic_s()
        with self.database.begin() as tx:
            self.trail.of(None, caller=caller).write(tx, "keys.rotation_started")
        before, after, rewrapped = self.keyring.rotate(progress=progress)
        with self.database.begin() as tx:
            self.trail.of(None, caller=caller).write(
                tx, "keys.rotated", details={"from": before, "to": after, "rows": rewrapped}
            )
        took = timedelta(seconds=self.clock.monotonic_s() - started_s)
        return RotationReport(before, after, rewrapped, took, self.keyring.describe_destruction())

    def keys_status(self) -> KeysStatus:
        """Epoch, live rows by kind, the provider's own words."""
        status = self.keyring.status()
        current = [epoch for epoch in status.epochs if epoch.current]
        return KeysStatus(
            provider=status.provider, epoch=status.epoch or 0,
            epoch_since=datetime.fromisoformat(current[0].began_at) if current else None,
            rows=status.rows, rotation_pending=status.rotation_pending,
            identity_key_id=self.keyring.identity().key_id,
        )  # fmt: skip

    def identity_document(self) -> str:
        """The public identity of a new home, to be pinned there."""
        return receipts.identity_document(self.keyring.identity().public_key, created_at=self.clock.now())

    def next_identity(self, document: str) -> str:
        """The pinned document with the statement by which the old key introduces the next one. The next one signs
        only after `retire_identity`, which is called once this document is durable."""
        statement = self.keyring.replace_identity()
        return receipts.with_statement(document, statement)

    def retire_identity(self, *, caller: Caller) -> None:
        """Destroy the old signing key; idempotent."""
        self.keyring.retire_identity()
        with self.database.begin() as tx:
            self.trail.of(None, caller=caller).write(tx, "identity.replaced")

    @staticmethod
    def _select(events: Iterator[AuditEvent], wanted: str | None) -> Iterator[AuditEvent]:
        return (event for event in events if _matches(event, wanted))

    def _line(self, event: AuditEvent) -> AuditLine:
        return AuditLine(
            sequence=event.sequence, at=event.at, kind=event.kind, actor=event.actor, channel=event.channel,
            purpose=event.purpose, outcome=event.outcome, pseudonym=event.pseudonym,
            details=self.trail.open_details(event),
        )  # fmt: skip


def _matches(event: AuditEvent, wanted: str | None) -> bool:
    return wanted is None or event.pseudonym == wanted


def _last(events: Iterator[AuditEvent], limit: int) -> list[AuditEvent]:
    kept: list[AuditEvent] = []
    for event in events:
        kept.append(event)
        if len(kept) > 2 * limit:
            del kept[:limit]
    return kept
