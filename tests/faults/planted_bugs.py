"""Bugs planted on purpose, one at a time, in a copy of the source: the tests named have to fail on each.

    python tests/faults/planted_bugs.py [WORD ...]     only the bugs whose name holds one of the words

The list is written by hand from the mistakes of the design. A bug that one of its tests does not see, tests that only
hang, and a patch that does not apply any more, all make this script fail.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 180  # for the tests of one bug; they take a few seconds

USECASES = "tests/unit/usecases/"
RECORD = USECASES + "test_record.py::"
INTAKE = USECASES + "test_intake.py::"
RIGHTS = USECASES + "test_rights_and_retention.py::"
CONSENT = USECASES + "test_consent.py::"
STONES = USECASES + "test_tombstones.py::"
AUDIT = USECASES + "test_audit.py::"
RELEASE = USECASES + "test_before_release.py::"
ARCHIVING = USECASES + "test_archiving.py::"
SIMULATION = "tests/simulation/test_interleavings.py::TestInterleavings"


@dataclass(frozen=True)
class Bug:
    """What was broken, where, and the tests that each have to fail on it."""

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


BUGS = (
    # --- keys, bodies, deadlines ---
    Bug(
        "the key of a recording is kept", "usecases/discard.py",
        "        self.keyring.destroy([session_id])\n", "",
        (RECORD + "test_M01_the_worker_brings_a_submission_to_its_end", SIMULATION),
    ),
    Bug(
        "the body of a recording is kept", "usecases/discard.py",
        "        self.bodies.delete(body_path(session_id))\n", "",
        (RECORD + "test_M01_the_worker_brings_a_submission_to_its_end", SIMULATION),
    ),
    Bug(
        "nobody looks again after deleting", "usecases/discard.py",
        "        if self.bodies.exists(body_path(session_id)) or self.keyring.exists(session_id):",
        "        if False:",
        (RECORD + "test_C9b_nothing_says_verified_while_the_body_is_still_there",),
    ),
    Bug(
        "the sweep never discards at the deadline", "usecases/retention.py",
        '            return "deadline"  # or the clock', "            return None  # or the clock",
        (RIGHTS + "test_X11_an_overdue_item_is_swept_and_counted", SIMULATION),
    ),
    Bug(
        "attempts are not counted", "usecases/work_queue.py",
        "attempts=recording.attempts + 1", "attempts=recording.attempts",
        (USECASES + "test_work_queue.py::test_F7_attempts_are_counted_before_the_work",),
    ),
    Bug(
        "the old key-encryption key survives a rotation", "usecases/epochs.py",
        "                self.provider.destroy(epoch)\n", "",
        (USECASES + "test_keyring.py::test_M15_F31_an_old_copy_of_the_key_store_is_dead_after_the_epoch",),
    ),
    Bug(
        "the promised end of a key epoch is not written down", "usecases/epochs.py",
        "ends_by=self.ages.promise(at)", "ends_by=None",
        (USECASES + "test_rotation.py::test_M15_C11e_the_sweep_keeps_the_date_that_a_receipt_named",),
    ),
    Bug(
        "overdue audio waits for the key provider", "usecases/retention.py",
        "            self.discard.destroy(recording.id)\n", "            pass\n",
        (USECASES + "test_rotation.py::test_F16_I10_with_the_provider_down_a_home_opens_and_overdue_audio_goes",),
    ),
    Bug(
        "deleted bytes stay in the file of the database", "adapters/database/engine.py",
        '"secure_delete=ON"', '"secure_delete=OFF"',
        ("tests/ports/test_database.py::test_X13_deleted_rows_are_in_no_file_after_tidying",),
    ),
    # --- promises and order ---
    Bug(
        "audio is touched before the promise to discard it", "usecases/record.py",
        '        received, scribe = self._receive("analyze", ask, caller=caller)\n',
        "        self.extractor.extract(Descriptor(source.fd), ExtractOptions())\n"
        '        received, scribe = self._receive("analyze", ask, caller=caller)\n',
        (RECORD + "test_C2c_analyze_needs_recording_and_analysis_consent_and_stores_nothing_without",),
    ),
    Bug(
        "a submission is acknowledged before its body is stored", "usecases/record.py",
        "            size_bytes = put(received)\n"
        "            stored = self._acknowledge(received, size_bytes, scribe)\n",
        "            stored = self._acknowledge(received, 0, scribe)\n"
        "            put(received)\n",
        (INTAKE + "test_F2_an_interrupted_put_is_resumed_by_its_retry",),
    ),
    Bug(
        "a retried request makes a second recording", "usecases/intake.py",
        "        if before is None:\n            return None\n", "        if True:\n            return None\n",
        (INTAKE + "test_F13_the_same_key_submits_once",),
    ),
    # --- consent ---
    Bug(
        "a withdrawal leaves what is kept", "usecases/consent.py",
        "tx.records.expire_now(person.id, tx.now()) if RETENTION in purposes else 0", "0",
        (CONSENT + "test_M26_withdrawn_retention_makes_the_records_due_now", SIMULATION),
    ),
    Bug(
        "a withdrawal is ignored when the result is committed", "usecases/record.py",
        "kept = made is not None and consents.allow((RETENTION,))", "kept = made is not None",
        (RELEASE + "test_C2a_M22_a_result_is_not_kept_where_keeping_was_withdrawn_meanwhile", SIMULATION),
    ),
    Bug(
        "consent is not read again when the result is committed", "usecases/record.py",
        "                consents.check(needed_at_commit(leased, findings))\n", "",
        (RELEASE + "test_C2a_C3a_consent_is_read_once_more_when_the_result_is_committed",),
    ),
    Bug(
        "a recording is queued without the consent to keep", "usecases/intake.py",
        "        purposes = (*purposes, RETENTION)  # nothing else would be left if the result could not be kept\n",
        "        pass\n",
        (INTAKE + "test_C2c_submit_and_discard_source_need_the_retention_consent", SIMULATION),
    ),
    Bug(
        "what has expired can still be read", "usecases/disclosure.py",
        "if stays_on or tx.now() < self._due(r)", "if True",
        (RIGHTS + "test_C10a_records_expire_at_the_earlier_of_promise_and_policy",),
    ),
    # --- erasure and binding ---
    Bug(
        "an erasure keeps the keys", "usecases/rights.py",
        '{"keys": self.keyring.destroy_subject(request.subject_id)}', '{"keys": 0}',
        (RIGHTS + "test_C11a_erasing_a_person_leaves_no_row_no_key_no_body_no_receipt_copy", SIMULATION),
    ),
    Bug(
        "the context of a body is not bound", "sealing/envelope.py",
        "        return self.client_hash or self.to_bytes() + context",
        "        return self.client_hash or self.to_bytes()",
        ("tests/unit/sealing/test_envelope.py::test_X25_a_body_moved_to_another_person_does_not_open",),
    ),
    Bug(
        "the signature of a receipt is not checked", "sealing/receipt.py",
        "    _check_signature(receipt, public_key)\n    return receipt\n", "    return receipt\n",
        ("tests/unit/sealing/test_receipt.py::test_C4b_one_flipped_bit_fails",),
    ),
    # --- reads and their entries ---
    Bug(
        "data is opened before its entry is committed", "usecases/disclosure.py",
        ".warm(now)\n",
        ".warm(now)\n"
        "        with self.database.read() as tx:\n"
        "            early = tx.records.of_session(session_id)\n"
        "        for one in early:\n"
        "            self.vault._open(one, PurposeGrant('subject_access', recording.subject_id, session_id))\n",
        (RELEASE + "test_X37_C29b_a_record_is_opened_only_after_a_durable_commit_of_its_entry",),
    ),
    Bug(
        "a read is not durable when it is answered", "usecases/group.py",
        "with numbering as number, self.database.begin() as tx:",
        "with numbering as number, self.database.begin(durable=False) as tx:",
        (RELEASE + "test_X37_C29b_a_record_is_opened_only_after_a_durable_commit_of_its_entry",),
    ),
    Bug(
        "readers are answered though the commit failed", "usecases/group.py",
        "        except Exception as error:\n            for turn in group:\n                turn.error = error\n",
        "        except Exception:\n            return\n",
        (AUDIT + "test_F35_where_the_commit_fails_nobody_is_answered",),
    ),
    Bug(
        "a change has no entry of its own", "usecases/record.py",
        'tx, "recording.committed", purpose=VOICE_ANALYSIS,', 'tx, "recording.changed", purpose=VOICE_ANALYSIS,',
        (RIGHTS + "test_I6_every_change_of_state_has_its_entry_and_the_log_verifies",),
    ),
    # --- the log ---
    Bug(
        "the chain has no tree", "usecases/sequencer.py",
        "tx.log.add_nodes(memo.frontier.extend(leaves))", "memo.frontier.extend(leaves)",
        (AUDIT + "test_I6_every_entry_has_its_number_and_place_after_each_verb",
         AUDIT + "test_C29a_an_entry_is_proven_to_anybody_offline"),
    ),
    Bug(
        "a home signs against its own last checkpoint", "usecases/sequencer.py",
        "            _check_continues(newest, size, read)\n", "            pass\n",
        (AUDIT + "test_C29a_a_home_never_signs_against_its_own_last_checkpoint",),
    ),
    Bug(
        "the hash of an entry leaves its details out", "audit/rows.py",
        """sealed = "null" if details is None else f'"{details.hex()}"'""", 'sealed = "null"',
        ("tests/unit/audit/test_chain.py::test_F34_an_edited_entry_is_named_whatever_was_edited",
         "tests/unit/audit/test_verification.py::test_a_row_has_the_canonical_form_of_its_event"),
    ),
    Bug(
        "a cut tail is not noticed", "audit/verification.py",
        "        if not self.problem and self.next_claim < len(self.claims):\n", "        if False:\n",
        (AUDIT + "test_F34_a_cut_tail_shows_against_a_receipt_and_not_without",),
    ),
    Bug(
        "anybody's signature makes a checkpoint", "audit/checkpoint.py",
        "    for public_key, signature in ours:\n        _check_signature(public_key, signature, body.encode())\n",
        "",
        ("tests/unit/audit/test_checkpoint.py::test_C29a_one_flipped_bit_fails",),
    ),
    Bug(
        "a witness that lags raises no alarm", "usecases/witnessing.py",
        "lags=since is not None and self._late(since, tx.now()),", "lags=False,",
        (AUDIT + "test_F36_an_unreachable_witness_stops_nothing_and_is_noticed",),
    ),
    Bug(
        "details of entries never expire", "usecases/trail.py",
        "            self.keyring.destroy(due[start : start + _BATCH])\n", "            pass\n",
        (AUDIT + "test_C29c_after_2555_days_details_close_and_the_log_still_verifies",),
    ),
    Bug(
        "entries are dropped before their archive was read back", "usecases/archiving.py",
        "        self.verify(file)\n", "",
        (ARCHIVING + "test_I9_nothing_leaves_the_log_before_its_file_was_read_back",),
    ),
    Bug(
        "contents may leave the log without a signed cut", "usecases/inspection.py",
        "    if signed != gone:\n", "    if False:\n",
        (ARCHIVING + "test_F34_tampering_with_what_an_archive_left_is_found",),
    ),
    # --- results that nobody waits for ---
    Bug(
        "the service reads a result that is to be sealed unseen", "adapters/extractor/client.py",
        "            given = places()\n",
        "            given = places()\n            self.debug = wire.unpack_result(numbers.message, options)\n",
        ("tests/unit/adapters/test_extractor_residue.py",),
    ),
    Bug(
        "keys of a result that was never sealed are kept", "usecases/record.py",
        "            self._results.forget(claimed, [place.key_id for place in places])\n", "",
        (USECASES + "test_results.py::test_I1_a_worker_makes_keys_for_what_was_measured_and_leaves_none_behind",),
    ),
    Bug(
        "what a hostile child wrote is sealed unchecked", "adapters/extractor/wire.py",
        "    if not low <= value <= high or not math.isfinite(value):\n        raise malformed()\n", "",
        ("tests/unit/adapters/test_extractor_handover.py",),
    ),
    # --- what shows it afterwards ---
    Bug(
        "fsck believes an ended recording", "usecases/fsck/recordings.py",
        "        if not recording.ended:\n            return\n", "        return\n",
        (USECASES + "test_fsck.py::test_I1_C9b_fsck_finds_and_removes_the_body_of_an_ended_recording",
         USECASES + "test_fsck.py::test_I3_fsck_finds_and_destroys_the_key_of_an_ended_recording"),
    ),
    # --- tombstones ---
    Bug(
        "no tombstone is written for an erasure", "usecases/erasure_requests.py",
        "        self.promises.write(tx, [of_erasure(request)])\n", "",
        (STONES + "test_C11b_an_old_database_brings_back_nobody_who_was_erased",),
    ),
    Bug(
        "no tombstone is written for a withdrawal", "usecases/consent.py",
        "        self.promises.write(tx, [entry for event in events for entry in of_no(event)])\n", "",
        (STONES + "test_I5_an_old_database_takes_back_no_withdrawal",),
    ),
    Bug(
        "tombstones are not replayed before a home is served", "app/platform.py",
        "        self.replayed = self._replay.run(caller=SWEEPER)", "        #",
        (STONES + "test_C12b_an_old_database_lifts_no_restriction",),
    ),
    Bug(
        "a file of tombstones that is behind is gone on with", "usecases/promises.py",
        "    if applied.count > head.count:\n        raise cut() if head.count else missing()\n", "",
        (STONES + "test_nothing_is_promised_beside_a_file_that_is_gone",),
    ),
    Bug(
        "a replay leaves out what a tombstone stopped", "usecases/consent.py",
        "        stopped, shortened = self._take_effect(tx, person, statement, (purpose,))\n",
        "        stopped, shortened = (), 0\n",
        (STONES + "test_I5_an_old_database_takes_back_no_withdrawal",),
    ),
    Bug(
        "a tombstone is acknowledged before it is on the disk", "adapters/tombstones_file.py",
        "            os.fsync(fd)\n            if end == 0:", "            if end == 0:",
        ("tests/ports/test_tombstones.py::test_an_entry_is_on_the_disk_before_it_is_acknowledged",),
    ),
    Bug(
        "the chain of tombstones is not followed", "model/tombstones.py",
        "    if number not in line or previous not in line:", "    if number not in line:",
        ("tests/ports/test_tombstones.py::test_C11b_every_change_that_a_known_head_covers_is_found",),
    ),
    Bug(
        "a signed head of the tombstones is not compared", "usecases/tombstones.py",
        "        last = self.walk((applied or TombstoneHead(), signed))",
        "        last = self.walk((applied or TombstoneHead(),))",
        (STONES + "test_a_signed_head_that_does_not_fit_is_damage_and_one_of_a_stranger_counts_for_nothing",),
    ),
)  # fmt: skip


def caught(bug: Bug, folder: Path) -> str:
    """ "caught", or what is wrong."""
    source = Path(shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__")))
    target = source / "sottovoce" / bug.file
    text = target.read_text(encoding="utf-8")
    if text.count(bug.before) != 1:
        return f"the patch applies {text.count(bug.before)} times"
    target.write_text(text.replace(bug.before, bug.after), encoding="utf-8")
    command = [
        sys.executable, "-m", "pytest", "-q", "--tb=no", "-rf", "-n", "0", "-p", "no:cacheprovider", *bug.tests,
    ]  # fmt: skip
    environment = {
        **os.environ,
        "PYTHONPATH": str(source),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_COLOR": "1",
        "QUICK": "1",  # of the simulation: longer, and nothing is shrunk
        "EXAMPLES": "300",  # the rarest of these bugs shows in about the 200th interleaving
    }
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "NOT caught (the tests do not end)"
    failed = {name.partition("[")[0] for name in re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE)}
    unseen = [name for name in bug.tests if not any(one.startswith(name) for one in failed)]
    if unseen:
        return f"NOT caught (pytest {done.returncode}) by " + ", ".join(
            name.split("::")[-1] for name in unseen
        )
    return "caught"


def main() -> int:
    wanted = [bug for bug in BUGS if not sys.argv[1:] or any(word in bug.name for word in sys.argv[1:])]
    bad, started = 0, time.monotonic()
    for bug in wanted:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            answer = caught(bug, Path(folder))
        bad += int(answer != "caught")
        tests = f"{len(bug.tests)} test" + "s" * (len(bug.tests) > 1)
        print(f"{answer:<8} {bug.name:<60} {tests:<8} {time.monotonic() - began:5.1f} s", flush=True)
    print(f"{len(wanted) - bad} of {len(wanted)} bugs caught in {time.monotonic() - started:.0f} s")
    return int(bool(bad))


if __name__ == "__main__":
    raise SystemExit(main())
