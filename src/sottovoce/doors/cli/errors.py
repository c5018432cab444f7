"""One table: the code of an error to the exit code of the process; and how several outcomes become one.

| exit | when |
|---|---|
| 0 | everything that was asked was done |
| 1 | some of several failed, a check of `doctor` failed, or something unexpected happened (`internal`) |
| 2 | the command or a setting is not well formed |
| 3 | the person has not consented |
| 4 | the input cannot be used, or nothing has that id |
| 5 | something is not what was written: a receipt, the audit log, stored data |
| 6 | a key is missing, wrong or destroyed |
| 7 | the storage refused |
| 8 | a receipt of a signer whose key nobody pinned |
| 130, 143 | interrupted from the keyboard, or told to end |

Of several files: all done is 0; all failed with the same exit code is that code; anything else is 1.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from sottovoce import errors

OK, SOME_FAILED, USAGE, CONSENT, INPUT, INTEGRITY, KEYS, STORAGE, UNKNOWN_SIGNER = range(9)
INTERRUPTED, TERMINATED = 130, 143  # 128 + SIGINT, 128 + SIGTERM

EXIT_CODES: dict[str, int] = {
    errors.UsageError.code: USAGE,
    errors.ConfigurationError.code: USAGE,
    errors.ExtraMissing.code: USAGE,
    errors.Conflict.code: USAGE,
    errors.ConsentRequired.code: CONSENT,
    errors.ReconsentRequired.code: CONSENT,
    errors.AudioRejected.code: INPUT,
    errors.InputUnreadable.code: INPUT,
    errors.ExtractionFailed.code: INPUT,
    errors.NotFound.code: INPUT,
    errors.IntegrityError.code: INTEGRITY,
    errors.KeyUnavailable.code: KEYS,
    errors.StorageError.code: STORAGE,
    errors.SchemaNewer.code: STORAGE,
    errors.UnknownSigner.code: UNKNOWN_SIGNER,
}

_STORAGE_REASONS = {
    errno.ENOSPC: (
        "storage_full",
        "The disk is full.",
        "Free some space, then try again; erasing still works.",
    ),
    errno.EDQUOT: ("storage_full", "The disk quota is used up.", "Free some space, then try again."),
    errno.EROFS: (
        "storage",
        "The home is on a file system that cannot be written to.",
        "Name another --home.",
    ),
    errno.EACCES: (
        "storage",
        "The home cannot be accessed.",
        "Check who owns the home, or name another --home.",
    ),
    errno.EPERM: (
        "storage",
        "The home cannot be accessed.",
        "Check who owns the home, or name another --home.",
    ),
}


# What to try where an error itself has no better idea.
_HINTS: dict[str, str] = {
    errors.UsageError.code: "`sottovoce --help` lists the verbs; each explains itself with --help.",
    errors.ConfigurationError.code: "Check the SOTTOVOCE_* variables and sottovoce.toml in the home.",
    errors.ConsentRequired.code: "Record the person's consent with `sottovoce consent grant`, then try again.",
    errors.AudioRejected.code: "Check the recording with a player; export it anew as WAV or FLAC.",
    errors.InputUnreadable.code: "Check the path and its permissions.",
    errors.ExtractionFailed.code: "Try once more; `sottovoce doctor` checks the sealed child.",
    errors.NotFound.code: "`sottovoce sessions --subject ID` lists what is held.",
    errors.Conflict.code: "`sottovoce sessions --subject ID` shows what is recorded.",
    errors.IntegrityError.code: "Get the original again from where it came; do not repair it by hand.",
    errors.KeyUnavailable.code: "Put the keys of this home back, or give the right passphrase.",
    errors.StorageError.code: "`sottovoce doctor` checks the home; see to its disk and its permissions.",
    errors.UnknownSigner.code: "Give the signer's identity file with --key, or name the home with --home.",
}


# The same by the reason of an error, where the one of its kind would lead elsewhere.
_REASON_HINTS: dict[str, str] = {
    "extension_used": "`sottovoce requests show CASE` shows its clock.",
    "lifted": "`sottovoce marks --subject ID` shows what stands.",
    "model_exists": "`sottovoce models list` shows what is here.",
    "model_shipped": "`sottovoce models list` shows what is shipped and what is of this home.",
    "not_done": "`sottovoce requests show CASE` says what was asked for.",
    "recipient_ended": "`sottovoce recipients list` shows who receives data.",
    "recipient_exists": "`sottovoce recipients list` shows who receives data.",
    "round_ended": "`sottovoce training list` shows the rounds.",
    "subject_erasing": "It is carried on whenever this home is opened; `sottovoce fsck` says whether it is finished.",
}


class Internal(errors.SottovoceError):
    """Something unexpected happened."""

    code = "internal"
    default_hint = "Run it again with SOTTOVOCE_DEBUG=1 to see where it happened, and report it."


def exit_code(error: errors.SottovoceError) -> int:
    """The exit code of one error; 1 for a code that the table does not know."""
    return EXIT_CODES.get(error.code, SOME_FAILED)


def hint(error: errors.SottovoceError) -> str:
    """What to try: the error's own hint, else the one of its kind."""
    own = error.hint or _REASON_HINTS.get(error.public_code, "")
    return own or _HINTS.get(error.code, "`sottovoce doctor` checks this home and machine.")


def combined(codes: Sequence[int]) -> int:
    """One exit code for several files."""
    kinds = set(codes)
    return kinds.pop() if len(kinds) == 1 else (SOME_FAILED if kinds else OK)


def as_ours(problem: Exception) -> errors.SottovoceError:
    """Any exception as one of our errors, without a word of its own text (it may hold what was said)."""
    if isinstance(problem, errors.SottovoceError):
        return problem
    ours = _translated(problem)
    ours.__cause__ = problem
    return ours


def _translated(problem: Exception) -> errors.SottovoceError:
    if isinstance(problem, OSError) and problem.errno in _STORAGE_REASONS:
        reason, message, hint = _STORAGE_REASONS[problem.errno]
        return errors.StorageError(message, hint=hint, reason=reason)
    return Internal(f"Something unexpected happened ({type(problem).__name__}{_place(problem)}).")


def trace(problem: BaseException) -> str:
    """Where it happened, for SOTTOVOCE_DEBUG=1: frames and names of types; no messages and no values."""
    lines: list[str] = []
    for error in reversed(list(_chain(problem))):
        lines += [line.rstrip() for line in traceback.format_tb(error.__traceback__)]
        lines.append(f"{type(error).__module__}.{type(error).__qualname__}")
    return "\n".join(lines)


def _place(problem: Exception) -> str:
    frames = traceback.extract_tb(problem.__traceback__)
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _chain(problem: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = problem
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
