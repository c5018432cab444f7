"""Looking at the audit log: verified against itself and against checkpoints held outside, shown, proven, summed up.

Rules upheld here:
1. Verification recomputes everything, and says what it compared with; an empty log is no evidence (X34).
2. An outside checkpoint counts after its signature has been checked against the pinned identity; so does a stored one.
3. Looking at entries is an entry of its own, committed before anything is shown (law 2).
4. A proof speaks of one entry and shows no other.
5. A home that went on from a backup has an older log than a witness may have seen. Where the tombstones say so, signed,
   a checkpoint beyond that backup is neither a fit nor an attack that nobody explains: it has an outcome of its own.
   Up to the backup everything has to fit; and a checkpoint that stands, in what is given, behind one of the time after
   the restore is not of the time before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sottovoce.audit import archive, checkpoint, tree
from sottovoce.audit.checkpoint import Checkpoint, Proof
from sottovoce.audit.rows import canonical_row, event_row
from sottovoce.audit.verification import Claim, LogReport, verify_log
from sottovoce.errors import IntegrityError, NotFound, SottovoceError, UsageError
from sottovoce.model.backup import RestorePoint
from sottovoce.model.event import AuditEvent
from sottovoce.model.log import EventRow, SignedCheckpoint
from sottovoce.model.outcome import AuditLine, AuditProof, AuditReport, AuditSummary, RolledBack, WitnessState
from sottovoce.model.subject import Caller
from sottovoce.ports import Database, UnitOfWork
from sottovoce.sealing import pseudonym
from sottovoce.usecases.group import GroupCommit
from sottovoce.usecases.people import People, locked
from sottovoce.usecases.sequencer import Sequencer, stored_nodes
from sottovoce.usecases.trail import Trail
from sottovoce.usecases.witnessing import Witnessing

NO_EVIDENCE = "no evidence"
_PAGE = 100_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Pinned:
    """What signatures on checkpoints are checked against."""

    origin: str
    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which entries to show. `kind`: one ("record.read") or a family ("record"); `until` is not included."""

    subject: str | None = None
    kind: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 50


