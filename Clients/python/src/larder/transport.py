"""Frames over a Unix socket: sends requests, receives answers, matches them by id.

One rule keeps answers from being mistaken: whatever goes wrong between the first byte of a request and the last of its
answer closes the connection. Every wait is bounded, and so is all memory that a peer can make this side use.
"""

from __future__ import annotations

import array
import os
import select
import socket
import struct
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from time import monotonic
from typing import NoReturn, TypeVar

from .errors import ConnectionLost, ProtocolViolation, Refusal
from .sockets import bound_waits, connected_socket
from .wire import numbers
from .wire.codec import Buffer
from .wire.message import Message
from .wire.structures import REFUSAL

Q = TypeVar("Q")
A = TypeVar("A")

HEADER = struct.Struct("<IHHQ")
#: Bytes that are read ahead. A larger frame takes memory of its own for as long as it is used.
INPUT_BYTES = 64 << 10
#: Bytes a second that a peer must at least send of a frame, beyond the timeout, as the daemon asks of its own peers.
FRAME_BYTES_PER_SECOND = 4 << 20
#: Descriptors that one message may bring; all but a single one are a fault.
DESCRIPTORS = 4
#: Bytes of answers that are kept while a request is sent. Those of page-outs are short, requests for page-ins too.
EARLY_BYTES = 128 << 20
#: A frame up to this long is joined to one buffer: cheaper than a call with several.
JOINED_BYTES = 16 << 10
#: Longest wait that poll(2) takes, in milliseconds: 24 days.
POLL_MS = 2**31 - 1
#: Buffers that one system call takes (IOV_MAX is 1,024).
BUFFERS_PER_SEND = 512

_SEND_NOW = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL

#: Types of frames that answer a request for good, and of which no more is to be said here.
_FINAL = frozenset(number | numbers.ANSWER_BIT for number in range(1, 0x1000)) | {numbers.REFUSAL_TYPE}

#: A frame that was received: its type, its request's id, and its body, valid until the next frame is received.
Frame = tuple[int, int, memoryview]


