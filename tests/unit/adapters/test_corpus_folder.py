"""Folders and manifests of a corpus: who speaks where, and what is never touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.adapters.corpus_folder import read_corpus
from sottovoce.errors import InputUnreadable, UsageError
from sottovoce.model.corpus import Corpus


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "corpus"
    for name in (
        "anna/one.wav",
        "anna/deep/two.wav",
        "bert_1.wav",
        "carl-2.wav",
        "dora.wav",
        ".hidden/x.wav",
    ):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(b"not looked at")
    return made


def manifest(folder: Path, *rows: str, head: str = "file,subject") -> str:
    path = folder.parent / "people.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return str(path)


def taken(corpus: Corpus) -> dict[str, str]:
    return {file.path: file.subject for file in corpus.files}


def codes(corpus: Corpus) -> dict[str, str]:
    return {aside.path: aside.code for aside in corpus.set_aside}


def test_by_name_the_first_folder_is_the_person_else_the_first_part_of_the_name(folder: Path) -> None:
    corpus = read_corpus(folder, "name")
    assert taken(corpus) == {
        "anna/one.wav": "anna", "anna/deep/two.wav": "anna", "bert_1.wav": "bert", "carl-2.wav": "carl",
        "dora.wav": "dora",
    }  # fmt: skip
    assert corpus.set_aside == ()


def test_X22_links_pipes_and_nameless_files_are_set_aside(folder: Path, tmp_path: Path) -> None:
    """A link in a folder of recordings is never followed out of it, and a pipe is never waited for."""
    (tmp_path / "outside.wav").write_bytes(b"somebody else's")
    (folder / "anna" / "link.wav").symlink_to(tmp_path / "outside.wav")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "_.wav").write_bytes(b"")
    os.mkfifo(folder / "pipe.wav")
    corpus = read_corpus(folder, "name")
    assert codes(corpus) == {
        "anna/link.wav": "not_a_file", "linked": "not_a_file", "pipe.wav": "not_a_file",
        "_.wav": "name_without_subject",
    }  # fmt: skip
    assert len(corpus.files) == 5


def test_a_manifest_names_file_and_person(folder: Path) -> None:
    named = manifest(folder, "anna/one.wav,p1", "./bert_1.wav,p2", "carl-2.wav, p3 ")
    corpus = read_corpus(folder, named)
    assert taken(corpus) == {"anna/one.wav": "p1", "bert_1.wav": "p2", "carl-2.wav": "p3"}
    assert (corpus.set_aside, corpus.unlisted) == ((), 2)


def test_hostile_rows_of_a_manifest_are_set_aside(folder: Path, tmp_path: Path) -> None:
    """A manifest can't reach outside its folder, and a recording that it gives to two people is given to neither."""
    (tmp_path / "outside.wav").write_bytes(b"")
    (folder / "linked").symlink_to(tmp_path)
    rows = (
        "../outside.wav,a", f"{tmp_path}/outside.wav,a", "anna/../../outside.wav,a", "linked/outside.wav,a",
        "nowhere.wav,a", "anna,a", "bert_1.wav,", "dora.wav,a", "dora.wav,b", "carl-2.wav,a", "carl-2.wav,a", ",a",
    )  # fmt: skip
    corpus = read_corpus(folder, manifest(folder, *rows))
    assert taken(corpus) == {"carl-2.wav": "a"}
    assert codes(corpus) == {
        "../outside.wav": "manifest_path", f"{tmp_path}/outside.wav": "manifest_path",
        "anna/../../outside.wav": "manifest_path", "linked/outside.wav": "manifest_path",
        "nowhere.wav": "file_missing", "anna": "not_a_file", "bert_1.wav": "manifest_subject",
        "dora.wav": "manifest_two_people", "carl-2.wav": "manifest_duplicate", "": "manifest_path",
    }  # fmt: skip


@given(named=st.text(max_size=40), subject=st.text(max_size=10))
def test_no_text_in_a_manifest_reaches_outside(
    tmp_path_factory: pytest.TempPathFactory, named: str, subject: str
) -> None:
    folder = tmp_path_factory.mktemp("any") / "corpus"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"")
    path = folder.parent / "people.csv"
    quoted = ",".join('"' + text.replace('"', '""') + '"' for text in (named, subject))
    path.write_text(f"file,subject\n{quoted}\n", encoding="utf-8", errors="replace", newline="")
    try:
        corpus = read_corpus(folder, str(path))
    except UsageError:
        return
    assert {file.path for file in corpus.files} <= {"a.wav"}


def test_what_is_no_folder_or_no_manifest_is_said(folder: Path) -> None:
    with pytest.raises(InputUnreadable):
        read_corpus(folder / "nowhere", "name")
    with pytest.raises(InputUnreadable):
        read_corpus(folder, str(folder / "nowhere.csv"))
    with pytest.raises(UsageError, match="columns"):
        read_corpus(folder, manifest(folder, "a,b", head="path,person"))
    binary = folder / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00file,subject\n")
    with pytest.raises(UsageError):
        read_corpus(folder, str(binary))
