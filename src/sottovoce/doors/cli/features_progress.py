"""How far `sottovoce features` is: bytes of the recordings and files done, on a terminal only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sottovoce.doors.cli.console import Console, printable


class Progress:
    """Says what is worth saying, and nothing else: no bar."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        """A remark for the person."""
        self._console.message(text)

    def begin(self, file: str) -> None:
        """This file is next."""

    def advance(self, size_bytes: int) -> None:
        """So many more bytes were read."""

    def done(self) -> None:
        """One more file is done."""


class Bars(Progress):
    """One bar for the bytes of all recordings, and where there are several one for the files."""

    def __init__(self, console: Console, rich: Any, *, size_bytes: int, files: int) -> None:
        super().__init__(console)
        self._rich = rich
        self._bytes = rich.add_task("reading", total=max(1, size_bytes))
        self._files = rich.add_task("files", total=files) if files > 1 else None
        self._count, self._total = 0, files

    def say(self, text: str) -> None:
        self._rich.console.print(text, soft_wrap=True)

    def begin(self, file: str) -> None:
        self._rich.update(self._bytes, description=printable(file)[-40:])

    def advance(self, size_bytes: int) -> None:
        self._rich.advance(self._bytes, size_bytes)

    def done(self) -> None:
        self._count += 1
        if self._files is not None:
            self._rich.update(self._files, completed=self._count, description=f"files, {self._total} in all")


@contextmanager
def progress(console: Console, *, size_bytes: int, files: int, shown: bool) -> Iterator[Progress]:
    """Bars where standard error is a terminal that can show them and `shown`; else only what is said."""
    rich = console.rich() if shown else None
    if rich is None:
        yield Progress(console)
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    text = TextColumn("{task.description}", markup=False)
    with RichProgress(
        text, BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=rich, transient=True
    ) as bars:
        yield Bars(console, bars, size_bytes=size_bytes, files=files)
