"""The package of a person: everything that is held of them, to read and to take along (GDPR 15 and 20, M32).

Rules upheld here, in order:
1. No consent is asked: a person with none at all can export (law 6). Unknown and erased people look the same.
2. The entry in the audit log is committed before anything is opened (law 2); the package shows it.
3. The inventory of tables decides what is in it, not this file: every row of every table that has a person's rows,
   its sealed columns opened with the person's own keys (C13b, X06).
4. An erasure that begins meanwhile wins: `still_there` is asked when the file is written, and once more after (F25).
5. The manifest names every member with its hash and is signed; see `usecases/portable.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from sottovoce.errors import Conflict, IntegrityError, KeyUnavailable
from sottovoce.model import consent as ledger
from sottovoce.model.canonical import JsonValue
from sottovoce.model.consent import ConsentEvent, NoticeVersion, PurposeConsent
from sottovoce.model.event import AuditEvent
from sottovoce.model.features import Embedding, FeatureVector, Insight, Quality
from sottovoce.model.mark import Mark, keeps
from sottovoce.model.purpose import SUBJECT_ACCESS, PurposeGrant
from sottovoce.model.recipient import DisclosureForm, KnownAs
from sottovoce.model.record import Decision, SealedRecord, StoredReceipt
from sottovoce.model.recording import Recording
from sottovoce.model.request import Case, ErasureRequest
from sottovoce.model.subject import Caller, Subject, SubjectState
from sottovoce.ports import Database, UnitOfWork
from sottovoce.usecases import portable
from sottovoce.usecases.access_entries import AccessEntry, MarkView, mark_view
from sottovoce.usecases.access_log import AccessLog, nothing_held
from sottovoce.usecases.consent_evidence import open_evidence
from sottovoce.usecases.export_content import Content, SessionCopy
from sottovoce.usecases.export_files import members
from sottovoce.usecases.group import GroupCommit
from sottovoce.usecases.handover import DisclosureView, RecipientDesk, disclosed
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.notes import Notes
from sottovoce.usecases.people import People, locked
from sottovoce.usecases.receipts import ReceiptBook
from sottovoce.usecases.trail import Trail
from sottovoce.usecases.vault import Vault

_Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Export:
    """A package ready to be written, and what is in it by count."""

    subject_id: str
    data: bytes = field(repr=False)
    counts: dict[str, int]
    made_at: datetime
    handed: KnownAs | None = None
    sessions: tuple[str, ...] = ()  # that are in it


@dataclass(frozen=True, slots=True)
class _Held:
    """Everything of one person as one snapshot says it."""

    person: Subject
    rows: _Rows
    sealed: Mapping[str, tuple[str, ...]]
    consents: tuple[ConsentEvent, ...]
    notices: tuple[NoticeVersion, ...]
    recordings: tuple[Recording, ...]
    records: tuple[SealedRecord, ...]
    decisions: tuple[Decision, ...]
    receipts: tuple[StoredReceipt, ...]
    marks: tuple[Mark, ...]
    cases: tuple[Case, ...]
    requests: tuple[ErasureRequest, ...]
    events: tuple[AuditEvent, ...]
    entries: tuple[AccessEntry, ...]
    recipients: tuple[DisclosureView, ...]
    notes: Mapping[str, str | None] = field(repr=False)  # id of a disclosure -> what was noted with it
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Exports:
    database: Database
    keyring: Keyring
    people: People
    vault: Vault
    trail: Trail
    reads: GroupCommit
    receipts: ReceiptBook
    access: AccessLog
    notes: Notes
    identity_document: Callable[[], str]  # the public identity, put beside for convenience
    tenant: str

    def export(
        self, subject: str, *, sealed_to: str | None = None, desk: RecipientDesk | None = None, caller: Caller
    ) -> Export:
        """Everything of a person as one package. NotFound where nothing is held, Conflict where they are being erased.
        `sealed_to`: id of the recipient key that the package is going to be sealed to, for the audit log. `desk`: of
        the recipient that it is handed to, at the person's wish (GDPR 20(2)); written down before it is opened."""
        with self.database.read() as tx:
            person = self.people.find(tx, subject)
        if person is None:
            raise nothing_held()
        try:
            handed = self._note(person, sealed_to, desk, caller=caller)
            with self.database.read() as tx:
                held = self._read(tx, person.id)
            return self._package(held, handed)
        except KeyUnavailable as error:
            if error.reason != "key_destroyed" or self.still_there(person.id):
                raise
            raise _erased_meanwhile() from None

    def still_there(self, subject_id: str) -> bool:
        """False where the person is erased or being erased: then nothing of them may be handed out."""
        with self.database.read() as tx:
            person = tx.subjects.get(subject_id)
        return person is not None and person.state is SubjectState.ACTIVE

    def check(self, made: Export) -> None:
        """Conflict where an erasure has come first, of the person or of a session that is in the package."""
        if not self.still_there(made.subject_id):
            raise _erased_meanwhile()
        with self.database.read() as tx:
            there = {r.id for r in tx.recordings.of_subject(made.subject_id) if r.erase_request_id is None}
        if not there.issuperset(made.sessions):
            raise Conflict(
                "A session was erased while the package was made; it is not handed out.",
                hint="Export once more.",
                reason="session_erased",
            )

    def _note(
        self, person: Subject, sealed_to: str | None, desk: RecipientDesk | None, *, caller: Caller
    ) -> KnownAs | None:
        scribe = self.trail.of(person.id, caller=caller)

        def write(tx: UnitOfWork) -> KnownAs | None:
            locked(tx, person.id)
            details = {"sealed_to": sealed_to} if sealed_to else {"form": "zip"}
            scribe.write(tx, "person.exported", purpose=SUBJECT_ACCESS, details=details)
            if desk is None:
                return None
            sessions = [recording.id for recording in tx.recordings.of_subject(person.id)]
            return desk.hand_over(
                tx, person.id, sessions, purpose=SUBJECT_ACCESS, what="everything", whole=True,
                form=DisclosureForm.PACKAGE, scribe=scribe,
            )  # fmt: skip

        return self.reads.run(write)

    # --- reading ---------------------------------------------------------------------------------------

    def _read(self, tx: UnitOfWork, subject_id: str) -> _Held:
        person = tx.subjects.get(subject_id)
        if person is None or person.state is SubjectState.ERASING:
            raise _erased_meanwhile()
        name = self.access.pseudonym(subject_id)
        recordings = tx.recordings.of_subject(subject_id)
        rows = tx.export_rows(subject_id, pseudonym=name)
        requests = [tx.requests.get(str(row["id"])) for row in rows.get("requests", [])]
        return _Held(
            person=person, rows=rows, sealed=tx.sealed_columns(), consents=tx.consents.of_subject(subject_id),
            notices=tx.consents.notices(self.tenant), recordings=recordings,
            records=tuple(one for r in recordings for one in tx.records.of_session(r.id)),
            decisions=tuple(one for r in recordings for one in tx.records.decisions_of_session(r.id)),
            receipts=tx.receipts.of_subject(subject_id), marks=tx.marks.of_subject(subject_id),
            cases=tx.cases.of_subject(subject_id), requests=tuple(r for r in requests if r is not None),
            events=tx.events.of_pseudonym(name), entries=self.access.entries(tx, subject_id),
            recipients=disclosed(
                tx, subject_id, keyring=self.keyring, tenant=self.tenant,
                open_note=lambda row: self.notes.open(subject_id, row.id, "disclosure", row.note),
            ),
            notes={
                row.id: self.notes.open(subject_id, row.id, "disclosure", row.note)
                for row in tx.recipients.disclosures_of(subject_id)
            },
            now=tx.now(),
        )  # fmt: skip

    def _package(self, held: _Held, handed: KnownAs | None) -> Export:
        opened = _Opened(self, held)
        content = opened.content()
        files = members(content)
        for table, rows in sorted(held.rows.items()):
            files[f"tables/{table}.json"] = portable.to_json(opened.rows(table, rows))
        for receipt in held.receipts:
            files[f"receipts/{receipt.id}.json"] = receipt.text.encode()
        for request in held.requests:
            if request.receipt is not None:
                files[f"receipts/{request.id}.json"] = request.receipt.encode()
        for notice in content.notices:
            files[f"notices/{notice.id}.txt"] = notice.text
        if handed is not None:
            files["recipient.json"] = portable.to_json(handed_json(handed))
        files["identity.json"] = self.identity_document().encode()
        about: dict[str, JsonValue] = {
            "tenant": self.tenant, "subject_id": held.person.id, "made_at": held.now.isoformat(),
        }  # fmt: skip
        data = portable.pack(files, about, sign=self.receipts.signer().sign)
        counts = {
            "files": len(files), "sessions": len(held.recordings), "records": len(held.records),
            "consents": len(held.consents), "receipts": len(held.receipts), "access log": len(held.entries),
        }  # fmt: skip
        whole = tuple(one.id for one in held.recordings if one.erase_request_id is None)
        return Export(held.person.id, data, counts, held.now, handed, whole)