@dataclass(frozen=True, kw_only=True)
class Inspection:
    database: Database
    people: People
    trail: Trail
    reads: GroupCommit
    sequencer: Sequencer
    witnessing: Witnessing
    pinned: Callable[[], Pinned]
    restores: Callable[[], Sequence[RestorePoint]] = tuple  # what the tombstones say, oldest first

    # --- verifying -------------------------------------------------------------------------------------

    def verify(self, outside: Sequence[str] = ()) -> AuditReport:
        """Recompute the whole log and compare it with every checkpoint: those signed here, and those given as signed
        texts. IntegrityError or UnknownSigner where a given one is none of this log's."""
        pinned = self.pinned()
        given = [checkpoint.verify(text, origin=pinned.origin, trusted=pinned.keys) for text in outside]
        with self.database.read() as tx:
            signed, spoiled = _claims(tx, pinned)
            cuts, wrong_cut = _cut_claims(tx, pinned)
            waiting = tx.events.waiting(limit=_PAGE)
            restores = self.restores()
            fitting, rolled_back = _without_rolled_back(tx, given, restores)
            claims = [*signed, *cuts]
            claims += [Claim(point.size, point.root) for point in _lineage(restores) if point.signed]
            claims += [Claim(each.size, each.root, outside=True) for each in fitting]
            found = verify_log(
                tx.events.pages(), waiting, claims=claims, nodes=tx.log.all_nodes(), archived=_archived(tx)
            )
            if (spoiled or wrong_cut) and found.intact:
                found = replace(found, problem=spoiled or wrong_cut)
            return self._reported(tx, found, waiting, given, len(signed), rolled_back)

    def _reported(
        self, tx: UnitOfWork, found: LogReport, waiting: Sequence[EventRow], given: Sequence[Checkpoint], signed: int,
        rolled_back: RolledBack | None,
    ) -> AuditReport:  # fmt: skip
        witnessed = max([found.agreed_outside or 0, *(self._taken(tx))])
        first, since = _first_after(tx, witnessed)
        return AuditReport(
            intact=found.intact, events=found.events, unsequenced=found.unsequenced, first_bad=found.first_bad,
            problem=found.problem, head=found.head,
            evidence=_evidence(found, signed, given, tx.log.archived(), rolled_back),
            between=found.between, root=found.root.hex(), checkpoints=signed,
            compared=max((each.size for each in given), default=None),
            waiting_since=_time(waiting[0]) if waiting else None, unwitnessed_from=first, unwitnessed_since=since,
            archived=tx.log.archived(), rolled_back=rolled_back,
        )  # fmt: skip

    def _taken(self, tx: UnitOfWork) -> list[int]:
        """Sizes of the checkpoints that the witnesses of today have."""
        marks = [tx.log.mark(witness.name) for witness in self.witnessing.witnesses]
        return [mark.size for mark in marks if mark is not None]

    # --- showing ---------------------------------------------------------------------------------------

    def show(self, wanted: Filter, *, caller: Caller) -> tuple[AuditLine, ...]:
        """The last entries that fit, newest last. NotFound for a person of whom nothing is held."""
        if wanted.limit < 1:
            raise UsageError("At least one entry has to be asked for.", reason="limit")
        subject_id, name = self._person(wanted.subject)
        scribe = self.trail.of(subject_id, caller=caller)

        def write(tx: UnitOfWork) -> None:
            if subject_id is not None:
                locked(tx, subject_id)
            scribe.write(tx, "audit.shown")

        self.reads.run(write)
        with self.database.read() as tx:
            events = tx.events.latest(
                limit=wanted.limit, pseudonym=name, kind=wanted.kind, since=wanted.since, until=wanted.until
            )
        return tuple(self._line(event) for event in events)

    def _person(self, subject: str | None) -> tuple[str | None, str | None]:
        """Internal id and pseudonym of a person who is asked for."""
        if subject is None:
            return None, None
        with self.database.read() as tx:
            person = self.people.find(tx, subject)
        if person is None:
            raise NotFound("Nothing is held of this person.")
        key = self.trail.keyring.subject_key(person.id, "audit")
        return person.id, pseudonym.audit_pseudonym(key, person.id)

    def _line(self, event: AuditEvent) -> AuditLine:
        return AuditLine(
            sequence=event.sequence, at=event.at, kind=event.kind, actor=event.actor, channel=event.channel,
            purpose=event.purpose, outcome=event.outcome, pseudonym=event.pseudonym,
            details=self.trail.open_details(event), event_id=event.id,
        )  # fmt: skip

    # --- checkpoints and proofs ------------------------------------------------------------------------

    def checkpoint(self) -> SignedCheckpoint:
        """The signed checkpoint of the log as it is now."""
        return self.sequencer.checkpoint()

    def prove(self, event_id: str, *, caller: Caller) -> AuditProof:
        """That an entry is in the log: its canonical form, and the path from it to a signed checkpoint. NotFound."""
        with self.database.read() as tx:
            if tx.events.get(event_id) is None:
                raise NotFound(
                    "There is no entry of this id.",
                    hint="`sottovoce audit show --json` gives the ids; what was archived is proven by its archive.",
                )
        scribe = self.trail.of(None, caller=caller)
        self.reads.run(lambda tx: scribe.write(tx, "audit.proven", details={"event": event_id}))
        signed = self.sequencer.checkpoint()
        with self.database.read() as tx:
            event = tx.events.get(event_id)
            if event is None or event.sequence is None or event.sequence > signed.size:
                raise IntegrityError(
                    "The entry has no number; the log cannot be proven.", reason="log_damaged"
                )
            hashes = tree.prove_inclusion(event.sequence - 1, signed.size, stored_nodes(tx))
        proof = Proof(event.sequence - 1, tuple(hashes), signed.text, extra=canonical_row(event_row(event)))
        return AuditProof(event_id, event.sequence, signed.size, proof.to_text())

    # --- summing up ------------------------------------------------------------------------------------

    def report(
        self, *, since: datetime | None = None, until: datetime | None = None, outside: Sequence[str] = ()
    ) -> AuditSummary:
        """Entries by kind and month, what verification found, how far the witnesses have come, and what a person has
        to see to."""
        verification = self.verify(outside)
        with self.database.read() as tx:
            counted = tx.events.counts(since=since, until=until)
            now = tx.now()
        months: dict[str, dict[str, int]] = {}
        for day, kind, count in counted:
            kinds = months.setdefault(f"{day:%Y-%m}", {})
            kinds[kind] = kinds.get(kind, 0) + count
        days = sorted({day for day, _, _ in counted})
        states = self.witnessing.states()
        witnessed_at = max((state.at for state in states if state.at is not None), default=None)
        return AuditSummary(
            verification=verification, counts=months, entries=sum(count for _, _, count in counted), since=since,
            until=until, quiet_days=(days[-1] - days[0]).days + 1 - len(days) if days else 0, witnesses=states,
            witnessed_at=witnessed_at, witnessed_age=None if witnessed_at is None else now - witnessed_at,
            alarms=alarms(verification, states),
        )  # fmt: skip


