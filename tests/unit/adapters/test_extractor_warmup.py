"""Everything a sealed child needs is loaded before it is confined."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, os, sys
from sottovoce.adapters.extractor.sources import FileSource
from sottovoce.adapters.extractor.warmup import warm_pipeline
from sottovoce.ports import ExtractOptions

pipeline, _ = warm_pipeline(embedding_model=None)
before = set(sys.modules)
for profile in ("compat", "corrected"):
    pipeline(FileSource(os.open(sys.argv[1], os.O_RDONLY)), ExtractOptions(profile=profile))
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_X20_nothing_is_imported_once_the_recording_is_there(jfk_path: Path) -> None:
    """A sealed child may open no file, so all the code that a recording may need is loaded before it is confined."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(jfk_path)], capture_output=True, text=True, check=True, timeout=120
    )
    assert json.loads(done.stdout) == []
