"""Who is in a round of training, and what of them: asked under their lock, written to their log, and only then opened.

Rules upheld here, in order:
1. Only people whose consent to model_training holds in the transaction that writes their audit entry; never who is
   being erased, is restricted or has objected, never what is past its date (laws 1, 6 and 8; C16b).
2. The entries in the audit log are durable before anything is opened (law 2). No lock is held for more than a few
   hundred people.
3. Labels of rows and speakers are random and of one round: two tables are not joined by them. Only where a recipient is
   named, its own names for people are in it too, for its deletion feed. The numbers themselves stay those of a person:
   the table is personal data.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sottovoce.errors import KeyUnavailable, NotFound, UsageError
from sottovoce.model import consent as ledger
from sottovoce.model.features import FeatureVector
from sottovoce.model.ids import RandomBytes
from sottovoce.model.lineage import TrainingRound, TrainingUse
from sottovoce.model.mark import forbids
from sottovoce.model.purpose import MODEL_TRAINING, PurposeGrant
from sottovoce.model.recipient import DisclosureForm
from sottovoce.model.record import SealedRecord
from sottovoce.model.retention import RetentionPolicy
from sottovoce.model.subject import Caller, SubjectState
from sottovoce.ports import Database, UnitOfWork
from sottovoce.usecases.group import GroupCommit
from sottovoce.usecases.handover import RecipientDesk, refused_by_notice
from sottovoce.usecases.trail import Scribe, Trail
from sottovoce.usecases.vault import Vault

_BATCH = 200  # people of one transaction
_LABEL_BYTES = 10


@dataclass(frozen=True, slots=True)
class TableRow:
    label: str
    speaker: str
    features: FeatureVector
    person: str = ""  # names that a recipient knows them by in its deletion feed; empty without a recipient
    session: str = ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A result that is used in a round, not opened yet."""

    use: TrainingUse
    record: SealedRecord
    person: str = ""
    session: str = ""


