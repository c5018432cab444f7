"""analyze, submit, worker, retry, sessions, show: recordings from arrival to what is kept of them."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sottovoce.doors.cli import payloads, render
from sottovoce.doors.cli.console import OutputClosed, printable
from sottovoce.doors.cli.errors import INPUT, OK, SOME_FAILED, as_ours, combined, exit_code, hint
from sottovoce.doors.cli.world import CALLER, COMMON, Common, DryRun, Outside, Subject, World
from sottovoce.errors import AudioRejected, InputUnreadable, SottovoceError, UsageError
from sottovoce.model.outcome import WorkOutcome
from sottovoce.model.purpose import RETENTION, VOICE_ANALYSIS, VOICE_RECORDING

if TYPE_CHECKING:
    from sottovoce.app import Platform
    from sottovoce.model.inference import ModelUse
    from sottovoce.voice.gate import Finding

Files = Annotated[
    tuple[str, ...], Parameter(help="Recordings: wav, flac, ogg, mp3, ...; several are done in turn.")
]
Session = Annotated[str, Parameter(help="A session id, as `sessions` lists them.")]
DiscardSource = Annotated[bool, Parameter(help="Unlink each source file once its result is safe.")]
IdempotencyKey = Annotated[str | None, Parameter(help="Your own key: the same key twice is one recording.")]
Channel = Annotated[str, Parameter(help="Which channel to use: 0 to 7, or mix.")]
AcceptTruncated = Annotated[bool, Parameter(help="Analyse a file whose end is missing, and flag it.")]
Do = Callable[["Platform", str], tuple[payloads.Json, str]]


def analyze(
    files: Files,
    /,
    *,
    subject: Subject,
    discard_source: DiscardSource = False,
    idempotency_key: IdempotencyKey = None,
    channel: Channel = "0",
    accept_truncated: AcceptTruncated = False,
    embedding: Annotated[
        bool, Parameter(help="Also compute a voice embedding (extra, own purpose).")
    ] = False,
    refuse_poor: Annotated[
        bool, Parameter(help="Keep nothing of a recording with which the gate finds fault.")
    ] = False,
    dry_run: DryRun = False,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Turn recordings into 88 features and a voice profile.

    The audio is read inside a sealed child process; no copy of it is made. The
    person must have consented to voice_recording and voice_analysis. A model is
    run only where the setting infer names its attribute and the person has
    consented to that purpose; it is told before the audio is read. With
    data_retention_30_days the result is kept, sealed; without it this answer is
    the only one. What the gate finds (silence, clipping, heavy noise, music, too
    short, no voice) is told with its value before anything is sealed.

    For example:
      sottovoce analyze interview.wav --subject anna
      sottovoce analyze *.flac --subject anna --json
    """
    _check(files, idempotency_key)
    needed = (VOICE_RECORDING, VOICE_ANALYSIS, *((RETENTION,) if discard_source else ()))
    page = _page(world)

    def do(platform: Platform, file: str) -> tuple[payloads.Json, str]:
        answer = platform.analyze(
            file, subject=subject, discard_source=discard_source, idempotency_key=idempotency_key,
            channel=channel, accept_truncated=accept_truncated, embedding=embedding,
            on_gate=lambda found: _tell_gate(file, found, refuse_poor, world),
            on_inference=lambda uses: tell_models(file, uses, world), caller=CALLER,
        )  # fmt: skip
        return payloads.analysis(file, answer), render.analysis(file, answer, page)

    if dry_run:
        return _would(files, subject, needed, discard_source, common=common, world=world)
    return _each(files, do, "analysing", common=common, world=world)


