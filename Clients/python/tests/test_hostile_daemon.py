"""A daemon that breaks the protocol: each fault is an error within a bounded time, and ends the connection."""

from __future__ import annotations

import struct
import time
import unittest
from collections.abc import Callable
from typing import Any

import larder
from larder.wire import numbers, structures
from larder.wire.message import HELLO
from larder.wire.messages import MESSAGES

from fake import BOUND, TIMEOUT, WELCOME, FakeDaemon, Request, frame, session_of
from support import protocol_vectors, within
from vectors import codec_of, value_of


class HandshakeTests(unittest.TestCase):
    """What may come in place of a welcome."""

    def refused(self, welcome: Any, error: type[Exception]) -> Exception:
        timeout = TIMEOUT if error is larder.ConnectionLost else BOUND
        with FakeDaemon(welcome=welcome) as daemon, self.assertRaises(error) as caught:
            within(BOUND, lambda: larder.connect(daemon.path, timeout=timeout))
        return caught.exception

    def test_welcomes_that_were_not_offered(self) -> None:
        for change in (
            {"version": 0},
            {"version": 2},
            {"features": 2},
            {"features": 2**63 | 1},
            {"frame_bytes": 0},
            {"frame_bytes": 4_095},
            {"batch_items": 0},
            {"requests_in_flight": 0},
        ):
            with self.subTest(change):
                self.refused(WELCOME._replace(**change), larder.ProtocolViolation)

    def test_bytes_of_something_else(self) -> None:
        for bytes_sent in (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"\0" * 16,
            b"\xff" * 64,
            frame(0x8001, 1, b"\0"),
            frame(0x8002, 1, bytes(38)),
            frame(0x0001, 1, bytes(38)),
            frame(0x8001, 2, HELLO.answer.encode(WELCOME)),
            frame(0x8001, 1, bytes(HELLO.answer.encode(WELCOME)), flags=1),
        ):
            with self.subTest(bytes_sent[:20]):
                self.refused(bytes_sent, larder.ProtocolViolation)

    def test_a_frame_above_the_bound_before_the_handshake(self) -> None:
        self.refused(struct.pack("<IHHQ", 4_097, 0x8001, 0, 1), larder.ProtocolViolation)

    def test_half_a_welcome_and_then_nothing(self) -> None:
        whole = frame(0x8001, 1, bytes(HELLO.answer.encode(WELCOME)))
        for end in (0, 1, 15, 16, len(whole) - 1):
            with self.subTest(end):
                # The fake hangs on, reading: only the client's timeout ends this.
                self.refused(whole[:end], larder.ConnectionLost)

    def test_refusals(self) -> None:
        body = bytes(structures.REFUSAL.encode(larder.TooManyConnections("at the limit")))
        error = self.refused(frame(0xFFFF, 0, body), larder.TooManyConnections)
        self.assertEqual(str(error), "at the limit")
        body = bytes(structures.REFUSAL.encode(larder.ProtocolVersion("mend")))
        self.refused(frame(0xFFFF, 1, body), larder.ProtocolVersion)

    def test_huge_limits_are_not_believed(self) -> None:
        welcome = WELCOME._replace(frame_bytes=2**32 - 1, batch_items=2**32 - 1, requests_in_flight=2**32 - 1)

        def claim(request: Request) -> None:
            request.raw(struct.pack("<IHHQ", 2**32 - 1, 0x800C, 0, request.id))

        with FakeDaemon(claim, welcome) as daemon, daemon.connect() as client:
            self.assertEqual(client.limits[:2], (numbers.FRAME_BYTES, numbers.BATCH_ITEMS))
            self.assertRaises(larder.ProtocolViolation, client.stat)


