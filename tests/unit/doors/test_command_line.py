"""Arguments in, exit code out: every verb explains itself, options stand where people put them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App

from sottovoce import __version__
from sottovoce.doors.cli.app import app, verb_first
from sottovoce.doors.cli.verbs import VERBS, quick_answer, root_help
from sottovoce.errors import UsageError

RUNNABLE = [
    ("doctor",), ("worker", "--once"), ("retry", "ses_" + "a" * 24), ("sessions", "--subject", "anna"),
    ("show", "ses_" + "a" * 24, "--purpose", "subject_access"), ("consent", "show", "--subject", "anna"),
    ("consent", "grant", "--subject", "anna", "--purpose", "voice_recording"),
    ("consent", "refuse", "--subject", "anna", "--purpose", "voice_recording"),
    ("consent", "withdraw", "--subject", "anna", "--purpose", "voice_recording"),
    ("erase", "--subject", "anna"), ("sweep",), ("audit", "verify"), ("audit", "show"),
    ("audit", "checkpoint"), ("audit", "prove", "evt_" + "d" * 24), ("audit", "report"), ("keys", "status"),
    ("keys", "rotate"), ("keys", "identity"), ("analyze", "a.wav", "--subject", "anna"),
    ("submit", "a.wav", "--subject", "anna"),
]  # fmt: skip


def leaves(start: App = app, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    names = [name for name in start if not name.startswith("-")]
    return (
        [path]
        if path and not names
        else [leaf for name in names for leaf in leaves(start[name], (*path, name))]
    )


@pytest.mark.parametrize("path", leaves(), ids=" ".join)
def test_every_verb_has_a_summary_and_an_example(path: tuple[str, ...]) -> None:
    command: Any = app
    for name in path:
        command = command[name]
    text = command.default_command.__doc__ or ""
    assert text.splitlines()[0].endswith(".")
    assert f"For example:\n      sottovoce {' '.join(path)}" in text


@pytest.mark.parametrize("name", VERBS)
def test_the_list_of_verbs_says_what_the_verbs_say(name: str) -> None:
    command = app[name]
    words = command.default_command.__doc__ if command.default_command else command.help
    assert (words or "").splitlines()[0] == VERBS[name].summary


@pytest.mark.parametrize("path", leaves(), ids=" ".join)
def test_every_verb_prints_its_help_with_the_example(
    path: tuple[str, ...], run: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*path, "--help").code == 0
    shown = capsys.readouterr().out
    assert f"Usage: sottovoce {' '.join(path)}" in shown
    assert f"  sottovoce {' '.join(path)}" in shown.partition("For example:")[2]
    assert "--json" in shown
    assert "--home" in shown


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_the_front_page_lists_every_verb(arguments: tuple[str, ...], run: Callable[..., Any]) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (0, root_help() + "\n")
    assert all(f"  {name} " in result.out for name in VERBS)


def test_the_slow_way_to_the_front_page_prints_the_same(
    run: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert quick_answer(["--home", "x", "--help"]) is None
    assert run("--home", "x", "--help").code == 0
    assert capsys.readouterr().out.strip() == root_help()


@pytest.mark.parametrize("arguments", [("version",), ("--version",)])
def test_version(arguments: tuple[str, ...], run: Callable[..., Any]) -> None:
    assert run(*arguments).out.strip() == __version__
    assert run("version", "--json").json == {"version": __version__}


@pytest.mark.parametrize("arguments", RUNNABLE, ids=" ".join)
@pytest.mark.parametrize("form", ["{home} {verb}", "{verb} {home}", "{json} {home} {verb}", "{home=} {verb}"])
def test_home_and_json_stand_before_or_after_the_verb(
    arguments: tuple[str, ...], form: str, run: Callable[..., Any], platform: Any
) -> None:
    parts = {
        "{home}": ["--home", "h"],
        "{home=}": ["--home=h"],
        "{json}": ["--json"],
        "{verb}": list(arguments),
    }
    line = [word for part in form.split() for word in parts[part]]
    result = run(*line, *([] if "--json" in line else ["--json"]))
    assert result.code in (0, 1), result.err
    assert platform.opened_with == [Path("h")]
    assert result.lines
    assert platform.closed == 1


def test_home_between_a_group_and_its_verb() -> None:
    assert verb_first(["consent", "--home", "h", "show", "--json"]) == [
        "consent",
        "show",
        "--home",
        "h",
        "--json",
    ]
    assert verb_first(["--json", "erase", "--subject", "--home"]) == [
        "erase",
        "--json",
        "--subject",
        "--home",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("analyse", "a.wav"), "analyze"),
        (("analyze", "--subject", "anna"), "`sottovoce analyze` needs FILES."),
        (("analyze", "a.wav", "--subject"), "--subject needs a value."),
        (("consent", "grant", "--subjct", "anna"), "Did you mean --subject instead of --subjct?"),
        (("keys", "recipient", "retire"), "`sottovoce keys recipient retire` needs KEY."),
        (("rectify", "--subject", "anna"), "--statement"),
        (("analyze", "a.wav"), "--subject"),
        (("sessions", "--subject", "anna", "--nope"), "--nope"),
        (("consent", "grunt"), "grant"),
        (("consent", "grant", "--subject", "anna", "--purpose", "everything"), "no purpose"),
        (("consent", "grant", "--subject", "anna", "--purpose", "subject_access"), "right"),
        (
            ("consent", "withdraw", "--subject", "a", "--purpose", "embedding", "--occurred-at", "noon"),
            "time",
        ),
        (("audit", "show", "--limit", "many"), "--limit"),
        (("keys", "identity", "--dry-run"), "nothing to try"),
        (("sweep", "--home", ""), "empty"),
        (("analyze", "a", "b", "--subject", "anna", "--idempotency-key", "k"), "one recording"),
    ],
)
def test_what_is_not_well_formed_ends_with_2_and_says_how(
    arguments: tuple[str, ...], words: str, run: Callable[..., Any], platform: Any
) -> None:
    result = run(*arguments)
    assert result.code == 2
    assert words in result.err
    assert "  try: " in result.err
    assert result.out == ""
    assert platform.asked == []
    as_json = run(*arguments, "--json")
    assert as_json.code == 2
    assert set(as_json.json["error"]) == {"code", "kind", "message", "hint"}


def test_ctrl_c_ends_with_130_and_closes_everything(run: Callable[..., Any], platform: Any) -> None:
    platform.fails["a.wav"] = KeyboardInterrupt()
    result = run("analyze", "a.wav", "b.wav", "--subject", "anna")
    assert (result.code, result.err.strip()) == (130, "stopped")
    assert platform.closed == 1
    assert [arguments for _, arguments, _ in platform.asked] == [("a.wav",)]


def test_a_stopped_ingest_says_how_to_go_on(run: Callable[..., Any], platform: Any, tmp_path: Path) -> None:
    platform.answers["unwilling"] = ()
    platform.fails["unwilling"] = KeyboardInterrupt()
    result = run("ingest", str(tmp_path), "--subject-from", "name")
    assert result.code == 130
    assert "run it again for the rest" in result.err


def test_a_usage_error_without_a_hint_of_its_own_names_the_help_of_its_verb(
    run: Callable[..., Any], platform: Any
) -> None:
    platform.answers["finish_training"] = None
    platform.fails["finish_training"] = UsageError("The hash of a model is something else.")
    result = run("training", "finish", "rnd_x", "--model-hash", "zz", "--version", "1")
    assert "`sottovoce training finish --help`" in result.err


def test_a_defect_is_one_line_and_its_place_only_on_request(run: Callable[..., Any], platform: Any) -> None:
    platform.fails["sweep"] = RuntimeError("my name is Anna")
    quiet = run("sweep")
    assert quiet.code == 1
    assert "[internal]" in quiet.err
    assert "File" not in quiet.err
    loud = run("sweep", environ={"SOTTOVOCE_DEBUG": "1"})
    assert "builtins.RuntimeError" in loud.err
    assert "Anna" not in quiet.err + loud.err + quiet.out + loud.out


def test_output_that_nobody_reads_ends_quietly(run: Callable[..., Any]) -> None:
    class Gone:
        def write(self, _: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None: ...

        def isatty(self) -> bool:
            return False

    result = run("sessions", "--subject", "anna", stdout=Gone())
    assert (result.code, result.err) == (1, "")
