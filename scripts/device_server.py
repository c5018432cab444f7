"""Serve sdk/ to this machine's own browser: `make demo-device`, then open the printed address.

    python scripts/device_server.py [--port 8765]

Static files on the loopback interface, nothing else: no upload, no log of what is asked. The headers forbid the
page every connection, so that audio could not leave it even by mistake. The shipped model comes as a module
(/shipped-model.js), because such a page cannot fetch it later.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SDK = ROOT / "sdk"
MODEL = ROOT / "src" / "sottovoce" / "data" / "models" / "apparent-sex.tflite"
MODEL_MODULE = "/shipped-model.js"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".wav": "audio/wav",
    ".f64": "application/octet-stream",
    ".tflite": "application/octet-stream",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; worker-src 'self'; "
    "connect-src {connect}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types sottovoce"
)


class Handler(BaseHTTPRequestHandler):
    """GET of a known kind of file below one of the folders; everything else is 404."""

    def __init__(self, *arguments: object, folders: Mapping[str, Path], connect: str) -> None:
        self.folders, self.connect = folders, connect
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self.path == MODEL_MODULE:
            self._give(model_module(), TYPES[".js"])
        elif (file := self._file()) is not None:
            self._give(file.read_bytes(), TYPES[file.suffix])
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _give(self, body: bytes, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY.format(connect=self.connect))
        self.send_header("Permissions-Policy", "microphone=(self), camera=(), geolocation=()")
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        self.wfile.write(body)

    def _file(self) -> Path | None:
        path = self.path.partition("?")[0]
        path = "/demo.html" if path == "/" else path
        prefix = max((p for p in self.folders if path.startswith(p)), key=len, default=None)
        if prefix is None:
            return None
        folder = self.folders[prefix].resolve()
        file = (folder / path[len(prefix) :]).resolve()
        inside = file.is_relative_to(folder) and "node_modules" not in file.parts
        return file if inside and file.is_file() and file.suffix in TYPES else None

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


def model_module() -> bytes:
    """The shipped model with its card and its pinned signers, as text in one module: loaded with the page, at once."""
    parts = {
        "file": base64.b64encode(MODEL.read_bytes()).decode(),
        "card": MODEL.with_name(MODEL.name + ".card.json").read_text(encoding="utf-8"),
        "signers": MODEL.with_name("signers.json").read_text(encoding="utf-8"),
    }
    return f"export default {json.dumps(parts)};\n".encode()


def serve(
    port: int = 0, *, folders: Mapping[str, Path] | None = None, connect: str = "'none'"
) -> ThreadingHTTPServer:
    """A server on 127.0.0.1, not yet running; port 0 takes any free one. `connect`: what a page may connect to."""
    handler = partial(Handler, folders=folders or {"/": SDK}, connect=connect)
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=8765)
    port = parser.parse_args().port
    try:
        server = serve(port)
    except OSError:
        print(f"Port {port} is taken; choose another with --port.", file=sys.stderr)
        return 1
    print(
        f"Open http://127.0.0.1:{server.server_port}/ in a browser on this machine. Ctrl-C ends it.",
        flush=True,
    )
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