def alarms(verification: AuditReport, witnesses: Iterable[WitnessState]) -> tuple[str, ...]:
    """What a person has to see to."""
    found = [] if verification.intact else [f"the log is not what was written: {verification.problem}"]
    if verification.rolled_back is not None:
        found.append(said_of(verification.rolled_back))
    for state in witnesses:
        if state.lags:
            found.append(
                f"the witness {state.witness} lags: a checkpoint waits since {_said(state.waiting_since)}"
            )
    return tuple(found)


def said_of(rolled_back: RolledBack) -> str:
    """In plain words."""
    return (
        f"a checkpoint held outside covers {rolled_back.covered} entries; this home was restored at "
        f"{_said(rolled_back.at)} from the backup {rolled_back.backup}, which had {rolled_back.kept}: what was written "
        "between is lost, and what stands here after it was written since"
    )


def _lineage(restores: Sequence[RestorePoint]) -> list[RestorePoint]:
    """The restores that the log of today comes from, oldest first: the last one, the last that its backup had been
    through, and so on. What another restore began, and a later one left again, is not among them."""
    found: list[RestorePoint] = []
    known = max((point.number for point in restores), default=0)
    for point in sorted(restores, key=lambda point: -point.number):
        if point.number <= known:
            found.append(point)
            known = point.follows
    return found[::-1]


def _without_rolled_back(
    tx: UnitOfWork, given: Sequence[Checkpoint], restores: Sequence[RestorePoint]
) -> tuple[list[Checkpoint], RolledBack | None]:
    """The given checkpoints that have to fit, and the largest that a signed restore explains (rule 5)."""
    ours = [point for point in _lineage(restores) if point.signed]
    left = [point for point in restores if point.signed and point not in ours]
    kept: list[Checkpoint] = []
    largest: RolledBack | None = None
    seen_since = 0  # size of the largest one so far that fits
    for each in given if restores else ():
        explained = [one for one in ours if seen_since <= one.size < each.size]
        explained = explained or [one for one in left if one.size < each.size]
        if _fits(tx, each):
            seen_since = max(seen_since, each.size)
        elif explained:
            point = explained[-1]
            if largest is None or each.size > largest.covered:
                largest = RolledBack(each.size, point.size, point.at, point.backup)
            continue
        kept.append(each)
    return (kept if restores else list(given)), largest


