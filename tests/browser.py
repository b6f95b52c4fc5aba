"""Headless Chromium by way of chromedriver, which speaks JSON over HTTP (W3C WebDriver)."""

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
CHROMEDRIVER = shutil.which("chromedriver")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--window-size=1280,900"),
)
TIMEOUT_SECONDS = 60


class Browser:
    """One session; `page` is what it shows."""

    def __init__(self, address: str, profile: Path) -> None:
        self._address = address
        capabilities = {
            "browserName": "chrome",
            "goog:chromeOptions": {
                "binary": CHROMIUM,
                "args": [*FLAGS, f"--user-data-dir={profile}"],
            },
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        made = self._call("POST", "", {"capabilities": {"alwaysMatch": capabilities}})
        self._session = f"/{made['sessionId']}"

    def open(self, page: Path) -> None:
        self._call("POST", f"{self._session}/url", {"url": page.as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """What `script`, the body of a function, returns."""
        content = {"script": script, "args": arguments}
        return self._call("POST", f"{self._session}/execute/sync", content)

    def resize(self, width: int, height: int) -> None:
        """Show the page as a screen of this size would."""
        parameters = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
        content = {"cmd": "Emulation.setDeviceMetricsOverride", "params": parameters}
        self._call("POST", f"{self._session}/goog/cdp/execute", content)

    def console(self) -> list[str]:
        """Warnings and errors so far."""
        entries = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]

    def close(self) -> None:
        self._call("DELETE", self._session)

    def _call(self, method: str, path: str, content: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self._address}/session{path}",
            data=None if content is None else json.dumps(content).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        # A proxy of the environment is none of this machine's own addresses.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return json.load(answer)["value"]


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with the new, empty `profile`, ended afterwards."""
    command = [str(CHROMEDRIVER), "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        try:
            assert driver.stdout
            lines = (re.search(r"started successfully on port (\d+)", s) for s in driver.stdout)
            port = next(found[1] for found in lines if found)
            browser = Browser(f"http://127.0.0.1:{port}", profile)
            try:
                yield browser
            finally:
                browser.close()
        finally:
            driver.terminate()
