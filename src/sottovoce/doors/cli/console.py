"""Where words go: data to standard output, messages to standard error, progress on a terminal only.

What a terminal would obey (escape sequences in a file's name) is printed as visible text. Colour is used on a
terminal, unless NO_COLOR is set or the terminal is dumb.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

Payload = Mapping[str, object] | list[dict[str, object]]
MAXIMUM_WIDTH = 110
LINE_EVERY_S = 10.0
_ESCAPES = re.compile("\x1b\\[[0-9;]*m")
_GAP = re.compile(r"(?<=\S) {2,}(?=\S)")
_WORDS = re.compile(r"\S+ *")


class OutputClosed(Exception):
    """Whoever read our output stopped reading, or it cannot be written."""


@dataclass(frozen=True, slots=True)
class Style:
    """Emphasis for one stream: plain text where colour is off."""

    on: bool = False

    def bold(self, text: str) -> str:
        return self._wrap("1", text)

    def dim(self, text: str) -> str:
        return self._wrap("2", text)

    def good(self, text: str) -> str:
        return self._wrap("32", text)

    def warn(self, text: str) -> str:
        return self._wrap("33", text)

    def bad(self, text: str) -> str:
        return self._wrap("31", text)

    def _wrap(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.on and text else text


@dataclass(frozen=True, slots=True)
class Console:
    """The two streams of a command."""

    stdout: TextIO
    stderr: TextIO
    environ: Mapping[str, str]

    @property
    def style(self) -> Style:
        """Emphasis for standard output."""
        return Style(self._colour(self.stdout))

    @property
    def width(self) -> int:
        return min(MAXIMUM_WIDTH, shutil.get_terminal_size((MAXIMUM_WIDTH, 24)).columns)

    def data(self, text: str) -> None:
        """One piece of the answer, on standard output; raises OutputClosed.

        On a terminal the last column of a line that is too long goes on below itself; in a pipe lines stay whole.
        """
        if self._interactive(self.stdout):
            text = folded(text, self.width)
        self._write(text)

    def _write(self, text: str) -> None:
        try:
            self.stdout.write(text + "\n")
            self.stdout.flush()
        except (OSError, ValueError) as problem:
            raise OutputClosed from problem

    def json(self, payload: Payload) -> None:
        """One JSON document on one line: ASCII only, so that any reader and any name of a file fits."""
        self._write(json.dumps(payload, ensure_ascii=True, allow_nan=False))

    def message(self, text: str) -> None:
        """A remark for the person, on standard error; nothing is lost where nobody listens."""
        with suppress(OSError, ValueError):
            self.stderr.write(text + "\n")
            self.stderr.flush()

    def error(self, *, what: str, code: str, hint: str = "", about: str = "") -> None:
        """What happened, its stable code, and what to try."""
        style = Style(self._colour(self.stderr))
        subject = f"{printable(about)}: " if about else ""
        self.message(f"{style.bad('error')}: {subject}{printable(what)} [{code}]")
        if hint:
            self.message(f"  {style.bold('try')}: {printable(hint)}")

    @contextmanager
    def progress(self, text: str) -> Iterator[None]:
        """A moving sign that something runs, only where standard error is a terminal that can show it."""
        rich = self.rich()
        if rich is None:
            yield
            return
        with rich.status(printable(text), spinner="dots"):
            yield

    @contextmanager
    def bar(self, doing: str, total: int) -> Iterator[Callable[[], None]]:
        """Progress over `total` things with rate and time left; call what is given once for each that is done.

        On a terminal a bar that moves; elsewhere a line now and then, so that a log tells how far it is.
        """
        rich = self.rich()
        if rich is None:
            lines = _Lines(doing, total, self.message)
            yield lines.advance
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        rate = TextColumn("{task.fields[rate]}")
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            rate,
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=rich, transient=True) as progress:
            task = progress.add_task(printable(doing), total=total, rate="")

            def advance() -> None:
                speed = progress.tasks[0].speed
                progress.update(task, advance=1, rate="" if speed is None else f"{speed:.1f}/s")

            yield advance

    def rich(self) -> RichConsole | None:
        """Standard error for what moves; None where it is no terminal that can show it."""
        if not self._interactive(self.stderr):
            return None
        from rich.console import Console as RichConsole

        return RichConsole(
            file=self.stderr, no_color="NO_COLOR" in self.environ, highlight=False, markup=False,
            _environ=self.environ,  # else rich asks the process for TERM again
        )  # fmt: skip

    def _interactive(self, stream: TextIO) -> bool:
        return stream.isatty() and self.environ.get("TERM", "") not in ("", "dumb")

    def _colour(self, stream: TextIO) -> bool:
        return not self.environ.get("NO_COLOR") and self._interactive(stream)


@dataclass
class _Lines:
    """Progress for a log: a line every few seconds, and none for what is quick."""

    doing: str
    total: int
    say: Callable[[str], None]
    done: int = 0
    started_s: float = field(default_factory=time.monotonic)
    said_s: float = field(default_factory=time.monotonic)

    def advance(self) -> None:
        self.done += 1
        now_s = time.monotonic()
        if now_s - self.said_s < LINE_EVERY_S:
            return
        self.said_s = now_s
        rate = self.done / (now_s - self.started_s)
        left_s = round((self.total - self.done) / rate)
        self.say(
            f"{self.doing}: {self.done} of {self.total}, {rate:.1f}/s, about {left_s // 60}:{left_s % 60:02} left"
        )


def folded(text: str, width: int) -> str:
    """The text with every line of columns (two spaces apart) that is longer than `width` gone on below its last
    column; words, ids and paths stay in one piece, because people copy them. Other lines are left to the terminal."""
    return "\n".join(_folded(line, width) for line in text.split("\n"))


def _folded(line: str, width: int) -> str:
    if _shown(line) <= width:
        return line
    gaps = [gap.end() for gap in _GAP.finditer(line)]
    if not gaps:
        return line
    # A last column that begins too far to the right has no room to go on below itself.
    start = next((end for end in reversed(gaps) if _shown(line[:end]) <= width * 0.6), gaps[0])
    indent = min(_shown(line[:start]), width // 2)
    lines, here = [line[:start]], _shown(line[:start])
    for place, word in enumerate(_WORDS.findall(_GAP.sub("  ", line[start:]))):
        size = _shown(word.rstrip(" "))
        if place and here + size > width:
            lines.append(" " * indent)
            here = indent
        lines[-1] += word
        here += _shown(word)
    return "\n".join(one.rstrip(" ") for one in lines)


def _shown(text: str) -> int:
    return len(_ESCAPES.sub("", text))


def printable(text: str) -> str:
    """The text with every character that a terminal would obey, or that cannot be encoded, made visible."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
