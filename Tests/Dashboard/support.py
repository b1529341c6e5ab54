"""What the tests of the page share: a daemon with state, a browser, and what to wait for."""

from __future__ import annotations

import json
import unittest
from typing import Any

from browser import Browser, Page, executable
from sample import Daemon, Forwarder, fill, larderd, write_history

#: A name of somebody else's that leads here: what DNS rebinding makes of one.
ELSEWHERE = "rebound.example"


class DashboardTest(unittest.TestCase):
    """One daemon and one browser for a class; a page of its own for each test."""

    daemon: Daemon
    browser: Browser

    @classmethod
    def setUpClass(cls) -> None:
        path, built = executable(), larderd()
        if path is None:
            raise unittest.SkipTest("no Chromium (Debian: apt-get install chromium; or set LARDER_CHROMIUM)")
        if built is None:
            raise unittest.SkipTest("no larderd: set LARDER_LARDERD or build it (swift build -c release)")
        cls.daemon = Daemon(built)
        cls.addClassCleanup(cls.daemon.close)
        write_history(cls.daemon, hours=7)
        cls.daemon.start()
        cls.sessions = fill(cls.daemon)
        cls.forwarder = Forwarder(cls.daemon.admin)
        cls.addClassCleanup(cls.forwarder.close)
        cls.browser = Browser(path, f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1")
        cls.addClassCleanup(cls.browser.close)
        cls.address = f"http://localhost:{cls.forwarder.port}/"

    def open(self, address: str | None = None, width: int = 1280) -> Page:
        """The page, when it shows everything."""
        page = self.browser.open(width)
        self.addCleanup(page.close)
        page.go(address or self.address)
        self.shown(page)
        return page

    def shown(self, page: Page) -> None:
        """Waits until the page shows everything."""
        page.wait("document.documentElement.dataset.state === 'live'")
        for part in (
            "#holds table",
            "#heat table",
            "#sessions table",
            "#evicted table",
            "#chart-hits .grid",
            "#events li",
        ):
            page.wait(f"document.querySelector({json.dumps(part)}) !== null")
        page.wait("document.querySelector('#tile-saved .big').textContent !== '–'")

    def rows(self, page: Page, selector: str) -> list[list[str]]:
        """The cells of a table's body."""
        return page.evaluate(f"""[...document.querySelectorAll({json.dumps(selector + " tbody tr")})].map(
            (row) => [...row.cells].map((cell) => cell.textContent))""")

    def written(self, page: Page, function: str, values: list[Any]) -> list[str]:
        """Values as the page writes them."""
        return page.evaluate(f"""import("/dashboard/format.js").then(
            (format) => {json.dumps(values)}.map((value) => format.{function}(...[value].flat())))""")
