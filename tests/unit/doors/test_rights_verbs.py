"""The verbs of a person's rights on a home of its own: one story, as an operator types it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sottovoce.doors.cli.app import main, verb_first
from sottovoce.doors.cli.console import Console
from sottovoce.errors import StorageError

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(tmp_home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    from dataclasses import replace

    from sottovoce.doors.cli import app

    def run(*arguments: str, home: Path = tmp_home) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        world = replace(app._process(None), console=Console(out, err, {}))
        code = main(["--home", str(home), *arguments], world=world)
        return code, out.getvalue(), err.getvalue()

    return run


def _json(cli: Run, *arguments: str, **given: Any) -> Any:
    code, out, err = cli(*arguments, "--json", **given)
    assert code == 0, err
    return json.loads(out)


def test_options_before_a_group_that_is_a_verb_of_its_own() -> None:
    assert verb_first(["--json", "export", "--subject", "a", "--out", "b"]) == [
        "export", "--json", "--subject", "a", "--out", "b",
    ]  # fmt: skip
    assert verb_first(["--json", "export", "verify", "a.zip"]) == ["export", "verify", "--json", "a.zip"]


def test_a_package_is_made_checked_and_taken_in_by_another_home(cli: Run, tmp_path: Path) -> None:
    """At the command line: export, verify, a tampered file, a home that has no key for it, import."""
    cli("consent", "grant", "--subject", "anna", "--purpose", "voice_recording")
    out = tmp_path / "anna.zip"
    made = _json(cli, "export", "--subject", "anna", "--out", str(out))
    assert made["file"] == str(out)
    assert _json(cli, "export", "verify", str(out))["verified"] is True
    code, text, _ = cli("export", "verify", str(out))
    assert (code, "verified" in text) == (0, True)
    broken = tmp_path / "broken.zip"
    content = bytearray(out.read_bytes())
    content[len(content) // 2] ^= 1
    broken.write_bytes(content)
    assert cli("export", "verify", str(broken))[0] == 5
    other = tmp_path / "other"
    assert cli("export", "verify", str(out), home=other)[0] == 8
    assert cli("import", str(out), home=other)[0] == 8
    key = str(tmp_path / "key.json")
    Path(key).write_text(cli("keys", "identity")[1])
    assert _json(cli, "import", str(out), "--key", key, home=other)["consents"] == 1
    assert cli("import", str(out), "--key", key, home=other)[0] == 2
    assert cli("import", str(broken), "--key", key, home=other)[0] == 5
    assert cli("export", "--subject", "anna", "--out", str(out))[0] == 2  # never over another file
    assert cli("export", "--subject", "nobody", "--out", str(tmp_path / "n.zip"))[0] == 4
    assert cli("export", "verify", str(tmp_path / "none.zip"))[0] == 4
    code, _, err = cli("export", "verify", str(out), "--key", str(broken))
    assert code == 5
    assert "Traceback" not in err


def test_M16_a_package_is_sealed_to_a_key_and_opened_by_it(cli: Run, tmp_path: Path) -> None:
    """A package that is sealed to a person's key opens with that key only, and is then what was signed."""
    cli("consent", "grant", "--subject", "anna", "--purpose", "voice_recording")
    for name in ("a", "b"):
        made = _json(
            cli,
            "export",
            "new-key",
            "--private",
            str(tmp_path / f"{name}.private"),
            "--public",
            str(tmp_path / name),
        )
        assert made["key_id"]
    assert (tmp_path / "a.private").stat().st_mode & 0o777 == 0o600
    assert cli("export", "new-key", "--private", str(tmp_path / "c"), "--public", str(tmp_path / "a"))[0] == 2
    assert not (tmp_path / "c").exists()
    sealed, out = str(tmp_path / "anna.sealed"), str(tmp_path / "anna.zip")
    assert cli("export", "--subject", "anna", "--out", sealed, "--to", str(tmp_path / "a"))[0] == 0
    assert cli("export", "verify", sealed)[0] == 5
    assert cli("export", "open", sealed, "--key", str(tmp_path / "b.private"), "--out", out)[0] == 6
    assert cli("export", "open", sealed, "--key", str(tmp_path / "a"), "--out", out)[0] == 5
    assert not Path(out).exists()
    assert cli("export", "open", sealed, "--key", str(tmp_path / "a.private"), "--out", out)[0] == 0
    assert _json(cli, "export", "verify", out)["verified"] is True
    broken = bytearray(Path(sealed).read_bytes())
    broken[-1] ^= 1
    Path(sealed).write_bytes(broken)
    assert cli("export", "open", sealed, "--key", str(tmp_path / "a.private"), "--out", f"{out}2")[0] == 5
    assert not Path(f"{out}2").exists()