@dataclass(frozen=True, kw_only=True)
class Choosing:
    database: Database
    vault: Vault
    trail: Trail
    reads: GroupCommit
    retention: RetentionPolicy
    random_bytes: RandomBytes
    tenant: str

    def who(
        self, profile: str | None, *, usable_days: int, desk: RecipientDesk | None
    ) -> tuple[tuple[str, ...], str]:
        """The people who may take part, and the one profile of their features. `profile`: None for the only one that
        there is; results that are due within `usable_days` are left out; `desk`: of the recipient that they are handed
        to. UsageError; NotFound where nobody agrees or nothing is kept."""
        if usable_days < 0:
            raise UsageError("Days are counted from 0 on.", reason="usable_days")
        people: list[str] = []
        profiles: set[str] = set()
        with self.database.read() as tx:
            for subject_id in tx.subjects.ids():
                found = {record.profile for record in self._usable(tx, subject_id, usable_days, desk)}
                if profile is None or profile in found:
                    people += [subject_id] if found else []
                    profiles |= found
        if not people:
            raise nobody_agrees()
        if profile is None and len(profiles) > 1:
            raise UsageError(
                "The results were computed in different profiles, which are not of one table.",
                hint="Name one with --profile: " + ", ".join(sorted(profiles)),
                reason="profile",
            )
        return tuple(people), profile or profiles.pop()

    def choose(
        self, begun: TrainingRound, people: Sequence[str], desk: RecipientDesk | None, *, caller: Caller,
        usable_days: int,
    ) -> list[Chosen]:  # fmt: skip
        """Rules 1 and 2: who agrees now, each with an entry in the audit log, some hundred people at a time."""
        chosen: list[Chosen] = []
        for start in range(0, len(people), _BATCH):
            scribes = self._scribes(people[start : start + _BATCH], caller=caller)

            def choose(tx: UnitOfWork, scribes: dict[str, Scribe] = scribes) -> list[Chosen]:
                found = [
                    one
                    for subject_id, scribe in scribes.items()
                    for one in self._one_person(tx, begun, subject_id, scribe, usable_days, desk)
                ]
                tx.lineage.add_uses([one.use for one in found])
                return found

            chosen += self.reads.run(choose)
        return chosen

    def open(self, chosen: Chosen) -> TableRow | None:
        """None where the key was destroyed since: erased, or expired."""
        grant = PurposeGrant(MODEL_TRAINING, chosen.use.subject_id, chosen.use.session_id)
        try:
            features, _ = self.vault.open_features(chosen.record, grant)
        except KeyUnavailable as error:
            if error.reason != "key_destroyed":
                raise
            return None
        return TableRow(chosen.use.label, chosen.use.speaker, features, chosen.person, chosen.session)

    def due(self, record: SealedRecord) -> datetime:
        """Until when a result may be used."""
        return self.retention.due(record.kind, record.created_at, record.expires_at)

    # --- one person ------------------------------------------------------------------------------------

    def _usable(
        self, tx: UnitOfWork, subject_id: str, usable_days: int, desk: RecipientDesk | None
    ) -> list[SealedRecord]:
        """The features of a person that may be used for training now; none where the person does not agree."""
        person = tx.subjects.get(subject_id)
        if person is None or person.tenant != self.tenant or person.state is not SubjectState.ACTIVE:
            return []
        states = ledger.fold(tx.consents.of_subject(subject_id))
        material = tx.consents.material(self.tenant)
        if not ledger.decide(states, (MODEL_TRAINING,), material=material).allowed:
            return []
        if forbids(tx.marks.of_subject(subject_id), (MODEL_TRAINING,)) is not None:
            return []
        state = states.get(MODEL_TRAINING)
        if desk is not None and refused_by_notice(tx, desk.recipient, state, tenant=self.tenant) is not None:
            return []  # the person was told that nobody outside receives it
        until = tx.now() + timedelta(days=usable_days)
        return [
            record
            for recording in tx.recordings.of_subject(subject_id)
            if recording.erase_request_id is None
            for record in tx.records.of_session(recording.id)
            if record.kind == "features" and until < self.due(record)
        ]

    def _scribes(self, people: Sequence[str], *, caller: Caller) -> dict[str, Scribe]:
        with self.database.read() as tx:
            now = tx.now()
        scribes = {}
        for subject_id in people:
            try:
                scribes[subject_id] = self.trail.of(subject_id, caller=caller).warm(now)
            except KeyUnavailable as error:
                if error.reason != "key_destroyed":
                    raise  # of somebody who was erased meanwhile there is nothing to use
        return scribes

    def _one_person(
        self, tx: UnitOfWork, begun: TrainingRound, subject_id: str, scribe: Scribe, usable_days: int,
        desk: RecipientDesk | None,
    ) -> list[Chosen]:  # fmt: skip
        tx.subjects.lock(subject_id)
        usable = self._usable(tx, subject_id, usable_days, desk)
        records = [record for record in usable if record.profile == begun.profile]
        for record in records:
            details = {"session": record.session_id, "round": begun.id}
            scribe.write(tx, "record.read", purpose=MODEL_TRAINING, details=details)
        if not records:
            return []
        known = None
        if desk is not None:
            known = desk.hand_over(
                tx, subject_id, [record.session_id for record in records], purpose=MODEL_TRAINING,
                what="features", form=DisclosureForm.TRAINING, scribe=scribe,
            )  # fmt: skip
        speaker = self._label("spk")
        return [
            Chosen(
                TrainingUse(
                    self._label("row"),
                    self.tenant,
                    begun.id,
                    subject_id,
                    record.session_id,
                    speaker,
                    tx.now(),
                ),
                record,
                person=known.subject if known else "",
                session=known.sessions[record.session_id] if known else "",
            )
            for record in records
        ]

    def _label(self, prefix: str) -> str:
        return f"{prefix}_{base64.b32encode(self.random_bytes(_LABEL_BYTES)).decode().lower()}"


def nobody_agrees() -> NotFound:
    """Also where everybody has left since."""
    return NotFound(
        "Nobody whose results are kept agrees to model_training now.",
        hint="Consents are recorded with `sottovoce consent grant`.",
        reason="nobody_agrees",
    )
