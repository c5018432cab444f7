"""A canary in every column of every table that has a person's rows: all in their package, none after the erasure."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import sottovoce
from sottovoce.adapters.database import registry, schema
from sottovoce.app import Platform
from sottovoce.model.consent import ConsentAction
from sottovoce.model.mark import MarkKind
from sottovoce.model.purpose import VOICE_ANALYSIS
from sottovoce.model.recipient import DisclosureForm
from sottovoce.model.recording import RecordingState
from sottovoce.model.request import CaseKind, CaseState
from sottovoce.model.subject import Caller, SubjectState
from sottovoce.sealing import envelope
from sottovoce.usecases.consent_evidence import seal_evidence
from sottovoce.usecases.keyring import NewKey

CALLER = Caller(actor="tester", channel="test")
SESSION, SUBJECT = "ses_" + "c" * 24, "anna of the canaries"
FAR = datetime(2090, 1, 1, tzinfo=UTC)
WORDS: dict[type[Any], Any] = {
    ConsentAction: ConsentAction.REFUSE, RecordingState: RecordingState.VERIFIED, MarkKind: MarkKind.CORRECTION,
    CaseKind: CaseKind.ACCESS, CaseState: CaseState.OPEN, SubjectState: SubjectState.ACTIVE,
    DisclosureForm: DisclosureForm.SHOWN,
}  # fmt: skip
# Columns whose value the program itself needs to be something: ids that join rows, codes that are looked up.
JOINS = {"subject_id", "session_id", "recipient_id", "notice_id", "pseudonym", "tenant", "id", "ref"}
CODES = {
    "recordings": {"shape": "analyze"}, "records": {"kind": "features"}, "decisions": {}, "consent_events": {},
    "cases": {"law": "gdpr.request"}, "jobs": {"kind": "extract"},
}  # fmt: skip


@pytest.fixture
def platform(tmp_home: Path) -> Iterator[Platform]:
    with sottovoce.open(home=tmp_home) as opened:
        yield opened


class Planted:
    """What was planted where: table, column -> the words to look for in the package and in the files."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.keyring = platform.keyring
        self.words: dict[tuple[str, str], str] = {}
        self.count = 0
        with platform._adapters.database.read() as tx:
            person = platform._record.people.find(tx, SUBJECT)
        assert person is not None
        self.person = person.id
        self.pseudonym = platform._access.pseudonym(person.id)
        self.recipient = platform.add_recipient("a lab", kind="outside", caller=CALLER).id

    def value(self, table: str, column: sa.Column[Any]) -> Any:
        """A value of the column's type that stands nowhere else."""
        self.count += 1
        place = (table, column.name)
        if isinstance(column.type, schema.Word):
            return WORDS[column.type.kind]
        if isinstance(column.type, schema.Instant):
            at = FAR + timedelta(days=self.count)
            self.words[place] = f"{at:%Y-%m-%d}"
            return at
        if isinstance(column.type, sa.Boolean):
            return True
        if isinstance(column.type, sa.LargeBinary):
            raw = f"raw canary {self.count:03d} of {table}".encode()
            self.words[place] = base64.b64encode(raw).decode()
            return raw
        if isinstance(column.type, sa.Text):
            self.words[place] = f"canary{self.count:03d}word"
            return self.words[place]
        self.words[place] = str(907_000_000 + self.count)
        return int(self.words[place])

    def sealed(self, table: str, column: str, row_id: str) -> bytes:
        """Ciphertext that the person's own keys open to a canary. A sealed column without a way here is an error."""
        self.count += 1
        word = f"sealed{self.count:03d}canary"
        self.words[table, column] = word
        notes = self.platform._marks.notes
        match table, column:
            case "consent_events", "evidence":
                made = seal_evidence(self.keyring, "default", self.person, row_id, word)
                assert made is not None
                return made
            case "marks", "detail":
                return notes.seal(self.person, row_id, "mark", word)
            case "disclosures", "note":
                return notes.seal(self.person, row_id, "disclosure", word)
            case "cases", "identity":
                key_id = f"rec_{'i' * 24}"
                key = self.keyring.new_key(NewKey("record", "evidence", self.person, key_id))
                return notes.seal(self.person, row_id, "identity", word, key=key)
            case "decisions", "body":
                key = self.keyring.new_key(NewKey("record", "insights", self.person, row_id))
                body = json.dumps({"feature_sha256": word, "output": {}}).encode()
                context = self.platform._exports.vault._context(self.person, row_id, "decision")
                return envelope.seal(key, body, context, row_id)
            case "records", "body":
                return self._features(row_id, word)
            case "events", "details":
                key_id, key = self.keyring.details_key(self.person, "2026-01")
                self.details_key_id = key_id
                return self.platform._trail.seal_details(row_id, key=key, key_id=key_id, details={"x": word})
        raise AssertionError(f"no canary can be sealed into {table}.{column}: teach this test how")

    def _features(self, row_id: str, word: str) -> bytes:
        from dataclasses import replace

        from sottovoce.model.features import Extraction, FeatureVector, Quality
        from sottovoce.voice import bodies
        from sottovoce.voice.insight import voice_profile

        vector = FeatureVector(tuple(float(n) for n in range(88)), "compat", "egemaps-88/1", 16000)
        quality = Quality(1.0, 50, 0.0, None, "wav/pcm_16", 16000, 1, "0")
        made = Extraction(vector, replace(quality, source_codec=word))
        plain = bodies.bodies_of(made, voice_profile(vector, quality))["features"]
        key = self.keyring.new_key(NewKey("record", "features", self.person, row_id))
        return envelope.seal(
            key, plain, self.platform._exports.vault._context(self.person, row_id, "features"), row_id
        )

    def plant(self, entry: registry.Entry) -> None:
        """One row of the person, every column of it a canary."""
        table = entry.table
        row_id = {"recordings": SESSION, "tombstones": self.person, "jobs": ""}.get(
            table.name, f"{'con' if table.name == 'consent_events' else 'rec'}_{table.name[:6]:a<24}"[:28]
        )
        row = {
            c.name: self.value(table.name, c)
            for c in table.c
            if not (c.primary_key and c.autoincrement is True)
            and c.name not in JOINS
            and c.name not in entry.sealed
        }
        joins = {
            "subject_id": self.person, "session_id": SESSION, "notice_id": None, "pseudonym": self.pseudonym,
            "tenant": "default", "id": row_id, "ref": SESSION, "recipient_id": self.recipient,
        }  # fmt: skip
        row |= {name: value for name, value in joins.items() if name in table.c}
        for name in entry.sealed:
            row[name] = self.sealed(table.name, name, row_id)
        for name, value in CODES.get(table.name, {}).items():
            row[name] = value
            self.words.pop((table.name, name), None)
        if table.name == "cases":
            row["identity_key_id"] = f"rec_{'i' * 24}"
            self.words["cases", "identity_key_id"] = row["identity_key_id"]
        if table.name == "events":
            row |= {"details_key_id": self.details_key_id, "sequence": None, "link": None}
            for name in ("details_key_id", "sequence", "link"):
                self.words.pop(("events", name), None)
        if table.name == "consent_events":
            row["purpose"] = VOICE_ANALYSIS
            self.words.pop(("consent_events", "purpose"), None)
        with self.platform._adapters.database.begin() as tx:
            if table.name == "events":  # its leaf is what the log has to verify with
                self._event(tx, row)
            else:
                tx._connection.execute(table.insert().values(row))  # type: ignore[attr-defined]

    def _event(self, tx: Any, row: dict[str, Any]) -> None:
        from sottovoce.audit import chain
        from sottovoce.model.event import AuditEvent

        self.words.pop(("events", "leaf"), None)
        tx.events.add(chain.with_leaf(AuditEvent(**{k: v for k, v in row.items() if k != "leaf"})))


