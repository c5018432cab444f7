"""What a notebook shows of an answer: a small table, everything in it as text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest


def test_an_analysis_is_a_table_of_what_a_person_wants_to_know(analysis_of: Callable[..., Any]) -> None:
    table = ElementTree.fromstring(analysis_of()._repr_html_())
    rows = [[cell.text for cell in row] for row in table]
    assert rows[0] == ["Pitch level", "142 Hz", "How high the voice is."]
    assert rows[1][1] == "not available"
    assert rows[-2] == ["Result", "until 2026-05-31", "data_retention_30_days"]


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\"&'<"])
def test_everything_in_it_is_text(text: str, analysis_of: Callable[..., Any]) -> None:
    analysis = analysis_of()
    items = (replace(analysis.insight.items[0], title=text, meaning=text),)
    shown = replace(analysis, insight=replace(analysis.insight, items=items))._repr_html_()
    assert "<script>" not in shown
    assert ElementTree.fromstring(shown)[0][0].text == text


def test_the_ordinary_repr_shows_no_value_and_no_person(analysis_of: Callable[..., Any]) -> None:
    shown = repr(analysis_of())
    assert "142" not in shown
    assert "anna" not in shown
