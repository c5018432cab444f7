"""Print what sottovoce takes on disk here: itself and every package that comes with it, base and extras.

Usage: python scripts/installed_size.py [--record]     --record: also into docs/reference/figures.md

Sizes are the bytes of the files that each distribution lists, compiled `.pyc` files not counted. Only what is
installed is measured; an extra that is not installed is said to be so.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

NAME = re.compile(r"^([A-Za-z0-9._-]+)")
SEEN_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def direct_needs(requirements: list[str], extra: str = "") -> list[str]:
    """Names required always (extra ""), or by that extra only; markers beyond extras: see installed()."""
    needs = []
    for line in requirements:
        marked = SEEN_EXTRA.search(line)
        if (marked[1] if marked else "") == extra:
            match = NAME.match(line)
            needs += [canonical(match[1])] if match else []
    return needs


def closure(names: list[str]) -> dict[str, metadata.Distribution]:
    """Installed distributions of these names and all they need; what another system would need is absent."""
    found: dict[str, metadata.Distribution] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        waiting += direct_needs(found[name].requires or [])
    return found


def size_bytes(distribution: metadata.Distribution) -> int:
    files = [Path(str(file.locate())) for file in distribution.files or [] if file.suffix != ".pyc"]
    return sum(path.stat().st_size for path in files if path.is_file())


def own_size_bytes() -> int:
    package = Path(__file__).resolve().parents[1] / "src" / "sottovoce"
    return sum(path.stat().st_size for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc")


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}"


def requirements() -> tuple[list[str], dict[str, list[str]]]:
    """Direct needs of the base and of each extra, from pyproject.toml."""
    text = (Path(__file__).resolve().parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    return direct_needs(project["dependencies"]), {
        extra: direct_needs(lines) for extra, lines in project["optional-dependencies"].items()
    }


def table() -> str:
    base_needs, extras = requirements()
    base = closure(base_needs)
    sizes = {name: size_bytes(distribution) for name, distribution in base.items()}
    own = own_size_bytes()
    total = own + sum(sizes.values())
    lines = [
        "| what | MB (10^6 bytes) |",
        "|---|---:|",
        f"| **base, everything together** | **{megabytes(total)}** |",
    ]
    lines.append(f"| sottovoce itself | {megabytes(own)} |")
    largest = sorted(sizes, key=lambda name: -sizes[name])
    lines += [f"| {name} {base[name].version} | {megabytes(sizes[name])} |" for name in largest]
    for extra, needs in extras.items():
        more = {name: dist for name, dist in closure(needs).items() if name not in base}
        complete = all(name in more or name in base for name in needs)
        size = megabytes(sum(map(size_bytes, more.values()))) if complete else "not installed here"
        lines.append(f"| extra [{extra}], on top | {size} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    text = table()
    print(text)
    if "--record" in arguments:
        from figures import record

        record("installed-size", "Installed size", text, conditions="files as installed, without .pyc")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
