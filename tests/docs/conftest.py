"""Pages of the documentation and the snippets in them that are run (the scheme is in CONTRIBUTING.md)."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w+) run[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
EXIT = re.compile(r"\s+# exit (\d+)\s*$")


@dataclass(frozen=True)
class Snippet:
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    text: str
    exit_code: int
    output: tuple[str, ...]  # lines expected in this order; others may stand between


def commands_of(text: str) -> list[Command]:
    """`$ command  # exit N` and the lines under it; a command goes on where a line ends in a backslash."""
    found: list[Command] = []
    for line in text.replace("\\\n", "").splitlines():
        if line.startswith("$ "):
            code = EXIT.search(line)
            found.append(Command(EXIT.sub("", line[2:]), int(code[1]) if code else 0, ()))
        elif line.strip() and found:
            last = found[-1]
            found[-1] = Command(last.text, last.exit_code, (*last.output, line))
    return found


def pattern_of(line: str) -> re.Pattern[str]:
    """A line of expected output: `...` stands for anything, any run of blanks for any other."""
    pieces = [r"\s+".join(map(re.escape, piece.split())) for piece in line.strip().split("...")]
    return re.compile(r".*?".join(pieces))


def shows(output: str, expected: tuple[str, ...]) -> str:
    """The first expected line that is not found in order; empty where all are."""
    lines = iter(" ".join(line.split()) for line in output.splitlines())
    for line in expected:
        if line.strip() != "..." and not any(pattern_of(line).search(seen) for seen in lines):
            return line
    return ""


@dataclass(frozen=True)
class Desk:
    """A reader's desk: a folder with the sources, a fresh home, and `sottovoce` on the PATH."""

    folder: Path
    environment: dict[str, str]

    def run(self, snippet: Snippet) -> None:
        if snippet.language == "python":
            self._python(snippet.text)
        elif snippet.language == "console":
            for command in commands_of(snippet.text):
                self._console(command)
        else:
            pytest.fail(f"snippets of {snippet.language} cannot be run")

    def _python(self, text: str) -> None:
        result = self._start([sys.executable, "-W", "error", "-c", text])
        assert result.returncode == 0, f"{text}\n---\n{result.stdout}"

    def _console(self, command: Command) -> None:
        # variables set by one command are there for the next, as in a reader's shell
        kept = self.folder / ".variables"
        script = (
            f"set -a; [ -e {kept} ] && . {kept}\n{command.text}\ncode=$?\nexport -p >{kept}\nexit $code\n"
        )
        result = self._start(["sh", "-c", script])
        assert result.returncode == command.exit_code, f"$ {command.text}\n{result.stdout}"
        missing = shows(result.stdout, command.output)
        assert not missing, f"$ {command.text}\nexpected: {missing}\n--- got:\n{result.stdout}"

    def _start(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=180,
        )


def put_tool(path: Path, command: str) -> None:
    path.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    folder, tools = tmp_path / "desk", tmp_path / "bin"
    folder.mkdir()
    tools.mkdir()
    (folder / "src").symlink_to(ROOT / "src")
    (folder / "examples").symlink_to(ROOT / "examples")
    put_tool(tools / "sottovoce", f"{shlex.quote(sys.executable)} -m sottovoce")
    put_tool(tools / "python", shlex.quote(sys.executable))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SOTTOVOCE_")}
    environment |= {
        "HOME": str(tmp_path / "person"),
        "SOTTOVOCE_HOME": str(tmp_path / "home"),
        "PATH": f"{tools}:{environment.get('PATH', '/usr/bin:/bin')}",
        "PYTHONPATH": str(ROOT / "src"),
        "NO_COLOR": "1",
        "COLUMNS": "100",
    }
    return Desk(folder, environment)


@pytest.fixture(scope="session")
def snippets_of() -> Callable[[Path], list[Snippet]]:
    return lambda page: [Snippet(*found) for found in FENCE.findall(page.read_text(encoding="utf-8"))]
