"""Which epoch, which tombstones, which signer: each way a backup may be wrong has its own answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.adapters.memory import MemoryTombstones
from sottovoce.audit.checkpoint import origin_of
from sottovoce.errors import Conflict, IntegrityError, KeyUnavailable, SchemaNewer, UnknownSigner, UsageError
from sottovoce.model.backup import CONTENTS, BackupFile, Half, Manifest, RestorePoint
from sottovoce.model.tombstones import TombstoneEntry, TombstoneHead, TombstoneKind, begun
from sottovoce.sealing.receipt import Identity, sign
from sottovoce.usecases import backup_check as check
from sottovoce.usecases.inspection import _lineage

AT = datetime(2026, 3, 1, tzinfo=UTC)
OURS, THEIRS = Identity(b"o" * 32), Identity(b"t" * 32)
TRUSTED = {OURS.key_id: OURS.public_key}


def manifest(half: Half = Half.DATA, **changes: Any) -> Manifest:
    files = tuple(BackupFile(name, 1, "0" * 64) for name in sorted(CONTENTS[half]))
    made = Manifest(
        half=half, pair="bkp_" + "a" * 24, home=origin_of(OURS.key_id), tenant="default", schema="0001",
        created_at=AT, files=files, epoch=3, log_size=9, log_root="0" * 64, tombstones=0,
        tombstones_hash="0" * 64, worthless_after="a date",
    )  # fmt: skip
    return replace(made, **changes)


def signed(said: Manifest, *, by: Identity = OURS, kind: str = "backup") -> str:
    return sign(kind, said.to_body(), identity=by).to_json()


def stones(count: int, *, home: str = "h") -> MemoryTombstones:
    made = MemoryTombstones()
    made.append([begun(home, AT, tenant="default")])
    made.append(
        [
            TombstoneEntry(
                kind=TombstoneKind.SUBJECT_ERASED,
                at=AT,
                subject_id="sub_" + "a" * 24,
                request_id="req_" + "abcdefghijklmnopqrstuvwxyz"[number % 26] * 24,
            )
            for number in range(count)
        ]
    )
    return made


def test_the_manifest_of_another_home_is_not_that_of_an_unknown_signer() -> None:
    assert check.verify_manifest(signed(manifest()), trusted=TRUSTED) == manifest()
    with pytest.raises(UnknownSigner):
        check.verify_manifest(signed(manifest(), by=THEIRS), trusted=TRUSTED)
    theirs = manifest(home=origin_of(THEIRS.key_id))
    for by in (THEIRS, OURS):
        with pytest.raises(IntegrityError) as error:
            check.verify_manifest(signed(theirs, by=by), trusted=TRUSTED)
        assert error.value.reason == "other_home"
    with pytest.raises(IntegrityError) as error:
        check.verify_manifest(signed(manifest(), kind="export"), trusted=TRUSTED)
    assert error.value.reason == "manifest_malformed"


@given(st.integers(1, 9), st.frozensets(st.integers(1, 9)))
def test_C11e_X14_an_ended_epoch_is_told_from_a_key_that_is_not_at_hand(
    epoch: int, alive: frozenset[int]
) -> None:
    """A copy of the keys whose epoch has ended is refused as such; a key that nobody brought is another thing."""
    try:
        check.check_epoch(epoch, alive)
        said = ""
    except KeyUnavailable as error:
        said = error.reason
    expected = "" if epoch in alive else "epoch_ended" if max(alive, default=0) > epoch else "kek_missing"
    assert said == expected


@given(st.integers(0, 6), st.integers(0, 6))
def test_F30_tombstones_have_to_be_as_new_as_the_backup(in_file: int, in_backup: int) -> None:
    """A file of tombstones that is older than the backup cannot say who was erased."""
    file, then = stones(in_file), stones(in_backup).head()
    said = manifest(tombstones=then.count, tombstones_hash=then.hash.hex())
    if in_file < in_backup:
        with pytest.raises(IntegrityError) as error:
            check.check_tombstones(file, [said])
        assert error.value.reason == "tombstones_cut"
    else:
        assert check.check_tombstones(file, [said, manifest()]) == file.head()


def test_F30_tombstones_of_another_home_are_refused() -> None:
    """The tombstones of one home say nothing about the people of another."""
    then = stones(2).head()
    said = manifest(tombstones=then.count, tombstones_hash=then.hash.hex())
    with pytest.raises(IntegrityError) as error:
        check.check_tombstones(stones(5, home="other"), [said])
    assert error.value.reason == "tombstones_damaged"
    assert check.check_tombstones(MemoryTombstones(), [manifest()]) == TombstoneHead()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_the_newest_of_several_files_is_taken_and_the_others_are_its_beginning(counts: list[int]) -> None:
    newest = check.newest_of([stones(count) for count in counts])
    assert counts[newest] == max(counts)
    with pytest.raises(IntegrityError) as error:
        check.newest_of([*(stones(count) for count in counts), stones(1, home="other")])
    assert error.value.reason == "tombstones_damaged"


def test_halves_versions_and_a_home_in_use() -> None:
    data, keys = manifest(), manifest(Half.KEYS)
    check.check_pair(data, keys, tenant="default")
    for pair in [(keys, data), (data, data), (keys, keys)]:
        with pytest.raises(UsageError):
            check.check_pair(*pair, tenant="default")
    for wrong in (replace(keys, home="h"), replace(keys, tenant="t")):
        with pytest.raises(IntegrityError):
            check.check_pair(data, wrong, tenant="default")
    with pytest.raises(IntegrityError):
        check.check_pair(data, keys, tenant="another")
    known = check.Known(frozenset({"0001"}), frozenset({"1"}))
    known.check(data)
    with pytest.raises(SchemaNewer):
        known.check(keys)
    check.check_tries(False, replace=False)
    check.check_tries(True, replace=True)
    with pytest.raises(Conflict):
        check.check_tries(True, replace=False)


@given(st.lists(st.tuples(st.sampled_from(["write", "back up", "restore"]), st.integers(0, 99)), max_size=30))
def test_the_restores_that_a_log_comes_from_are_found_among_all(steps: list[tuple[str, int]]) -> None:
    """An oracle that plays it: logs are lists, a restore goes on with a copy of an old one, and what was written since
    is left behind; of all restores exactly those of the log of today are its lineage."""
    log: list[str] = []
    restores: list[RestorePoint] = []
    backups: list[tuple[list[str], int]] = [([], 0)]
    for number, (word, which) in enumerate(steps, start=1):
        if word == "write":
            log.append(f"entry {number}")
        elif word == "back up":
            backups.append((list(log), number))
        else:
            copy, follows = backups[which % len(backups)]
            log = [*copy, f"restore {number}"]
            restores.append(
                RestorePoint("b", len(copy), b"", AT, signed=True, number=number, follows=follows)
            )
    assert [f"restore {point.number}" for point in _lineage(restores)] == [
        entry for entry in log if entry.startswith("restore")
    ]
