"""One larderd as a child process, and what its end says about it."""

import os
import resource
import signal
import socket
import subprocess
import time

from findings import Finding
from shim import Shim

# Signals that only a fault of the daemon's own ends it with.
CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGTRAP, signal.SIGFPE, signal.SIGSYS}
START_SECONDS = 30.0
STOP_SECONDS = 40.0
# What Swift's runtime is to say of a crash: where, not what was in which register.
BACKTRACE = "color=no,registers=none,images=none,threads=crashed"
_CRASH_LINES = ("crashed", "Fatal error", " in larderd at ")


class DidNotStart(Exception):
    """The daemon ended instead of serving. `code` is its exit code, negative for a signal; `said` its last words."""

    def __init__(self, code: int, said: str):
        super().__init__(f"larderd ended with {code} instead of serving: {said}")
        self.code = code
        self.said = said

    @property
    def is_crash(self) -> bool:
        """True if a signal of its own making ended it."""
        return self.code < 0 and -self.code in CRASHES


class Daemon:
    """A daemon on one store. Start and stop it as often as needed; `scratch` holds its socket and its log."""

    def __init__(
        self, program: str, data_directory: str, scratch: str, cap: str = "256MiB", options: tuple[str, ...] = (),
        shim: Shim | None = None, descriptors: int | None = None, address_space: int | None = None,
    ):
        self.program = program
        self.data_directory = data_directory
        self.socket = os.path.join(scratch, "s")
        self.log_path = os.path.join(scratch, "log")
        self.cap = cap
        self.options = options
        self.shim = shim
        self.descriptors = descriptors
        self.address_space = address_space
        self.process: subprocess.Popen | None = None

    def _limit(self) -> None:
        # In the child. Core files of daemons that are killed on purpose are of no use.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if self.descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors, self.descriptors))
        if self.address_space:
            resource.setrlimit(resource.RLIMIT_AS, (self.address_space, self.address_space))

    def spawn(self) -> None:
        """Starts the process, and does not wait until it serves."""
        try:
            os.unlink(self.socket)  # What a daemon that was killed has left.
        except FileNotFoundError:
            pass
        command = [
            self.program, "--data-dir", self.data_directory, "--socket", self.socket, "--cap", self.cap, *self.options]
        environment = {**os.environ, "SWIFT_BACKTRACE": BACKTRACE, **(self.shim.environment if self.shim else {})}
        with open(self.log_path, "ab") as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, preexec_fn=self._limit)

    def wait_until_serving(self, seconds: float = START_SECONDS) -> None:
        """Returns when the socket takes connections. Raises DidNotStart."""
        assert self.process
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            code = self.process.poll()
            if code is not None:
                self.process = None
                raise DidNotStart(code, self.said())
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                try:
                    probe.connect(self.socket)
                    return
                except OSError:
                    time.sleep(0.004)
        raise DidNotStart(0, f"nothing served on the socket after {seconds} s: {self.said()}")

    def start(self) -> None:
        """Starts the daemon and waits until it serves. Raises DidNotStart."""
        self.spawn()
        self.wait_until_serving()

    def said(self) -> str:
        """What it wrote to its log since its last start, the end of it."""
        with open(self.log_path, "rb") as file:
            file.seek(self._log_start)
            text = file.read().decode(errors="replace").strip()
        crash = [line for line in text.split("\n") if any(part in line for part in _CRASH_LINES)]
        return "\n".join(crash[:9]) if crash else text[-2_000:]

    def signal(self, number: int) -> None:
        """Sends a signal to the process, if it still runs."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> int:
        """SIGKILL, and the exit code: -9, or what the daemon had ended with before."""
        return self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        if not self.process:
            return 0
        self.signal(number)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
            raise Finding("hangs", f"the daemon did not end within {STOP_SECONDS} s of signal {number}: {self.said()}")
        finally:
            self.process = None
        return code

    @property
    def is_running(self) -> bool:
        """True if the process has not ended."""
        return self.process is not None and self.process.poll() is None

    def require_no_crash(self, code: int) -> None:
        """Raises a Finding if an exit code says that the daemon crashed."""
        if code < 0 and -code in CRASHES:
            raise Finding("crash", f"the daemon ended by {signal.Signals(-code).name}: {self.said()}")
