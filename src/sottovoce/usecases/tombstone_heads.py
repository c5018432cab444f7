"""Signed heads of the file of tombstones; `usecases/witnessing.py` brings them to the witnesses.

Rules upheld here:
1. Signed is only what the database has followed: this home never signs what somebody else wrote into the file.
2. No erasure waits for a signature (I10, F16): a head that cannot be signed now is signed later, and covers everything
   before it.
3. Of the heads in the file those count that a pinned key signed; one by such a key that does not fit is damage. One by
   an unknown key is as good as none: an old backup may not know the newest identity of its home.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from sottovoce.audit import tombstones as notes
from sottovoce.errors import IntegrityError, SottovoceError, UnknownSigner
from sottovoce.model.tombstones import SignedHead, TombstoneHead, TombstoneKind, cut, damaged
from sottovoce.ports import Clock, Database, Tombstones
from sottovoce.usecases.inspection import Pinned
from sottovoce.usecases.keyring import Keyring


@dataclass(frozen=True, kw_only=True)
class TombstoneHeads:
    database: Database
    tombstones: Tombstones
    keyring: Keyring
    clock: Clock
    pinned: Callable[[], Pinned]
    news: threading.Event  # set where something was written that no signed head covers
    every_s: float = 10.0
    _busy: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _memo: list[SignedHead] = field(default_factory=list, init=False, repr=False)
    _not_before_s: list[float] = field(default_factory=list, init=False, repr=False)

    @property
    def name(self) -> str:
        """The name of the file of this home: of the home, and where the file was written anew, of that file."""
        second = next(islice(self.tombstones.read(), 1, 2), None)
        if second is None or second.kind is not TombstoneKind.REBUILT:
            return self.name_of_home
        return notes.name_after_rebuilding(self.name_of_home, second)

    @property
    def name_of_home(self) -> str:
        return notes.name_of(self.pinned().origin)

    def sign_if_due(self) -> None:
        """Sign the head, where there is news and the last time is long enough ago. Never raises."""
        if self.news.is_set() and self.clock.monotonic_s() >= (self._not_before_s or [0.0])[0]:
            with suppress(SottovoceError):
                self.sign()

    def sign(self) -> None:
        """Sign the head as it is now, where none covers it. KeyUnavailable, StorageError."""
        if not self._busy.acquire(blocking=False):
            return  # another thread is at it
        try:
            self._not_before_s[:] = [self.clock.monotonic_s() + self.every_s]
            self.news.clear()
            self._sign()
        except SottovoceError:
            self.news.set()
            raise
        finally:
            self._busy.release()

    def known(self) -> SignedHead | None:
        """The newest signed head, as far as this process knows without reading."""
        return self._memo[0] if self._memo else None

    def newest(self) -> SignedHead | None:
        """The newest head that a pinned key signed, read anew. IntegrityError (`tombstones_damaged`)."""
        self._memo[:] = list(self.verified())[-1:]
        return self._memo[0] if self._memo else None

    def verified(self) -> Iterator[SignedHead]:
        """Every head of the file that a pinned key signed, oldest first (rule 3)."""
        pinned, name = self.pinned(), self.name
        for signed in self.tombstones.signed():
            try:
                said = notes.verify(signed.note, name=name, trusted=pinned.keys)
            except UnknownSigner:
                continue
            except IntegrityError:
                raise damaged() from None
            if said != signed.head:
                raise damaged()
            yield signed

    def compare(self, text: str) -> int:
        """Compare the file with the signed heads in a text that was kept outside (the file of a witness); how many of
        this home there are. IntegrityError where the file is shorter (`tombstones_cut`) or another one."""
        pinned, name = self.pinned(), self.name
        said: dict[int, bytes] = {}
        for note in notes.find_notes(text):
            with suppress(UnknownSigner):
                head = self._of_this_home(note, name, pinned.keys)
                if head is not None and said.setdefault(head.count, head.hash) != head.hash:
                    raise damaged()
        last = TombstoneHead()
        for last in self.tombstones.chain():
            if said.get(last.count, last.hash) != last.hash:
                raise damaged()
        if said and max(said) > last.count:
            raise cut()
        return len(said)

    def _of_this_home(self, note: str, name: str, keys: tuple[bytes, ...]) -> TombstoneHead | None:
        try:
            return notes.verify(note, name=name, trusted=keys)
        except IntegrityError as error:
            if error.reason == "other_tombstones":
                return None
            raise

    def _sign(self) -> None:
        """A new head, where the newest does not cover all that the database has followed."""
        newest = self.known() or self.newest()
        with self.database.read() as tx:
            applied = tx.requests.applied()
        if applied is None or applied.count <= (newest.head.count if newest else 0):
            return
        identity = self.keyring.identity()
        made = notes.sign(
            applied, name=self.name, public_key=identity.public_key, sign_bytes=identity.sign_bytes
        )
        self.tombstones.add_signed(made)
        self._memo[:] = [made]
