"""Streams: data and messages apart, nothing that a terminal would obey, colour only where it is wanted."""

from __future__ import annotations

import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.doors.cli.console import Console, OutputClosed, folded, printable


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


def test_a_long_last_column_goes_on_below_itself() -> None:
    line = "copies  erased now, it opens from no copy of the key store after the end of the epoch"
    assert folded(line, 40) == (
        "copies  erased now, it opens from no\n        copy of the key store after the\n        end of the epoch"
    )
    assert folded("one long sentence without columns is left to the terminal", 20).count("\n") == 0


@given(
    st.lists(
        st.lists(st.text("abc", min_size=1, max_size=30), min_size=1, max_size=6), min_size=2, max_size=4
    ),
    st.integers(20, 90),
)
def test_folding_loses_no_word_and_breaks_none(columns: list[list[str]], width: int) -> None:
    line = "  ".join(" ".join(words) for words in columns)
    lines = folded(line, width).split("\n")
    assert " ".join(lines).split() == line.split()
    for one in lines[1:]:
        # longer than the screen only where a single word is, which stays in one piece
        assert len(one) <= width or len(one.split()) == 1


def test_emphasis_takes_no_room_when_a_line_is_folded() -> None:
    plain = "ok    " + "word " * 14 + "end"
    styled = plain.replace("ok", "\x1b[32mok\x1b[0m").replace("end", "\x1b[1mend\x1b[0m")
    assert re.sub("\x1b\\[[0-9;]*m", "", folded(styled, 40)) == folded(plain, 40)


def test_only_a_terminal_folds_and_json_is_never_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    long = "label  " + "word " * 20
    terminal, pipe = Terminal(), io.StringIO()
    Console(terminal, io.StringIO(), {"TERM": "xterm"}).data(long)
    Console(pipe, io.StringIO(), {"TERM": "xterm"}).data(long)
    assert (terminal.getvalue().count("\n") > 1, pipe.getvalue()) == (True, long + "\n")
    terminal = Terminal()
    Console(terminal, io.StringIO(), {"TERM": "xterm"}).json({"words": long})
    assert json.loads(terminal.getvalue()) == {"words": long}
    assert terminal.getvalue().count("\n") == 1
