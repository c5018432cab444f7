"""Taking in a person's package from another home: consents with their notices, results sealed anew.

Rules upheld here, in order:
1. Only a package that was checked against a pinned key is read (`import_package.py`); what does not fit is refused as a
   whole: one transaction, or nothing.
2. A promise is never extended: what is kept is due at the earlier of the promise it came with and the policy here, and
   nothing in it is from the future.
3. Results are kept only where the consents that come along allow it here (`data_retention_30_days`, on a notice that
   stands here); a foreign notice never makes anybody else's consent outdated.
4. Who or what was erased here does not come back by a package (tombstones), and nobody is merged with somebody
   who is here already.
5. Every record gets a new key; keys are made before the rows, and destroyed where those are not written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sottovoce.errors import Conflict, SottovoceError
from sottovoce.model import consent as ledger
from sottovoce.model.canonical import JsonValue
from sottovoce.model.consent import NoticeVersion
from sottovoce.model.ids import RandomBytes, new_id
from sottovoce.model.purpose import RETENTION
from sottovoce.model.record import StoredReceipt
from sottovoce.model.subject import Caller
from sottovoce.ports import Database, UnitOfWork
from sottovoce.usecases.consent_evidence import seal_evidence
from sottovoce.usecases.import_package import Content, Session, read
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.people import People
from sottovoce.usecases.portable import Package, malformed
from sottovoce.usecases.receipts import ReceiptBook, ReceiptSigner
from sottovoce.usecases.trail import Scribe, Trail
from sottovoce.usecases.vault import Sealed, Vault
from sottovoce.voice.insight import insight_from_values


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """What was taken in, and what was not and why."""

    subject: str = field(repr=False)
    subject_id: str
    consents: int
    sessions: int
    records: int
    left_out: dict[str, int]  # reason -> sessions
    receipt: str = field(repr=False)
    receipt_path: str | None


@dataclass(frozen=True, kw_only=True)
class Imports:
    database: Database
    keyring: Keyring
    people: People
    vault: Vault
    trail: Trail
    receipts: ReceiptBook
    random_bytes: RandomBytes
    tenant: str

    def take_in(self, package: Package, *, subject: str | None = None, caller: Caller) -> ImportOutcome:
        """A checked package as a new person of this home, under `subject` or the id that it came with.

        Conflict: the person is here already, or was erased here. IntegrityError: the content is not what a package
        holds.
        """
        content = read(package, self.tenant)
        outside_id = content.name if subject is None else subject
        with self.database.read() as tx:
            self._check_free(tx, outside_id, content)
            now = tx.now()
            if any(one.newest_at > now for one in content.sessions):
                raise malformed()
            keeping = self._keeps(tx, content)
        due = [one for one in content.sessions if one.expires_at > now and self._promise(one) > now]
        taken = due if keeping else []
        left_out = {
            "no result was kept of it": content.without_result,
            "past its date": len(content.sessions) - len(due),
            "no consent that stands here to keep it": len(due) - len(taken),
        }
        subject_id = self.people.prepare(outside_id)
        try:
            sealed = [self._seal(one, subject_id) for one in taken]
            receipts = self._write(outside_id, subject_id, content, taken, sealed, package, caller=caller)
        except BaseException:
            self._forget(subject_id, outside_id)
            raise
        for receipt in receipts:
            self.receipts.publish(receipt)
        return ImportOutcome(
            subject=outside_id, subject_id=subject_id, consents=len(content.consents), sessions=len(taken),
            records=sum(len(one.records) for one in sealed),
            left_out={reason: count for reason, count in left_out.items() if count},
            receipt=receipts[0].text, receipt_path=self.receipts.path(receipts[0]),
        )  # fmt: skip

    # --- before ----------------------------------------------------------------------------------------

    def _check_free(self, tx: UnitOfWork, outside_id: str, content: Content) -> None:
        if self.people.find(tx, outside_id) is not None:
            raise Conflict(
                "Somebody of this id is here already; two people are never merged.",
                hint="Give another id with --subject, or erase the person first.",
                reason="subject_exists",
            )
        if any(tx.recordings.get(one.recording.id) for one in content.sessions):
            raise Conflict(
                "A recording of this package is here already, of somebody who may have another id here.",
                hint="Look for the person by the other id.",
                reason="session_exists",
            )
        gone = {tombstone.id for tombstone in tx.requests.tombstones()}
        if gone & {content.subject_id, *(one.recording.id for one in content.sessions)}:
            raise Conflict(
                "Something in this package was erased here; it does not come back by a package.",
                hint="Ask the person for a package that was made after the erasure.",
                reason="erased_here",
            )

    def _keeps(self, tx: UnitOfWork, content: Content) -> bool:
        """Whether the consents that come along allow here to keep results."""
        known = {notice.id: self._known(tx, notice) for notice in content.notices.values()}
        events = [
            replace(event, sequence=place, notice_ordinal=_ordinal(known.get(event.notice_id or "")))
            for place, (event, _) in enumerate(content.consents, start=1)
        ]
        material = tx.consents.material(self.tenant)
        return ledger.decide(ledger.fold(events), (RETENTION,), material=material).allowed

    def _known(self, tx: UnitOfWork, notice: NoticeVersion) -> NoticeVersion | None:
        """The notice of exactly these words that this home has already."""
        for one in tx.consents.notices(self.tenant, notice.purpose):
            if (one.version, one.locale, one.sha256) == (notice.version, notice.locale, notice.sha256):
                return one
        return None

    def _promise(self, session: Session) -> datetime:
        """min(promise that it came with, policy here), of the result that goes first."""
        retention = self.vault.retention
        kinds = ("features", "insight", "decision")
        return min(session.expires_at, *(retention.promise(kind, session.created_at) for kind in kinds))

    def _seal(self, session: Session, subject_id: str) -> Sealed:
        insight = insight_from_values(session.insight_values, version=session.insight_version)
        if insight.model_sha256 != session.insight_sha256:
            raise malformed()
        sealed = self.vault.seal(
            session.extraction, insight, subject_id=subject_id, session_id=session.recording.id,
            at=session.created_at,
        )  # fmt: skip
        until = session.expires_at
        return replace(
            sealed,
            records=tuple(replace(one, expires_at=min(one.expires_at, until)) for one in sealed.records),
            decisions=tuple(replace(one, expires_at=min(one.expires_at, until)) for one in sealed.decisions),
        )

    def _forget(self, subject_id: str, outside_id: str) -> None:
        """Keys without rows go at once; where that cannot be asked, the collector takes them later."""
        try:
            with self.database.read() as tx:
                written = self.people.find(tx, outside_id)
            if written is None or written.id != subject_id:
                self.keyring.destroy_subject(subject_id)
        except SottovoceError:
            return

    # --- the transaction -------------------------------------------------------------------------------

    def _write(
        self, outside_id: str, subject_id: str, content: Content, sessions: Sequence[Session],
        sealed: Sequence[Sealed], package: Package, *, caller: Caller,
    ) -> list[StoredReceipt]:  # fmt: skip
        signer = self.receipts.signer()
        source: dict[str, JsonValue] = {
            "signed_by": package.signed.key_id,
            "manifest_sha256": package.signed.body.get("manifest_sha256"),
            "made_at": package.signed.body.get("made_at"),
        }
        with self.database.begin() as tx:
            self._check_free(tx, outside_id, content)
            self.people.introduce(tx, subject_id, outside_id)
            scribe = self.trail.of(subject_id, caller=caller)
            self._write_consents(tx, subject_id, content, package.signed.key_id)
            receipts = [self._receipt(tx, signer, subject_id, None, source, {"sessions": len(sessions)})]
            tx.receipts.add(receipts[0])
            for session, results in zip(sessions, sealed, strict=True):
                receipts.append(self._write_session(tx, signer, subject_id, session, results, source, scribe))
            scribe.write(
                tx, "person.imported", details={"receipt": receipts[0].id, "consents": len(content.consents)}
            )
        return receipts

    def _write_consents(self, tx: UnitOfWork, subject_id: str, content: Content, signer: str) -> None:
        here = {notice.id: self._notice_here(tx, notice, signer) for notice in content.notices.values()}
        events = []
        for event, evidence in content.consents:
            notice = here.get(event.notice_id or "")
            sealed = seal_evidence(self.keyring, self.tenant, subject_id, event.id, evidence)
            events.append(
                replace(
                    event, subject_id=subject_id, recorded_at=tx.now(), evidence=sealed,
                    notice_id=notice.id if notice else None, notice_ordinal=_ordinal(notice),
                )
            )  # fmt: skip
            if event.occurred_at > tx.now():
                raise malformed()
        tx.consents.add(events)

    def _notice_here(self, tx: UnitOfWork, notice: NoticeVersion, signer: str) -> NoticeVersion:
        """The same words where they are known here; else a foreign notice: of no standing in this home's own order."""
        known = self._known(tx, notice)
        if known is not None:
            return known
        foreign = replace(
            notice, id=new_id("notice", self.random_bytes), tenant=self.tenant, ordinal=0, material=False,
            version=f"{signer[:12]}/{notice.version}",
        )  # fmt: skip
        again = self._known(tx, foreign)
        if again is not None:
            return again
        tx.consents.add_notice(foreign)
        return foreign

    def _write_session(
        self, tx: UnitOfWork, signer: ReceiptSigner, subject_id: str, session: Session, results: Sealed,
        source: dict[str, JsonValue], scribe: Scribe,
    ) -> StoredReceipt:  # fmt: skip
        kept: dict[str, JsonValue] = {
            "records": sorted(record.kind for record in results.records),
            "expires_at": results.expires_at.isoformat(timespec="seconds"),
        }
        session_id = session.recording.id
        receipt = self._receipt(tx, signer, subject_id, session_id, source, kept)
        tx.recordings.add(replace(session.recording, subject_id=subject_id, receipt_id=receipt.id))
        tx.records.add(results.records, results.decisions)
        tx.receipts.add(receipt)
        scribe.write(tx, "recording.imported", details={"session": session_id, "receipt": receipt.id})
        return receipt

    def _receipt(
        self, tx: UnitOfWork, signer: ReceiptSigner, subject_id: str, session_id: str | None,
        source: dict[str, JsonValue], kept: Mapping[str, JsonValue],
    ) -> StoredReceipt:  # fmt: skip
        receipt_id = new_id("receipt", self.random_bytes)
        body: dict[str, JsonValue] = {
            "receipt_id": receipt_id, "tenant": self.tenant, "subject_id": subject_id, "session_id": session_id,
            "imported_at": tx.now().isoformat(timespec="seconds"), "package": source, "kept": kept,
        }  # fmt: skip
        return StoredReceipt(
            id=receipt_id, tenant=self.tenant, subject_id=subject_id, session_id=session_id, kind="import",
            text=signer.sign("import", body), at=tx.now(),
        )  # fmt: skip


def _ordinal(notice: NoticeVersion | None) -> int:
    return 0 if notice is None else notice.ordinal
