"""What the tests share: a daemon of their own, and the repository's golden vectors."""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any

import larder

REPOSITORY = Path(__file__).resolve().parents[3]
#: Tokens of a chunk, where a test has no reason for another number.
TOKENS = 8


@functools.cache
def protocol_vectors() -> dict[str, Any]:
    """Docs/vectors/protocol.json. Python reads its integers exactly."""
    with open(REPOSITORY / "Docs/vectors/protocol.json", encoding="utf-8") as file:
        return json.load(file)


def larderd() -> str | None:
    """The daemon: $LARDER_LARDERD, else that of the repository's release build."""
    given = os.environ.get("LARDER_LARDERD")
    if given:
        return given
    built = REPOSITORY / ".build/release/larderd"
    return str(built) if built.exists() else None


class Daemon:
    """A larderd with a socket and a store of its own, in a temporary directory."""

    def __init__(self, *arguments: str) -> None:
        executable = larderd()
        if executable is None:
            raise unittest.SkipTest("no larderd: set LARDER_LARDERD or build it (swift build -c release)")
        self.executable = executable
        self.arguments = arguments
        self._directory = tempfile.TemporaryDirectory(prefix="larder-")
        self.directory = Path(self._directory.name)
        self.socket = str(self.directory / "s")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Daemon:
        """Starts it and waits until it answers."""
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                [
                    self.executable,
                    "--socket",
                    self.socket,
                    "--data-dir",
                    str(self.directory / "store"),
                    "--log-level",
                    "debug",
                    *self.arguments,
                ],
                stdout=log,
                stderr=log,
            )
        self.connect().close()
        return self

    def connect(self, **arguments: Any) -> larder.Client:
        """A new client; waits for the daemon to come up, and to see that earlier ones are gone."""
        assert self.process is not None
        deadline = time.monotonic() + 60
        while True:
            try:
                return larder.connect(self.socket, **arguments)
            except (larder.ConnectionFailed, larder.TooManyConnections):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError(f"the daemon does not come up:\n{self.log()}") from None
                time.sleep(0.01)

    def log(self) -> str:
        """The end of what it has logged."""
        return (self.directory / "log").read_text(errors="replace")[-4_000:]

    def stand_still(self) -> None:
        """Stops the process, and waits until each of its threads has: a thread may answer until it has."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self.process.pid}/task")
        while any(one.read_text().rpartition(")")[2].split()[0] != "T" for one in tasks.glob("*/stat")):
            time.sleep(0.001)

    def go_on(self) -> None:
        """Ends ``stand_still``."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends the process at once; the store stays."""
        if self.process is not None:
            # A stopped process is killed all the same.
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def close(self) -> None:
        """Ends it and removes its directory."""
        self.kill()
        self._directory.cleanup()


class DaemonTest(unittest.TestCase):
    """Tests against one daemon for the class, with a client for each test and a namespace of its own."""

    arguments: tuple[str, ...] = ()
    daemon: Daemon

    @classmethod
    def setUpClass(cls) -> None:
        cls.daemon = Daemon(*cls.arguments)
        cls.addClassCleanup(cls.daemon.close)
        cls.daemon.start()

    def setUp(self) -> None:
        self.client = self.daemon.connect(name=self.id()[-200:])
        self.addCleanup(self.client.close)
        self.namespace = self.id()[-200:]

    def session(self, name: str = "session", model: larder.Model | None = None) -> larder.Session:
        """A session of this test's namespace."""
        return self.client.open_session(self.namespace, name, self.client.declare_model(model or attention()))


def attention(name: str = "plain", **changes: Any) -> larder.Model:
    """A model of one component with K and V: 2 layers, 64 bytes a token in each plane."""
    component = larder.Component("kv", kind="attention", element_type="bf16", layers=2, planes=2, row_bytes=64)
    return larder.Model(**{"name": name, "components": (component,), **changes})


def chunk_bytes(model: larder.Model, tokens: int = TOKENS, component: int = 0) -> int:
    """Raw bytes of a chunk."""
    return model.components[component].byte_count(tokens)


def hybrid() -> larder.Model:
    """A model of attention beside a sliding window and recurrent states."""
    return larder.Model(
        name="hybrid",
        components=(
            larder.Component("full", kind="attention", element_type="f16", layers=1, planes=2, row_bytes=32),
            larder.Component("near", kind="sliding", element_type="f16", layers=3, planes=2, row_bytes=32, window=64),
            larder.Component("state", kind="recurrent", element_type="f32", layers=2, planes=1, row_bytes=256),
        ),
    )


def random_seed() -> int:
    """A seed for a test's random choices: LARDER_SEED, to repeat a run, else another each time."""
    return int(os.environ.get("LARDER_SEED") or random.randrange(2**32))


def noise(count: int, seed: int = 1) -> bytes:
    """Bytes that nothing shrinks, the same in every run."""
    return random.Random(seed).randbytes(count)


def within(seconds: float, body: Any) -> Any:
    """What ``body`` returns; fails if it takes far longer than ``seconds``: a bound, not a speed."""
    start = time.monotonic()
    try:
        return body()
    finally:
        if time.monotonic() - start > seconds:
            print(f"took {time.monotonic() - start:.1f} s of {seconds}", file=sys.stderr)
            raise AssertionError(f"a wait was not bounded: {time.monotonic() - start:.1f} s of {seconds}")
