"""I6: the audit log verifies, and every recording has the entries of its beginning, result and end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sottovoce.errors import KeyUnavailable
from sottovoce.model.event import AuditEvent
from sottovoce.model.recording import Recording, RecordingState
from sottovoce.ports import Database, UnitOfWork
from sottovoce.sealing import pseudonym
from sottovoce.usecases.fsck.seen import Seen, changed
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.oversight import Oversight
from sottovoce.usecases.trail import Trail

Counted = dict[
    tuple[str, str], int
]  # (session, kind) -> how many entries; session "": its details do not open


@dataclass(frozen=True, kw_only=True)
class Log:
    database: Database
    keyring: Keyring
    trail: Trail
    oversight: Oversight

    def whole(self, seen: Seen) -> int:
        report = self.oversight.verify_audit()
        if not report.intact:
            seen.add("I6", "log_broken", f"the log is not what was written: {report.problem}")
        if report.unsequenced:
            what = f"{report.unsequenced} entries have no number yet"
            seen.add("I6", "entries_unnumbered", what, safe=True)
        return report.events

    def entries(self, tx: UnitOfWork, subject_id: str) -> tuple[tuple[AuditEvent, ...], Counted | None]:
        """The person's entries, and how many of each kind each session has; None where the key is gone."""
        try:
            key = self.keyring.subject_key(subject_id, "audit")
        except KeyUnavailable:
            return (), None
        events = tx.events.of_pseudonym(pseudonym.audit_pseudonym(key, subject_id))
        counted: Counted = {}
        for event in events:
            if not event.kind.startswith("recording."):
                continue
            details = self.trail.open_details(event)
            if details is None:
                counted["", event.kind] = counted.get(("", event.kind), 0) + 1
            else:
                place = (str(details.get("session")), event.kind)
                counted[place] = counted.get(place, 0) + 1
        return events, counted

    def joined(self, seen: Seen, recording: Recording, counted: Counted) -> None:
        """I6: the entry of the recording's beginning, of its result and of its end."""
        wanted = ["recording.received"]
        if recording.state in (RecordingState.COMMITTED, RecordingState.VERIFIED):
            wanted.append("recording.committed")
        if recording.ended:
            wanted.append(f"recording.{recording.state}")
        seen.joined += 1
        if counted.get((recording.id, "recording.imported")):
            return  # its life before is in the log of the home that it came from
        for kind in wanted:
            if counted.get((recording.id, kind)) or seen.archived(_written_at(recording, kind)):
                continue
            if counted.get(("", kind)):
                seen.sealed_entries += 1
            elif not changed(self.database, recording):
                seen.add("I6", "entry_missing", f"a recording has no entry {kind}", recording.id)


def _written_at(recording: Recording, kind: str) -> datetime | None:
    """When an entry of that kind was written: in the transaction that set this time of the recording."""
    return {"recording.received": recording.received_at, "recording.committed": recording.committed_at}.get(
        kind, recording.ended_at
    )