def _fits(tx: UnitOfWork, said: Checkpoint) -> bool:
    """By the stored tree, which verification checks; cheap."""
    head = tx.events.head()
    if head is None or said.size > head[0]:
        return False
    try:
        return tree.load_frontier(said.size, stored_nodes(tx)).root() == said.root
    except IntegrityError:
        return False


def _claims(tx: UnitOfWork, pinned: Pinned) -> tuple[list[Claim], str]:
    """What the stored checkpoints say, and what is wrong with the first that is not what was signed."""
    claims: list[Claim] = []
    after = -1
    while page := tx.log.checkpoints(after=after, limit=1000):
        for each in page:
            try:
                said = checkpoint.verify(each.text, origin=pinned.origin, trusted=pinned.keys)
            except SottovoceError as error:
                return (
                    claims,
                    f"a stored checkpoint of {each.size} entries is not what was signed ({error.public_code})",
                )
            claims.append(Claim(said.size, said.root))
        after = page[-1].size
    return claims, ""


def _cut_claims(tx: UnitOfWork, pinned: Pinned) -> tuple[list[Claim], str]:
    """What the signed cuts of archives say, and what is wrong with them: contents may be gone only up to the last."""
    claims: list[Claim] = []
    for cut in tx.log.cuts():
        try:
            said = archive.verify_cut(cut.text, origin=pinned.origin, trusted=pinned.keys)
        except SottovoceError as error:
            return claims, f"the cut of an archive is not what was signed ({error.public_code})"
        if said.start.size != (claims[-1].size if claims else 0):
            return claims, f"between two archives, entries before {said.start.size + 1} are in none"
        claims.append(Claim(said.end.size, said.end.root()))
    signed, gone = claims[-1].size if claims else 0, tx.log.archived()
    if signed != gone:
        return claims, f"the contents of the entries up to {gone} are gone, and a signed cut says {signed}"
    return claims, ""


def _archived(tx: UnitOfWork) -> Iterator[Sequence[bytes]]:
    """The leaf hashes of entries whose contents are in archives, in pages."""
    last = tx.log.archived()
    for start in range(0, last, _PAGE):
        yield tx.events.leaves(start, min(start + _PAGE, last))


def _evidence(
    found: LogReport, signed: int, given: Sequence[Checkpoint], archived: int, rolled_back: RolledBack | None
) -> str:
    """Plain words on what was compared with what."""
    if found.events == found.unsequenced == 0 and found.intact:
        return NO_EVIDENCE
    parts = [
        f"{found.events} entries with number, chain link and place in the tree",
        f"{signed} checkpoints signed by this home",
        f"{found.unsequenced} entries not numbered yet",
    ]
    if archived:
        parts.insert(1, f"of the first {archived} only their hashes, as their contents are in archives")
    text = ", ".join(parts)
    if not given:
        return (
            f"{text}; a cut tail or a whole new chain shows only against a checkpoint kept elsewhere: "
            "give one, or a receipt, with --since"
        )
    if rolled_back is not None and found.intact:
        return f"{text}; {said_of(rolled_back)}"
    if found.agreed_outside is None:
        return f"{text}; compared with a checkpoint held outside, which does not fit"
    return f"{text}; the first {found.agreed_outside} are those of a checkpoint held outside"


def _first_after(tx: UnitOfWork, size: int) -> tuple[int | None, datetime | None]:
    """Number and time of the first entry after so many; no time where its contents are in an archive."""
    if size < tx.log.archived():
        return size + 1, None
    for page in tx.events.pages(after=size):
        return page[0][12], _time(page[0])
    return None, None


def _time(row: EventRow) -> datetime | None:
    """The time of an entry; None where what stands there is no time any more."""
    try:
        return _EPOCH + timedelta(microseconds=row[2])
    except (TypeError, OverflowError):
        return None


def _said(at: datetime | None) -> str:
    return "an unknown time" if at is None else at.isoformat(timespec="seconds")
