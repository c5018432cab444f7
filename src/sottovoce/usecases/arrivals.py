"""Recordings that arrive sealed to a recipient key of this home: what may be known of one before it is taken in.

Rules upheld here, in order:
1. Only the content key and the note are opened. No byte of the recording is: that is for the sealed child (M16).
2. A file that is not whole is refused before anything of it is stored, and what is wrong with it has a code of its own:
   `recipient_unknown`, `recipient_retired`, `recipient_lost`, `envelope_unknown`, `envelope_cut`, `envelope_swapped`,
   `envelope_damaged`, `note_malformed`.
3. The note was written by whoever held the public key: it is bounded, and parsed as hostile.
4. With the home's own key a recording is opened in clear only of somebody who is known here and agrees to recordings;
   the audit entry commits before the first byte is released (laws 1, 2 and 8).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from sottovoce.errors import InputUnreadable, IntegrityError, KeyUnavailable, NotFound, UsageError
from sottovoce.model.corpus import Corpus, CorpusFile, SetAside
from sottovoce.model.purpose import VOICE_RECORDING
from sottovoce.model.sealed_file import OF_ONE_RECORDING, SealedNote, parse_note
from sottovoce.model.subject import Caller
from sottovoce.ports import Database, Source
from sottovoce.sealing import client_body, envelope, suites
from sottovoce.sealing.suites import ClientHeader, RecipientPrivate
from sottovoce.usecases.people import People, locked
from sottovoce.usecases.recipient_keys import RecipientKeys
from sottovoce.usecases.record import Record, SealedArrival
from sottovoce.usecases.trail import Trail

FindPrivate = Callable[[ClientHeader], RecipientPrivate]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A sealed recording whose content key is open."""

    envelope_id: str  # hex
    suite: int
    content_key: bytes = field(repr=False)
    client_hash: bytes
    body_offset: int
    plain_bytes: int  # of the recording
    note: SealedNote | None

    def arrival(self, source: Source) -> SealedArrival:
        """The same for who stores the body."""
        return SealedArrival(
            content_key=self.content_key, suite=self.suite, client_hash=self.client_hash,
            read_into=body_reader(source, self.body_offset),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    database: Database
    keys: RecipientKeys
    people: People
    record: Record
    trail: Trail

    def read(self, source: Source) -> Arrived:
        """Everything that may be known. IntegrityError, KeyUnavailable with the reasons above."""
        return read(source, find_private=lambda header: self.keys.private(header.recipient_key_id))

    def name(self, corpus: Corpus, open_file: Callable[[str], AbstractContextManager[Source]]) -> Corpus:
        """A corpus whose sealed recordings all have a speaker; the others of them are set aside with their codes."""
        files: list[CorpusFile] = []
        aside: list[SetAside] = []
        seen: set[str] = set()
        for file in corpus.files:
            try:
                files.append(self._named(file, open_file, seen) if file.sealed else file)
            except (IntegrityError, InputUnreadable, UsageError, KeyUnavailable) as error:
                if isinstance(error, KeyUnavailable) and error.reason not in OF_ONE_RECORDING:
                    raise
                aside.append(SetAside(file.path, error.public_code, error.message))
        return replace(corpus, files=tuple(files), set_aside=(*corpus.set_aside, *aside))

    def _named(
        self, file: CorpusFile, open_file: Callable[[str], AbstractContextManager[Source]], seen: set[str]
    ) -> CorpusFile:
        with open_file(file.path) as source:
            arrived = self.read(source)
        if arrived.envelope_id in seen:
            raise IntegrityError(
                "The same sealed recording is in this folder twice.", reason="envelope_replayed"
            )
        seen.add(arrived.envelope_id)
        return replace(file, subject=speaker(arrived.note, file.subject or None))

    def open_in_clear(self, source: Source, *, subject: str | None, caller: Caller) -> Arrived:
        """What opens a recording for somebody who has to hear it; written down when this returns.

        ConsentRequired where the person is not known here or has not agreed; UsageError (reasons `subject_unknown`,
        `subject_mismatch`); Conflict where the person is being erased.
        """
        arrived = self.read(source)
        outside_id = speaker(arrived.note, subject)
        with self.database.begin() as tx:
            person = self.people.find(tx, outside_id)
            if person is None:
                raise NotFound("Nobody is known under this id.", hint="Record their consent first.")
            locked(tx, person.id)
            self.record.check_consents(tx, person.id, (VOICE_RECORDING,))
            self.trail.of(person.id, caller=caller).write(
                tx, "sealed.opened", purpose=VOICE_RECORDING, details={"envelope": arrived.envelope_id}
            )
        return arrived


def is_sealed(source: Source) -> bool:
    """By its first two bytes; no recording that is accepted begins like that."""
    return suites.looks_client_sealed(os.pread(source.fd, 2, 0))


def read_with(source: Source, private: RecipientPrivate) -> Arrived:
    """The same with a private half from a file, for who has no home."""
    return read(source, find_private=lambda _: private)


def read(source: Source, *, find_private: FindPrivate) -> Arrived:
    start = os.pread(source.fd, suites.CLIENT_HEADER_MAX_BYTES + envelope.PREFIX_BYTES, 0)
    header = _header(start)
    content_key = suites.open_content_key(find_private(header), header)
    note = parse_note(suites.open_note(content_key, header))
    body_bytes = source.size_bytes - header.body_offset
    _check_size(header, note, body_bytes)
    prefix = start[header.body_offset :][: envelope.PREFIX_BYTES]
    if header.suite != suites.SUITE_RSA and not envelope.key_fits(content_key, prefix, header.body_context()):
        raise IntegrityError(
            "The header of this sealed recording is not that of its body.",
            hint="Get the original again from where it came.",
            reason="envelope_swapped",
        )
    return Arrived(
        header.envelope_id.hex(), header.suite, content_key, header.body_context(), header.body_offset,
        client_body.plain_body_bytes(header.suite, body_bytes), note,
    )  # fmt: skip


def speaker(note: SealedNote | None, given: str | None) -> str:
    """Who speaks: what the note says, or what was given where it says nothing; both have to be the same person."""
    named = note.subject if note is not None else None
    if named is not None and given and given != named:
        raise UsageError(
            "The sealed recording says that somebody else speaks than was named.",
            hint="Correct the manifest, or ask the sender.",
            reason="subject_mismatch",
        )
    if not (named or given):
        raise UsageError(
            "The sealed recording does not say who speaks.",
            hint="Name the person: a manifest with the columns file and subject, or --subject.",
            reason="subject_unknown",
        )
    return named or given or ""


def body_reader(source: Source, offset: int) -> envelope.ReadInto:
    """The sealed body, piece by piece; what is written behind its end meanwhile is not read."""
    at = offset

    def read_into(buffer: memoryview) -> int:
        nonlocal at
        count = os.preadv(source.fd, [buffer[: max(0, source.size_bytes - at)]], at)
        at += count
        return count

    return read_into


def _header(start: bytes) -> ClientHeader:
    try:
        return suites.parse_client_header(start)
    except IntegrityError as error:
        if error.reason == "envelope_damaged" or len(start) < suites.FIXED_BYTES:
            raise _cut() from None
        raise


def _check_size(header: ClientHeader, note: SealedNote | None, body_bytes: int) -> None:
    if note is None:
        return  # the child finds what is missing
    wanted = client_body.sealed_body_bytes(header.suite, note.size_bytes)
    if body_bytes < wanted:
        raise _cut()
    if body_bytes > wanted:
        raise IntegrityError(
            "There is more in this file than the sealed recording.",
            hint="Get the original again from where it came.",
            reason="envelope_damaged",
        )


def _cut() -> IntegrityError:
    return IntegrityError(
        "This sealed recording ends too early.",
        hint="Send it again: it was cut on its way.",
        reason="envelope_cut",
    )