class Transport:
    """A connection. Not safe for use by two threads at once, except in ``turn``."""

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self.timeout = timeout
        #: Held for a whole exchange.
        self.lock = threading.RLock()
        #: Most bytes of a frame, either way; before the handshake, the protocol's bound.
        self.frame_bytes = numbers.FRAME_BYTES_LEAST
        #: The store's identity; empty before the handshake.
        self.store_id = ""
        self._process = os.getpid()
        self._busy = False
        self._why_closed = "the client was closed"
        #: The id of the next request. Never 0, which is the daemon's own.
        self.next_id = 1
        self._buffer = bytearray(INPUT_BYTES)
        self._input = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        #: Answers that came while a request was being sent, by request id.
        self._early: dict[int, tuple[int, int, memoryview]] = {}
        #: Requests that wait for their answer.
        self._waiting = 0
        self._socket: socket.socket | None = connected_socket(path, timeout)
        self._readable = select.poll()
        self._readable.register(self._socket, select.POLLIN)

    # The life of a connection.

    @property
    def is_open(self) -> bool:
        """False once nothing can be asked any more."""
        return self._socket is not None and self._process == os.getpid()

    def set_timeout(self, seconds: float) -> None:
        """Bounds every wait from now on."""
        with self.turn, self as connected:
            self.timeout = seconds
            bound_waits(connected, seconds)

    def close(self, why: str = "the client was closed") -> None:
        """Closes this process's end. Repeating it does nothing."""
        taken, self._socket = self._socket, None
        if taken is not None:
            self._why_closed = why
            # No shutdown(2): after a fork of the process, that would end the other process's connection.
            taken.close()

    def close_between(self, why: str = "the client was closed") -> None:
        """As ``close``, but not while another thread waits for an answer."""
        if self._process != os.getpid():
            self.close(why)  # The lock may be held by a thread that this process has not got.
            return
        with self.turn:
            self.close(why)

    @property
    def turn(self) -> AbstractContextManager[object]:
        """The lock, to begin an exchange with: ``with transport.turn, transport:``.

        It is released by the interpreter itself: what a signal raises at the very beginning or end of an exchange would
        leave one held that ``__exit__`` releases, and other threads waiting for ever.
        """
        if self._process != os.getpid():
            raise ConnectionLost(
                f"this connection to {self.path} was made before the process forked; connect anew in the child"
            )
        if self._busy and self.lock._is_owned():  # type: ignore[attr-defined]
            raise RuntimeError("a client cannot be used or closed from within its own callback")
        return self.lock

    def __enter__(self) -> socket.socket:
        """Begins an exchange, in its turn, and returns the socket."""
        if self._busy:
            self.close("a call was interrupted as it ended")
        if self._socket is None:
            raise ConnectionLost(f"the connection to {self.path} is closed: {self._why_closed}")
        self._busy = True
        return self._socket

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Ends an exchange. If it was not an orderly one, the connection is of no further use."""
        self._busy = False
        if kind is not None and (self._waiting or not issubclass(kind, (Refusal, ValueError))):
            self.close(str(error) or kind.__name__)

    # Requests and answers.

    def ask(self, message: Message[Q, A], request: Q) -> A:
        """Sends a request and returns its answer. Raises ``Refusal``, ``ConnectionLost``, ``ProtocolViolation``."""
        body = message.request.encode(request)
        with self.turn, self:
            return self.exchange(message, body)

    def exchange(self, message: Message[Q, A], body: Buffer, descriptor: int | None = None) -> A:
        """Within an exchange: sends a request's body and returns its answer."""
        sent = self.send(message.number, [body], descriptor)
        kind, _, answer = self.receive(sent)
        return message.answer.decode(self.answer_body(kind, message.number, answer))

    def answer_body(self, kind: int, number: int, body: memoryview) -> memoryview:
        """The body of an answer to a request of type ``number``; raises the refusal if it is one."""
        if kind == numbers.REFUSAL_TYPE:
            raise REFUSAL.decode(body)
        if kind != number | numbers.ANSWER_BIT:
            raise ProtocolViolation(f"it answered a request of type {number:#06x} with a frame of type {kind:#06x}")
        return body

    def send(self, number: int, parts: Sequence[Buffer], descriptor: int | None = None) -> int:
        """Sends a request whose body is ``parts``, one after another, and returns its id."""
        length = sum(map(len, parts))
        if length > self.frame_bytes:
            raise ValueError(f"a request of {length} bytes is above the {self.frame_bytes} that the daemon takes")
        request_id = self.next_id
        self.next_id += 1
        self._waiting += 1
        header = HEADER.pack(length, number, 0, request_id)
        if length <= JOINED_BYTES and descriptor is None:
            self._send_frame(b"".join((header, *parts)))
        else:
            self._send_all([header, *parts], descriptor)
        return request_id

    def exchange_frame(self, frame: bytes | bytearray) -> Frame:
        """Within an exchange: sends a whole frame that was packed with ``next_id``, and returns the answer."""
        request_id = self.next_id
        self.next_id = request_id + 1
        self._waiting += 1
        self._send_frame(frame)
        if self._start == self._end and not self._early:
            # Nearly always the answer comes whole, and alone. What else comes is left to receive().
            self._start = self._end = 0
            self._end = end = self._receive(self._input, "an answer")
            if end >= HEADER.size:
                length, kind, flags, answered = HEADER.unpack_from(self._buffer)
                if length == end - HEADER.size and answered == request_id and not flags and kind in _FINAL:
                    self._start = end
                    self._waiting -= 1
                    return kind, answered, self._input[HEADER.size : end]
        return self.receive(request_id)

    def receive(self, request_id: int | None = None) -> Frame:
        """The next frame; the next for ``request_id`` if one is named, and nothing else may come then."""
        frame = self._take_early(request_id) if self._early else None
        if frame is None:
            frame = self._read_frame()
        kind, answered, body = frame
        if answered == 0 and kind == numbers.REFUSAL_TYPE:
            # A connection that is refused at once is answered under request 0; it ends with that.
            self._fail_with(REFUSAL.decode(body))
        if request_id is not None and answered != request_id:
            raise ProtocolViolation(f"it answered request {answered}, not {request_id}")
        if not kind & numbers.ANSWER_BIT:
            raise ProtocolViolation(f"it sent a frame of type {kind:#06x}, which is no answer")
        if kind & numbers.PROGRESS_BIT and kind != numbers.REFUSAL_TYPE:
            return frame
        self._waiting -= 1
        if self._waiting < 0:
            raise ProtocolViolation(f"it answered request {answered}, which was not asked")
        return frame

    def receive_with_descriptor(self, request_id: int) -> tuple[Frame, int | None]:
        """As ``receive``; and the descriptor that came with it, which the caller owns. None if there is not exactly
        one."""
        taken: list[int] = []
        try:
            if self._start == self._end and not self._early:
                self._start = self._end = 0
                self._end = self._receive_descriptors(taken)
            frame = self.receive(request_id)
        except BaseException:
            _close_all(taken)
            raise
        if len(taken) == 1:
            return frame, taken[0]
        _close_all(taken)
        return frame, None

    def _fail_with(self, error: Refusal) -> NoReturn:
        self.close(str(error))
        raise error

    def _take_early(self, request_id: int | None) -> Frame | None:
        if request_id is None:
            request_id = next(iter(self._early), 0)
        return self._early.pop(request_id, None)

    # Bytes.

    def _read_frame(self) -> Frame:
        self._fill(HEADER.size, "an answer")
        length, kind, flags, request_id = HEADER.unpack_from(self._buffer, self._start)
        if flags:
            raise ProtocolViolation(f"it sent a frame with flags {flags:#06x}")
        if length > self.frame_bytes:
            raise ProtocolViolation(f"it sent a frame of {length} bytes; {self.frame_bytes} were agreed on")
        if HEADER.size + length <= INPUT_BYTES:
            self._fill(HEADER.size + length, "the rest of an answer")
            start = self._start + HEADER.size
            self._start = start + length
            return kind, request_id, self._input[start : self._start]
        body = memoryview(bytearray(length))
        have = self._end - self._start - HEADER.size
        body[:have] = self._input[self._start + HEADER.size : self._end]
        self._start = self._end = 0
        deadline = monotonic() + self.timeout + length / FRAME_BYTES_PER_SECOND
        while have < length:
            have += self._receive(body[have:], "the rest of an answer")
            if monotonic() > deadline and have < length:
                raise self._timed_out("the rest of an answer")
        return kind, request_id, body

    def _fill(self, count: int, what: str) -> None:
        """Reads until ``count`` bytes are there, which fit into the buffer."""
        if self._end - self._start >= count:
            return
        if self._start == self._end:
            self._start = self._end = 0
        elif self._start + count > INPUT_BYTES:
            left = self._end - self._start
            self._buffer[:left] = self._buffer[self._start : self._end]
            self._start, self._end = 0, left
        deadline = None
        while self._end - self._start < count:
            if deadline is not None and monotonic() > deadline:
                raise self._timed_out(what)
            deadline = deadline or monotonic() + self.timeout
            self._end += self._receive(self._input[self._end :], what)

    def _receive(self, into: memoryview, what: str) -> int:
        assert self._socket is not None
        self._wait_to_receive(what)
        try:
            count = self._socket.recv_into(into)
        except BlockingIOError:
            raise self._timed_out(what) from None
        except OSError as error:
            raise ConnectionLost(f"the daemon at {self.path} is gone: {error}") from error
        if count == 0:
            raise ConnectionLost(f"the daemon at {self.path} closed the connection")
        return count

    def _wait_to_receive(self, what: str) -> None:
        """Waits until there are bytes. The kernel would bound the wait of a receive, too, but the interpreter begins
        that anew, in full, whenever a signal comes: a timer would make it endless."""
        if not self._readable.poll(min(self.timeout * 1000, POLL_MS)):
            raise self._timed_out(what)

    def _receive_descriptors(self, taken: list[int]) -> int:
        """One receive that also takes descriptors, closed on exec."""
        assert self._socket is not None
        room = socket.CMSG_SPACE(DESCRIPTORS * array.array("i").itemsize)
        self._wait_to_receive("an answer")
        try:
            count, ancillary, _, _ = self._socket.recvmsg_into([self._input], room, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            raise self._timed_out("an answer") from None
        except OSError as error:
            raise ConnectionLost(f"the daemon at {self.path} is gone: {error}") from error
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors = array.array("i")
                descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
                taken.extend(descriptors)
        if count == 0:
            raise ConnectionLost(f"the daemon at {self.path} closed the connection")
        return count

    def _send_frame(self, frame: Buffer) -> None:
        """Sends a frame that the socket nearly always takes at once."""
        assert self._socket is not None
        try:
            count = self._socket.send(frame, _SEND_NOW)
        except OSError:
            count = 0  # Said again, and properly, below.
        if count != len(frame):
            self._send_all([memoryview(frame)[count:]], None)

    def _send_all(self, parts: Sequence[Buffer], descriptor: int | None) -> None:
        rights: list[tuple[int, int, array.array[int]]] = []
        if descriptor is not None:
            rights.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor])))
        pending = [memoryview(part) for part in parts if len(part)]
        deadline = None
        while pending:
            try:
                assert self._socket is not None
                count = self._socket.sendmsg(pending[:BUFFERS_PER_SEND], rights, _SEND_NOW)
            except BlockingIOError:
                deadline = deadline or self._send_deadline(pending)
                self._wait_to_send(deadline)
                continue
            except OSError as error:
                self._say_why(error)
            rights = []
            while pending and count >= len(pending[0]):
                count -= len(pending.pop(0))
            if count:
                pending[0] = pending[0][count:]

    def _send_deadline(self, pending: Sequence[memoryview]) -> float:
        return monotonic() + self.timeout + sum(len(part) for part in pending) / FRAME_BYTES_PER_SECOND

    def _wait_to_send(self, deadline: float) -> None:
        """Waits until the socket takes bytes. Takes answers meanwhile: a daemon that cannot send does not read on."""
        assert self._socket is not None
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | select.POLLOUT)
        events = poll.poll(min(max(0.0, deadline - monotonic()) * 1000, POLL_MS))
        if not events:
            raise self._timed_out("it to take a request")
        if events[0][1] & select.POLLIN:
            self._keep_early(self._read_frame())

    def _keep_early(self, frame: Frame) -> None:
        kind, request_id, body = frame
        if request_id in self._early or len(self._early) > self._waiting:
            raise ProtocolViolation(f"it answered request {request_id}, which was not asked or had its answer")
        kept = sum(len(one) for _, _, one in self._early.values())
        if kept + len(body) > EARLY_BYTES:
            raise ProtocolViolation(f"it sent {kept + len(body)} bytes of answers before it took a request")
        if body.obj is self._buffer:
            body = memoryview(bytes(body))
        self._early[request_id] = (kind, request_id, body)

    def _say_why(self, error: OSError) -> NoReturn:
        """Raises why nothing can be sent any more: the daemon may have said so before it closed."""
        try:
            for _ in range(self._waiting + 1):
                kind, _, body = self._take_early(None) or self._read_frame()
                if kind == numbers.REFUSAL_TYPE:
                    self._fail_with(REFUSAL.decode(body))
        except (ConnectionLost, ProtocolViolation):
            pass
        raise ConnectionLost(f"the daemon at {self.path} is gone: {error}") from error

    def _timed_out(self, what: str) -> ConnectionLost:
        return ConnectionLost(f"the daemon at {self.path} let this client wait {self.timeout:g} seconds for {what}")


def _close_all(descriptors: Sequence[int]) -> None:
    for one in descriptors:
        os.close(one)
