"""Answers to page-outs and page-ins that are not what was asked, and memory that is not what it should be."""

from __future__ import annotations

import os
import socket
import struct
import unittest
from collections.abc import Callable
from typing import Any

import larder
from larder.wire import structures

from fake import BOUND, WELCOME, FakeDaemon, Request, frame, session_of
from support import within


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


class PagingTests(unittest.TestCase):
    """Answers to page-outs and page-ins that are not what was asked."""

    def setUp(self) -> None:
        self.bent: Callable[[Request], Any] = lambda _: False

    def serve(self, request: Request) -> Any:
        if request.name == "open_arena":
            size = request.value().arena_bytes
            descriptor = larder.sealed_memfd(size)
            request.answer_with_descriptors(struct.pack("<I", 1), [descriptor])
            os.close(descriptor)
            return None
        return self.bent(request)

    def fails(self, bent: Callable[[Request], Any], ask: Callable[[larder.Client], Any], arenas: bool = True) -> None:
        self.bent = bent
        welcome = WELCOME if arenas else WELCOME._replace(features=0)
        with FakeDaemon(self.serve, welcome) as daemon, daemon.connect() as client:
            with self.assertRaises(larder.ProtocolViolation):
                within(BOUND, lambda: ask(client))
            self.assertFalse(client.is_open)

    @staticmethod
    def page_in(client: larder.Client, count: int = 1, size: int = 64) -> Any:
        session = session_of(client)
        return client.get_into([larder.PageIn(session, index, bytearray(size)) for index in range(count)])

    def test_page_in_to_another_place(self) -> None:
        done = struct.Struct("<HIBQIQ")
        for count in (1, 2):
            for name, results in {
                "another arena": [done.pack(0, 1, 1, 64, 2, 0)],
                "another offset": [done.pack(0, 1, 1, 64, 1, 64)] * 2,
                "too many bytes": [done.pack(0, 1, 1, 65, 1, 0)],
                "2^64 - 1 bytes": [done.pack(0, 1, 1, 2**64 - 1, 1, 0)],
                "inline": [struct.pack("<HIBQ", 0, 1, 0, 64)],
                "place 2": [done.pack(0, 1, 2, 64, 1, 0)],
                "none": [],
                "too many": [done.pack(0, 1, 1, 64, 1, 0)] * 3,
                "cut": [done.pack(0, 1, 1, 64, 1, 0)[:-1]],
            }.items():
                with self.subTest(name, items=count):
                    body = struct.pack("<I", len(results)) + b"".join(results)
                    self.fails(lambda r, body=body: r.answer(body), lambda c, n=count: self.page_in(c, n))

    def test_inline_page_in_that_lies(self) -> None:
        served = struct.Struct("<HIBQ")
        for name, body in {
            "too few bytes": served.pack(0, 1, 0, 64) + bytes(63),
            "too many bytes": served.pack(0, 1, 0, 64) + bytes(65),
            "2^64 - 1 bytes": served.pack(0, 1, 0, 2**64 - 1) + bytes(64),
            "an arena": served.pack(0, 1, 1, 64) + bytes(76),
        }.items():
            with self.subTest(name):
                body = struct.pack("<I", 1) + body
                self.fails(lambda r, body=body: r.answer(body), self.page_in, arenas=False)
                self.fails(lambda r, body=body: r.answer(body), lambda c: session_of(c).get(0))

    def test_more_bytes_than_the_destination_has(self) -> None:
        """Not a violation: the chunk is larger than the caller thought. Nothing is written beyond the destination."""
        body = struct.pack("<IHIBQ", 1, 0, 1, 0, 100) + bytes(100)
        with FakeDaemon(lambda r: r.answer(body), WELCOME._replace(features=0)) as daemon, daemon.connect() as client:
            self.assertIsInstance(self.page_in(client)[0], larder.WrongLength)
            self.assertTrue(client.is_open)

    def test_results_of_page_outs(self) -> None:
        done = struct.pack("<HQ", 0, 10)
        for count in (1, 2):

            def put(client: larder.Client, count: int = count) -> Any:
                items = [larder.PageOut(session_of(client), index, 1, bytes(64)) for index in range(count)]
                return client.put_from(items)

            for results in ([], [done] * (count - 1), [done] * (count + 1), [done] * (count - 1) + [done[:-1]]):
                body = struct.pack("<I", len(results)) + b"".join(results)
                for arenas in (True, False):
                    self.fails(lambda r, body=body: r.answer(body), put, arenas)
            self.fails(lambda r, n=count: r.answer(struct.pack("<I", n + 1) + done * n), put)
            self.fails(lambda r, n=count: r.raw(frame(0x8005, r.id, struct.pack("<I", n) + done * n)), put)

    def test_progress_without_end(self) -> None:
        def flood(request: Request) -> None:
            for _ in range(100_000):
                request.raw(frame(0xC012, request.id, struct.pack("<I", 1)))

        def ask(client: larder.Client) -> Any:
            arena = client.open_arena(4_096)
            items = [larder.PageIn(session_of(client), 0, arena[0:64])]
            return client.get_into(items, layer_group=1, on_progress=lambda _: None)

        self.fails(flood, ask)
        self.fails(lambda r: r.raw(frame(0xC012, r.id, b"\0")), ask)

    def test_progress_that_nobody_asked_for(self) -> None:
        for count in (1, 2):
            self.fails(lambda r: r.raw(frame(0xC012, r.id, bytes(4))), lambda c, n=count: self.page_in(c, n))

    def test_answers_in_any_order_but_each_once(self) -> None:
        """Two frames' answers, swapped, are taken; the same one twice is not."""
        held: list[Request] = []

        def swap(request: Request) -> None:
            held.append(request)
            if len(held) == 2:
                # The first frame's chunk takes 1 byte, the second's 2.
                held[1].answer(struct.pack("<IHQ", 1, 0, 2))
                held[0].answer(struct.pack("<IHQ", 1, 0, 1))

        def put(client: larder.Client) -> Any:
            session = session_of(client)
            return client.put_from([larder.PageOut(session, index, 1, bytes(3 << 20)) for index in range(2)])

        self.bent = swap
        with FakeDaemon(self.serve) as daemon, daemon.connect() as client:
            self.assertEqual(put(client), [1, 2])

        def twice(request: Request) -> None:
            request.raw(2 * frame(0x8004, request.id, struct.pack("<IHQ", 1, 0, 1)))

        self.fails(twice, put)

    def test_an_arena_that_is_not_what_was_asked_for(self) -> None:
        def pipe() -> int:
            ends = os.pipe()
            os.close(ends[1])
            return ends[0]

        def unsealed() -> int:
            descriptor = os.memfd_create("unsealed", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
            os.ftruncate(descriptor, 4_096)
            return descriptor

        makers: dict[str, list[Callable[[], int]]] = {
            "none": [],
            "two": [lambda: larder.sealed_memfd(4_096)] * 2,
            "a pipe": [pipe],
            "unsealed": [unsealed],
            "too short": [lambda: larder.sealed_memfd(4_095)],
            "too long": [lambda: larder.sealed_memfd(8_192)],
        }
        for name, made in makers.items():

            def serve(request: Request, made: list[Callable[[], int]] = made) -> None:
                descriptors = [one() for one in made]
                request.answer_with_descriptors(struct.pack("<I", 1), descriptors)
                for one in descriptors:
                    os.close(one)

            with self.subTest(name):
                with FakeDaemon(serve) as daemon, daemon.connect() as client:
                    self.assertRaises(larder.ProtocolViolation, client.open_arena, 4_096)
                    self.assertFalse(client.is_open)

    def test_descriptors_that_nobody_asked_for_are_not_kept(self) -> None:
        def serve(request: Request) -> None:
            descriptors = [larder.sealed_memfd(4_096) for _ in range(4)]
            request.answer_with_descriptors(bytes(8), descriptors)
            for one in descriptors:
                os.close(one)

        with FakeDaemon(serve) as daemon, daemon.connect() as client:
            client.stat()
            before = open_descriptors()
            for _ in range(20):
                client.stat()
            self.assertLessEqual(len(open_descriptors()), len(before) + 4)


class SendingTests(unittest.TestCase):
    """A daemon that does not read, or answers while it is sent to."""

    def test_a_daemon_that_does_not_read(self) -> None:
        def read_no_more(request: Request) -> None:
            daemon.done.wait(4 * BOUND)

        silent = FakeDaemon(read_no_more, WELCOME._replace(features=0))
        with silent as daemon, daemon.connect_impatiently() as client:
            session = session_of(client)
            items = [larder.PageOut(session, index, 1, bytes(4 << 20)) for index in range(8)]
            with self.assertRaises(larder.ConnectionLost):
                within(BOUND, lambda: client.put_from(items))
            self.assertFalse(client.is_open)

    def test_a_refusal_that_comes_before_an_end_is_what_is_raised(self) -> None:
        body = bytes(structures.REFUSAL.encode(larder.ShuttingDown("it drains")))

        def refuse(request: Request) -> bool:
            request.raw(frame(0xFFFF, 0, body))
            request.connection.shutdown(socket.SHUT_RDWR)
            return False

        with FakeDaemon(refuse) as daemon, daemon.connect() as client:
            self.assertRaises(larder.ShuttingDown, client.stat)
            self.assertRaises(larder.ConnectionLost, client.stat)

    def test_a_connection_that_is_refused_while_it_opens_its_arena(self) -> None:
        body = bytes(structures.REFUSAL.encode(larder.TooManyConnections("too many")))
        with FakeDaemon(lambda request: request.raw(frame(0xFFFF, 0, body))) as daemon, daemon.connect() as client:
            item = larder.PageOut(session_of(client), 0, 8, bytes(8))
            self.assertRaises(larder.TooManyConnections, client.put_from, [item])
            self.assertFalse(client.is_open)

    def test_answers_that_would_fill_memory_while_it_sends(self) -> None:
        """A daemon that does not read on, but sends the largest frames for all that may wait."""

        def flood(request: Request) -> None:
            for later in range(4):
                request.raw(frame(0x8004, request.id + later, bytes(60 << 20)))
            daemon.done.wait(BOUND)

        with FakeDaemon(flood, WELCOME._replace(features=0)) as daemon, daemon.connect() as client:
            session = session_of(client)
            items = [larder.PageOut(session, index, 1, bytes(4 << 20)) for index in range(16)]
            with self.assertRaisesRegex(larder.ProtocolViolation, "before it took a request"):
                within(BOUND, lambda: client.put_from(items))

    def test_answers_that_fill_the_socket_while_it_sends(self) -> None:
        """A daemon that writes all its answers before it reads on: this side takes them while it sends."""
        message = "x" * 1_000

        def refuse_all(request: Request) -> None:
            count = struct.unpack_from("<I", request.body, 2)[0]
            error = bytes(structures.STATUS.encode(larder.Full(message)))
            request.answer(struct.pack("<I", count) + count * (error + bytes(8)))

        with FakeDaemon(refuse_all, WELCOME._replace(features=0)) as daemon, daemon.connect() as client:
            session = session_of(client)
            results = client.put_from([larder.PageOut(session, index, 1, bytes(9_000)) for index in range(8_000)])
            self.assertEqual(len(results), 8_000)
            self.assertTrue(all(isinstance(one, larder.Full) for one in results))


if __name__ == "__main__":
    unittest.main()
