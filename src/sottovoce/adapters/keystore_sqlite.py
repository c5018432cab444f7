"""The key store of an embedded home: one SQLite file of its own, apart from the data.

Rules upheld here:
- When delete() returns, the bytes of the row are in neither the file nor its journal (M15). `secure_delete` alone
  does not hold that: when SQLite balances its trees it copies live rows to sibling pages and leaves the old copies
  in the gaps (measured: up to 24 of 18,000 deleted keys were still in the file). So a key row lives in a slot:
  a row of fixed size that is never moved, only overwritten in place, with zeros when it is deleted, and used
  again. What is deleted from a tree are the pointers to it: a slot number, an epoch, and digests of opaque ids.
- journal_mode TRUNCATE, not WAL: after a commit the journal has no bytes. synchronous FULL: when a call returns
  the change survives a power cut (M15, I9).
- A row is inserted under the lock that begin_epoch() and drop_epoch() take, and only under the current epoch.
- Deleting works on a full disk (I10): a reserve file is given up for the journal, and made again later.
- The file has mode 0600; one connection, one lock: safe from several threads and, by SQLite's locks, processes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import struct
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sottovoce.durable import create_private, sync_folder
from sottovoce.errors import Conflict, IntegrityError, SchemaNewer, SottovoceError, StorageError
from sottovoce.model.keys import EpochRow, KeyRow
from sottovoce.model.tombstones import TombstoneHead

SCHEMA_VERSION = 3
BUSY_TIMEOUT_S = 10.0
RESERVE_BYTES = 1 << 20

_APPLICATION_ID = 0x53564B53  # "SVKS"
_DELETE_BATCH = 500  # rows in a transaction
_RESERVE_BATCH = 32  # rows whose pages the journal can hold within the reserve
_PAGE_ROWS = 500  # rows read at once

# What leads from each version to the next; a new file goes through all of them.
_MIGRATIONS = (
    """
