"""Write docs/reference/cli.md: the help text of every command, exactly as the command line prints it.

Usage: python scripts/cli_reference.py [--check]     --check: write nothing, exit 1 where the page is out of date.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from cyclopts import App
from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "cli.md"
WIDTH = 120
HEAD = """# Command line

Written by `make cli-reference` from the commands themselves: do not edit. Exit codes and error codes have
[a page of their own](errors.md).
"""


def command_paths(app: App, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command, groups before their members, in alphabetical order."""
    yield path
    for name in sorted(app):
        if not name.startswith("-") and app[name].show:
            yield from command_paths(app[name], (*path, name))


def help_text(app: App, path: tuple[str, ...]) -> str:
    out = io.StringIO()
    app.help_print(path, console=Console(file=out, width=WIDTH, color_system=None, force_terminal=False))
    return "\n".join(line.rstrip() for line in out.getvalue().strip("\n").splitlines())


def page(app: App) -> str:
    parts = [HEAD]
    for path in command_paths(app):
        title = " ".join(("sottovoce", *path))
        parts.append(f"## {title}\n\n```text\n{help_text(app, path)}\n```\n")
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    from sottovoce.doors.cli.app import app

    text = page(app)
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PAGE.relative_to(ROOT)} is out of date: run `make cli-reference`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
