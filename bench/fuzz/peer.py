"""One end of a connection that keeps to the frame format and to nothing else: sends what it is told to, in any order,
and checks every answer: that it was asked for, that it has the form of its message, that it came in time."""

import array
import os
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults"))

from findings import Finding  # noqa: E402
from larder_client import larder  # noqa: E402, F401
from larder.errors import ProtocolViolation  # noqa: E402
from larder.wire.codec import Reader  # noqa: E402
from larder.wire.message import MESSAGES  # noqa: E402
from larder.wire import messages  # noqa: E402, F401
from larder.wire.structures import REFUSAL  # noqa: E402

HEADER = struct.Struct("<IHHQ")
ANSWER, PROGRESS, REFUSED = 0x8000, 0x4000, 0xFFFF
# Longest that an answer may take to a peer that reads: the daemon's own waits, and a slow machine.
ANSWER_SECONDS = 60.0
# Refusals that only a fault of the daemon's own brings: damaged, internal, store unusable.
FAULTS = {18, 24, 26}
# What a peer that does not read may have waiting to be sent.
UNSENT_BYTES = 4 << 20


class Peer:
    """A connection. `on_answer(peer, name, request, answer)` is told of each answer, None for a refusal."""

    def __init__(self, number: int, path: str, on_answer) -> None:
        self.number = number
        self.on_answer = on_answer
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.socket.setblocking(False)
        self.pending: dict[int, tuple[str, object, float]] = {}
        self.unsent: list[tuple[memoryview, list[int]]] = []
        self.received = bytearray()
        self.arenas: list[int] = []
        self.next_id = 1
        self.answers = self.refusals = 0
        # False while it does not look at what it is sent.
        self.reads = True
        # Why the daemon may close it; empty if it may not.
        self.excuse = ""
        self.is_open = True

    def ask(self, name: str, request: object, payload: bytes = b"", descriptors: tuple[int, ...] = ()) -> None:
        """Sends a request, as soon as the socket takes it. Descriptors are closed here once they are sent."""
        message = MESSAGES[name]
        body = message.request.encode(request) + payload
        self.pending[self.next_id] = (name, request, time.monotonic())
        self.send(HEADER.pack(len(body), message.number, 0, self.next_id) + bytes(body), list(descriptors))
        self.next_id += 1

    def send(self, raw: bytes, descriptors: list[int] | None = None) -> None:
        """Sends bytes as they are."""
        self.unsent.append((memoryview(raw), descriptors or []))
        self.pump()

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the socket has not taken yet."""
        return sum(len(part) for part, _ in self.unsent)

    def pump(self) -> None:
        """Sends and receives what can be without waiting. Raises Finding."""
        if not self.is_open:
            return
        try:
            while self.unsent:
                part, descriptors = self.unsent[0]
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
                count = self.socket.sendmsg([part], rights, socket.MSG_NOSIGNAL)
                for one in descriptors:
                    os.close(one)
                self.unsent[0] = (part[count:], [])
                if count == len(part):
                    self.unsent.pop(0)
        except BlockingIOError:
            pass
        except OSError as error:
            self._ended(str(error))
        if self.reads:
            self._receive()

    def _receive(self) -> None:
        while self.is_open:
            try:
                data, ancillary, _, _ = self.socket.recvmsg(1 << 16, socket.CMSG_SPACE(16))
            except BlockingIOError:
                break
            except OSError as error:
                return self._ended(str(error))
            for level, kind, raw in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    for one in memoryview(raw).cast("i"):
                        os.close(one)
            if not data:
                self._take_frames()
                return self._ended("it closed")
            self.received += data
            self._take_frames()

    def _take_frames(self) -> None:
        while len(self.received) >= HEADER.size:
            length, kind, flags, request_id = HEADER.unpack_from(self.received)
            if flags:
                raise Finding("answer", f"a frame with flags {flags}")
            if len(self.received) < HEADER.size + length:
                return
            body = bytes(self.received[HEADER.size : HEADER.size + length])
            del self.received[: HEADER.size + length]
            self._take(kind, request_id, body)

    def _take(self, kind: int, request_id: int, body: bytes) -> None:
        if kind == REFUSED and request_id not in self.pending and self.excuse:
            REFUSAL.decode(body)
            return
        if request_id not in self.pending:
            raise Finding("answer", f"a frame of type {kind:#x} answers request {request_id}, which was not asked")
        name, request, _ = self.pending[request_id]
        message = MESSAGES[name]
        try:
            if kind == message.number | ANSWER | PROGRESS and name in ("get_into", "backup"):
                return
            del self.pending[request_id]
            if kind == REFUSED:
                refusal = REFUSAL.decode(body)
                self.refusals += 1
                if refusal.code in FAULTS:
                    raise Finding("refused", f"{name} {request}: {refusal.code} {refusal}")
                return self.on_answer(self, name, request, None, b"")
            if kind != message.number | ANSWER:
                raise Finding("answer", f"{name} is answered by a frame of type {kind:#x}")
            reader = Reader(body)
            answer = message.answer.read(reader)
            payload = reader.take(len(body) - reader.at) if name == "get" else b""
            reader.finish()
        except ProtocolViolation as error:
            raise Finding("answer", f"{name}: {error}") from None
        self.answers += 1
        self.on_answer(self, name, request, answer, payload)

    def _ended(self, why: str) -> None:
        self.close()
        if not self.excuse:
            waiting = [name for name, _, _ in self.pending.values()]
            raise Finding("closed", f"peer {self.number} was closed for no reason ({why}); it waited for {waiting}")

    def require_in_time(self) -> None:
        """Raises Finding if it reads and has waited too long."""
        now = time.monotonic()
        for name, request, since in self.pending.values():
            if self.is_open and self.reads and not self.excuse and now - since > ANSWER_SECONDS:
                raise Finding("late", f"{name} {request} was not answered within {ANSWER_SECONDS:g} s")

    def close(self) -> None:
        """Closes its end at once."""
        self.is_open = False
        for _, descriptors in self.unsent:
            for one in descriptors:
                os.close(one)
        self.unsent = []
        self.socket.close()
