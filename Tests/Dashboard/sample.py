"""What the page is shown with: a daemon with sessions, forks, hostile names and history, and a way to its socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import random
import select
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import larder

REPOSITORY = Path(__file__).resolve().parents[2]
#: A name that would be a script if it were read as markup, and one that turns the text around it.
HOSTILE = "<img src=x onerror=alert(1)>"
TURNED = "a\u202eb"
TOKEN = "0123456789abcdef0123456789abcdef"


def larderd() -> str | None:
    """The daemon: $LARDER_LARDERD, else that of the repository's release build."""
    given = os.environ.get("LARDER_LARDERD")
    built = REPOSITORY / ".build/release/larderd"
    return given or (str(built) if built.exists() else None)


class Daemon:
    """A larderd with a store of its own, its admin socket, and a TCP listener with a token."""

    def __init__(self, executable: str) -> None:
        self._executable = executable
        self._directory = tempfile.TemporaryDirectory(prefix="larder-")
        self.directory = Path(self._directory.name)
        self.store = self.directory / "store"
        self.socket = str(self.directory / "s")
        self.admin = str(self.directory / "admin.sock")
        token = self.directory / "token"
        token.touch(mode=0o600)
        token.write_text(TOKEN)
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                [
                    self._executable,
                    "--socket",
                    self.socket,
                    "--data-dir",
                    str(self.store),
                    "--cap",
                    "64MiB",
                    "--admin-listen",
                    f"127.0.0.1:{self.port}",
                    "--admin-token-file",
                    str(self.directory / "token"),
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                larder.connect(self.socket).close()
                self.ask("/healthz")
                return
            except (larder.ConnectionFailed, OSError):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError(f"the daemon does not come up:\n{self.log()}") from None
                time.sleep(0.02)

    def log(self) -> str:
        """What it has logged."""
        return (self.directory / "log").read_text(errors="replace")

    def stop(self) -> None:
        """Ends it; the store stays."""
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            self.process = None

    def close(self) -> None:
        """Ends it and removes its directory."""
        if self.process:
            self.process.kill()
            self.process.wait()
        self._directory.cleanup()

    def ask(self, path: str) -> Any:
        """GET of the admin socket, as a value."""
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.admin)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            answer = json.loads(response.read())
        assert response.status == 200, answer
        return answer


