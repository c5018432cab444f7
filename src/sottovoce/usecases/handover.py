"""Handing something of a person over to a recipient: written down under names that only the recipient knows.

Rules upheld here, in order:
1. It is written down in the caller's transaction, beside the audit entry that commits before the data is released.
2. The names are made with the recipient's own key and kept beside what was handed over.
3. Who has ended receives nothing more. Who is not of the operator's own house receives nothing by a consent whose
   notice said that nobody outside receives it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sottovoce.errors import ConsentRequired
from sottovoce.model.consent import PurposeConsent
from sottovoce.model.ids import RandomBytes, new_id
from sottovoce.model.purpose import PURPOSES, notice_text
from sottovoce.model.recipient import (
    Disclosure,
    DisclosureForm,
    KnownAs,
    Recipient,
    RecipientKind,
    check_receives,
)
from sottovoce.ports import UnitOfWork
from sottovoce.sealing.pseudonym import opaque_name
from sottovoce.usecases.feed import name_of
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.trail import Scribe


@dataclass(frozen=True, slots=True)
class DisclosureView:
    """One line of what was handed over: to the person as well as to the operator."""

    recipient_id: str
    recipient: str  # its name
    recipient_kind: str
    session_id: str | None
    purpose: str
    what: str
    form: str
    at: datetime
    known_as: str  # the name under which this recipient knows the person
    note: str | None


@dataclass(frozen=True, kw_only=True)
class RecipientDesk:
    """Where one recipient is served; its key is opened before a transaction begins."""

    recipient: Recipient
    key: bytes = field(repr=False)
    random_bytes: RandomBytes

    def hand_over(
        self, tx: UnitOfWork, subject_id: str, sessions: Iterable[str], *, purpose: str, what: str,
        form: DisclosureForm, scribe: Scribe, whole: bool = False, at: datetime | None = None,
        seal: Callable[[str], bytes | None] = lambda _: None,
    ) -> KnownAs:  # fmt: skip
        """Write down what the recipient receives, within the transaction. `whole`: also of the person as a whole.

        Conflict (reason `recipient_ended`) where it has ended meanwhile.
        """
        check_receives(tx.recipients.get(self.recipient.id))
        name = opaque_name(self.key, subject_id)
        names = {session_id: opaque_name(self.key, session_id) for session_id in sessions}
        tx.recipients.disclose(
            [
                self._row(subject_id, session_id, name, names, purpose, what, form, at or tx.now(), seal)
                for session_id in (*([None] if whole else []), *names)
            ]
        )
        for session_id in (None,) if whole else names:
            scribe.write(
                tx, "data.disclosed", purpose=purpose,
                details={"session": session_id, "recipient": self.recipient.id, "form": str(form), "what": what},
            )  # fmt: skip
        return KnownAs(self.recipient.id, name, names)

    def _row(
        self, subject_id: str, session_id: str | None, name: str, names: dict[str, str], purpose: str, what: str,
        form: DisclosureForm, at: datetime, seal: Callable[[str], bytes | None],
    ) -> Disclosure:  # fmt: skip
        disclosure_id = new_id("disclosure", self.random_bytes)
        return Disclosure(
            id=disclosure_id, tenant=self.recipient.tenant, recipient_id=self.recipient.id, subject_id=subject_id,
            session_id=session_id, purpose=purpose, what=what, form=form, opaque_subject=name,
            opaque_session=names.get(session_id or ""), note=seal(disclosure_id), at=at,
        )  # fmt: skip


def disclosed(
    tx: UnitOfWork, subject_id: str, *, keyring: Keyring, tenant: str,
    open_note: Callable[[Disclosure], str | None] = lambda _: None,
) -> tuple[DisclosureView, ...]:  # fmt: skip
    """Everything that was handed over of a person, oldest first."""
    rows = tx.recipients.disclosures_of(subject_id)
    recipients = {one.id: one for one in tx.recipients.all(tenant)} if rows else {}
    names = {one.id: name_of(keyring, one) for one in recipients.values()}
    return tuple(
        DisclosureView(
            recipient_id=row.recipient_id, recipient=names[row.recipient_id],
            recipient_kind=str(recipients[row.recipient_id].kind), session_id=row.session_id, purpose=row.purpose,
            what=row.what, form=str(row.form), at=row.at, known_as=row.opaque_subject, note=open_note(row),
        )
        for row in rows
        if row.recipient_id in recipients
    )  # fmt: skip


def refused_by_notice(
    tx: UnitOfWork, recipient: Recipient, state: PurposeConsent | None, *, tenant: str
) -> ConsentRequired | None:
    """Rule 3, second half. The refusal, or None."""
    if recipient.kind is RecipientKind.TEAM or state is None:
        return None
    shown = next((n for n in tx.consents.notices(tenant, state.purpose) if n.id == state.notice_id), None)
    if shown is not None and shown.text == notice_text(PURPOSES[state.purpose]):
        return ConsentRequired(
            "The person agreed to a notice that says nobody outside the operator receives it.",
            hint="Ask them again with a notice of your own that names who receives it (consent grant --notice).",
            reason="notice_names_no_recipient",
        )
    return None