def _order(entry: registry.Entry) -> int:
    return schema.metadata.sorted_tables.index(entry.table)


def _files(home: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}


def _where(home: Path, word: str) -> list[str]:
    variants = [word.encode()]
    if word.isdigit():
        variants = []  # a number stands in the file in SQLite's own form: looked for in the rows instead
    return [
        path.name for path, content in _files(home).items() if any(variant in content for variant in variants)
    ]


def test_C13b_a_canary_in_every_column_of_every_table_is_in_the_package_and_in_nothing_after_the_erasure(
    platform: Platform, tmp_home: Path, tmp_path: Path
) -> None:
    """Everything that any table holds of a person is in their package, and is found nowhere once they are erased."""
    platform.grant(subject=SUBJECT, purposes=["voice_recording"], caller=CALLER)
    platform.grant(subject="ben", purposes=["voice_recording"], caller=CALLER)
    planted = Planted(platform)
    entries = [
        one for one in registry.REGISTRY if (one.subject or one.session) and one.table.name != "subjects"
    ]
    late = (
        "requests",
        "tombstones",
    )  # an erasure that is promised is carried out: planted as one that has ended
    for entry in sorted(entries, key=_order):
        planted.plant(entry)
    with platform._adapters.database.read() as tx:
        person = tx.subjects.get(planted.person)
    planted.words["subjects", "blind_index"] = person.blind_index  # type: ignore[union-attr]
    planted.words["subjects", "sealed_name"] = SUBJECT
    planted.words["subjects", "created_at"] = f"{person.created_at:%Y-%m-%dT%H:%M:%S}"  # type: ignore[union-attr]
    every = {(e.table.name, c.name) for e in [*entries] for c in e.table.c}
    kinds = (schema.Word, sa.Boolean)
    plain = {(e.table.name, c.name) for e in entries for c in e.table.c if isinstance(c.type, kinds)}
    codes = {(table, name) for table, names in CODES.items() for name in names} | {
        ("consent_events", "purpose")
    }
    made = {("events", name) for name in ("leaf", "link", "sequence", "details_key_id", "position")}
    made |= {("consent_events", "sequence")}
    joined = {(table, name) for table, name in every if name in JOINS}
    assert every - plain - codes - made - joined <= set(planted.words)  # nothing was forgotten

    out = tmp_path / "anna.zip"
    platform.export_person(subject=SUBJECT, out=out, caller=CALLER)
    archive = zipfile.ZipFile(out)
    text = b"\n".join(archive.read(name) for name in archive.namelist()).decode()
    missing = [place for place, word in planted.words.items() if word not in text]
    assert missing == []
    assert {f"tables/{e.table.name}.json" for e in entries} <= set(archive.namelist())
    assert "ben" not in json.loads(archive.read("data.json"))["name"]

    found_before = [place for place, word in planted.words.items() if _where(tmp_home, word)]
    assert ("marks", "reason") in found_before  # the control: the search finds what is there
    assert not {
        place
        for place in found_before
        if place[1] in ("detail", "identity", "evidence", "body", "details", "note")
    }

    outcome = platform.erase(subject=SUBJECT, caller=CALLER)
    assert outcome.result == "erased"
    assert outcome.receipt is not None
    kept = {entry.table.name for entry in registry.REGISTRY if entry.kept}
    assert kept == {"cases", "events", *late}
    left = {place: _where(tmp_home, word) for place, word in planted.words.items() if place[0] not in kept}
    found = {place for place, files in left.items() if files} - {
        ("subjects", "created_at")
    }  # the time of the test
    named = {place for place in found if planted.words[place] in outcome.receipt}
    # The receipt names each object with its kind and version (C11c).
    assert named <= {("records", "profile"), ("records", "version"), ("decisions", "model")}
    # What one recipient has to erase, under a name that only that recipient can place (C15a).
    told = {("disclosures", "opaque_subject")}
    assert found - named == told
    with platform._adapters.database.read() as tx:
        (entry,) = tx.recipients.entries(planted.recipient, after=0, limit=10)
    assert entry.opaque_subject == planted.words["disclosures", "opaque_subject"]
    with platform._adapters.database.read() as tx:
        assert tx.rows_of(planted.person) == {}
        package = tx.export_rows(planted.person, pseudonym=planted.pseudonym)
    assert set(package) <= kept
    assert [row for row in platform.keyring.rows() if row.subject_id == planted.person] == []
    sealed_words = [word for place, word in planted.words.items() if place[1] in ("identity", "details")]
    assert not any(word in json.dumps(package) for word in sealed_words)  # ciphertext that nothing opens
    assert platform.consents(subject="ben")[0].status == "granted"


def test_C13b_a_sealed_column_that_the_export_cannot_open_is_noticed(platform: Platform) -> None:
    """Somebody who adds a sealed column has to teach the export to open it: this test plants into each."""
    platform.grant(subject=SUBJECT, purposes=["voice_recording"], caller=CALLER)
    planted = Planted(platform)
    with pytest.raises(AssertionError, match="teach this test"):
        planted.sealed("subjects", "sealed_face", "x")
