"""Words we never use without proof, places and hosts that a repository never names.

Read is every file that git tracks or would add; where there is no git (an unpacked source archive), every file that is
no cache. Left out are files that are no text (a NUL, or not UTF-8: the recording, the model, a compiled library) and
what others wrote and stands here under its licence (vectors/wycheproof): they may name whom they like. Our own vectors
are read like everything else.
"""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
THIS_FILE = Path(__file__).resolve()

# The exact phrases of the design's list "what we never claim"; a new phrase is added here.
NEVER_CLAIMED = (
    "is compliant", "fully compliant", "GDPR compliant", "HIPAA compliant", "certified compliant",
    "anonymous features", "anonymous id", "anonymous data", "fully anonymous", "anonymized data",
    "anonymised audio", "anonymized audio", "anonymised voice", "anonymized voice",
    "deepfake detection", "detects deepfakes", "deepfake detector", "deepfake-proof",
    "irreversible features", "irreversible hash", "cannot be reversed",
    "de-identified", "deidentified",
    "permanently deleted", "all your data has been deleted", "securely deleted", "wiped from disk",
    "deleted instantly", "erased instantly", "deleted everywhere", "erased everywhere",
    "tamper-proof", "tamperproof", "immutable log",
    "server cannot read", "we cannot read", "zero knowledge", "zero-knowledge",
    "is differentially private", "fully private", "mathematically private",
    "never released", "always suppressed",
)  # fmt: skip
BETWEEN = r"(?:\s+|\s*\n\s*(?:#|//+|\*|>)\s*)"  # words of a comment may stand on two lines
PHRASES = re.compile(
    r"(?<!\w)(?:" + "|".join(BETWEEN.join(map(re.escape, p.split())) for p in NEVER_CLAIMED) + r")(?!\w)",
    re.IGNORECASE,
)

# Every address in the repository names a public reference, never a place where packages come from.
KNOWN_HOSTS = {
    "www.apache.org", "www.rfc-editor.org", "www.w3.org", "keepachangelog.com", "semver.org", "doi.org",
    "c2sp.org", "w3c.github.io", "github.com", "csrc.nist.gov", "sqlite.org", "www.sqlite.org",
    "docs.python.org", "www.kernel.org", "man7.org", "diataxis.fr", "www.contributor-covenant.org",
    "creativecommons.org",
    "127.0.0.1", "localhost", "example.org", "example.com",
}  # fmt: skip
ADDRESS = re.compile(r"https?://([^/\s)>\"'`:]+)")
MACHINE_PATHS = re.compile(r"(?<![\w.~-])/(?:work|root|home/\w+|Users/\w+)/")

CACHES = {".git", ".hypothesis", ".coverage", "__pycache__", "node_modules", "dist", "build", "htmlcov"}
ENVIRONMENTS = (".venv", ".opensmile-venv")  # of `make test` and of `make bench-features`
OF_OTHERS = "vectors/wycheproof/"
MAY_NAME_CLAIMS = {"docs/glossary.md", "tests/house/test_words.py"}  # to say why we do not make them


def tracked() -> list[str]:
    """What git tracks or would add, by its path from the root; empty where this is no checkout."""
    if not (ROOT / ".git").exists():
        return []
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        return []
    return [name for name in listed.split("\0") if (ROOT / name).is_file()]


def lying_here() -> list[str]:
    """Every file but those of caches and environments."""
    found = []
    for folder, below, files in os.walk(ROOT):
        below[:] = [name for name in below if not _is_cache(name)]
        found += [(Path(folder) / name).relative_to(ROOT).as_posix() for name in files if not _is_cache(name)]
    return found


def _is_cache(name: str) -> bool:
    return (
        name in CACHES
        or name.startswith(ENVIRONMENTS)
        or name.endswith((".pyc", ".egg-info"))
        or (name.startswith(".") and name.endswith("_cache"))
    )


def text_of(data: bytes) -> str | None:
    """None for a file that is no text."""
    try:
        return None if b"\0" in data else data.decode("utf-8")
    except UnicodeDecodeError:
        return None


@cache
def texts() -> dict[str, str]:
    """Our own files: path from the root -> what stands in it."""
    names = sorted(name for name in tracked() or lying_here() if name and not name.startswith(OF_OTHERS))
    read = ((name, text_of((ROOT / name).read_bytes())) for name in names)
    return {name: text for name, text in read if text is not None}


def found_by(pattern: re.Pattern[str]) -> set[tuple[str, str]]:
    return {(name, match) for name, text in texts().items() for match in pattern.findall(text)}


@pytest.mark.parametrize(
    "name",
    [
        "README.md", "Makefile", "pyproject.toml", ".gitignore", "scripts/lock.sh", "sdk/index.js", "sdk/demo.html",
        "sdk/demo.css", "tests/sdk/model.test.mjs", "src/sottovoce/voice/egemaps/kernels.c",
        "deploy/android/VoiceModel.kt", "deploy/ios/VoiceModel.swift", "vectors/features/compat.json",
    ],
)  # fmt: skip
def test_every_kind_of_text_is_read(name: str) -> None:
    assert name in texts()


def test_what_is_no_text_and_what_others_wrote_is_left_out() -> None:
    left_out = {name for name in tracked() or lying_here() if name not in texts()}
    ours = {name for name in left_out if not name.startswith(OF_OTHERS) and not name.endswith(".so")}
    assert ours == {"src/sottovoce/data/jfk.flac", "src/sottovoce/data/models/apparent-sex.tflite"}
    assert text_of("für alle".encode()) == "für alle"
    assert text_of(b"a\0b") is text_of("für".encode("latin-1")) is None


def test_without_git_nothing_is_overlooked() -> None:
    assert set(tracked()) <= set(lying_here())


def test_nothing_is_claimed_that_nobody_could_prove() -> None:
    assert {(name, words) for name, words in found_by(PHRASES) if name not in MAY_NAME_CLAIMS} == set()


@pytest.mark.parametrize("phrase", NEVER_CLAIMED)
def test_each_phrase_would_be_found(phrase: str) -> None:
    for end in ("\n  ", "\n    # ", "\n// ", "\n * "):
        assert PHRASES.search(f"This {phrase.upper().replace(' ', end)}, they say.")


def test_a_receipt_may_say_what_was_seen() -> None:
    assert not PHRASES.search("body deleted; not found after deletion; the anonymous identity function")


def test_the_repository_names_no_machine() -> None:
    assert {(name, path) for name, path in found_by(MACHINE_PATHS) if ROOT / name != THIS_FILE} == set()


def test_every_address_names_a_known_public_reference() -> None:
    assert {(name, host) for name, host in found_by(ADDRESS) if host not in KNOWN_HOSTS} == set()


def test_a_foreign_host_and_a_machine_path_would_be_found() -> None:
    foreign = ADDRESS.findall("see " + "https:" + "//packages.invalid/simple")
    assert foreign == ["packages.invalid"]
    assert foreign[0] not in KNOWN_HOSTS
    assert MACHINE_PATHS.search("cd " + "/wo" + "rk/main")
