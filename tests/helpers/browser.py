"""A headless Chromium, driven by the W3C's WebDriver protocol, and a static file server."""

import base64
import contextlib
import functools
import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
CHROMEDRIVER = shutil.which("chromedriver")
# No window, and no network: host names other than this machine's do not resolve.
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serves a folder as `python -m http.server` does; yields its address and the requests."""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, code="-", size="-"):
            asked.append(f"{int(code)} {self.path}")

        def log_message(self, *arguments):
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


class Browser:
    """A browser window.

    Args:
        width: Width of the window in pixels.
        height: Height of the window in pixels.
        dark: Whether the visitor prefers dark pages.
        phone: Whether to emulate a phone.
    """

    def __init__(self, width: int = 1100, height: int = 1150, dark: bool = False, phone=False):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._driver = subprocess.Popen(
            [CHROMEDRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._root = f"http://127.0.0.1:{port}"
        self._root += f"/session/{self._new_session(width, height, dark, phone)}"

    def open(self, address: str) -> None:
        self._call("url", {"url": address})
        self.wait_for("return document.body?.dataset.ready !== undefined")

    def run(self, script: str, *arguments: Any) -> Any:
        """Runs JavaScript, which may return a promise; returns its result."""
        return self._call("execute/sync", {"script": script, "args": list(arguments)})

    def wait_for(self, script: str, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not self.run(script):
            if time.monotonic() > end:
                raise TimeoutError(f"{script}: {self.run('return document.body.innerText')}")
            time.sleep(0.1)

    def choose(self, selector: str, path: Path) -> None:
        """Gives a file to a file field, as a visitor does."""
        found = self._call("element", {"using": "css selector", "value": selector})
        self._call(f"element/{found[ELEMENT]}/value", {"text": str(path)})

    def draw(self, selector: str, strokes: list[list[tuple[float, float]]]) -> None:
        """Draws with the pointer; positions are fractions of an element's width and height."""
        left, top, width, height = self.run(
            "const box = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return [box.left, box.top, box.width, box.height]",
            selector,
        )
        actions = []
        for stroke in strokes:
            points = [(round(left + x * width), round(top + y * height)) for x, y in stroke]
            moves = [{"type": "pointerMove", "x": x, "y": y, "duration": 20} for x, y in points]
            down, up = ({"type": f"pointer{way}", "button": 0} for way in ("Down", "Up"))
            actions += [moves[0], down, *moves[1:], up]
        pointer = {"type": "pointer", "id": "mouse", "actions": actions}
        self._call("actions", {"actions": [pointer]})

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("screenshot")))

    def requests(self) -> list[str]:
        """Addresses that the page asked for since the last call."""
        log = self._call("se/log", {"type": "performance"})
        messages = [json.loads(entry["message"])["message"] for entry in log]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def errors(self) -> list[str]:
        """What the console lists as an error since the last call."""
        log = self._call("se/log", {"type": "browser"})
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._call("", method="DELETE")
        self._driver.terminate()
        self._driver.wait()

    def _new_session(self, width: int, height: int, dark: bool, phone: bool) -> str:
        flags = [*FLAGS, f"--window-size={width},{height}"]
        if dark:
            flags.append("--force-dark-mode")
        chrome = {"binary": CHROMIUM, "args": flags}
        if phone:
            metrics = {"width": width, "height": height, "pixelRatio": 2}
            chrome["mobileEmulation"] = {"deviceMetrics": metrics}
        capabilities = {
            "browserName": "chrome",
            "goog:chromeOptions": chrome,
            "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
        }
        body = {"capabilities": {"alwaysMatch": capabilities}}
        for _ in range(100):
            try:
                return self._call("session", body)["sessionId"]
            except urllib.error.URLError:
                time.sleep(0.1)
        raise TimeoutError("chromedriver does not start")

    def _call(self, path: str, body: Any = None, method: str | None = None) -> Any:
        request = urllib.request.Request(
            f"{self._root}/{path}".rstrip("/"),
            data=None if body is None else json.dumps(body).encode(),
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from error


def addresses(text: str) -> list[str]:
    """Returns all addresses of other hosts in a text."""
    return re.findall(r"https?://[^\s\"'`<>)]+", text)