def submit(
    files: Files,
    /,
    *,
    subject: Subject,
    idempotency_key: IdempotencyKey = None,
    channel: Channel = "0",
    accept_truncated: AcceptTruncated = False,
    dry_run: DryRun = False,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Seal recordings and queue them for a worker.

    Each file is sealed piece by piece under a key of its own; when this
    returns, it waits for `sottovoce worker`. The person must have consented to
    voice_recording, voice_analysis and data_retention_30_days. The source file
    is left in place: until a worker has a result, it may be the only copy.

    For example:
      sottovoce submit interview.wav --subject anna
    """
    _check(files, idempotency_key)
    page = _page(world)

    def do(platform: Platform, file: str) -> tuple[payloads.Json, str]:
        tell_models(file, platform.models_to_run(), world)
        answer = platform.submit(
            file, subject=subject, idempotency_key=idempotency_key,
            channel=channel, accept_truncated=accept_truncated, caller=CALLER,
        )  # fmt: skip
        return payloads.submission(file, answer), render.submission(file, answer, page)

    if dry_run:
        needed = (VOICE_RECORDING, VOICE_ANALYSIS, RETENTION)
        return _would(files, subject, needed, False, common=common, world=world)
    return _each(files, do, "sealing", common=common, world=world)


def worker(
    *,
    once: Annotated[bool, Parameter(help="Do what waits now, then end.")] = False,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Work on queued recordings, one after the other.

    Runs until it is told to end (SIGTERM, or Ctrl-C); the recording in hand is
    finished first.

    For example:
      sottovoce worker --once
    """
    page = _page(world)

    def report(outcome: WorkOutcome) -> None:
        world.answer(common, payloads.work(outcome), render.work(outcome, page))

    with world.open(common) as platform:
        tell_models("waiting recordings", platform.models_to_run(), world)
        if not once:
            world.console.message("waiting for recordings (Ctrl-C ends)")
        outcomes = world.run_worker(platform, once=once, report=report)
    if once and not outcomes:
        world.console.message("nothing is waiting")
    return SOME_FAILED if once and any(outcome.failure for outcome in outcomes) else OK


def retry(session: Session, /, *, common: Common = COMMON, world: Outside) -> int:
    """Queue a held recording once more.

    For example:
      sottovoce retry ses_aaaaaaaaaaaaaaaaaaaaaaaa
    """
    with world.open(common) as platform:
        platform.retry(session, caller=CALLER)
    payload = {"session_id": session, "state": "received"}
    world.answer(common, payload, f"{session} waits for a worker again.")
    return OK


def sessions(*, subject: Subject, common: Common = COMMON, world: Outside) -> int:
    """List a person's sessions: states and times.

    For example:
      sottovoce sessions --subject anna --json
    """
    with world.open(common) as platform:
        views = platform.sessions(subject=subject, caller=CALLER)
    world.answer(common, payloads.sessions(views), render.sessions(views))
    return OK


def show(
    session: Session,
    /,
    *,
    purpose: Annotated[str, Parameter(help="What it is opened for, e.g. voice_analysis or subject_access.")],
    recipient: Annotated[
        str | None, Parameter(help="Who it is handed to (recipients list gives the id).")
    ] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Open what is kept of a session, for one purpose.

    The purpose has to be one that the person agreed to, or a right of theirs
    (subject_access). The reading is written to the audit log before anything is
    shown. What is handed to a recipient is written down with it, under the names
    that its deletion feed will use; no consent covers a recipient outside of your
    own house unless the notice that the person was shown named who receives it.

    For example:
      sottovoce show ses_aaaaaaaaaaaaaaaaaaaaaaaa --purpose subject_access
      sottovoce show ses_aaaaaaaaaaaaaaaaaaaaaaaa --purpose model_training --recipient rcp_aaaaaaaaaaaaaaaaaaaaaaaa
    """
    with world.open(common) as platform:
        content = platform.show(session, purpose=purpose, recipient=recipient, caller=CALLER)
    world.answer(common, payloads.content(content), render.content(content, _page(world)))
    return OK


# --- several files ------------------------------------------------------------------------------------------


def _each(files: Iterable[str], do: Do, doing: str, *, common: Common, world: World) -> int:
    """Every file in turn: its answer or its error in its place; one bad file never stops the others."""
    codes: list[int] = []
    with world.open(common) as platform:
        for file in files:
            try:
                with world.console.progress(f"{doing} {file}"):
                    payload, text = do(platform, file)
            except OutputClosed:
                raise
            except Exception as problem:
                error = as_ours(problem)
                codes.append(exit_code(error))
                _failed(file, error, common=common, world=world)
            else:
                codes.append(OK)
                world.answer(common, payload, text)
    return combined(codes)


def _tell_gate(file: str, found: Sequence[Finding], refuse: bool, world: World) -> None:
    """Before anything is sealed; AudioRejected (reason `poor_quality`) where that is to end it."""
    for finding in found:
        world.console.message(f"note: {printable(file)}: {finding.words}")
    if refuse and found:
        raise AudioRejected(
            "The gate found fault with the recording, and nothing of it is kept.",
            hint="Record it again, or leave --refuse-poor out.",
            reason="poor_quality",
        )


def tell_models(file: str, uses: Sequence[ModelUse], world: World) -> None:
    """Before the first frame is read: which attributes a model estimates of who agrees to that (AI Act 50(3))."""
    for use in uses:
        kind = ", a demonstration that is not for use" if use.demonstration else ""
        world.console.message(
            f"note: {printable(file)}: a model estimates the {use.attribute.replace('_', ' ')} of a person who has "
            f"agreed to that{kind}; it may be wrong, and a human can look at it again (model {use.sha256[:16]})"
        )


def _would(
    files: Iterable[str],
    subject: str,
    needed: tuple[str, ...],
    discard: bool,
    *,
    common: Common,
    world: World,
) -> int:
    """What analyze or submit would do with each file, from outside: nothing is read, nothing is written."""
    with world.open(common) as platform:
        granted = {
            s.purpose for s in platform.consents(subject=subject, caller=CALLER) if s.status == "granted"
        }
    missing = [purpose for purpose in needed if purpose not in granted]
    codes: list[int] = []
    for file in files:
        problem = _unreadable(file)
        payload: payloads.Json = {
            "file": file, "dry_run": True, "readable": problem is None, "missing_consents": missing,
            "source": "would_be_unlinked" if discard else "left_in_place",
        }  # fmt: skip
        fate = "would be unlinked once its result is safe" if discard else "would be left in place"
        consent = f"; consent is missing for {', '.join(missing)}" if missing else ""
        if problem is not None:
            codes.append(INPUT)
            _failed(file, problem, common=common, world=world)
            continue
        codes.append(OK)
        world.answer(common, payload, f"{printable(file)}: would be taken in, and {fate}{consent}")
    return combined(codes)


def _failed(file: str, error: SottovoceError, *, common: Common, world: World) -> None:
    if common.json:
        world.console.json(payloads.file_error(file, error))
    world.console.error(what=error.message, code=error.public_code, hint=hint(error), about=file)
    world.debug(error)


def _unreadable(file: str) -> SottovoceError | None:
    try:
        if stat.S_ISREG(Path(file).stat().st_mode):
            return None
    except (OSError, ValueError):
        return InputUnreadable("There is no such file, or it may not be looked at.", hint="Check the path.")
    return InputUnreadable("This is not a regular file.", hint="Name a recording, not a folder or a device.")


def _check(files: tuple[str, ...], idempotency_key: str | None) -> None:
    if idempotency_key is not None and len(files) != 1:
        raise UsageError(
            "An idempotency key belongs to one recording.", hint="Name one file with --idempotency-key."
        )


def _page(world: World) -> render.Page:
    return render.Page(width=world.console.width, style=world.console.style)
