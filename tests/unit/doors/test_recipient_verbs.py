"""recipients and feed on a home of its own: as an operator types it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sottovoce.adapters.database import SqliteDatabase
from sottovoce.app import Settings, assemble, connect
from sottovoce.doors.cli import app
from sottovoce.doors.cli.app import main
from sottovoce.doors.cli.console import Console

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(tmp_home: Path) -> Run:
    def run(*arguments: str, later: timedelta = timedelta(0)) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()

        def opened(home: Path | None, /, **given: str) -> Any:
            """The home with the database's time moved on."""
            real = connect(Settings(home=home or tmp_home, **given))  # type: ignore[arg-type]
            database = SqliteDatabase(tmp_home / "sottovoce.db", offset=later, reserve_bytes=1 << 16)
            closing = (*real.closing, database.close)
            return assemble(replace(real, database=database, closing=closing), Settings(home=tmp_home))

        world = replace(app._process(None), console=Console(out, err, {}))
        if later:
            world = replace(world, open_platform=opened)
        code = main(["--home", str(tmp_home), *arguments], world=world)
        return code, out.getvalue(), err.getvalue()

    return run


def _json(cli: Run, *arguments: str) -> Any:
    code, out, err = cli(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.fixture
def recipient(cli: Run) -> str:
    cli("consent", "grant", "--subject", "anna", "--purpose", "voice_recording", "model_training")
    made = _json(cli, "recipients", "add", "Lab \x41", "--kind", "outside")
    assert made["name"] == "Lab A"
    return str(made["id"])


def test_recipients_are_listed_shown_and_ended(cli: Run, recipient: str, tmp_path: Path) -> None:
    assert cli("recipients", "add", "Lab A", "--kind", "team")[0] == 2
    assert cli("recipients", "add", "Other", "--kind", "friend")[0] == 2
    assert "Lab A" in cli("recipients", "list")[1]
    assert [one["id"] for one in _json(cli, "recipients", "list")] == [recipient]
    key = tmp_path / "key.json"
    assert "0 people" in cli("recipients", "show", recipient, "--key-out", str(key))[1]
    assert (json.loads(key.read_text())["recipient"], key.stat().st_mode & 0o777) == (recipient, 0o600)
    assert cli("recipients", "show", recipient, "--key-out", str(key))[0] == 2  # never over another file
    assert cli("recipients", "show", "rcp_" + "a" * 24)[0] == 4
    assert cli("recipients", "show", "anna")[0] == 2
    assert "told on of what it has" in cli("recipients", "end", recipient)[1]
    assert "ended" in cli("recipients", "list")[1]


def test_what_was_handed_over_by_hand_is_written_down_and_shown(cli: Run, recipient: str) -> None:
    given = (
        "--subject",
        "anna",
        "--recipient",
        recipient,
        "--purpose",
        "model_training",
        "--what",
        "features",
    )
    assert "Nothing was handed over" in cli("recipients", "list", "--subject", "anna")[1]
    made = _json(cli, "recipients", "disclose", *given, "--at", "2026-03-01", "--note", "by courier")
    assert made["recipient_id"] == recipient
    text = cli("recipients", "list", "--subject", "anna")[1]
    assert "2026-03-01" in text
    assert "by courier" in text
    assert made["subject"][:16] in text
    assert cli("recipients", "disclose", *given, "--at", "2999-01-01")[0] == 2
    assert cli("recipients", "list", "--subject", "nobody")[0] == 4


def test_C15b_the_status_ends_with_one_where_a_recipient_is_overdue(cli: Run, recipient: str) -> None:
    """A recipient that is overdue shows in the exit code, so that a timer can raise an alarm."""
    given = (
        "--subject",
        "anna",
        "--recipient",
        recipient,
        "--purpose",
        "model_training",
        "--what",
        "features",
    )
    cli("recipients", "disclose", *given)
    cli("requests", "open", "--subject", "anna", "--kind", "erasure")
    case = _json(cli, "requests", "list")[0]["id"]
    assert "not applied yet" in cli("requests", "close", case)[1]
    assert cli("feed", "status")[0] == 0
    code, text, _ = cli("feed", "status", later=timedelta(days=8))
    assert code == 1
    assert "OVERDUE" in text
    assert "OVERDUE" in cli("requests", "show", case, later=timedelta(days=8))[1]
    text = cli("requests", "list", "--all", later=timedelta(days=8))[1]
    assert "1 told and not done in time" in text
    code, text, _ = cli("doctor", later=timedelta(days=8))
    assert code == 1
    assert "Lab A: 1 not acknowledged" in text


def test_a_page_goes_to_standard_output_and_pages_to_a_folder(
    cli: Run, recipient: str, tmp_path: Path
) -> None:
    given = (
        "--subject",
        "anna",
        "--recipient",
        recipient,
        "--purpose",
        "model_training",
        "--what",
        "features",
    )
    cli("recipients", "disclose", *given)
    for _ in range(3):
        cli("rectify", "--subject", "anna", "--statement", "x")
    code, text, _ = cli("feed", "export", "--recipient", recipient, "--limit", "2")
    assert (code, len(json.loads(text)["body"]["entries"])) == (0, 2)
    pages = tmp_path / "new" / "pages"
    made = _json(cli, "feed", "export", "--recipient", recipient, "--limit", "2", "--folder", str(pages))
    assert [Path(page).name for page in made["pages"]] == ["feed-00000000.json", "feed-00000002.json"]
    assert (pages / "feed-00000000.json").read_text().strip() == text.strip()
    assert (
        cli("feed", "export", "--recipient", recipient, "--folder", str(pages))[0] == 2
    )  # never over another
    for arguments in (("--after", "9"), ("--limit", "0"), ("--limit", "1001"), ("--after", "-1")):
        assert cli("feed", "export", "--recipient", recipient, *arguments)[0] == 2
    assert cli("feed", "acknowledge", str(pages / "feed-00000000.json"))[0] == 5
    assert cli("feed", "acknowledge", str(tmp_path / "none.json"))[0] == 4


def test_nobody_is_told_where_nobody_receives(cli: Run) -> None:
    for verb in (("recipients", "list"), ("feed", "status")):
        assert cli(*verb)[:2] == (0, "Nobody receives data from this home.\n")