class _Opened:
    """The sealed columns of one person, opened with their own keys."""

    def __init__(self, exports: Exports, held: _Held) -> None:
        self._exports, self._held = exports, held
        self._kept_on = keeps(held.marks)
        self._values: dict[tuple[str, str, str], object] = {}
        self._sessions: dict[str, SessionCopy] = {}
        self._open_person()
        self._open_sessions()

    def content(self) -> Content:
        held = self._held
        shown = {event.notice_id for event in held.consents}
        return Content(
            made_at=held.now, tenant=self._exports.tenant, subject_id=held.person.id,
            name=str(self._values["subjects", held.person.id, "sealed_name"]),
            consents=held.consents, states=self._states(),
            evidence={event.id: self._text("consent_events", event.id, "evidence") for event in held.consents},
            notices=tuple(notice for notice in held.notices if notice.id in shown),
            sessions=tuple(self._sessions[recording.id] for recording in held.recordings),
            retention=dict(self._exports.vault.retention.days), entries=held.entries,
            marks=tuple(self._mark(mark) for mark in held.marks), cases=held.cases, receipts=held.receipts,
            recipients=held.recipients,
        )  # fmt: skip

    def rows(self, table: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows with what their sealed columns hold in place of the ciphertext; None where no key opens it any more."""
        columns = self._held.sealed.get(table, ())
        return [
            {
                name: self._values.get((table, str(row["id"]), name)) if name in columns else value
                for name, value in row.items()
            }
            for row in rows
        ]

    def _states(self) -> tuple[PurposeConsent, ...]:
        return tuple(ledger.fold(self._held.consents).values())

    def _text(self, table: str, row_id: str, column: str) -> str | None:
        found = self._values.get((table, row_id, column))
        return found if isinstance(found, str) else None

    def _mark(self, mark: Mark) -> MarkView:
        return mark_view(mark, self._text("marks", mark.id, "detail"))

    def _open_person(self) -> None:
        exports, held, values = self._exports, self._held, self._values
        values["subjects", held.person.id, "sealed_name"] = exports.people.name_of(held.person)
        for event in held.consents:
            values["consent_events", event.id, "evidence"] = open_evidence(exports.keyring, event)
        for mark in held.marks:
            opened = exports.notes.open(held.person.id, mark.id, "mark", mark.detail)
            values["marks", mark.id, "detail"] = opened
        for case in held.cases:
            values["cases", case.id, "identity"] = self._proof(case)
        for disclosure_id, note in held.notes.items():
            values["disclosures", disclosure_id, "note"] = note
        for entry in held.events:
            values["events", entry.id, "details"] = exports.trail.open_details(entry)

    def _proof(self, case: Case) -> str | None:
        if case.identity_key_id is None:
            return None
        try:
            key = self._exports.keyring.open_key(case.identity_key_id)
        except KeyUnavailable:
            return None
        return self._exports.notes.open(case.subject_id or "", case.id, "identity", case.identity, key=key)

    # --- sessions --------------------------------------------------------------------------------------

    def _open_sessions(self) -> None:
        records: dict[str, list[SealedRecord]] = {}
        decisions: dict[str, list[Decision]] = {}
        for record in self._held.records:
            records.setdefault(record.session_id, []).append(record)
        for decision in self._held.decisions:
            decisions.setdefault(decision.session_id, []).append(decision)
        for recording in self._held.recordings:
            copy = self._session(recording, records.get(recording.id, []))
            for decision in decisions.get(recording.id, []):
                copy.decisions.append((decision, self._decision(decision)))
            self._sessions[recording.id] = copy

    def _session(self, recording: Recording, records: list[SealedRecord]) -> SessionCopy:
        grant = PurposeGrant(SUBJECT_ACCESS, recording.subject_id, recording.id)
        copy = SessionCopy(recording=recording)
        for record in records:
            due = self._exports.vault.retention.due(record.kind, record.created_at, record.expires_at)
            copy.records.append((record, due))
            if due <= self._held.now and not self._kept_on:
                continue  # past its date, not swept yet: nobody reads it any more (I7)
            try:
                self._open_record(copy, record, grant)
            except (KeyUnavailable, IntegrityError) as error:
                if error.reason not in ("key_destroyed", "rule_table_unknown"):
                    raise
        return copy

    def _open_record(self, copy: SessionCopy, record: SealedRecord, grant: PurposeGrant) -> None:
        vault = self._exports.vault
        if record.kind == "features":
            copy.features, copy.quality = vault.open_features(record, grant)
            opened: dict[str, object] = features_json(copy.features, copy.quality)
        elif record.kind == "insight":
            copy.insight = vault.open_insight(record, grant)
            opened = insight_json(copy.insight)
        else:
            copy.embedding = vault.open_embedding(record, grant)
            opened = embedding_json(copy.embedding)
        self._values["records", record.id, "body"] = opened

    def _decision(self, decision: Decision) -> dict[str, object] | None:
        due = self._exports.vault.retention.due("decision", decision.at, decision.expires_at)
        if due <= self._held.now and not self._kept_on:
            return None
        grant = PurposeGrant(SUBJECT_ACCESS, decision.subject_id, decision.session_id)
        try:
            opened = self._exports.vault.open_decision(decision, grant)
        except KeyUnavailable as error:
            if error.reason != "key_destroyed":
                raise
            return None
        self._values["decisions", decision.id, "body"] = opened
        return opened


def handed_json(handed: KnownAs) -> dict[str, object]:
    """The names under which the recipient's feed will speak of what is handed over."""
    return {"recipient": handed.recipient_id, "subject": handed.subject, "sessions": dict(handed.sessions)}


def features_json(vector: FeatureVector, quality: Quality | None) -> dict[str, object]:
    """The numbers by name, with what is needed to never mix them up; exact, so that they can be taken in again."""
    found: dict[str, object] = {
        "profile": vector.profile, "version": vector.version, "sample_rate_hz": vector.sample_rate_hz,
        "values": vector.as_dict(),
    }  # fmt: skip
    if quality is not None:
        found["quality"] = {one.name: getattr(quality, one.name) for one in fields(quality)}
    return found


def insight_json(insight: Insight) -> dict[str, object]:
    return asdict(insight)


def embedding_json(embedding: Embedding) -> dict[str, object]:
    return {"model_sha256": embedding.model_sha256, "values": list(embedding.values)}


def _erased_meanwhile() -> Conflict:
    return Conflict(
        "The person is being erased: nothing of them is handed out any more.", reason="subject_erasing"
    )
