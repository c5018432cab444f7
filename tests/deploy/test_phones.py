"""The templates for phones: Kotlin compiled and run against stand-ins where a compiler is, else read for syntax.

No telephone and no simulator was used: what LiteRT itself computes is tested in tests/unit/voice/models.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

KOTLIN = ("deploy/android/VoiceModel.kt",)
SWIFT = ("deploy/ios/VoiceModel.swift",)
GOOD, SMALLER, WHOLE = bytes([88, 1, 0]), bytes([12, 1, 0]), bytes([88, 1, 1])  # as the stand-in reads a file
HASH = sha256(GOOD).hexdigest()
YES_NO = "no,yes sigmoid"


@pytest.fixture(scope="module")
def android(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled template with its stand-ins, as a jar."""
    compiler = shutil.which("kotlinc")
    if compiler is None or shutil.which("java") is None:
        pytest.skip("no Kotlin compiler is installed: the template is read for its syntax only")
    jar = tmp_path_factory.mktemp("android") / "template.jar"
    stand_ins = sorted((repo_root / "tests" / "deploy" / "android").glob("*.kt"))
    sources = [str(repo_root / name) for name in KOTLIN] + [str(path) for path in stand_ins]
    subprocess.run(
        [compiler, "-nowarn", "-include-runtime", "-d", str(jar), *sources],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    return jar


@pytest.fixture
def ask(android: Path, tmp_path: Path):
    for name, content in {
        "good": GOOD,
        "smaller": SMALLER,
        "whole": WHOLE,
        "big": bytes(1 << 20) + b"x",
    }.items():
        (tmp_path / name).write_bytes(content)

    def ask(*lines: str) -> list[str]:
        done = subprocess.run(
            ["java", "-cp", str(android), "sottovoce.template.DriverKt", str(tmp_path)],
            input="\n".join(lines) + "\n", capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        return done.stdout.splitlines()

    return ask


def test_M57_the_android_template_runs_a_checked_model(ask) -> None:
    """On Android a model gives the probability of each of its labels."""
    (answer,) = ask(f"good {HASH} {YES_NO} 0.25 88 compat")
    assert [float(value) for value in answer.split()] == [0.75, 0.25]


def test_M57_the_android_template_refuses_another_file_shape_profile_or_number(ask) -> None:
    """On Android a model file that was exchanged, has other sizes, or gets features of another kind is not run."""
    answers = ask(
        f"nowhere {HASH} {YES_NO} 0.25 88 compat",
        f"big {HASH} {YES_NO} 0.25 88 compat",
        f"smaller {HASH} {YES_NO} 0.25 88 compat",
        f"smaller {sha256(SMALLER).hexdigest()} {YES_NO} 0.25 88 compat",
        f"whole {sha256(WHOLE).hexdigest()} {YES_NO} 0.25 88 compat",
        f"good {HASH} a,b,c softmax 0.25 88 compat",
        f"good {HASH} {YES_NO} 0.25 88 corrected",
        f"good {HASH} {YES_NO} 0.25 87 compat",
        f"good {HASH} {YES_NO} NaN 88 compat",
        f"good {HASH} {YES_NO} Infinity 88 compat",
        f"good {HASH} {YES_NO} 2.0 88 compat",
    )
    assert answers == [
        "missing", "too_large", "other_file", "other_shape", "other_shape", "other_shape", "other_profile",
        "bad_input", "bad_input", "bad_input", "bad_output",
    ]  # fmt: skip


@pytest.mark.parametrize(("language", "file"), [("kotlin", KOTLIN[0]), ("swift", SWIFT[0])])
def test_M57_the_templates_are_well_formed(language: str, file: str, repo_root: Path) -> None:
    """The templates for both kinds of phones are whole programs of their languages, as far as their syntax goes."""
    tree_sitter = pytest.importorskip("tree_sitter")
    grammar = importlib.import_module(f"tree_sitter_{language}")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    source = (repo_root / file).read_bytes()
    assert not parser.parse(source).root_node.has_error
    assert parser.parse(source.replace(b"{", b"", 1)).root_node.has_error  # the parser would have seen it


def test_M57_the_swift_template_compiles(repo_root: Path) -> None:
    """Where a Swift compiler is installed it takes the template for iPhones."""
    compiler = shutil.which("swiftc")
    if compiler is None:
        pytest.skip("no Swift compiler is installed: the template is read for its syntax only")
    subprocess.run([compiler, "-parse", str(repo_root / SWIFT[0])], check=True, timeout=120)


def test_M57_both_templates_ask_for_the_same_number_of_features(repo_root: Path) -> None:
    """Both templates take exactly the 88 features that this product computes, and open no connection."""
    from sottovoce.model.features import FEATURE_NAMES

    swift, kotlin = ((repo_root / name).read_text() for name in (SWIFT[0], KOTLIN[0]))
    assert f"static let features = {len(FEATURE_NAMES)}\n" in swift
    assert f"const val FEATURES = {len(FEATURE_NAMES)}\n" in kotlin
    for word in ("URLSession", "HttpURLConnection", "Socket", "OkHttp", "print(", "Log."):
        assert word not in swift + kotlin
