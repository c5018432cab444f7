"""Words we never use without proof, places and hosts that a repository never names."""

from __future__ import annotations

import re
from collections.abc import Iterator
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
PHRASES = re.compile(
    r"(?<!\w)(?:" + "|".join(r"\s+".join(map(re.escape, p.split())) for p in NEVER_CLAIMED) + r")(?!\w)",
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

SKIPPED_FOLDERS = {".git", "__pycache__", "node_modules", "dist", "build", "htmlcov"}
ENVIRONMENTS = (".venv", ".opensmile-venv")  # of `make test` and of `make bench-features`
TEXT = {".py", ".md", ".toml", ".txt", ".sh", ".svg", ".json", ".csv", ".ini", ".mako", ".yaml", ".yml", ""}


def text_files(*folders: str) -> Iterator[Path]:
    """Files of the repository that people read, without caches and environments."""
    for folder in folders:
        start = ROOT / folder
        for path in [start] if start.is_file() else sorted(start.rglob("*")):
            hidden = any(part in SKIPPED_FOLDERS or part.startswith(ENVIRONMENTS) for part in path.parts)
            cache = any(part.startswith(".") and part.endswith("_cache") for part in path.parts)
            if path.is_file() and not hidden and not cache and path.suffix in TEXT:
                yield path


def repository() -> list[Path]:
    """Our own files; what others wrote, and stands here under its licence, may name whom it likes."""
    top = [entry.name for entry in ROOT.iterdir() if not entry.name.startswith((*ENVIRONMENTS, ".git"))]
    skipped = {".hypothesis", ".coverage", "wycheproof"}
    return [path for path in text_files(*top) if not any(part in skipped for part in path.parts)]


def claims() -> list[Path]:
    places = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs", "src")
    return [path for path in text_files(*places) if path.name != "glossary.md"]


def test_nothing_is_claimed_that_nobody_could_prove() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {match[0]!r}"
        for path in claims()
        for match in PHRASES.finditer(path.read_text(encoding="utf-8"))
    }
    assert found == set()


@pytest.mark.parametrize("phrase", NEVER_CLAIMED)
def test_each_phrase_would_be_found(phrase: str) -> None:
    broken_over_lines = phrase.upper().replace(" ", "\n  ")
    assert PHRASES.search(f"This {broken_over_lines}, they say.")


def test_a_receipt_may_say_what_was_seen() -> None:
    assert not PHRASES.search("body deleted; not found after deletion; the anonymous identity function")


def test_the_repository_names_no_machine() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in repository()
        if path != THIS_FILE
        for match in MACHINE_PATHS.finditer(path.read_text(encoding="utf-8", errors="replace"))
    }
    assert found == set()


def test_every_address_names_a_known_public_reference() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {host}"
        for path in repository()
        for host in ADDRESS.findall(path.read_text(encoding="utf-8", errors="replace"))
        if host not in KNOWN_HOSTS
    }
    assert found == set()


def test_a_foreign_host_and_a_machine_path_would_be_found() -> None:
    foreign = ADDRESS.findall("see " + "https:" + "//packages.invalid/simple")
    assert foreign == ["packages.invalid"]
    assert foreign[0] not in KNOWN_HOSTS
    assert MACHINE_PATHS.search("cd " + "/wo" + "rk/main")
