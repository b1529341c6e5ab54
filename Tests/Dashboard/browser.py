"""A headless Chromium, driven over the DevTools protocol through a pipe: no library, and no port for others."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-sync",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--metrics-recording-only",
    "--no-pings",
    "--mute-audio",
    "--password-store=basic",
    "--force-color-profile=srgb",
    "--lang=en-GB",
    "--disable-features=Translate,OptimizationHints,MediaRouter,InterestFeedContentSuggestions",
)
#: Seconds for an answer of the browser, and for what a page is to show. Bounds, not speeds.
PATIENCE = 60.0


def executable() -> str | None:
    """The browser: $LARDER_CHROMIUM, else the first that is installed."""
    given = os.environ.get("LARDER_CHROMIUM")
    return given or next((path for name in _NAMES if (path := shutil.which(name))), None)


#: The browser reads requests from descriptor 3 and writes to 4: placed in a process that has nothing else there yet.
_START = "import os, sys; [os.dup2(int(sys.argv[1 + i]), 3 + i) for i in (0, 1)]; os.execv(sys.argv[3], sys.argv[3:])"


def _pipe() -> tuple[int, int]:
    """The ends of a pipe, above the numbers that the browser is given."""
    low = os.pipe()
    high = tuple(fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 20) for one in low)
    for one in low:
        os.close(one)
    return high[0], high[1]


class Browser:
    """A browser with a profile of its own, which goes with it."""

    def __init__(self, path: str, *flags: str) -> None:
        self._profile = tempfile.TemporaryDirectory(prefix="larder-browser-", ignore_cleanup_errors=True)
        reads, self._writer = _pipe()
        self._reader, writes = _pipe()
        sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _START,
                str(reads),
                str(writes),
                path,
                *_FLAGS,
                *flags,
                *sandbox,
                f"--user-data-dir={self._profile.name}",
                "about:blank",
            ],
            pass_fds=(reads, writes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(reads)
        os.close(writes)
        self._condition = threading.Condition()
        self._answers: dict[int, dict[str, Any]] = {}
        self._listeners: dict[str, Callable[[str, dict[str, Any]], None]] = {}
        self._last = 0
        self._has_ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        rest = b""
        while chunk := os.read(self._reader, 1 << 16):
            *messages, rest = (rest + chunk).split(b"\0")
            for text in messages:
                message = json.loads(text)
                with self._condition:
                    if "id" in message:
                        self._answers[message["id"]] = message
                        self._condition.notify_all()
                    elif listener := self._listeners.get(message.get("sessionId", "")):
                        listener(message["method"], message["params"])
        with self._condition:
            self._has_ended = True
            self._condition.notify_all()

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol and returns its result."""
        with self._condition:
            self._last += 1
            number = self._last
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._writer, data) :]
        with self._condition:
            if not self._condition.wait_for(lambda: number in self._answers or self._has_ended, PATIENCE):
                raise AssertionError(f"the browser does not answer {method}")
            answer = self._answers.pop(number, None)
        if answer is None:
            raise AssertionError("the browser ended")
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def open(self, width: int = 1280, height: int = 900) -> Page:
        """A new page, in a context of its own: no cookies, no storage."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, target, session)
        with self._condition:
            self._listeners[session] = page.note
        page.prepare(width, height)
        return page

    def close(self) -> None:
        """Ends it."""
        try:
            self.send("Browser.close")
            self.process.wait(20)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self._writer)
        self._profile.cleanup()


class Page:
    """A page, and what it asked for and complained of since it was opened."""

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._lock = threading.Lock()
        #: Requests of the page's that are under way, but for streams, and the most that ever were.
        self._under_way: set[str] = set()
        self.most_at_once = 0

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol for this page."""
        return self._browser.send(method, self._session, **parameters)

    def prepare(self, width: int, height: int) -> None:
        """Begins to listen."""
        for domain in ("Page", "Network", "Runtime", "Log", "Accessibility", "DOM"):
            self.send(f"{domain}.enable")
        # What the policy forbids is told to the page; the console has it as well.
        self.send(
            "Page.addScriptToEvaluateOnNewDocument",
            source="""
            addEventListener("securitypolicyviolation", (event) =>
              console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
            """,
        )
        self.prefer("light")
        self.resize(width, height)

    def resize(self, width: int, height: int, scale: float = 1) -> None:
        """Sets the size of the window, in CSS pixels."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )

    def prefer(self, theme: str) -> None:
        """Has the system prefer a theme."""
        self.send(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": theme},
                {"name": "prefers-reduced-motion", "value": "reduce"},
            ],
        )

    def note(self, method: str, parameters: dict[str, Any]) -> None:
        """Takes an event of the browser's."""
        with self._lock:
            if method == "Network.requestWillBeSent":
                url = parameters["request"]["url"]
                self.requests.append(url)
                if "/v1/" in url and "/v1/events?" not in url:
                    self._under_way.add(parameters["requestId"])
                    self.most_at_once = max(self.most_at_once, len(self._under_way))
            elif method in ("Network.loadingFinished", "Network.loadingFailed"):
                self._under_way.discard(parameters["requestId"])
            elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                entry = parameters["entry"]
                self.complaints.append(f"{entry['source']}: {entry['text']} {entry.get('url', '')}")
            elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
                said = " ".join(str(one.get("value", one.get("description", ""))) for one in parameters["args"])
                self.complaints.append(f"console: {said}")
            elif method == "Runtime.exceptionThrown":
                details = parameters["exceptionDetails"]
                said = details.get("exception", {}).get("description", details["text"])
                self.complaints.append(f"exception: {said}")
            elif method == "Page.javascriptDialogOpening":
                self.complaints.append(f"dialog: {parameters['message']}")

    def go(self, url: str) -> None:
        """Opens an address."""
        self.send("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page; a promise's value."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, expression: str, seconds: float = PATIENCE) -> Any:
        """Waits until an expression is true, and returns its value."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                value = self.evaluate(expression)
            except AssertionError as error:
                value, failure = None, str(error)
            else:
                failure = ""
            if value:
                return value
            if time.monotonic() > deadline:
                raise AssertionError(f"never true: {expression} {failure}\n{self.complaints[-5:]}")
            time.sleep(0.05)

    def text(self, selector: str) -> str:
        """The text of an element as it is shown."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")

    def press(self, key: str, shift: bool = False) -> None:
        """Presses a key, as a keyboard does."""
        codes = {
            "Tab": 9,
            "Enter": 13,
            "Escape": 27,
            "ArrowLeft": 37,
            "ArrowRight": 39,
            "ArrowDown": 40,
            " ": 32,
            "Home": 36,
        }
        text = {"Enter": "\r", " ": " "}.get(key)
        arguments = {
            "key": key,
            "code": "Space" if key == " " else key,
            "windowsVirtualKeyCode": codes[key],
            "modifiers": 8 if shift else 0,
        }
        if text:
            self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **arguments)
        else:
            self.send("Input.dispatchKeyEvent", type="rawKeyDown", **arguments)
        self.send("Input.dispatchKeyEvent", type="keyUp", **arguments)

    def type(self, text: str) -> None:
        """Types text where the focus is."""
        self.send("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Clicks the middle of an element with the pointer."""
        box = self.evaluate(f"""(() => {{
            const node = document.querySelector({json.dumps(selector)});
            node.scrollIntoView({{ block: "center" }});
            const box = node.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def photograph(self, path: Path, selector: str | None = None, height: int | None = None) -> None:
        """Writes a picture of the page, or of an element, as PNG."""
        clip: dict[str, Any] = {}
        if selector:
            box = self.evaluate(f"""(() => {{
                const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect();
                return [box.x + scrollX, box.y + scrollY, box.width, box.height];
            }})()""")
            clip = {"clip": {"x": box[0], "y": box[1], "width": box[2], "height": height or box[3], "scale": 1}}
        result = self.send(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True, optimizeForSpeed=False, **clip
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(result["data"]))

    def close(self) -> None:
        """Closes it."""
        self._browser.send("Target.closeTarget", targetId=self._target)