class Forwarder:
    """A port of this machine that leads to a Unix socket, as ``ssh -L`` makes one."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with contextlib.closing(near), contextlib.closing(socket.socket(socket.AF_UNIX)) as far:
            with contextlib.suppress(OSError):
                far.connect(self._path)
                while True:
                    for one in select.select([near, far], [], [])[0]:
                        data = one.recv(1 << 16)
                        if not data:
                            return
                        (far if one is near else near).sendall(data)

    def close(self) -> None:
        """Takes no more connections."""
        self._listener.close()


# The store.

_ATTENTION, _SLIDING, _RECURRENT = 0, 1, 2


def _model(name: str) -> larder.Model:
    return larder.Model(
        name=name,
        weights="sha256:5a3c",
        components=(
            larder.Component("attention", kind="attention", element_type="bf16", layers=2, planes=2, row_bytes=64),
            larder.Component(
                "window", kind="sliding", element_type="bf16", layers=4, planes=2, row_bytes=64, window=1_024
            ),
            larder.Component("delta", kind="recurrent", element_type="f32", layers=4, planes=1, row_bytes=4_096),
        ),
    )


def _bytes(count: int, seed: int) -> bytes:
    """Bytes as of bf16 numbers near 1, which shrink by about a third: sign and exponent say little."""
    generator = random.Random(seed)
    data = bytearray(count)
    data[0::2] = generator.randbytes(count // 2)
    data[1::2] = generator.randbytes(count // 2).translate(_EXPONENTS)
    return bytes(data)


_EXPONENTS = bytes([0x3F, 0xBF, 0x3F, 0xBF, 0x3F, 0xBF, 0x3E, 0xBE] * 32)


class Filler:
    """Puts state into a daemon as workers would."""

    def __init__(self, daemon: Daemon) -> None:
        self.client = larder.connect(daemon.socket, name="engine-0")
        self.models = [self.client.declare_model(_model(name)) for name in ("Kite-Linear-8B", "Heron-7B")]
        for model, rate in zip(self.models, (2_400, 3_100)):
            self.client.set_prefill_rate(model, rate)
        self._seed = 0

    def _data(self, component: int, tokens: int) -> bytes:
        self._seed += 1
        return _bytes(self.models[0].model.components[component].byte_count(tokens), self._seed)

    def session(self, namespace: str, name: str, tokens: int, model: int = 0) -> larder.Session:
        """A session with state up to an offset."""
        session = self.client.open_session(namespace, name, self.models[model])
        self.grow(session, 0, tokens)
        return session

    def grow(self, session: larder.Session, start: int, end: int) -> None:
        """Puts chunks of 512 tokens, and recurrent states at every second end of one."""
        for offset in range(start, end, 512):
            for component in (_ATTENTION, _SLIDING):
                session.put(offset, 512, self._data(component, 512), component=component)
            if (offset + 512) % 1_024 == 0:
                session.put(offset + 512, 0, self._data(_RECURRENT, 0), component=_RECURRENT)

    def fork(self, parent: larder.Session, offset: int, name: str, tokens: int) -> larder.Session:
        """A branch that goes on by so many tokens."""
        child = parent.fork(offset, name)
        self.grow(child, offset, offset + tokens)
        return child

    def use(self, session: larder.Session) -> None:
        """Resumes a session and pages in what it names."""
        for chunk in session.resume().chunks:
            session.get(chunk.offset, component=chunk.component)

    def close(self) -> None:
        """Disconnects."""
        self.client.close()


def fill(daemon: Daemon) -> dict[str, larder.Session]:
    """Several namespaces, a tree of forks, hostile names, sessions enough for three pages."""
    filler = Filler(daemon)
    root = filler.session("agents", "task-17", 8_192)
    sessions = {
        "root": root,
        "retry": filler.fork(root, 2_048, "task-17/retry", 3_072),
        "tools": filler.fork(root, 5_120, "task-17/with-tools", 4_096),
        "hostile": filler.fork(root, 4_096, HOSTILE, 1_024),
    }
    sessions["short"] = filler.fork(sessions["tools"], 7_168, "task-17/with-tools/short", 1_536)
    sessions["deep"] = filler.fork(sessions["short"], 8_192, "task-17/with-tools/short/again", 2_048)
    gone = filler.fork(sessions["retry"], 4_096, "gone", 1_024)
    filler.fork(gone, 4_608, "task-17/retry/salvaged", 512)
    gone.drop()
    for index in range(46):
        filler.session("agents", f"task-{index + 100}", 512)
    for index, tokens in enumerate((2_048, 3_072, 1_024)):
        sessions[f"support-{index}"] = filler.session("support", f"ticket-{4_000 + index}", tokens, model=1)
    filler.session(HOSTILE, TURNED, 1_024, model=1)
    filler.session("research", "long-context", 6_144, model=1)
    for name in ("root", "tools", "deep", "support-0", "root", "root", "support-0"):
        filler.use(sessions[name])
    # A hole, so that there is something to explain.
    hole = filler.client.open_session("research", "with a hole", filler.models[0])
    filler.grow(hole, 0, 1_024)
    filler.grow(hole, 1_536, 2_048)
    sessions["hole"] = hole
    filler.close()
    return sessions


class Traffic:
    """Workers at work in the background, until it is closed: pages in what is there, and puts what makes others go."""

    def __init__(self, daemon: Daemon, sessions: dict[str, larder.Session]) -> None:
        self._stop = threading.Event()
        self._daemon = daemon
        self._names = [(one.namespace, one.name) for key, one in sessions.items() if key != "hole"]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        filler = Filler(self._daemon)
        # Numbers of bytes that were not put before.
        filler._seed = 1_000_000
        sessions = [
            filler.client.open_session(namespace, name, filler.models["ticket" in name])
            for namespace, name in self._names
        ]
        count = 0
        while not self._stop.wait(0.05):
            with contextlib.suppress(larder.Refusal):
                filler.use(sessions[count % len(sessions)])
                if count % 4 == 0:
                    filler.session("batch", f"job-{count}", 1_024)
            count += 1
        filler.close()

    def close(self) -> None:
        """Ends it."""
        self._stop.set()
        self._thread.join()


# The history.

FIGURES = (
    "requests resumes asked_tokens resumed_tokens stored_tokens restored_tokens not_recomputed_tokens page_in_bytes "
    "page_out_bytes evicted_cold_chunks evicted_expired_chunks evicted_useless_chunks evicted_requested_chunks "
    "evicted_quota_chunks swept_bytes moved_bytes put_bytes device_write_bytes used_bytes disk_bytes usable_bytes "
    "cap_bytes sessions connections page_in_p50_nanoseconds page_in_p99_nanoseconds page_out_p50_nanoseconds "
    "page_out_p99_nanoseconds"
).split()


def _crc32c(data: bytes) -> int:
    value = 0xFFFF_FFFF
    for byte in data:
        value = _CRC[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFF_FFFF


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F6_3B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC = _crc_table()


def write_history(daemon: Daemon, hours: float, seed: int = 7) -> None:
    """Writes hours of history in the format of Docs/FORMAT.md, as of a machine at work by day, with half an hour off."""
    generator = random.Random(seed)
    now = int(time.time())
    slots = bytearray(1_440 * 256)
    disk = 0.6 * (64 << 20)
    for index in range(int(hours * 180), 0, -1):
        end = (now // 20 - index) * 20
        age = index / 180
        if 2.1 < age < 2.6:
            continue
        load = max(0.05, 0.55 + 0.4 * math.sin(age * 1.9) + generator.uniform(-0.12, 0.12))
        asked = int(load * 2_000_000)
        found = int(asked * min(0.97, 0.5 + 0.05 * (hours - age) + generator.uniform(-0.06, 0.06)))
        put = int(load * 110_000_000)
        disk = min(disk + put / 5_000, 0.985 * (64 << 20))
        is_full = disk > 0.96 * (64 << 20)
        cold = int(load * 180) if is_full else 0
        values = {
            "requests": int(load * 400),
            "resumes": int(load * 12),
            "asked_tokens": asked,
            "resumed_tokens": found,
            "stored_tokens": asked - found,
            "restored_tokens": found,
            "not_recomputed_tokens": found,
            "page_in_bytes": found * 512,
            "page_out_bytes": put,
            "evicted_cold_chunks": cold,
            "evicted_expired_chunks": int(load * 60) if index % 45 == 0 else 0,
            "evicted_useless_chunks": cold * 5 // 4,
            "evicted_quota_chunks": cold // 8 if 0.4 < age < 1.2 else 0,
            "swept_bytes": cold * 30_000,
            "moved_bytes": put // 7 if is_full else 0,
            "put_bytes": int(put * 0.68),
            "device_write_bytes": int(put * (1.05 if is_full else 0.8)),
            "used_bytes": int(disk * 0.9),
            "disk_bytes": int(disk),
            "usable_bytes": 60 << 20,
            "cap_bytes": 64 << 20,
            "sessions": 60,
            "connections": 3,
            "page_in_p50_nanoseconds": int(30_000 * (1 + load) * generator.uniform(0.9, 1.15)),
            "page_in_p99_nanoseconds": int(210_000 * (1 + load) * generator.uniform(0.7, 1.6)),
            "page_out_p50_nanoseconds": int(450_000 * (1 + load) * generator.uniform(0.9, 1.15)),
            "page_out_p99_nanoseconds": int(11_000_000 * (1 + load) * generator.uniform(0.7, 1.7)),
        }
        words = [int.from_bytes(b"LARDERH2", "little"), end, 20_000, *(values.get(name, 0) for name in FIGURES)]
        data = struct.pack(f"<{len(words)}Q", *words)
        slot = end // 20 % 1_440 * 256
        slots[slot : slot + 256] = data + struct.pack("<Q", _crc32c(data))
    daemon.store.mkdir(mode=0o700, exist_ok=True)
    (daemon.store / "history").write_bytes(slots)
