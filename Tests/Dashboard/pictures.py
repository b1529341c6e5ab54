"""Takes the pictures of Docs/ADMIN.md: the page with the tests' sample state and workers at work, light and dark.

PYTHONPATH=Clients/python/src python3 Tests/Dashboard/pictures.py Docs/images
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

from browser import Browser, Page, executable
from sample import Daemon, Forwarder, Traffic, fill, larderd, write_history

#: Bytes of a picture that a repository may have.
LIMIT = 250_000


def take(browser: Browser, address: str, folder: Path, session: int) -> None:
    """Takes each picture; the page must be live and have seen some rates."""
    for theme in ("light", "dark"):
        page = browser.open(1280, 900)
        page.prefer(theme)
        page.go(f"{address}#session={session}")
        page.wait(
            "document.querySelector('#session-tree svg.tree') !== null && document.querySelector('#heat table') !== null"
        )
        page.wait("/[1-9]/.test(document.querySelector('#tile-in .big').textContent)")
        page.evaluate("scrollTo(0, 0); document.activeElement.blur()")
        picture(page, folder / f"dashboard-{theme}.png", "body", 955)
        page.evaluate("document.querySelector('.top').style.position = 'static'")
        picture(page, folder / f"dashboard-session-{theme}.png", "#session")
        page.close()
    page = browser.open(400, 800)
    page.prefer("light")
    page.go(address)
    page.wait("/[1-9]/.test(document.querySelector('#tile-in .big').textContent)")
    picture(page, folder / "dashboard-narrow.png", "body", 1_500)
    page.close()


def picture(page: Page, path: Path, selector: str, height: int | None = None) -> None:
    """Takes one, and says how large it is."""
    page.photograph(path, selector, height)
    size = path.stat().st_size
    print(f"{path}: {size:,} bytes")
    if size > LIMIT:
        raise SystemExit(f"{path} is larger than {LIMIT:,} bytes")


def main() -> None:
    """Takes all pictures into the folder that is named."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "Docs/images")
    path, built = executable(), larderd()
    if path is None or built is None:
        raise SystemExit("pictures need a Chromium and a built larderd")
    with contextlib.ExitStack() as stack:
        daemon = Daemon(built)
        stack.callback(daemon.close)
        write_history(daemon, hours=7.9)
        daemon.start()
        sessions = fill(daemon)
        traffic = Traffic(daemon, sessions)
        stack.callback(traffic.close)
        # Until the compactor has had something to do, and a sample of it is taken.
        deadline = time.monotonic() + 120
        while daemon.ask("/v1/status")["counters"]["evicted_cold_chunks"] < 200 and time.monotonic() < deadline:
            time.sleep(1)
        time.sleep(25)
        forwarder = Forwarder(daemon.admin)
        stack.callback(forwarder.close)
        browser = Browser(path, "--hide-scrollbars")
        stack.callback(browser.close)
        take(browser, f"http://localhost:{forwarder.port}/", folder, sessions["root"].id)


if __name__ == "__main__":
    main()
