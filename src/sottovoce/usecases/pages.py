"""Small HTML pages for a person to read: one file, no script, nothing fetched, every word escaped.

Rules upheld here:
1. Whatever was said, named or sent by somebody goes through `text()`: nothing of it is markup.
2. The page's own policy forbids scripts, frames, forms and everything from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}"
    "table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}"
    "th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #ccc}"
    "pre{white-space:pre-wrap;background:#f4f4f4;padding:1rem}h2{margin-top:2rem}"
)


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page. `parts` are pieces made by the functions below."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{text(title)}</h1>\n" + "\n".join(parts) + "\n</main>\n</body>\n</html>\n"
    )


def text(value: object) -> str:
    """Any value as text that is no markup; what cannot be encoded is made visible."""
    words = "-" if value is None else str(value)
    return escape(words.encode(errors="backslashreplace").decode(), quote=True)


def heading(words: str) -> str:
    return f"<h2>{text(words)}</h2>"


def paragraph(words: str) -> str:
    return f"<p>{text(words)}</p>"


def quotation(words: str) -> str:
    """Exact words, line by line."""
    return f"<pre>{text(words)}</pre>"


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "None.") -> str:
    """Rows under headings, or the words for none."""
    lines = ["".join(f"<td>{text(cell)}</td>" for cell in row) for row in rows]
    if not lines:
        return paragraph(empty)
    head = "".join(f'<th scope="col">{text(cell)}</th>' for cell in headings)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
