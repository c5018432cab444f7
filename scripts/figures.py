"""Keep docs/reference/figures.md: the last figures of each campaign, with the conditions they were taken under.

For scripts:            from figures import record; record("bench-sealing", "Sealing", table, conditions="...")
On the command line:    some-script | python scripts/figures.py NAME "Title" [CONDITIONS]

Each campaign owns one section, found again by its name; the other sections stay as they are.
"""

from __future__ import annotations

import datetime
import os
import platform
import re
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "figures.md"
HEAD = """# Figures

Every figure of the documentation comes from a script of this repository, which writes its last result here with
the conditions it was taken under. Read ratios rather than absolute times: machines differ, and other work may
have run beside. `make figures` takes them anew.
"""
SECTION = "<!-- figures: {name} -->\n{body}\n<!-- end: {name} -->\n"


def machine() -> str:
    """What a reader needs to weigh a figure: processors, Python, system. No host name, no path."""
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {platform.machine()}, {platform.system()}, CPython {platform.python_version()}"


def section(name: str, title: str, body: str, conditions: str, day: datetime.date) -> str:
    note = "; ".join(part for part in (day.isoformat(), machine(), conditions) if part)
    return SECTION.format(name=name, body=f"## {title}\n\n{body.strip()}\n\n*Conditions: {note}.*")


def replaced(page: str, name: str, text: str) -> str:
    """The page with this section in place of the one of that name, or at its end."""
    found = re.compile(SECTION.format(name=re.escape(name), body=".*?"), re.DOTALL)
    if found.search(page):
        return found.sub(lambda _: text, page)
    return page.rstrip("\n") + "\n\n" + text


def record(name: str, title: str, body: str, *, conditions: str = "", page: Path = PAGE) -> None:
    """Write one section; `body` is Markdown (a table, as a rule)."""
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise ValueError("the name of a section is made of a-z, 0-9 and -")
    before = page.read_text(encoding="utf-8") if page.exists() else HEAD
    today = datetime.datetime.now(datetime.UTC).date()
    page.write_text(replaced(before, name, section(name, title, body, conditions, today)), encoding="utf-8")


def main(arguments: list[str]) -> int:
    if not 2 <= len(arguments) <= 3:
        print(__doc__, file=sys.stderr)
        return 2
    record(arguments[0], arguments[1], sys.stdin.read(), conditions="".join(arguments[2:]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
