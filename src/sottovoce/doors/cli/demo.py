"""demo: the sealed path on a real recording, in a throw-away home, as a person would like to read it.

Every line reports something that was done or looked at just now. What does not hold ends the demonstration with an
error; nothing is only said.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sottovoce.doors.cli import payloads, render, residue
from sottovoce.doors.cli.console import printable
from sottovoce.doors.cli.errors import OK
from sottovoce.doors.cli.telling import Tell, Telling
from sottovoce.doors.cli.world import CALLER, COMMON, Common, Outside, World
from sottovoce.errors import IntegrityError, SottovoceError, UnknownSigner, UsageError
from sottovoce.model.outcome import SessionContent, SessionView, Submission
from sottovoce.model.purpose import RETENTION, VOICE_ANALYSIS, VOICE_RECORDING
from sottovoce.model.recording import RecordingState

if TYPE_CHECKING:
    from sottovoce.app import Platform

CLIP = Path(__file__).resolve().parents[2] / "data" / "jfk.flac"
CLIP_WORDS = "11 seconds of a public speech of 1961, public domain"
PERSON = "demo-person"
PURPOSES = (VOICE_RECORDING, VOICE_ANALYSIS, RETENTION)


def demo(
    *,
    keep: Annotated[
        Path | None, Parameter(help="Use this new folder as the home, and leave it there.")
    ] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Watch a real recording become sealed insight, its audio gone.

    Submit, worker, insight, body gone, receipt verified, person erased: all in
    a throw-away home; your own home is not touched. With --keep the home stays,
    and the person is not erased.

    For example:
      sottovoce demo
      sottovoce demo --keep ./demo-home
    """
    if keep is not None and keep.exists():
        raise UsageError("The folder to keep exists already.", hint="Name one that does not exist yet.")
    telling = Telling(world, quiet=common.json)
    telling.say(
        f"One recording ({CLIP.name}: {CLIP_WORDS}) goes the whole way, in "
        f"{'a throw-away home' if keep is None else 'a home of its own'}. It takes a few seconds.\n"
    )
    with tempfile.TemporaryDirectory(prefix="sottovoce-demo-") as folder:
        home = Path(folder) / "home" if keep is None else keep
        with telling.step("a home of its own", "home") as tell:
            platform = world.open_platform(home, database=f"sqlite:///{home / 'sottovoce.db'}", keys="local:")
            tell("made: keys, database, an identity that signs receipts")
        with platform:
            _Demonstration(platform, world, telling, home).run(erase=keep is None)
    telling.end("throw-away home removed" if keep is None else f"kept: {printable(str(keep))}")
    return OK


