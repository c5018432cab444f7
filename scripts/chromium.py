"""Drive a headless Chromium over its debugging pipe: for tests, benchmarks and screenshots of the device pages.

    with Chromium() as browser:
        browser.open("http://127.0.0.1:8765/")
        browser.evaluate("1 + 1")

Standard library only. The pipe (file descriptors 3 and 4) carries JSON messages ended by a zero byte, as the
DevTools protocol describes it; no port is opened. Its profile is a folder that goes away with it.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--no-default-browser-check",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio",
    "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE_S = 120.0


class ChromiumError(Exception):
    """The browser did not do what was asked; the message says what it answered."""


def find() -> str | None:
    """The first browser of the known names, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One browser with one page; a context manager."""

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        program = find()
        if program is None:
            raise ChromiumError("no Chromium was found")
        self.events: list[dict[str, Any]] = []
        self._last, self._buffer = 0, b""
        self._profile = tempfile.TemporaryDirectory(prefix="sottovoce-chromium-", ignore_cleanup_errors=True)
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        words = [program, *ARGUMENTS, f"--user-data-dir={self._profile.name}", *arguments, "about:blank"]
        line = f"exec {shlex.join(words)} 3<&{to_read} 4>&{to_write}"
        self._process = subprocess.Popen(
            ["bash", "-c", line], pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        self._session: str | None = None
        self._session = self._attach()
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and forget its profile."""
        try:
            self._send("Browser.close", {}, None)
            self._process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        os.close(self._write)
        self._profile.cleanup()

    def open(self, url: str) -> None:
        """Go to an address and wait until it has loaded."""
        self.events.clear()
        answer = self.call("Page.navigate", url=url)
        if "errorText" in answer:
            raise ChromiumError(answer["errorText"])
        self.wait_for("Page.loadEventFired")

    def evaluate(self, expression: str, *, timeout_s: float = PATIENCE_S) -> Any:
        """The value of an expression in the page; promises are waited for."""
        answer = self.call(
            "Runtime.evaluate", timeout_s=timeout_s,
            expression=expression, awaitPromise=True, returnByValue=True,
            userGesture=True, allowUnsafeEvalBlockedByCSP=False,
        )  # fmt: skip
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise ChromiumError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def screenshot(self, file: Path, *, width: int = 1200, dark: bool = False, height: int = 900) -> None:
        """The whole page as PNG, at a width in CSS pixels, light or dark."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        image = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        file.write_bytes(base64.b64decode(image))

    def wait_for(self, event: str) -> dict[str, Any]:
        """The first event of that name since the last `open`."""
        end = time.monotonic() + PATIENCE_S
        while True:
            for message in self.events:
                if message["method"] == event:
                    return message
            self._receive(end)

    def call(self, method: str, *, timeout_s: float = PATIENCE_S, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its answer; events that come before are kept in `events`."""
        number = self._send(method, parameters, self._session)
        end = time.monotonic() + timeout_s
        while True:
            message = self._receive(end)
            if message.get("id") == number:
                if "error" in message:
                    raise ChromiumError(f"{method}: {message['error'].get('message')}")
                result: dict[str, Any] = message["result"]
                return result

    def _attach(self) -> str:
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        session: str = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)[
            "sessionId"
        ]
        return session

    def _send(self, method: str, parameters: dict[str, Any], session: str | None) -> int:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        return self._last

    def _receive(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._read], [], [], left)[0]:
                raise ChromiumError("no answer in time")
            piece = os.read(self._read, 1 << 16)
            if not piece:
                raise ChromiumError("the browser has ended")
            self._buffer += piece
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.events.append(message)
        return message
