"""A daemon of a test's own: temporary store, short socket path, killed at the end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[3]


def binary() -> str:
    """Where ``larderd`` is: ``$LARDER_LARDERD``, a build of this repository, or the path. Skips the test if it is nowhere."""
    places = [os.environ.get("LARDER_LARDERD"), str(_ROOT / ".build/release/larderd"), shutil.which("larderd")]
    for place in places:
        if place and os.access(place, os.X_OK):
            return place
    raise unittest.SkipTest("no larderd: build it (swift build -c release), or name it in LARDER_LARDERD")


class LiveDaemon:
    """A running ``larderd``."""

    def __init__(self, cap: str = "2GiB") -> None:
        self._binary = binary()
        self._cap = cap
        self.directory = Path(tempfile.mkdtemp(prefix="lrd-"))
        self.socket = str(self.directory / "s")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def data_files(self) -> list[Path]:
        """The store's files of data."""
        return sorted((self.directory / "data").glob("shard-*/data.mdb"))

    def start(self) -> None:
        """Starts it and waits until it takes connections."""
        import larder

        with open(self.directory / "log", "ab") as log:
            self._process = subprocess.Popen(
                [self._binary, "--data-dir", str(self.directory / "data"), "--socket", self.socket, "--cap", self._cap],
                stdout=log,
                stderr=log,
            )
        # A loaded machine may take long; one that never answers fails the test.
        for _ in range(1_200):
            if self._process.poll() is not None:
                break
            try:
                larder.connect(self.socket, name="test", timeout=30).close()
                return
            except larder.LarderError:
                time.sleep(0.05)
        raise AssertionError(f"larderd did not start:\n{(self.directory / 'log').read_text(errors='replace')}")

    def signal(self, number: int) -> None:
        """Sends the daemon a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kills the daemon at once, as a crash would, and waits for its end."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Has the daemon end, and waits for it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """Kills the daemon and removes its store."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def damage(self, bytes_to_find: bytes) -> int:
        """Flips a bit wherever the bytes lie in the store's files; how often they did. Only while it is down."""
        found = 0
        for path in self.data_files:
            content = path.read_bytes()
            at = content.find(bytes_to_find)
            with open(path, "r+b") as file:
                while at >= 0:
                    found += 1
                    file.seek(at)
                    file.write(bytes([content[at] ^ 1]))
                    at = content.find(bytes_to_find, at + 1)
        return found