class AnswerTests(unittest.TestCase):
    """What may come in place of an answer."""

    def fails(
        self,
        serve: Callable[[Request], Any],
        ask: Callable[[larder.Client], Any],
        error: type[Exception] = larder.ProtocolViolation,
    ) -> None:
        """``ask`` raises ``error``, in time, and the client is closed for good."""
        with FakeDaemon(serve) as daemon, daemon.connect() as client:
            if error is larder.ConnectionLost:
                client._transport.set_timeout(TIMEOUT)
            with self.assertRaises(error):
                within(BOUND, lambda: ask(client))
            self.assertFalse(client.is_open)
            self.assertRaises(larder.ConnectionLost, client.stat)

    def test_every_answer_cut_and_with_a_byte_more(self) -> None:
        for vector in protocol_vectors()["vectors"]:
            message = MESSAGES.get(vector["message"])
            if vector["kind"] != "answer" or message is None or vector["message"] in ("hello", "get", "get_into"):
                continue
            request = next(
                one
                for one in protocol_vectors()["vectors"]
                if one["message"] == vector["message"] and one["kind"] == "request"
            )
            value = value_of(codec_of(request), request["fields"])
            body = bytes.fromhex(vector["frame"])[16:]
            for bent in {body[:-1], body[: len(body) // 2], body + b"\0"} - {body}:
                with self.subTest(vector["name"], bytes=len(bent)):
                    self.fails(lambda one, bent=bent: one.answer(bent), lambda c, v=value, m=message: c._ask(m, v))

    def test_hostile_answers(self) -> None:
        for vector in protocol_vectors()["hostile"]:
            if vector["kind"] == "request" or vector["message"] in ("hello", "get"):
                continue
            raw = bytearray.fromhex(vector["frame"])

            def serve(request: Request, raw: bytearray = raw) -> None:
                raw[8:16] = request.id.to_bytes(8, "little")
                request.raw(bytes(raw))

            message = MESSAGES.get(vector["message"], MESSAGES["stat"])
            request = next(
                one
                for one in protocol_vectors()["vectors"]
                if one["message"] == message.name and one["kind"] == "request"
            )
            value = value_of(codec_of(request), request["fields"])
            with self.subTest(vector["name"]):
                self.fails(serve, lambda c, v=value, m=message: c._ask(m, v))

    def test_answers_to_something_else(self) -> None:
        stat = bytes(8)
        for name, data in {
            "another id": lambda r: frame(0x800C, r.id + 1, stat),
            "the id before": lambda r: frame(0x800C, r.id - 1, stat),
            "id 0": lambda r: frame(0x800C, 0, stat),
            "another type": lambda r: frame(0x800D, r.id, b""),
            "a request": lambda r: frame(0x000C, r.id, b""),
            "a type that is not known": lambda r: frame(0xBFFF, r.id, stat),
            "progress": lambda r: frame(0xC00C, r.id, bytes(4)),
            "flags": lambda r: frame(0x800C, r.id, stat, flags=1),
            "above the bound": lambda r: struct.pack("<IHHQ", (64 << 20) + 1, 0x800C, 0, r.id),
            "a refusal that is cut": lambda r: frame(0xFFFF, r.id, b"\1\0"),
        }.items():
            with self.subTest(name):
                self.fails(lambda r, data=data: r.raw(data(r)), lambda c: c.stat())

    def test_an_answer_that_was_not_asked_for_is_never_taken_for_another(self) -> None:
        def twice(request: Request) -> None:
            request.raw(2 * frame(0x800C, request.id, bytes(8)))

        with FakeDaemon(twice) as daemon, daemon.connect() as client:
            client.stat()
            self.assertRaises(larder.ProtocolViolation, client.stat)
            self.assertFalse(client.is_open)

    def test_silence_and_dribble(self) -> None:
        def dribble(request: Request) -> None:
            # A header that promises 60 KiB, then a byte now and then: no single wait is long.
            request.raw(struct.pack("<IHHQ", 60_000, 0x800C, 0, request.id))
            end = time.monotonic() + 4 * BOUND
            while time.monotonic() < end:
                request.raw(b"\0")
                time.sleep(TIMEOUT / 5)

        def dribble_much(request: Request) -> None:
            request.raw(struct.pack("<IHHQ", 1 << 20, 0x800C, 0, request.id))
            end = time.monotonic() + 4 * BOUND
            while time.monotonic() < end:
                request.raw(b"\0")
                time.sleep(TIMEOUT / 5)

        for serve in (lambda _: None, dribble, dribble_much):
            self.fails(serve, lambda c: c.stat(), larder.ConnectionLost)

    def test_an_end_in_the_middle(self) -> None:
        def half(request: Request) -> bool:
            request.raw(frame(0x800C, request.id, bytes(8))[:20])
            return False

        self.fails(half, lambda c: c.stat(), larder.ConnectionLost)
        self.fails(lambda _: False, lambda c: c.stat(), larder.ConnectionLost)

    def test_listings_that_do_not_end(self) -> None:
        row = protocol_vectors()

        def again(request: Request) -> None:
            vector = next(one for one in row["vectors"] if one["kind"] == "answer" and one["message"] == request.name)
            value = value_of(codec_of(vector), vector["fields"])
            if request.name == "list_sessions" or request.name == "report":
                request.answer_value(value._replace(next=5))
            elif request.name == "verify":
                request.answer_value(value)
            else:
                (entries,) = value
                request.answer_value(type(value)([entries[0]] * 1_000))

        for ask in (
            lambda c: list(c.list_models()),
            lambda c: list(c.list_namespaces()),
            lambda c: list(c.list_sessions()),
            lambda c: c.report(),
            lambda c: list(session_of(c, 65).chunks()),
            lambda c: list(c.verify(session_of(c))),
        ):
            self.fails(again, ask)

    def test_more_results_than_were_asked(self) -> None:
        self.fails(lambda r: r.answer(struct.pack("<I", 3)), lambda c: c.match("n", session_of(c).model, [bytes(32)]))
        result = larder.HintResult("accepted", "none", 0, 1, 0, "")
        answer = MESSAGES["hint"].answer
        for results in ([], [result, result]):
            body = answer.encode(answer.decode(struct.pack("<I", 0))._replace(results=results))  # type: ignore[attr-defined]
            self.fails(lambda r, body=body: r.answer(body), lambda c: session_of(c).retain(1))

    def test_resume_points_and_plans_that_cannot_be(self) -> None:
        chunk = larder.ChunkSummary(8, 0, 0, 0, 1, 1, 1, "raw", 0)
        whole = larder.Resume(100, True, 0, 0, 100, 0, [], [])
        for bent in (whole._replace(offset=101), whole._replace(cheapest_offset=101), whole._replace(chunks=[chunk])):
            self.fails(lambda r, bent=bent: r.answer_value(bent), lambda c: session_of(c).resume(100))
        for offsets in ([5], [10], [11, 11], [12, 11], [101]):
            body = struct.pack(f"<I{len(offsets)}Q", len(offsets), *offsets)
            self.fails(lambda r, body=body: r.answer(body), lambda c: session_of(c).plan_snapshots(100, 10, 1))

    def test_a_code_that_is_not_known(self) -> None:
        body = struct.pack("<HIH", 999, 3, 5) + b"later"
        with FakeDaemon(lambda r: r.raw(frame(0xFFFF, r.id, body))) as daemon, daemon.connect() as client:
            with self.assertRaises(larder.InternalFault) as caught:
                client.stat()
            self.assertEqual((caught.exception.code, caught.exception.item, str(caught.exception)), (999, 3, "later"))
            self.assertTrue(client.is_open)


if __name__ == "__main__":
    unittest.main()
