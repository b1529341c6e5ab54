"""A daemon that says what a test tells it to."""

from __future__ import annotations

import array
import os
import socket
import struct
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import larder
from larder.wire import numbers
from larder.wire.message import HELLO, Welcome
from larder.wire.messages import MESSAGES

from support import attention

HEADER = struct.Struct("<IHHQ")
WELCOME = Welcome(1, numbers.ARENAS, 64 << 20, 4_096, 64, 1, 2, "fake 1")

#: A client's timeout where a daemon is to fall silent, and how long a call may take then, by far.
TIMEOUT = 0.5
BOUND = 60.0


def frame(kind: int, request_id: int, body: bytes = b"", flags: int = 0) -> bytes:
    """A frame."""
    return HEADER.pack(len(body), kind, flags, request_id) + body


def session_of(client: larder.Client, number: int = 7) -> larder.Session:
    """A session without asking for one."""
    return larder.Session(client, number, True, "n", "s", larder.DeclaredModel(1, bytes(32), attention()))


class Request:
    """A request that came, and how to answer it."""

    def __init__(self, connection: socket.socket, number: int, request_id: int, body: bytes) -> None:
        self.connection = connection
        self.number = number
        self.id = request_id
        self.body = body

    @property
    def name(self) -> str:
        """Its message."""
        return next(name for name, one in MESSAGES.items() if one.number == self.number)

    def value(self) -> Any:
        """Its fields; those of a put with inline payloads cannot be read so."""
        return MESSAGES[self.name].request.decode(self.body)

    def raw(self, data: bytes) -> None:
        """Sends bytes."""
        self.connection.sendall(data)

    def answer(self, body: bytes | bytearray) -> None:
        """Answers in the right frame with that body."""
        self.raw(frame(self.number | numbers.ANSWER_BIT, self.id, bytes(body)))

    def answer_value(self, value: Any, payload: bytes = b"") -> None:
        """Answers with a value."""
        self.answer(MESSAGES[self.name].answer.encode(value) + payload)

    def answer_with_descriptors(self, body: bytes | bytearray, descriptors: list[int]) -> None:
        """Answers and passes descriptors along."""
        data = frame(self.number | numbers.ANSWER_BIT, self.id, bytes(body))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        self.connection.sendmsg([data], rights)


class FakeDaemon:
    """Takes one connection, shakes hands, and has ``serve`` deal with each request until it returns False.

    ``welcome`` is the handshake's answer, or bytes to send in its place.
    """

    def __init__(self, serve: Callable[[Request], Any] = lambda _: False, welcome: Welcome | bytes = WELCOME) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="larder-")
        self.path = os.path.join(self._directory.name, "s")
        self._serve = serve
        self._welcome = welcome
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(1)
        self.done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> FakeDaemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self._listener.close()
        self._thread.join(10)
        self._directory.cleanup()

    def connect(self) -> larder.Client:
        """A client of it."""
        return larder.connect(self.path)

    def connect_impatiently(self) -> larder.Client:
        """A client that waits for a short while only, once it is connected."""
        client = self.connect()
        client._transport.set_timeout(TIMEOUT)
        return client

    def _run(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        with connection:
            try:
                self._talk(connection)
            except (OSError, EOFError):
                pass  # The client is gone, as it should be after most answers.

    def _talk(self, connection: socket.socket) -> None:
        hello = self._take(connection)
        if isinstance(self._welcome, bytes):
            hello.raw(self._welcome)
        else:
            hello.answer(HELLO.answer.encode(self._welcome))
        while self._serve(self._take(connection)) is not False:
            pass

    def _take(self, connection: socket.socket) -> Request:
        length, number, _, request_id = HEADER.unpack(self._exactly(connection, HEADER.size))
        return Request(connection, number, request_id, self._exactly(connection, length))

    def _exactly(self, connection: socket.socket, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = connection.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data