def test_marks_requests_and_the_log_at_the_command_line(cli: Run, tmp_path: Path) -> None:
    """At the command line: restrict, object, hold, a waiting erasure, a case with its clock, the log as a page."""
    cli("consent", "grant", "--subject", "anna", "--purpose", "voice_recording")
    assert cli("restrict", "--subject", "anna", "--reason", "accuracy_contested")[0] == 0
    assert cli("analyze", __file__, "--subject", "anna")[0] == 3
    assert cli("unrestrict", "--subject", "anna")[0] == 0
    assert cli("unrestrict", "--subject", "anna")[0] == 4
    assert cli("object", "--subject", "anna", "--purpose", "research_statistics")[0] == 0
    assert cli("rectify", "--subject", "anna", "--new-id", "anna-2")[0] == 0
    assert cli("rectify", "--subject", "anna-2")[0] == 2
    assert "cold" in cli("rectify", "--subject", "anna-2", "--statement", "I had a cold.")[1]
    case = _json(cli, "requests", "open", "--subject", "anna-2", "--kind", "erasure", "--proof", "seen")["id"]
    late = _json(
        cli, "requests", "open", "--subject", "anna-2", "--kind", "access", "--received-at", "2020-01-01"
    )
    assert late["overdue"] is True
    code, text, _ = cli("requests", "list")
    assert (code, "OVERDUE" in text, "1 overdue" in text) == (1, True, True)
    assert cli("doctor")[0] == 1
    assert cli("requests", "extend", late["id"], "--reason", "complexity")[0] == 2
    assert cli("requests", "extend", case, "--reason", "complexity")[0] == 0
    assert cli("requests", "refuse", late["id"], "--reason", "excessive")[0] == 0
    assert "refused" in cli("requests", "show", late["id"])[1]
    assert cli("requests", "open", "--subject", "anna-2", "--kind", "nonsense")[0] == 2
    held = _json(cli, "hold", "--subject", "anna-2", "--reason", "legal_claims", "--note", "case 1")["marks"][
        0
    ]["id"]
    assert "Nothing was erased" in cli("erase", "--subject", "anna-2")[1]
    assert "GDPR 17(3)(e)" in cli("marks", "--subject", "anna-2")[1]
    page = tmp_path / "log.html"
    code, text, _ = cli("access-log", "--subject", "anna-2", "--html", str(page))
    assert (code, "legal hold" in text) == (0, True)
    assert "<script" not in page.read_text()
    assert _json(cli, "lift", held)["erasures_run"] == 1
    assert cli("access-log", "--subject", "anna-2")[0] == 4
    assert _json(cli, "requests", "close", case)["state"] == "closed"
    assert [one["id"] for one in _json(cli, "requests", "list", "--all")] == [late["id"], case]
    assert cli("verify", _json(cli, "requests", "show", case)["receipt"])[0] == 0
    assert cli("facts", "ses_" + "a" * 24)[0] == 4


def test_an_erasure_names_its_request_before_it_begins(run: Callable[..., Any], platform: Any) -> None:
    """Also where nothing comes after it; not where the request was given, or nothing is done."""
    named = "req_" + "e" * 24
    line = f"request ID: {named}; repeat with --request-id {named} if interrupted\n"
    erase = ("erase", "--subject", "anna")
    assert run(*erase).err == line
    told = run(*erase, "--json")
    assert (told.err, len(told.lines)) == (line, 1)
    assert [given["request_id"] for verb, _, given in platform.asked if verb == "erase"] == [named] * 2
    platform.fails["erase"] = StorageError("The disk went away.")
    assert run(*erase).err.startswith(line)
    del platform.fails["erase"]
    for quiet in (("--dry-run",), ("--request-id", "req_" + "c" * 24)):
        assert run(*erase, *quiet).err == ""
