"""Recipients of data: who they are, and what each has received of whom (GDPR 4(9), 13(1)(e), 15(1)(c), 19).

    with the person's features shown for a purpose, their package exported, or by hand:
    Recipients.desk(recipient)  ->  hand_over(tx, ...)  in the transaction that is committed before the release

Rules upheld here, in order:
1. What is handed over is written down in the transaction of its audit entry, which commits before the data is released
   (law 2): a recipient that has something is known, also where the release itself was interrupted.
2. A recipient knows people and sessions by opaque names under its own key, made when something is handed over and kept
   beside it: no key is needed to tell it of an erasure, and two recipients have no name in common (C15a).
3. Who has ended receives nothing more. Who is not of the operator's own house receives nothing by a consent whose
   notice said that nobody outside receives it.
4. What is written down late is told at once: a restriction that stands, a consent that is gone.
5. Names of recipients and words in free text are sealed; no consent is asked for the person to see all of it (law 6).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sottovoce.errors import Conflict, NotFound, SottovoceError, UsageError
from sottovoce.model import consent as ledger
from sottovoce.model.consent import ConsentStatus, PurposeConsent
from sottovoce.model.ids import RandomBytes, check_id, new_id
from sottovoce.model.mark import MarkKind
from sottovoce.model.purpose import PURPOSES, purpose_of
from sottovoce.model.recipient import (
    DisclosureForm,
    FeedKind,
    KnownAs,
    Recipient,
    RecipientKind,
    check_name,
    check_receives,
    known,
)
from sottovoce.model.subject import Caller
from sottovoce.ports import Database, UnitOfWork
from sottovoce.sealing import envelope
from sottovoce.sealing.pseudonym import recipient_subkey
from sottovoce.usecases.access_log import nothing_held
from sottovoce.usecases.feed import key_name, name_context, name_of, tell, tell_mark
from sottovoce.usecases.handover import DisclosureView, RecipientDesk, disclosed
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.notes import Notes
from sottovoce.usecases.people import People, locked
from sottovoce.usecases.trail import Trail

KEY_FILE_FORMAT = "sottovoce-recipient/1"
_STANDING = (MarkKind.RESTRICTION, MarkKind.OBJECTION)


@dataclass(frozen=True, slots=True)
class RecipientView:
    """A recipient as it is shown, with how much it has."""

    id: str
    name: str
    kind: str
    created_at: datetime
    ended_at: datetime | None
    destroyed: bool
    people: int
    disclosures: int


@dataclass(frozen=True, kw_only=True)
class HandedOver:
    """What was handed over outside of this service, to be written down."""

    subject: str
    recipient_id: str
    purpose: str
    what: str
    session_id: str | None = None
    at: datetime | None = None  # default: now
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recipients:
    database: Database
    keyring: Keyring
    people: People
    trail: Trail
    notes: Notes
    random_bytes: RandomBytes
    tenant: str

    # --- who they are ----------------------------------------------------------------------------------

    def add(self, name: str, kind: RecipientKind, *, caller: Caller) -> RecipientView:
        """A new recipient, with a key of its own. UsageError; Conflict where one of that name receives data."""
        name = check_name(name)
        recipient_id = new_id("recipient", self.random_bytes)
        key = self.keyring.make_tenant_key(key_name(recipient_id))
        try:
            with self.database.begin() as tx:
                self._check_new(tx, name)
                made = Recipient(recipient_id, self.tenant, b"", kind, tx.now())
                sealed = envelope.seal(
                    recipient_subkey(key, "name"), name.encode(), name_context(made), recipient_id
                )
                made = replace(made, sealed_name=sealed)
                tx.recipients.add(made)
                details = {"recipient": recipient_id, "kind": str(kind)}
                self.trail.of(None, caller=caller).write(tx, "recipient.added", details=details)
        except BaseException:
            self._forget_unless_added(recipient_id)
            raise
        return RecipientView(made.id, name, str(kind), made.created_at, None, False, 0, 0)

    def all(self) -> tuple[RecipientView, ...]:
        """Everybody who receives or has received data, oldest first."""
        with self.database.read() as tx:
            return tuple(self._view(tx, recipient) for recipient in tx.recipients.all(self.tenant))

    def show(self, recipient_id: str) -> RecipientView:
        """NotFound."""
        with self.database.read() as tx:
            return self._view(tx, self._known(tx, recipient_id))

    def end(self, recipient_id: str, *, destroyed: bool, caller: Caller) -> RecipientView:
        """It receives nothing more. `destroyed`: it has stated that nothing is left there, so its feed ends too."""
        with self.database.begin() as tx:
            self._known(tx, recipient_id)
            tx.recipients.end(recipient_id, at=tx.now(), destroyed=destroyed)
            self.trail.of(None, caller=caller).write(
                tx, "recipient.ended", details={"recipient": recipient_id, "destroyed": destroyed}
            )
            return self._view(tx, self._known(tx, recipient_id))

    def key_file(self, recipient_id: str, identity_document: str) -> str:
        """What the recipient needs to read its feed and to acknowledge it: secret, for this recipient alone."""
        view = self.show(recipient_id)
        key = recipient_subkey(self._key(recipient_id), "acknowledgement")
        content = {
            "format": KEY_FILE_FORMAT, "recipient": view.id, "name": view.name, "acknowledgement_key": key.hex(),
            "identity": json.loads(identity_document),
        }  # fmt: skip
        return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    # --- what they have --------------------------------------------------------------------------------

    def desk(self, recipient_id: str) -> RecipientDesk:
        """Where something can be handed over to a recipient. NotFound; Conflict where it has ended."""
        with self.database.read() as tx:
            recipient = check_receives(self._known(tx, recipient_id))
        return RecipientDesk(recipient=recipient, key=self._key(recipient_id), random_bytes=self.random_bytes)

    def write_down(self, given: HandedOver, *, caller: Caller) -> KnownAs:
        """What was handed over outside of this service. NotFound, UsageError, Conflict.

        It is written down whatever the consents are: it has happened. What the recipient would have been told since
        is told in the same transaction.
        """
        purpose, what = purpose_of(given.purpose).id, _kinds(given.what)
        if given.session_id is not None:
            check_id(given.session_id, "session")
        desk = self.desk(given.recipient_id)
        with self.database.begin() as tx:
            person = self.people.find(tx, given.subject)
            if person is None:
                raise nothing_held()
            locked(tx, person.id)
            at = given.at or tx.now()
            if at > tx.now():
                raise UsageError("Nothing was handed over in the future.", reason="disclosed_at")
            sessions = [recording.id for recording in tx.recordings.of_subject(person.id)]
            if given.session_id is not None and given.session_id not in sessions:
                raise NotFound("There is no session of this id.")
            handed = desk.hand_over(
                tx, person.id, [given.session_id] if given.session_id else sessions, purpose=purpose, what=what,
                form=DisclosureForm.BY_HAND, scribe=self.trail.of(person.id, caller=caller), at=at,
                whole=given.session_id is None, seal=self._sealer(person.id, given.note),
            )  # fmt: skip
            self._catch_up(tx, person.id, purpose, desk.recipient.id)
        return handed

    def of_person(self, tx: UnitOfWork, subject_id: str) -> tuple[DisclosureView, ...]:
        """Everything that was handed over of a person, oldest first."""
        return disclosed(
            tx, subject_id, keyring=self.keyring, tenant=self.tenant,
            open_note=lambda row: self.notes.open(subject_id, row.id, "disclosure", row.note),
        )  # fmt: skip

    def of_subject(self, subject: str) -> tuple[DisclosureView, ...]:
        """The same for who knows the person by the operator's own id. NotFound where nothing is held."""
        with self.database.read() as tx:
            person = self.people.find(tx, subject)
            if person is None:
                raise nothing_held()
            return self.of_person(tx, person.id)

    # --- helpers ---------------------------------------------------------------------------------------

    def _known(self, tx: UnitOfWork, recipient_id: str) -> Recipient:
        check_id(recipient_id, "recipient")
        recipient = known(tx.recipients.get(recipient_id))
        return known(recipient if recipient.tenant == self.tenant else None)

    def _key(self, recipient_id: str) -> bytes:
        return self.keyring.tenant_key(key_name(recipient_id))

    def _check_new(self, tx: UnitOfWork, name: str) -> None:
        standing = [one for one in tx.recipients.all(self.tenant) if one.ended_at is None]
        if name in {name_of(self.keyring, one) for one in standing}:
            raise Conflict("There is a recipient of this name.", reason="recipient_exists")

    def _forget_unless_added(self, recipient_id: str) -> None:
        """The key of a recipient whose row was not written; where that cannot be asked, fsck finds it."""
        try:
            with self.database.read() as tx:
                added = tx.recipients.get(recipient_id) is not None
            if not added:
                self.keyring.destroy_tenant_key(key_name(recipient_id))
        except SottovoceError:
            return

    def _view(self, tx: UnitOfWork, recipient: Recipient) -> RecipientView:
        people, disclosures = tx.recipients.disclosed_to(recipient.id)
        return RecipientView(
            recipient.id, name_of(self.keyring, recipient), str(recipient.kind), recipient.created_at,
            recipient.ended_at, recipient.destroyed, people, disclosures,
        )  # fmt: skip

    def _sealer(self, subject_id: str, note: str | None) -> Callable[[str], bytes | None]:
        if note is None:
            return lambda _: None
        return lambda disclosure_id: self.notes.seal(subject_id, disclosure_id, "disclosure", note)

    def _catch_up(self, tx: UnitOfWork, subject_id: str, purpose: str, recipient_id: str) -> None:
        """Rule 4, for this recipient alone."""
        for mark in tx.marks.of_subject(subject_id):
            if mark.kind in _STANDING and mark.lifted_at is None:
                tell_mark(tx, mark, only=recipient_id)
        if PURPOSES[purpose].basis != "consent":
            return
        state = ledger.fold(tx.consents.of_subject(subject_id)).get(purpose, PurposeConsent(purpose))
        if state.status is not ConsentStatus.GRANTED:
            cause = state.event_id or new_id("batch", self.random_bytes)
            tell(tx, subject_id, FeedKind.WITHDRAWN, cause=cause, purposes=(purpose,), only=recipient_id)


def _kinds(what: str) -> str:
    """The kinds of data in one spelling; UsageError where none is named."""
    words = " ".join(what.replace(",", " ").split())
    if not words or len(words) > 200 or not words.isprintable():
        raise UsageError("Say in a few words what was handed over.", reason="disclosed_what")
    return words


def end_without_keys(database: Database, keyring: Keyring, trail: Trail, *, caller: Caller) -> int:
    """End the recipients whose keys are gone (data newer than the keys they were restored with): nothing can be handed
    over under a name that they know; how many. They are told of erasures as before, by the names they were given."""
    with database.read() as tx:
        standing = [one.id for one in tx.recipients.all(trail.tenant) if one.ended_at is None]
    lost = [one for one in standing if not keyring.has_tenant_key(key_name(one))]
    for recipient_id in lost:
        with database.begin() as tx:
            tx.recipients.end(recipient_id, at=tx.now(), destroyed=False)
            details = {"recipient": recipient_id, "destroyed": False}
            trail.of(None, caller=caller).write(tx, "recipient.ended", outcome="no_keys", details=details)
    return len(lost)
