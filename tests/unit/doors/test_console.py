"""Streams: data and messages apart, nothing that a terminal would obey, colour only where it is wanted."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.doors.cli.console import Console, OutputClosed, printable


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@given(st.text(alphabet=st.characters(codec=None)))
def test_nothing_that_a_terminal_obeys_is_printed(text: str) -> None:
    shown = printable(text)
    assert all(ord(c) >= 32 and ord(c) != 127 for c in shown)
    shown.encode("utf-8")  # also half characters from a file's name


def test_a_name_with_an_escape_sequence_is_shown_as_text() -> None:
    assert printable("a\x1b[31mb\n\udcff") == "a\\x1b[31mb\\n\\udcff"


@pytest.mark.parametrize(
    ("stream", "environ", "coloured"),
    [
        (Terminal, {"TERM": "xterm"}, True),
        (Terminal, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Terminal, {"TERM": "dumb"}, False),
        (io.StringIO, {"TERM": "xterm"}, False),
    ],
)
def test_colour_only_on_a_terminal_that_wants_it(
    stream: type[io.StringIO], environ: dict[str, str], coloured: bool
) -> None:
    out, err = stream(), stream()
    console = Console(out, err, environ)
    console.data(console.style.bold("words"))
    console.error(what="No.", code="x", hint="Yes.")
    assert ("\x1b[" in out.getvalue()) is coloured
    assert ("\x1b[" in err.getvalue()) is coloured


def test_progress_is_for_terminals_only() -> None:
    err = io.StringIO()
    with Console(io.StringIO(), err, {"TERM": "xterm"}).progress("working"):
        pass
    assert err.getvalue() == ""


def test_progress_on_a_terminal_goes_to_standard_error() -> None:
    out, err = Terminal(), Terminal()
    with Console(out, err, {"TERM": "xterm"}).progress("working"):
        pass
    assert "working" in err.getvalue()
    assert out.getvalue() == ""


def test_json_is_one_line_of_ascii() -> None:
    out = io.StringIO()
    Console(out, io.StringIO(), {}).json({"file": "höß\udcff\n.wav"})
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().isascii()
    assert json.loads(out.getvalue()) == {"file": "höß\udcff\n.wav"}


def test_an_answer_that_nobody_reads_is_noticed_a_message_is_not() -> None:
    console = Console(Closed(), Closed(), {})
    console.message("lost")
    with pytest.raises(OutputClosed):
        console.data("lost")