CREATE TABLE epoch (
    epoch INTEGER PRIMARY KEY, wrapped_ek BLOB NOT NULL, current INTEGER NOT NULL, created_at TEXT NOT NULL
);
CREATE TABLE slot (slot INTEGER PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE place (
    slot INTEGER PRIMARY KEY, key_tag BLOB NOT NULL UNIQUE, subject_tag BLOB, epoch INTEGER NOT NULL
);
CREATE INDEX place_subject ON place (subject_tag);
CREATE INDEX place_epoch ON place (epoch);
CREATE TABLE free (slot INTEGER PRIMARY KEY, size_bytes INTEGER NOT NULL);
CREATE INDEX free_size ON free (size_bytes);
""",
    "ALTER TABLE epoch ADD COLUMN ends_by TEXT",
    "CREATE TABLE followed (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL, hash BLOB NOT NULL)",
)

# epoch, created_at in microseconds, length of the words, of the wrapped key
_SLOT_HEAD = struct.Struct(">IQHH")
_SLOT_STEP_BYTES = 64
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_parse_words = json.JSONDecoder().raw_decode  # without the search for white space that json.loads() makes
_quote = json.encoder.encode_basestring_ascii

_Rows = list[tuple[Any, ...]]
_Place = tuple[int, bytes]  # slot and key tag


class SqliteKeyStore:
    """The port KeyStore over one SQLite file, which is made where it does not exist."""

    def __init__(
        self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S, reserve_bytes: int = RESERVE_BYTES
    ) -> None:
        self._reserve = path.with_name(path.name + ".reserve")
        self._reserve_bytes = reserve_bytes
        self._lock = threading.RLock()
        with _as_our_errors():
            _make_private_file(path)
            self._db = sqlite3.connect(
                path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
            )
            try:
                self._configure()
                self._migrate()
            except BaseException:
                self._db.close()
                raise
        self._keep_reserve()

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            self._db.close()

    def epochs(self) -> tuple[EpochRow, ...]:
        rows = self._read("SELECT epoch, wrapped_ek, current, created_at, ends_by FROM epoch ORDER BY epoch")
        return tuple(
            EpochRow(
                epoch, wrapped_ek, bool(current), datetime.fromisoformat(created_at),
                datetime.fromisoformat(ends_by) if ends_by else None,
            )
            for epoch, wrapped_ek, current, created_at, ends_by in rows
        )  # fmt: skip

    def begin_epoch(
        self, epoch: int, wrapped_ek: bytes, *, at: datetime, ends_by: datetime | None = None
    ) -> None:
        with self._transaction() as db:
            (newest,) = db.execute("SELECT max(epoch) FROM epoch").fetchone()
            if newest is not None and epoch <= newest:
                raise Conflict("That epoch is not newer than those the key store has.", reason="epoch_exists")
            db.execute("UPDATE epoch SET current = 0")
            row = (epoch, wrapped_ek, _iso(at), _iso(ends_by) if ends_by else None)
            db.execute(
                "INSERT INTO epoch (epoch, wrapped_ek, current, created_at, ends_by) VALUES (?, ?, 1, ?, ?)",
                row,
            )

    def insert(self, rows: Sequence[KeyRow]) -> None:
        with self._transaction() as db:
            current = db.execute("SELECT epoch FROM epoch WHERE current").fetchone()
            if any((row.epoch,) != current for row in rows):
                raise Conflict("The epoch of a key row is not the current one.", reason="epoch_retired")
            for row in rows:
                _insert(db, row)

    def get(self, key_ids: Sequence[str]) -> dict[str, KeyRow]:
        found = {}
        for start in range(0, len(key_ids), _PAGE_ROWS):
            tags = [_tag("key", key_id) for key_id in key_ids[start : start + _PAGE_ROWS]]
            marks = ", ".join("?" * len(tags))
            query = f"SELECT content FROM place JOIN slot USING (slot) WHERE key_tag IN ({marks})"  # noqa: S608
            for (content,) in self._read(query, *tags):
                row = _decode(content)
                found[row.key_id] = row
        return found

    def delete(self, key_ids: Sequence[str]) -> int:
        query = "SELECT slot, key_tag FROM place WHERE key_tag = ?"
        return self._erase([place for key_id in key_ids for place in self._read(query, _tag("key", key_id))])

    def delete_subject(self, subject_id: str) -> int:
        query = "SELECT slot, key_tag FROM place WHERE subject_tag = ?"
        total = 0
        while places := self._read(query, _tag("subject", subject_id)):
            total += self._erase(places)
        return total

    def list(self, *, subject_id: str | None = None) -> Iterator[KeyRow]:
        ids = sorted(self._all_ids() if subject_id is None else self._ids_of(subject_id))
        for start in range(0, len(ids), _PAGE_ROWS):
            page = ids[start : start + _PAGE_ROWS]
            rows = self.get(page)
            yield from (rows[key_id] for key_id in page if key_id in rows)

    def rows_in_epoch(self, epoch: int, *, limit: int) -> tuple[KeyRow, ...]:
        query = "SELECT content FROM place JOIN slot USING (slot) WHERE epoch = ? LIMIT ?"
        return tuple(_decode(content) for (content,) in self._read(query, epoch, limit))

    def rewrap(self, rows: Sequence[KeyRow], *, from_epoch: int) -> int:
        with self._transaction() as db:
            return _rewrap(db, rows, from_epoch)

    def drop_epoch(self, epoch: int) -> None:
        with self._transaction() as db:
            used = db.execute(
                "SELECT 1 FROM epoch WHERE epoch = ?1 AND current UNION SELECT 1 FROM place WHERE epoch = ?1",
                (epoch,),
            )
            if used.fetchone():
                raise Conflict("That epoch is still in use.", reason="epoch_in_use")
            db.execute("DELETE FROM epoch WHERE epoch = ?", (epoch,))

    def followed(self) -> TombstoneHead | None:
        rows = self._read("SELECT number, hash FROM followed")
        return TombstoneHead(*rows[0]) if rows else None

    def set_followed(self, head: TombstoneHead) -> None:
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO followed VALUES (1, ?, ?)", (head.count, head.hash))

    def _configure(self) -> None:
        for pragma in (
            "secure_delete = ON",
            "journal_mode = TRUNCATE",
            "synchronous = FULL",
            "temp_store = MEMORY",
            "trusted_schema = OFF",
        ):
            self._db.execute(f"PRAGMA {pragma}")

    def _migrate(self) -> None:
        if self._version() == SCHEMA_VERSION:
            return
        with self._transaction() as db:
            # read again under the lock: another process may have done it meanwhile
            for statements in _MIGRATIONS[self._version() :]:
                for statement in filter(str.strip, statements.split(";")):
                    db.execute(statement)
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _version(self) -> int:
        """Schema version of the file, 0 where it is new."""
        ((application_id,),) = self._read("PRAGMA application_id")
        ((version,),) = self._read("PRAGMA user_version")
        ((tables,),) = self._read("SELECT count(*) FROM sqlite_schema")
        if tables and application_id != _APPLICATION_ID:
            raise _damaged("This file is a database, and not a key store of sottovoce.")
        if version > SCHEMA_VERSION:
            raise SchemaNewer("The key store was written by a newer version of sottovoce.")
        return int(version)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """BEGIN IMMEDIATE: the lock that insert, begin_epoch, rewrap and drop_epoch share; one at a time."""
        with self._lock, _as_our_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _read(self, query: str, *values: bytes | int | None) -> _Rows:
        with self._lock, _as_our_errors():
            return self._db.execute(query, values).fetchall()

    def _all_ids(self) -> Iterator[str]:
        query = "SELECT slot, content FROM place JOIN slot USING (slot) WHERE slot > ? ORDER BY slot LIMIT ?"
        last = 0
        while page := self._read(query, last, _PAGE_ROWS):
            yield from (_decode(content).key_id for _, content in page)
            last = page[-1][0]

    def _ids_of(self, subject_id: str) -> Iterator[str]:
        query = "SELECT content FROM place JOIN slot USING (slot) WHERE subject_tag = ?"
        yield from (_decode(content).key_id for (content,) in self._read(query, _tag("subject", subject_id)))

    def _erase(self, places: Sequence[_Place]) -> int:
        """Delete in batches; where the disk is full, go on in small ones with the space of the reserve."""
        total, done, batch = 0, 0, _DELETE_BATCH
        while done < len(places):
            try:
                total += self._erase_batch(places[done : done + batch])
                done += batch
            except StorageError as error:
                if error.reason == "storage_locked" or batch == _RESERVE_BATCH:
                    raise
                if not self._give_reserve():
                    raise
                batch = _RESERVE_BATCH
        if batch == _RESERVE_BATCH:
            self._keep_reserve()
        return total

    def _erase_batch(self, places: Sequence[_Place]) -> int:
        with self._transaction() as db:
            return sum(_erase(db, place) for place in places)

    def _give_reserve(self) -> bool:
        """Whether its blocks are free now; a disk that does not even unlink is told by the error before."""
        try:
            self._reserve.unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def _keep_reserve(self) -> None:
        """Blocks that are ours: freed, they hold the journal of a deletion on a full disk."""
        with contextlib.suppress(OSError):
            fd = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, self._reserve_bytes)
            finally:
                os.close(fd)


def _insert(db: sqlite3.Connection, row: KeyRow) -> None:
    content = _encode(row)
    slot = _take_free_slot(db, len(content))
    if slot is None:
        slot = db.execute("INSERT INTO slot (content) VALUES (?)", (content,)).lastrowid
    else:
        db.execute("UPDATE slot SET content = ? WHERE slot = ?", (content, slot))
    subject_tag = None if row.subject_id is None else _tag("subject", row.subject_id)
    place = (slot, _tag("key", row.key_id), subject_tag, row.epoch)
    db.execute("INSERT INTO place (slot, key_tag, subject_tag, epoch) VALUES (?, ?, ?, ?)", place)


def _take_free_slot(db: sqlite3.Connection, size_bytes: int) -> int | None:
    found = db.execute("SELECT slot FROM free WHERE size_bytes = ? LIMIT 1", (size_bytes,)).fetchone()
    if found is None:
        return None
    db.execute("DELETE FROM free WHERE slot = ?", found)
    return int(found[0])


def _erase(db: sqlite3.Connection, place: _Place) -> int:
    """Zeros over the slot, in place, and its pointers deleted; 0 where somebody else did it meanwhile."""
    slot, tag = place
    if not db.execute("DELETE FROM place WHERE slot = ? AND key_tag = ?", (slot, tag)).rowcount:
        return 0
    db.execute(
        "INSERT INTO free (slot, size_bytes) SELECT slot, length(content) FROM slot WHERE slot = ?", (slot,)
    )
    db.execute("UPDATE slot SET content = zeroblob(length(content)) WHERE slot = ?", (slot,))
    return 1


def _rewrap(db: sqlite3.Connection, rows: Sequence[KeyRow], from_epoch: int) -> int:
    """The slot of each row is looked up once; what is written is found by its slot, in ascending order."""
    new = {_tag("key", row.key_id): row for row in rows}
    slots = _slots_of(db, list(new), from_epoch)
    db.executemany(
        "UPDATE slot SET content = ? WHERE slot = ?", [(_encode(new[tag]), slot) for slot, tag in slots]
    )
    db.executemany(
        "UPDATE place SET epoch = ? WHERE slot = ?", [(new[tag].epoch, slot) for slot, tag in slots]
    )
    return len(slots)


def _slots_of(db: sqlite3.Connection, tags: Sequence[bytes], epoch: int) -> list[_Place]:
    """Of those rows that stand in the epoch, ascending."""
    found: list[_Place] = []
    for start in range(0, len(tags), _PAGE_ROWS):
        page = tags[start : start + _PAGE_ROWS]
        marks = ", ".join("?" * len(page))
        query = f"SELECT slot, key_tag FROM place WHERE key_tag IN ({marks}) AND +epoch = ?"  # noqa: S608
        found += db.execute(query, (*page, epoch)).fetchall()
    return sorted(found)


def _encode(row: KeyRow) -> bytes:
    """A row as the content of a slot: head, words as JSON, wrapped key, zeros up to a multiple of 64 bytes.

    A row under another epoch has the same size, so that re-wrapping stays in place.
    """
    subject = "null" if row.subject_id is None else _quote(row.subject_id)
    names = f"[{_quote(row.key_id)}, {_quote(row.tenant)}, {_quote(row.kind)}, {_quote(row.key_class)}, {subject}]"
    words = names.encode()
    since = row.created_at - _UNIX_EPOCH
    created_us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    content = _SLOT_HEAD.pack(row.epoch, created_us, len(words), len(row.wrapped)) + words + row.wrapped
    return content + bytes(-len(content) % _SLOT_STEP_BYTES)


def _decode(content: bytes) -> KeyRow:
    try:
        epoch, created_us, words_bytes, wrapped_bytes = _SLOT_HEAD.unpack_from(content)
        start = _SLOT_HEAD.size + words_bytes
        words, _ = _parse_words(content[_SLOT_HEAD.size : start].decode())
        key_id, tenant, kind, key_class, subject_id = words
        wrapped = content[start : start + wrapped_bytes]
        created_at = _UNIX_EPOCH + timedelta(microseconds=created_us)
        return KeyRow(key_id, tenant, kind, key_class, subject_id, epoch, wrapped, created_at)
    except (struct.error, ValueError, TypeError, OverflowError):
        raise _damaged("A row of the key store is damaged.") from None


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _tag(kind: str, text: str) -> bytes:
    """16 bytes that stand for an opaque id in the trees, so that no id stays behind in them."""
    return hashlib.sha256(f"sottovoce/key-store/{kind}/1\0{text}".encode()).digest()[:16]


def _make_private_file(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        os.close(create_private(path))
        sync_folder(path.parent)


@contextlib.contextmanager
def _as_our_errors() -> Iterator[None]:
    """Errors of SQLite become ours; their texts, which may quote data, stay behind."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise Conflict("A key of that id exists already.", reason="key_exists") from None
    except sqlite3.Error as error:
        raise _our_error(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF) from None
    except OSError:
        raise StorageError("The key store cannot be used.", reason="storage") from None


def _our_error(sqlite_code: int) -> SottovoceError:
    match sqlite_code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StorageError(
                "The key store is in use by another process.",
                hint="Try again; if it stays, look for a process that hangs.",
                reason="storage_locked",
            )
        case sqlite3.SQLITE_FULL:
            return StorageError(
                "There is no space left for the key store.", hint="Free some space.", reason="storage_full"
            )
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return _damaged("The key store is damaged.")
    return StorageError("The key store did not do what was asked.", reason="storage")


def _damaged(message: str) -> IntegrityError:
    return IntegrityError(
        message,
        hint="Keep the file, and restore the key store from its own backup.",
        reason="keystore_damaged",
    )