@dataclass(frozen=True, slots=True)
class _Demonstration:
    platform: Platform
    world: World
    telling: Telling
    home: Path

    def run(self, *, erase: bool) -> None:
        clip = CLIP.read_bytes()
        self._confinement()
        self._consent()
        submission, body = self._submit(clip)
        self._work()
        content = self._insight(submission)
        self._gone(clip, body)
        self._receipt(submission)
        self._audit()
        self._sizes(clip, content)
        if erase:
            self._erase(submission)

    def _confinement(self) -> None:
        with self.telling.step("how the audio is confined", "confinement") as tell:
            checks = {check.name: check for check in self.platform.doctor()}
            child = checks.get("sealed child")
            _must(child is not None and child.state != "fail", "there is no sealed child to open audio in")
            tell(f"sealed child: {child.found if child else ''}", {"found": child.found if child else ""})

    def _consent(self) -> None:
        with self.telling.step("the person agrees", "consent") as tell:
            outcome = self.platform.grant(subject=PERSON, purposes=PURPOSES, caller=CALLER)
            tell("to " + ", ".join(state.purpose for state in outcome.states))
            tell("and gets a signed receipt", {"purposes": [state.purpose for state in outcome.states]})

    def _submit(self, clip: bytes) -> tuple[Submission, Path]:
        with self.telling.step("the recording is sealed, for a worker", "submit") as tell:
            answer = self.platform.submit(CLIP, subject=PERSON, caller=CALLER)
            body = _body_of(self.home, answer)
            sealed_bytes = body.stat().st_size
            tell(
                f"sealed body: {sealed_bytes:,} bytes in {body.relative_to(self.home)}",
                {"session_id": answer.session_id, "sealed_bytes": sealed_bytes},
            )
            tell(f"promised: gone by {render.moment(answer.discard_by)}, whatever happens to the queue")
            self._search(clip, tell)
        return answer, body

    def _search(self, clip: bytes, tell: Tell) -> None:
        """Nothing of the clip stands in any file of the home; and the search finds what is there to be found."""
        windows = residue.windows_of(clip)
        control = residue.found_in(clip, windows)
        looked_at, holding = residue.files_with(self.home, windows)
        _must(control > 1000, "the search does not find the recording in itself")
        _must(not holding, "a piece of the recording stands in a file of the home")
        tell(
            f"searched all {looked_at} files of the home for any 16 bytes of the recording: found none "
            f"(in the recording itself the search finds {control:,})",
            {"files_searched": looked_at, "found": 0, "found_in_recording": control},
        )

    def _work(self) -> None:
        keys_before = _recording_keys(self.platform)
        with self.telling.step("a worker opens it, inside the sealed child", "worker") as tell:
            outcome = self.platform.work_next(caller=CALLER)
            state = None if outcome is None else outcome.state
            _must(state is RecordingState.VERIFIED, "the recording did not end verified")
            tell("numbers out, sealed and stored; then the recording's key was destroyed, its body deleted")
            keys = _recording_keys(self.platform)
            _must(keys == keys_before - 1, "the recording's key is still in the key store")
            tell(
                f"recording keys in the key store: {keys_before} before, {keys} now",
                {"state": str(RecordingState.VERIFIED), "recording_keys": keys},
            )

    def _insight(self, submission: Submission) -> SessionContent:
        with self.telling.step("what was learned", "insight") as tell:
            content = self.platform.show(submission.session_id, purpose=VOICE_ANALYSIS, caller=CALLER)
            _must(content.features is not None and content.insight is not None, "no result was kept")
            if content.features is not None and content.insight is not None:
                page = render.Page(width=self.world.console.width - 4, style=self.world.console.style)
                tell(render.profile(content.insight, page))
                tell(f"and {len(content.features.values)} features, for {VOICE_ANALYSIS} only")
            tell("", payloads.content(content))
        return content

    def _gone(self, clip: bytes, body: Path) -> None:
        with self.telling.step("the audio is gone", "gone") as tell:
            _must(not body.exists(), "the sealed body is still there")
            tell(f"{body.relative_to(self.home)}: not there any more", {"body_exists": False})
            self._search(clip, tell)

    def _receipt(self, submission: Submission) -> None:
        with self.telling.step("the receipt, checked offline", "receipt") as tell:
            view = _view(self.platform, submission)
            text = Path(view.receipt_path or "").read_text(encoding="utf-8")
            identity = self.platform.identity()
            self.world.verify_receipt(text, key=identity, home=None)
            tell("verified against the key that this home pinned when it was made")
            flipped = _refused(self.world, _flip_a_bit(text), identity, IntegrityError)
            tell(f"one bit flipped: refused [{flipped}]")
            foreign = _refused(self.world, text, None, UnknownSigner)
            tell(
                f"without a pinned key: refused [{foreign}]",
                {
                    "verified": True,
                    "flipped_bit": flipped,
                    "no_pinned_key": foreign,
                    "receipt_id": view.receipt_id,
                },
            )

    def _audit(self) -> None:
        with self.telling.step("the audit log", "audit") as tell:
            report = self.platform.verify_audit()
            _must(report.intact, "the audit log does not verify")
            tell(
                f"{report.events} entries, each chained to the one before: intact",
                payloads.audit_report(report),
            )

    def _sizes(self, clip: bytes, content: SessionContent) -> None:
        with self.telling.step("in numbers", "sizes") as tell:
            kept = 0 if content.features is None else len(content.features.to_float32_bytes())
            audio = residue.size_of(path for path in (self.home / "bodies").rglob("*") if path.is_file())
            _must(audio == 0, "bytes of a body are left")
            tell(f"of the recording, {len(clip):,} bytes, {audio} are left in this home")
            until = render.moment(content.expires_at)
            tell(
                f"kept until {until}: the features ({kept} bytes before sealing) and the profile",
                {"recording_bytes": len(clip), "body_bytes_now": audio, "features_bytes": kept},
            )

    def _erase(self, submission: Submission) -> None:
        with self.telling.step("and when the person wishes: erased", "erase") as tell:
            outcome = self.platform.erase(subject=PERSON, caller=CALLER)
            _must(outcome.result == "erased", "the person was not erased")
            sessions = self.platform.sessions(subject=PERSON, caller=CALLER)
            _must(not sessions, "a session of the erased person is still listed")
            _must(_cannot_be_shown(self.platform, submission), "a session of the erased person still opens")
            tell("keys destroyed, rows removed, looked for again: nothing opens, nothing is listed")
            tell("a signed receipt stays", payloads.erasure(outcome))


# --- looking ------------------------------------------------------------------------------------------------


def _must(held: bool, otherwise: str) -> None:
    if not held:
        raise IntegrityError(
            f"The demonstration does not hold: {otherwise}.", hint="This is a defect: report it."
        )


def _body_of(home: Path, submission: Submission) -> Path:
    found = [path for path in (home / "bodies").rglob(f"*{submission.session_id}*") if path.is_file()]
    _must(len(found) == 1, "the sealed body is not where it should be")
    return found[0]


def _recording_keys(platform: Platform) -> int:
    return platform.keys_status().rows.get("recording", 0)


def _view(platform: Platform, submission: Submission) -> SessionView:
    views = platform.sessions(subject=PERSON, caller=CALLER)
    _must(len(views) == 1 and views[0].session_id == submission.session_id, "the session is not listed")
    _must(views[0].receipt_path is not None, "there is no receipt")
    return views[0]


def _flip_a_bit(text: str) -> str:
    """The lowest bit of one letter of the state that the receipt testifies: `verified` reads `werified`."""
    at = max(text.find("verified"), len(text) // 2 if "verified" not in text else 0)
    return text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]


def _refused(world: World, text: str, key: str | None, kind: type[SottovoceError]) -> str:
    """The code with which a receipt is refused; it must be of that kind."""
    try:
        with tempfile.TemporaryDirectory(prefix="sottovoce-demo-") as elsewhere:
            world.verify_receipt(text, key=key, home=Path(elsewhere))
    except kind as refusal:
        return refusal.public_code
    raise IntegrityError("The demonstration does not hold: a receipt was accepted that must not be.")


def _cannot_be_shown(platform: Platform, submission: Submission) -> bool:
    try:
        platform.show(submission.session_id, purpose="subject_access", caller=CALLER)
    except SottovoceError:
        return True
    return False
