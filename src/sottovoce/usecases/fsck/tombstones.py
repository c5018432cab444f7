"""The file of tombstones against the database and the keys: nothing that was erased is back, nothing is forgotten."""

from __future__ import annotations

from dataclasses import dataclass

from sottovoce.errors import SottovoceError
from sottovoce.model.tombstones import TombstoneEntry, TombstoneHead, TombstoneKind
from sottovoce.ports import Database
from sottovoce.usecases.fsck.seen import Seen
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.tombstones import Replay

_PAGE = 500
_ERASED = (TombstoneKind.SUBJECT_ERASED, TombstoneKind.SESSION_ERASED)


@dataclass(frozen=True, kw_only=True)
class Stones:
    database: Database
    keyring: Keyring
    replay: Replay

    def check(self, seen: Seen) -> int:
        """How many entries were looked at."""
        try:
            erased = [entry for entry in self.replay.tombstones.read() if entry.kind in _ERASED]
            signed = [signed.head for signed in self.replay.heads.verified()]
            with self.database.read() as tx:
                applied = tx.requests.applied() or TombstoneHead()
                stones = tx.requests.tombstones()
            head = self.replay.walk((*signed, applied))
        except SottovoceError as error:
            seen.add("I10", error.public_code, "the file of tombstones is not what was written")
            return 0
        if signed and max(signed, key=lambda each: each.count).count > head.count:
            seen.add("I10", "tombstones_damaged", "the file of tombstones is not what was written")
        if head != applied and not self._level():
            what = "the database has not followed its tombstones to their end"
            seen.add("I10", "tombstones_behind", what, safe=True)
        said = {entry.request_id for entry in erased}
        for stone in stones:
            if stone.request_id not in said and not self._is_new(stone.request_id):
                what = "an erasure has no entry in the file of tombstones"
                seen.add("I10", "tombstone_missing", what, stone.request_id)
        self._check_gone(seen, erased)
        return head.count

    def _level(self) -> bool:
        """Once more, while nobody else writes."""
        with self.database.begin(durable=False) as tx:
            return tx.requests.applied() == self.replay.tombstones.head()

    def _is_new(self, request_id: str) -> bool:
        """Whether the erasure came while the file was read."""
        return any(entry.request_id == request_id for entry in self.replay.tombstones.read())

    def _check_gone(self, seen: Seen, erased: list[TombstoneEntry]) -> None:
        """Of whom or what was erased there is neither a row nor a key, but while it is being done."""
        owners = {row.subject_id for row in self.keyring.rows()}
        keys = {row.key_id for row in self.keyring.rows() if row.kind == "recording"}
        with self.database.read() as tx:
            under_way = {request.id for request in tx.requests.unfinished()}
        for start in range(0, len(erased), _PAGE):
            with self.database.read() as tx:
                for entry in erased[start : start + _PAGE]:
                    if entry.kind is TombstoneKind.SUBJECT_ERASED:
                        found = tx.subjects.get(entry.subject_id or "")
                        back = found is not None or entry.subject_id in owners
                    else:
                        back = (
                            tx.recordings.get(entry.session_id or "") is not None or entry.session_id in keys
                        )
                    if back and entry.request_id not in under_way and not self._gone_by_now(entry):
                        ref = entry.session_id or entry.subject_id or ""
                        seen.add("I10", "erased_is_back", "something that was erased is back", ref, safe=True)

    def _gone_by_now(self, entry: TombstoneEntry) -> bool:
        """Once more: an erasure may have been under way."""
        with self.database.read() as tx:
            if entry.session_id is not None:
                there = tx.recordings.get(entry.session_id) is not None
                return not there and not self.keyring.exists(entry.session_id)
            there = tx.subjects.get(entry.subject_id or "") is not None
        return not there and not self.keyring.holds_anything_of(entry.subject_id or "")
