"""Bodies, keys and files against the rows: I1, I2, I3, and what an erasure needs (I10)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sottovoce.errors import NotFound, SottovoceError
from sottovoce.model.mark import MarkKind, holds
from sottovoce.model.policy import Policy
from sottovoce.ports import Blobs, Database
from sottovoce.sealing import envelope
from sottovoce.sealing.context import encode_context
from sottovoce.usecases.fsck.report import SWEEP_INTERVAL
from sottovoce.usecases.fsck.seen import FilesSeen, Seen
from sottovoce.usecases.keyring import Keyring

_PAGE = 500


@dataclass(frozen=True, kw_only=True)
class Stores:
    database: Database
    keyring: Keyring
    bodies: Blobs
    policy: Policy
    tenant: str
    broken_reserves: Callable[[], Sequence[str]]

    def listed(self) -> Seen:
        """Bodies and keys first: what is made while the rows are read is then not taken for an orphan."""
        with self.database.read() as tx:
            cuts = tx.log.cuts()
            seen = Seen(now=tx.now(), archived_until=cuts[-1].until if cuts else None)
        for info in self.bodies.list():
            (seen.bodies if info.finished else seen.parts)[info.path] = info.modified_at
        for row in self.keyring.rows():
            seen.key_rows += 1
            if row.kind == "recording":
                seen.recording_keys[row.key_id] = (row.subject_id or "", row.created_at)
            elif row.kind == "record":
                seen.record_keys[row.key_id] = row.created_at
        return seen

    def check_bodies(self, seen: Seen) -> None:
        """I2: a body without a row, or never finished, past the grace. I3: no live key opens one without its own."""
        for path, at in seen.bodies.items():
            if path not in seen.known and self._orphan(seen, path, at):
                seen.add("I2", "body_without_row", "a body belongs to no recording", path, safe=True)
            if path not in seen.recording_keys and not self.keyring.exists(path):
                self._try_every_key(seen, path)
        for path, at in seen.parts.items():
            if self._orphan(seen, path, at):
                seen.add("I2", "body_unfinished", "a body was never finished", path, safe=True)

    def _orphan(self, seen: Seen, path: str, at: datetime) -> bool:
        return seen.now - at > self.policy.orphan_grace and self.bodies.exists(path)

    def _try_every_key(self, seen: Seen, path: str) -> None:
        """The commitment alone tells whether a key fits; 56 bytes are read and nothing is decrypted."""
        try:
            with self.bodies.reader(path) as fd:
                head = os.pread(fd, envelope.HEADER_MAX_BYTES + envelope.PREFIX_BYTES, 0)
            header = envelope.parse_header(head)
        except (NotFound, SottovoceError):
            return  # gone meanwhile, or no body of ours: nothing opens it
        prefix = head[header.body_offset :][: envelope.PREFIX_BYTES]
        for key_id, (subject_id, _) in seen.recording_keys.items():
            context = header.body_context(
                encode_context(tenant=self.tenant, subject=subject_id, record=path, kind="audio", version="1")
            )
            try:
                fits = envelope.key_fits(self.keyring.open_key(key_id), prefix, context)
            except SottovoceError:
                continue  # destroyed meanwhile
            if fits:
                seen.add("I3", "key_elsewhere", "a body opens with a key of another recording", path)

    def check_keys(self, seen: Seen) -> None:
        """I2 for keys: a key without the data it was made for, past the grace."""
        old = seen.now - self.policy.orphan_grace
        lone = [
            key_id for key_id, (_, at) in seen.recording_keys.items() if at < old and key_id not in seen.known
        ]
        aged = [key_id for key_id, at in seen.record_keys.items() if at < old]
        for start in range(0, len(aged), _PAGE):
            with self.database.read() as tx:
                existing = tx.records.existing(aged[start : start + _PAGE])
            lone += [key_id for key_id in aged[start : start + _PAGE] if key_id not in existing]
        for key_id in lone:
            if self.keyring.exists(key_id):
                seen.add("I2", "key_without_data", "a key belongs to nothing", key_id, safe=True)

    def check_epochs(self, seen: Seen) -> None:
        """I7 for the keys: receipts name the day on which the epoch has ended (M15)."""
        if self.keyring.epoch_age(seen.now).overdue:
            what = "a key epoch outlived its promised end: older copies of the key store still open"
            seen.add("I7", "epoch_overdue", what, "", safe=True)

    def check_erasures(self, seen: Seen) -> None:
        for name in self.broken_reserves():
            seen.add("I10", "reserve_missing", "the space kept aside for erasing is not whole", name)
        with self.database.read() as tx:
            unfinished = [
                one for one in tx.requests.unfinished() if one.requested_at < seen.now - SWEEP_INTERVAL
            ]
            for mark in tx.marks.standing(MarkKind.ERASURE_WAITING):
                if not holds(tx.marks.of_subject(mark.subject_id)):
                    what = "an erasure waits for a legal hold that does not stand any more"
                    seen.add("I10", "erasure_waiting", what, mark.id, safe=True)
            for case in tx.cases.latest(limit=1_000_000):
                if case.ended and (case.identity is not None or case.identity_key_id is not None):
                    what = "a proof of identity is left of a request that has ended"
                    seen.add("I7", "identity_left", what, case.id)
        for request in unfinished:
            seen.add(
                "I10",
                "erasure_unfinished",
                "an erasure was promised and is not finished",
                request.id,
                safe=True,
            )


def check_files(files: FilesSeen, seen: Seen) -> None:
    if files.audio:
        seen.add("I1", "audio_in_clear", f"{files.audio} files of the home hold audio in clear")
    if files.unreadable:
        seen.add("I1", "files_unreadable", f"{files.unreadable} files of the home could not be read")
