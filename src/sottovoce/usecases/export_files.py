"""The files of a package: JSON for programs, CSV for tables, one page for the person; each by a module of its own."""

from __future__ import annotations

from sottovoce.usecases.export_content import Content
from sottovoce.usecases.export_csv import tables
from sottovoce.usecases.export_json import data
from sottovoce.usecases.export_page import page
from sottovoce.usecases.portable import to_json


def members(content: Content) -> dict[str, bytes]:
    """Name -> bytes of every file but raw tables, receipts and notices."""
    return {"index.html": page(content).encode(), "data.json": to_json(data(content)), **tables(content)}
