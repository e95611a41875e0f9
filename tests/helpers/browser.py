"""A headless Chromium, and a plain web server for it."""

import base64
import contextlib
import functools
import json
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM = shutil.which("chromium")
CHROMEDRIVER = shutil.which("chromedriver")

needs_browser = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER and shutil.which("npm")),
    reason="chromium, chromium-driver or npm is not installed",
)

# No window, and no network: host names other than this machine's do not resolve.
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]


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
    """A headless Chromium with one window, without a network."""

    def __init__(self):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in FLAGS:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        self._driver = webdriver.Chrome(options, webdriver.ChromeService(CHROMEDRIVER))
        self._driver.set_window_size(1100, 1150)
        self.run = self._driver.execute_script
        self.close = self._driver.quit

    def open(self, address: str) -> None:
        self._driver.get(address)
        self.wait_for("return document.body?.dataset.ready !== undefined")

    def wait_for(self, script: str, seconds: float = 60.0) -> None:
        """Waits until JavaScript, which may return a promise, returns something true."""
        WebDriverWait(self._driver, seconds, 0.1).until(lambda _: self.run(script), script)

    def choose(self, selector: str, path: Path) -> None:
        """Gives a file to a file field."""
        self._driver.find_element(By.CSS_SELECTOR, selector).send_keys(str(path))

    def draw(self, selector: str, strokes: list[list[tuple[float, float]]]) -> None:
        """Draws with the pointer; positions are fractions of an element's width and height."""
        element = self._driver.find_element(By.CSS_SELECTOR, selector)
        width, height = element.size["width"], element.size["height"]
        actions = ActionChains(self._driver, duration=20)
        pointer = actions.w3c_actions.pointer_action
        for stroke in strokes:
            for number, (x, y) in enumerate(stroke):
                # Selenium counts from the middle.
                pointer.move_to(element, round((x - 0.5) * width), round((y - 0.5) * height))
                if number == 0:
                    pointer.pointer_down()
            pointer.pointer_up()
        actions.perform()

    def requests(self) -> list[str]:
        """Addresses that the page asked for since the last call."""
        log = self._driver.get_log("performance")
        messages = [json.loads(entry["message"])["message"] for entry in log]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def errors(self) -> list[str]:
        """What the console lists as an error since the last call, without LiteRT's log."""
        log = self._driver.get_log("browser")
        errors = [entry["message"] for entry in log if entry["level"] == "SEVERE"]
        return [error for error in errors if not re.search(r'/litert/.*"(INFO|WARNING): ', error)]

    def screenshot(self, path: Path) -> None:
        """Writes a PNG file of the whole page."""
        height = self.run("return document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": self.run("return innerWidth"), "height": height}
        shot = self._driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": {**clip, "scale": 1}}
        )
        path.write_bytes(base64.b64decode(shot["data"]))


def addresses(text: str) -> list[str]:
    """Returns all addresses of other hosts in a text."""
    return re.findall(r"https?://[^\s\"'`<>)]+", text)
