"""The verbs of people: what they agree to, and what they may ask for at any time, whether they agree or not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TypedDict, Unpack

from sottovoce.app.hall import LIBRARY, Hall
from sottovoce.app.offline import verify_package
from sottovoce.errors import ConfigurationError
from sottovoce.model.consent import ConsentAction, PurposeConsent
from sottovoce.model.ids import new_id
from sottovoce.model.mark import MarkKind
from sottovoce.model.outcome import ConsentOutcome, ErasureOutcome, ExportOutcome
from sottovoce.model.request import CaseKind
from sottovoce.model.subject import Caller
from sottovoce.sealing import recipients
from sottovoce.usecases.access_entries import AccessEntry, MarkView
from sottovoce.usecases.cases import Asked, CaseView
from sottovoce.usecases.consent import Statement
from sottovoce.usecases.handover import RecipientDesk
from sottovoce.usecases.importing import ImportOutcome
from sottovoce.usecases.marks import Ask as MarkAsk
from sottovoce.usecases.marks import MarkOutcome
from sottovoce.usecases.notices import Notice


class Details(TypedDict, total=False):
    """How and when somebody said it, and what they were shown."""

    notice: bytes | None  # of the operator's own; needs a version
    notice_version: str | None
    locale: str  # of the notice
    material: bool  # whether the notice changed what is agreed to
    evidence: str | None  # stored sealed
    consent_channel: str | None  # default: the caller's
    occurred_at: datetime | None  # aware; default: now
    event_ids: Sequence[str]  # given by a caller who may have to repeat the call; one per purpose


class RightsVerbs(Hall):
    """Consent, access, export, erasure, marks and requests."""

    def grant(
        self, *, subject: str, purposes: Sequence[str], caller: Caller = LIBRARY, **details: Unpack[Details]
    ) -> ConsentOutcome:
        """Record that a person agreed to some purposes. `details`: notice (bytes), notice_version, locale,
        material, evidence, consent_channel, occurred_at (aware), event_ids."""
        return self._state(ConsentAction.GRANT, subject, purposes, caller, **details)

    def refuse(
        self, *, subject: str, purposes: Sequence[str], caller: Caller = LIBRARY, **details: Unpack[Details]
    ) -> ConsentOutcome:
        """Record that a person said no; a refusal is a row too."""
        return self._state(ConsentAction.REFUSE, subject, purposes, caller, **details)

    def withdraw(
        self, *, subject: str, purposes: Sequence[str], caller: Caller = LIBRARY, **details: Unpack[Details]
    ) -> ConsentOutcome:
        """Record a withdrawal; what it stops is stopped when this returns."""
        return self._state(ConsentAction.WITHDRAW, subject, purposes, caller, **details)

    def consents(self, *, subject: str, caller: Caller = LIBRARY) -> tuple[PurposeConsent, ...]:  # noqa: ARG002
        """What holds for every purpose."""
        return self._consent.states(subject)

    # --- access, export, erasure -----------------------------------------------------------------------

    def access_log(
        self, *, subject: str, session_id: str | None = None, caller: Caller = LIBRARY
    ) -> tuple[AccessEntry, ...]:
        """Everything that happened with a person's data (with one session), oldest first, in plain words. Looking is
        an entry too. NotFound where nothing is held."""
        return self._read(lambda: self._access.log(subject, session_id=session_id, caller=caller))

    def export_person(
        self, *, subject: str, out: str | os.PathLike[str], to: str | None = None, recipient: str | None = None,
        caller: Caller = LIBRARY,
    ) -> ExportOutcome:  # fmt: skip
        """Everything that is held of a person as one signed zip, written in one step, for its owner alone (0600);
        sealed to a recipient key (the text of its file) where one is given. Needs no consent. `recipient`: the id of
        who receives it at the person's wish; written down first. NotFound; Conflict where the person is being erased or
        the recipient has ended; UsageError where the file exists."""
        desk = None if recipient is None else self._recipients.desk(recipient)
        return self._read(lambda: self._export(subject, Path(out), to, desk, caller))

    def import_person(
        self, path: str | os.PathLike[str], *, subject: str | None = None, key: str | None = None,
        caller: Caller = LIBRARY,
    ) -> ImportOutcome:  # fmt: skip
        """Take in a package that another home made, as a new person. `key`: the identity document of that home.
        IntegrityError, UnknownSigner; Conflict where the person is here, or was erased here."""
        package = verify_package(path, key=key, home=self.home)
        return self._verb(lambda: self._imports.take_in(package, subject=subject, caller=caller))

    def erase(
        self, *, subject: str, session_id: str | None = None, request_id: str | None = None,
        dry_run: bool = False, caller: Caller = LIBRARY,
    ) -> ErasureOutcome:  # fmt: skip
        """Erase a person, or one session: keys first, then everything else, then the signed receipt."""
        if dry_run:
            return self._rights.preview(subject, session_id=session_id)
        return self._verb(
            lambda: self._rights.erase(subject, session_id=session_id, request_id=request_id, caller=caller)
        )

    def new_request_id(self) -> str:
        """An id for `erase(request_id=...)`: who notes it first can ask for the receipt whatever interrupts it."""
        return new_id("request", self._adapters.entropy)

    # --- marks -----------------------------------------------------------------------------------------

    def mark(
        self, *, subject: str, kind: MarkKind, reason: str, asked_by: str = "person", purpose: str | None = None,
        session_id: str | None = None, note: str | None = None, caller: Caller = LIBRARY,
    ) -> MarkOutcome:  # fmt: skip
        """Record a restriction, objection, legal hold or correction; what it stops is stopped when this returns.
        Reasons are those of `model.mark.REASONS`; `note` is stored sealed. NotFound, UsageError."""
        ask = MarkAsk(
            subject=subject, kind=kind, reason=reason, asked_by=asked_by, purpose=purpose, session_id=session_id,
            note=note,
        )  # fmt: skip
        return self._verb(lambda: self._marks.place(ask, caller=caller))

    def lift(
        self, mark_id: str, *, kinds: Sequence[MarkKind] = (MarkKind.HOLD, MarkKind.OBJECTION, MarkKind.RESTRICTION),
        caller: Caller = LIBRARY,
    ) -> MarkOutcome:  # fmt: skip
        """Lift a mark; erasures that waited for a hold are carried out before this returns. NotFound."""

        def work() -> MarkOutcome:
            outcome = self._marks.lift(mark_id, kinds=tuple(kinds), caller=caller)
            self._cases.resume(caller=caller)
            return outcome

        return self._verb(work)

    def unrestrict(self, *, subject: str, caller: Caller = LIBRARY) -> MarkOutcome:
        """Lift every restriction of a person. NotFound where none stands."""
        return self._verb(lambda: self._marks.unrestrict(subject, caller=caller))

    def rectify(self, *, subject: str, new_id: str, caller: Caller = LIBRARY) -> None:
        """Correct the id under which a person is known here. NotFound; Conflict where the new one is taken."""
        self._verb(lambda: self._marks.rectify(subject, new_id, caller=caller))

    def marks(self, *, subject: str) -> tuple[MarkView, ...]:
        """What stands or stood on a person's data, with who asked, why and since when. NotFound."""
        return self._marks.of(subject)

    # --- requests --------------------------------------------------------------------------------------

    def open_request(
        self, *, subject: str, kind: CaseKind, law: str = "gdpr.request", identity: str = "known",
        proof: str | None = None, received_at: datetime | None = None, session_id: str | None = None,
        decision_id: str | None = None, caller: Caller = LIBRARY,
    ) -> CaseView:  # fmt: skip
        """Record a request of a data subject as a case; its clock runs from its receipt (data/deadlines.toml).
        `proof`: what was shown, stored sealed until the case ends. `decision_id`: of a human review, what is
        contested. UsageError, NotFound."""
        asked = Asked(
            subject=subject, kind=kind, law=law, identity=identity, proof=proof, received_at=received_at,
            session_id=session_id, decision_id=decision_id,
        )  # fmt: skip
        return self._verb(lambda: self._cases.open(asked, caller=caller))

    def extend_request(self, case_id: str, *, reason: str, caller: Caller = LIBRARY) -> CaseView:
        """Take the longer time that the law allows, once, within the first. Conflict, UsageError, NotFound."""
        return self._verb(lambda: self._cases.extend(case_id, reason=reason, caller=caller))

    def refuse_request(self, case_id: str, *, reason: str, caller: Caller = LIBRARY) -> CaseView:
        """End a case without doing what was asked, for a reason code. Conflict, UsageError, NotFound."""
        return self._verb(lambda: self._cases.refuse(case_id, reason=reason, caller=caller))

    def close_request(
        self, case_id: str, *, outcome: str = "fulfilled", caller: Caller = LIBRARY
    ) -> CaseView:
        """End a case; an erasure is carried out by it, everything else must have been done. Conflict, NotFound."""
        return self._verb(lambda: self._cases.close(case_id, outcome=outcome, caller=caller))

    def requests(self, *, everything: bool = False) -> tuple[CaseView, ...]:
        """Open cases, or all of them; oldest first, with their clocks as they stand now."""
        return self._cases.list(everything=everything)

    def request(self, case_id: str) -> CaseView:
        """One case. NotFound."""
        return self._cases.show(case_id)

    # --- helpers ---------------------------------------------------------------------------------------

    def _state(
        self, action: ConsentAction, subject: str, purposes: Sequence[str], caller: Caller, *,
        notice: bytes | None = None, notice_version: str | None = None, locale: str = "en",
        material: bool = True, evidence: str | None = None, consent_channel: str | None = None,
        occurred_at: datetime | None = None, event_ids: Sequence[str] = (),
    ) -> ConsentOutcome:  # fmt: skip
        shown = None
        if notice is not None:
            if notice_version is None:
                raise ConfigurationError("A notice of your own needs a version.", reason="notice_version")
            shown = Notice(text=notice, version=notice_version, locale=locale, material=material)
        statement = Statement(
            subject=subject, action=action, purposes=tuple(purposes), notice=shown, channel=consent_channel,
            evidence=evidence, occurred_at=occurred_at, event_ids=tuple(event_ids),
        )  # fmt: skip
        return self._verb(lambda: self._consent.record(statement, caller=caller))

    def _export(
        self, subject: str, out: Path, to: str | None, desk: RecipientDesk | None, caller: Caller
    ) -> ExportOutcome:
        from sottovoce.adapters import export_file
        from sottovoce.sealing import suites

        recipient = None if to is None else recipients.parse_public(to)
        sealed_to = None if recipient is None else recipient.key_id.hex()
        made = self._exports.export(subject, sealed_to=sealed_to, desk=desk, caller=caller)
        data = made.data
        if recipient is not None:
            entropy = self._adapters.entropy
            envelope_id = entropy(suites.ENVELOPE_ID_BYTES)
            data = suites.seal_to(recipient, data, envelope_id=envelope_id, random_bytes=entropy)
        self._exports.check(made)
        export_file.write_new(out, data)
        try:
            self._exports.check(made)
        except BaseException:  # interrupted or refused: nobody has looked whether the person is still here
            export_file.remove(out)
            raise
        return ExportOutcome(
            str(out),
            len(data),
            hashlib.sha256(data).hexdigest(),
            made.made_at,
            made.counts,
            sealed_to,
            made.handed,
        )
