"""The command line put together: arguments in, exit code out, and no traceback on the way.

Options that every verb has may stand before the verb as well as after it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter

from sottovoce import __version__
from sottovoce.doors.cli import errors, payloads
from sottovoce.doors.cli.console import Console, OutputClosed
from sottovoce.doors.cli.verbs import SECTIONS, VERBS, quick_answer, root_help
from sottovoce.doors.cli.world import WorkerLoop, World
from sottovoce.errors import IntegrityError, SottovoceError, UsageError

if TYPE_CHECKING:
    from sottovoce.app import Platform
    from sottovoce.model.corpus import Corpus
    from sottovoce.model.outcome import ArchiveOutcome, VerifiedProof
    from sottovoce.sealing.receipt import Receipt

_GROUPS = {
    "backup",
    "retention",
    "consent",
    "keys",
    "audit",
    "export",
    "requests",
    "models",
    "recipients",
    "feed",
    "decisions",
    "training",
    "tombstones",
}
_NESTED = ["keys", "recipient"]  # a group inside a group
# What somebody who has stopped a long verb wants to know.
_RESUMED = {
    "ingest": ": what was taken in stays; run it again for the rest, nothing is taken in twice",
    "seal": ": what was sealed stays; run it again for the rest, nothing is sealed twice",
}


class Front(App):
    """The root of the commands; its help is the table of verbs."""

    def help_print(self, tokens: Any = None, *, console: Any = None) -> None:
        if any(token in VERBS for token in tokens or ()):
            super().help_print(tokens, console=console)
        else:
            (console or self.console).print(root_help(), markup=False, highlight=False, soft_wrap=True)


def _build() -> App:
    front = Front(
        name="sottovoce",
        version=__version__,
        help="Learn from voices without keeping them.",
        help_formatter="plain",
        help_format="plaintext",
        default_parameter=Parameter(negative=(), show_default=False),
    )
    for _, verbs in SECTIONS:
        for verb in verbs:
            front.command(f"{__package__}.{verb.target}", name=verb.name)
    return front


app = _build()


class _Terminated(BaseException):
    """SIGTERM: end like Ctrl-C, so that everything opened is closed."""


def main(
    arguments: Sequence[str] | None = None,
    *,
    run_worker: WorkerLoop | None = None,
    world: World | None = None,
) -> int:
    """Run one command line; returns its exit code. Messages go to the streams of `world` (default: the process's)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    outside = world or _process(run_worker)
    try:
        with _sigterm():
            return _run(given, outside)
    except OutputClosed:
        _forget(sys.stdout)
        return errors.SOME_FAILED
    except KeyboardInterrupt:
        outside.console.message("stopped" + _RESUMED.get((verb_first(given) or [""])[0], ""))
        return errors.INTERRUPTED
    except _Terminated:
        outside.console.message("stopped" + _RESUMED.get((verb_first(given) or [""])[0], ""))
        return errors.TERMINATED


def _run(given: list[str], world: World) -> int:
    try:
        answer = quick_answer(given)
        if answer is not None:
            world.console.data(answer)
            return errors.OK
        return _command(verb_first(given), world)
    except (OutputClosed, SystemExit):
        raise
    except Exception as problem:
        error = errors.as_ours(problem)
        if isinstance(error, UsageError) and not error.hint:
            error.hint = _explained(verb_first(given))
        if "--json" in given:
            world.console.json({"error": payloads.error_object(error)})
        world.console.error(what=error.message, code=error.public_code, hint=errors.hint(error))
        world.debug(error)
        return errors.exit_code(error)


def _command(arguments: list[str], world: World) -> int:
    _check_verb(arguments)
    command, bound, ignored = _parsed(arguments)
    extra = {"world": world} if "world" in ignored else {}
    result = command(*bound.args, **bound.kwargs, **extra)
    return result if isinstance(result, int) else errors.OK


def _check_verb(arguments: list[str]) -> None:
    word = arguments[0] if arguments else ""
    if word in VERBS or word.startswith("-"):
        return
    near = get_close_matches(word, VERBS, n=1)
    hint = f"Did you mean `{near[0]}`? " if near else ""
    raise UsageError(f"There is no verb {word!r}.", hint=hint + "`sottovoce --help` lists the verbs.")


def _parsed(arguments: list[str]) -> tuple[Callable[..., Any], Any, dict[str, Any]]:
    try:
        return app.parse_args(arguments, print_error=False, exit_on_error=False)
    except CycloptsError as problem:
        raise UsageError(_words(problem, arguments), hint=_explained(arguments)) from None


def _words(problem: CycloptsError, arguments: list[str]) -> str:
    """What is wrong with a command line, in words of ours where the parser's are easily misread."""
    text = " ".join(str(problem).split())
    if isinstance(problem, MissingArgumentError) and problem.argument is not None:
        near = " Did you mean" + text.partition("Did you mean")[2] if "Did you mean" in text else ""
        if problem.keyword is not None:
            return f"{problem.keyword} needs a value.{near}"
        return f"`sottovoce {' '.join(_verb_path(arguments))}` needs {problem.argument.name}.{near}"
    return text


def _explained(arguments: list[str]) -> str:
    """Where the verb of this command line is explained."""
    verb = " ".join(_verb_path(arguments))
    return f"`sottovoce {verb} --help` explains it." if verb else "`sottovoce --help` lists the verbs."


def verb_first(arguments: list[str]) -> list[str]:
    """The same command line with the options that stood before the verb behind it."""
    early: list[str] = []
    rest = list(arguments)
    path: list[str] = []
    while rest and (word := rest.pop(0)):
        if word == "--home" and rest:
            early += [word, rest.pop(0)]
        elif word == "--json" or word.startswith("--home="):
            early.append(word)
        elif path and word.startswith("-"):  # a group that is a verb of its own
            rest.insert(0, word)
            break
        else:
            path.append(word)
            if not (len(path) == 1 and word in _GROUPS) and path != _NESTED:
                break
    return [*path, *early, *rest]


def _verb_path(arguments: list[str]) -> list[str]:
    if not arguments or arguments[0] not in VERBS:
        return []
    path, group = arguments[:1], app[arguments[0]]
    for word in arguments[1:3]:
        if word.startswith("-") or word not in group:
            break
        path, group = [*path, word], group[word]
    return path


def _process(run_worker: WorkerLoop | None) -> World:
    """The world of a real process. The platform is imported when a command opens it, not before."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    return World(
        console=Console(sys.stdout, sys.stderr, os.environ),
        open_platform=_open_platform,
        verify_receipt=_verify_receipt,
        verify_proof=_verify_proof,
        verify_archive=_verify_archive,
        run_worker=run_worker or _no_worker,
        read_corpus=_read_corpus,
    )


def _open_platform(home: Path | None, /, **settings: str) -> Platform:
    from sottovoce import app as house

    return house.open(home=home, **settings)


def _read_corpus(folder: Path, subject_from: str, /) -> Corpus:
    from sottovoce import app as house

    return house.read_corpus(folder, subject_from)


def _verify_proof(text: str, /, *, key: str | None, home: Path | None) -> VerifiedProof:
    from sottovoce import app as house
    from sottovoce.settings import default_home

    return house.verify_proof(text, key=key, home=home or default_home())


def _verify_archive(path: Path, /, *, key: str | None, home: Path | None) -> ArchiveOutcome:
    from sottovoce import app as house
    from sottovoce.settings import default_home

    return house.verify_archive(path, key=key, home=home or default_home())


def _verify_receipt(text: str, /, *, key: str | None, home: Path | None) -> Receipt:
    from sottovoce import app as house
    from sottovoce.settings import default_home

    try:
        return house.verify_receipt(text, key=key, home=home or default_home())
    except UnicodeDecodeError:
        raise IntegrityError(
            "The identity that this home has pinned is damaged.",
            hint="Give the signer's identity file with --key.",
        ) from None


def _no_worker(*_: object, **__: object) -> NoReturn:
    raise SottovoceError(
        "This command line was started without a worker.", hint="Run it as `sottovoce worker`."
    )


@contextmanager
def _sigterm() -> Iterator[None]:
    """SIGTERM ends a command in an orderly way, in the main thread of a process; elsewhere it is left alone."""

    def terminate(*_: object) -> NoReturn:
        raise _Terminated

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _forget(stream: Any) -> None:
    """Nobody reads this stream any more: let the interpreter's last flush go nowhere."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
