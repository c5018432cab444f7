"""Nothing here reaches for the network; `make offline` runs the whole suite where there is none."""

from __future__ import annotations

import ast
import socket
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WAYS_OUT = ("urllib.request", "http.client", "ftplib", "smtplib", "requests", "httpx", "aiohttp", "urllib3")


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_X43_the_code_has_no_way_out() -> None:
    """No part of sottovoce can fetch anything: no module that speaks to the network is imported anywhere, and sockets
    exist only between the service and its sealed child."""
    for path in (ROOT / "src").rglob("*.py"):
        found = imports(path)
        assert not [way for way in WAYS_OUT if way in found], path.name
        if "socket" in found:
            assert "extractor" in path.parts, path.name


def test_X43_an_attempt_to_leave_fails_the_test_that_makes_it() -> None:
    """Every test of the suite fails when something in it looks up or connects to another machine."""
    with pytest.raises(ConnectionRefusedError):
        socket.getaddrinfo("example.org", 443)
    with socket.socket() as outside, pytest.raises(ConnectionRefusedError):
        outside.connect(("192.0.2.1", 9))
