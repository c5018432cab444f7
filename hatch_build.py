"""Build hook: compiles the loops of the feature extractor where a C compiler is found, and goes on without one.

    python hatch_build.py        # by hand, for a checkout that is installed already

One file of plain C, no headers of Python, no further package: src/sottovoce/voice/egemaps/kernels.c becomes
_kernels.so beside it. Without it everything works and gives the same values, more slowly (docs/adr/0012).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOM = Path("src") / "sottovoce" / "voice" / "egemaps"
# No -ffast-math, and no contraction to fused operations: the values are numpy's, to the bit.
FLAGS = ("-std=gnu99", "-O3", "-ffp-contract=off", "-fvisibility=hidden", "-fstack-protector-strong", "-fPIC")
TIMEOUT_S = 120


class CompiledLoops(BuildHookInterface[Any]):
    """Puts the library beside its source and, in a wheel to hand out, names the platform it is for."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        built = compiled(Path(self.root))
        if built is None:
            self.app.display_warning("no C compiler: features are computed by numpy alone, with equal values")
            return
        build_data["artifacts"].append(built.relative_to(self.root).as_posix())
        if version != "editable":
            build_data["pure_python"] = False
            build_data["tag"] = "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")


def compiled(root: Path) -> Path | None:
    """The library, made anew where its source is newer; None where that cannot be done."""
    source, target = root / ROOM / "kernels.c", root / ROOM / "_kernels.so"
    if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
        return target
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        if name and shutil.which(name) and _compiled(name, source, target):
            return target
    return None


def _compiled(compiler: str, source: Path, target: Path) -> bool:
    """Into a file of its own, then renamed: a process that has the old one open keeps it."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".kernels-") as folder:
        made = Path(folder) / target.name
        command = [compiler, *FLAGS, "-shared", str(source), "-o", str(made), "-lm"]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S)
        except (OSError, subprocess.SubprocessError):
            return False
        made.replace(target)
    return True


if __name__ == "__main__":
    found = compiled(Path(__file__).resolve().parent)
    print("compiled" if found else "no C compiler: numpy alone", file=sys.stderr)
