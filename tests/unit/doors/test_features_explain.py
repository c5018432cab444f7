"""`sottovoce features --explain NAME`: the catalog at the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sottovoce.voice.egemaps.catalog import CATALOG, explained

NAME = "HNRdBACF_sma3nz_amean"


def test_explain_prints_the_catalog_and_measures_nothing(run: Callable[..., Any]) -> None:
    done = run("features", "--explain", NAME)
    assert (done.code, done.err) == (0, "")
    assert done.out == explained(CATALOG[NAME]) + "\n"


def test_explain_as_json_has_every_part(run: Callable[..., Any]) -> None:
    done = run("features", "--explain", NAME, "--json")
    told = json.loads(done.out)
    assert done.code == 0
    assert told["plain"] == CATALOG[NAME].plain
    assert set(told) == set(CATALOG[NAME].__dataclass_fields__)


def test_explain_names_what_is_near_to_an_unknown_name(run: Callable[..., Any]) -> None:
    done = run("features", "--explain", "HNR")
    assert (done.code, done.out) == (2, "")
    assert NAME in done.err


def test_explain_takes_no_files(run: Callable[..., Any]) -> None:
    done = run("features", "interview.wav", "--explain", NAME)
    assert (done.code, done.out) == (2, "")


def test_without_a_file_and_without_a_name_nothing_is_done(run: Callable[..., Any]) -> None:
    done = run("features")
    assert (done.code, done.out) == (2, "")
    assert "No file is named" in done.err
