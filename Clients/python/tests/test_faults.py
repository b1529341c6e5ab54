"""What goes wrong around a client: daemons that end, bytes that rot, callers that err, processes that fork."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
import unittest
from collections.abc import Callable
from typing import Any

import larder

from support import REPOSITORY, Daemon, DaemonTest, attention, noise, within

#: How long calls may take, by far, that are bounded by a timeout of seconds.
BOUND = 120.0


class DaemonEndsTests(unittest.TestCase):
    """Each test ends the daemon it uses."""

    def setUp(self) -> None:
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.daemon.start()

    def open(self, client: larder.Client) -> larder.Session:
        return client.open_session("faults", "line", client.declare_model(attention()))

    def test_no_daemon(self) -> None:
        self.daemon.kill()
        with self.assertRaisesRegex(larder.ConnectionFailed, f"{self.daemon.socket}.*start larderd"):
            larder.connect(self.daemon.socket)
        with self.assertRaisesRegex(larder.ConnectionFailed, "no/such.*LARDER_SOCKET"):
            larder.connect("/no/such/socket")
        with self.assertRaises(larder.ConnectionFailed):
            larder.connect("/" + "x" * 200)

    def test_where_it_looks(self) -> None:
        old = os.environ.get("LARDER_SOCKET")
        os.environ["LARDER_SOCKET"] = self.daemon.socket
        try:
            larder.connect().close()
        finally:
            os.environ.pop("LARDER_SOCKET")
            if old is not None:
                os.environ["LARDER_SOCKET"] = old

    def test_killed_under_load(self) -> None:
        size = attention().components[0].byte_count(256)

        def page(client: larder.Client) -> None:
            session = self.open(client)
            name = threading.get_ident()
            mine = client.open_session("faults", f"{name}", session.model)
            offset = 0
            while True:
                items = [larder.PageOut(mine, offset + i * 256, 256, noise(size, i)) for i in range(20)]
                client.put_from(items)
                client.get_into([larder.PageIn(mine, offset + i * 256, bytearray(size)) for i in range(20)])
                offset += 20 * 256

        ended: list[BaseException] = []

        def until_the_end(client: larder.Client) -> None:
            try:
                page(client)
            except BaseException as error:
                ended.append(error)

        clients = [self.daemon.connect(timeout=20) for _ in range(4)]
        threads = [threading.Thread(target=until_the_end, args=(one,)) for one in clients]
        for one in threads:
            one.start()
        while clients[0]._transport.next_id < 50:
            time.sleep(0.01)
        self.daemon.kill()
        within(BOUND, lambda: [one.join() for one in threads])
        self.assertEqual([type(one) for one in ended], [larder.ConnectionLost] * 4)
        for client in clients:
            self.assertFalse(client.is_open)
            self.assertRaises(larder.ConnectionLost, client.stat)
            client.close()

    def test_a_daemon_that_stands_still(self) -> None:
        client = self.daemon.connect()
        self.addCleanup(client.close)
        session = self.open(client)
        arena = client.open_arena(4_096)
        client._transport.set_timeout(0.5)
        self.daemon.stand_still()
        with self.assertRaisesRegex(larder.ConnectionLost, "0.5 seconds"):
            within(BOUND, lambda: session.get_into(0, arena[:]))
        # It goes on, and its late answer is nobody's: the client that gave up stays closed.
        self.daemon.go_on()
        self.assertRaises(larder.ConnectionLost, session.resume)
        self.assertRaises(larder.ConnectionLost, session.put, 0, 1, arena[:16])
        with self.daemon.connect() as again:
            self.assertEqual(self.open(again).resume().offset, 0)

    def test_committed_state_outlives_the_daemon(self) -> None:
        with self.daemon.connect() as client:
            session = self.open(client)
            data = noise(session.model.model.components[0].byte_count(8))
            session.put(0, 8, data)
            store = client.store_id
        self.daemon.kill()
        self.daemon.start()
        with self.daemon.connect() as client:
            self.assertEqual(client.store_id, store)
            self.assertEqual(self.open(client).get(0), data)

    def test_ids_of_another_store_are_not_taken_for_this_ones(self) -> None:
        """A number names another model and another session there."""
        other = Daemon()
        self.addCleanup(other.close)
        other.start()
        with self.daemon.connect() as old, other.connect() as new, self.daemon.connect() as again:
            old_line, new_line = self.open(old), self.open(new)
            self.assertEqual((old_line.id, old_line.model.id), (new_line.id, new_line.model.id))
            data = noise(old_line.model.model.components[0].byte_count(8), 1)
            old_line.put(0, 8, data)
            into = bytearray(len(data))
            for call in (
                lambda: new.put_from([larder.PageOut(old_line, 0, 8, data)]),
                lambda: new.get_into([larder.PageIn(old_line, 0, into)]),
                lambda: new.get_into([larder.PageIn(old_line, 0, into)] * 2),
            ):
                self.assertRaisesRegex(larder.UnknownSession, "store", call)
            for call in (
                lambda: new.open_session("faults", "other", old_line.model),
                lambda: new.match("faults", old_line.model, [bytes(32)]),
                lambda: new.set_prefill_rate(old_line.model, 1),
                lambda: new_line.explain(model=old_line.model),
            ):
                self.assertRaisesRegex(larder.UnknownModel, "store", call)
            # Another connection to the same store knows both.
            self.assertEqual(again.get_into([larder.PageIn(old_line, 0, into)]), [len(data)])
            self.assertEqual(again.open_session("faults", "line", old_line.model).id, old_line.id)

    def test_damaged_bytes_are_never_served(self) -> None:
        size = attention().components[0].byte_count(64)
        data = [noise(size, index) for index in range(3)]
        with self.daemon.connect() as client:
            session = self.open(client)
            for index, one in enumerate(data):
                session.put(64 * index, 64, one, encoding="raw")
            client.sync()
        self.daemon.kill()
        self.rot(data[1][100:200])
        self.daemon.start()
        with self.daemon.connect() as client:
            session = self.open(client)
            arena = client.open_arena(3 * size)
            for into in ([arena[i * size : (i + 1) * size] for i in range(3)], [bytearray(size) for _ in range(3)]):
                results = client.get_into([larder.PageIn(session, 64 * i, one) for i, one in enumerate(into)])
                self.assertEqual([results[0], results[2]], [size, size])
                self.assertIsInstance(results[1], larder.Damaged)
                self.assertRaises(larder.Damaged, session.get_into, 64, into[1])
            self.assertEqual(arena.view[2 * size :], data[2])
            self.assertRaises(larder.Damaged, session.get, 64)
            damaged = [one for step in client.verify(session) for one in step.damaged]
            self.assertEqual([one.chunk.offset for one in damaged], [64])
            self.assertRaises(larder.Damaged, session.put, 64, 64, data[1])
            session.truncate(64)
            session.put(64, 64, data[1])
            self.assertEqual(session.get(64), data[1])

    def rot(self, pattern: bytes) -> None:
        """Changes a byte of stored bytes on disk."""
        for path in (self.daemon.directory / "store").rglob("*"):
            raw = path.read_bytes() if path.is_file() else b""
            at = raw.find(pattern)
            if at >= 0:
                with open(path, "r+b") as file:
                    file.seek(at)
                    file.write(bytes([pattern[0] ^ 1]))
                return
        self.fail("what was stored is not in the store's files")

    def test_a_worker_killed_while_it_saves(self) -> None:
        """What was acknowledged stays, and can be restored; the session is usable at once."""
        worker = f"""
import larder
client = larder.connect({self.daemon.socket!r})
from support import attention, noise
session = client.open_session("faults", "line", client.declare_model(attention()))
size = attention().components[0].byte_count(64)
for index in range(100_000):
    session.put(64 * index, 64, noise(size, index))
    print(index, flush=True)
"""
        path = os.pathsep.join([str(REPOSITORY / "Clients/python/src"), os.path.dirname(__file__)])
        process = subprocess.Popen(
            [sys.executable, "-c", worker], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
        )
        assert process.stdout is not None
        last = -1
        for line in process.stdout:
            last = int(line)
            if last == 5:
                process.kill()
        process.wait()
        process.stdout.close()
        size = attention().components[0].byte_count(64)
        with self.daemon.connect() as client:
            session = self.open(client)
            resume = session.resume()
            self.assertGreaterEqual(resume.offset, 64 * (last + 1))
            for one in resume.chunks:
                self.assertEqual(session.get(one.offset), noise(size, one.offset // 64))


class CallerTests(DaemonTest):
    """Callers that err are told so before anything is sent, and the client goes on."""

    def test_buffers_that_cannot_be_used(self) -> None:
        session = self.session()
        size = session.model.model.components[0].byte_count(1)
        data = bytearray(2 * size)
        gaps = memoryview(data)[::2]
        cases: list[tuple[type[Exception], Callable[[], Any]]] = [
            (ValueError, lambda: session.put(0, 1, gaps)),
            (TypeError, lambda: session.put(0, 1, "text")),
            (TypeError, lambda: session.put(0, 1, 5)),
            (ValueError, lambda: session.put(0, 1, None)),
            (ValueError, lambda: session.get_into(0, gaps)),
            (ValueError, lambda: session.get_into(0, bytes(size))),
            (ValueError, lambda: session.get_into(0, memoryview(data).toreadonly())),
            (TypeError, lambda: session.get_into(0, [0] * size)),
            (ValueError, lambda: session.put(-1, 1, data)),
            (ValueError, lambda: session.put(0, 2**32, data)),
            (ValueError, lambda: session.put(0, 1, data, rank=70_000)),
            (ValueError, lambda: session.put(0, 1, data, component=-1)),
            (ValueError, lambda: session.get(-1)),
            (ValueError, lambda: session.get_into(2**64, data)),
            (ValueError, lambda: session.get(0, layers=-1)),
            (ValueError, lambda: session.put(0, 1, data, prefix_key=b"short")),
            (ValueError, lambda: session.put(0, 1, data, encoding="zip")),  # type: ignore[arg-type]
            (ValueError, lambda: session.put(0, 1, data, acknowledgement="soon")),  # type: ignore[arg-type]
            (ValueError, lambda: session.resume(-1)),
            (ValueError, lambda: session.fork(0, "x" * 70_000)),
            (ValueError, lambda: self.client.match("n", session.model, [b"short"])),
            (ValueError, lambda: larder.connect(self.daemon.socket, timeout=0)),
            (ValueError, lambda: larder.connect(self.daemon.socket, timeout=float("nan"))),
        ]
        # Opens the arena that other memory is staged in.
        session.put(100, 1, data[:size])
        before = self.client._transport.next_id
        for index, (error, body) in enumerate(cases):
            with self.subTest(index):
                self.assertRaises(error, body)
        self.assertEqual(self.client._transport.next_id, before, "something was sent")
        self.assertRaises(larder.InvalidArgument, larder.connect, self.daemon.socket, name="")
        self.assertTrue(self.client.is_open)
        self.assertRaises(larder.WrongLength, session.put, 0, 1, b"")

    def test_use_after_close(self) -> None:
        session = self.session()
        arena = self.client.open_arena(4_096)
        self.client.close()
        self.client.close()
        self.assertFalse(self.client.is_open)
        for body in (
            self.client.stat,
            session.resume,
            lambda: session.get(0),
            lambda: session.get_into(0, bytearray(8)),
            lambda: session.put(0, 1, b"x"),
            lambda: session.get_into(0, arena[:8]),
            lambda: self.client.open_arena(8),
            lambda: list(session.chunks()),
        ):
            with self.assertRaisesRegex(larder.ConnectionLost, "closed"):
                body()
        arena.close()

    def test_two_clients_on_one_session(self) -> None:
        """Equal chunks are stored once; of different ones at one place, one is a conflict, and nothing is mixed."""
        size = attention().components[0].byte_count(64)
        results: dict[int, list[Any]] = {}

        def work(number: int) -> None:
            with self.daemon.connect() as client:
                session = client.open_session(self.namespace, "both", client.declare_model(attention()))
                same = [larder.PageOut(session, 64 * i, 64, noise(size, i)) for i in range(50)]
                other = [larder.PageOut(session, 64 * i, 64, noise(size, 1_000 * number + i)) for i in range(50, 100)]
                results[number] = client.put_from(same + other)

        threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        session = self.session("both")
        for i in range(50):
            self.assertEqual((results[1][i], session.get(64 * i)), (results[2][i], noise(size, i)))
        for i in range(50, 100):
            kinds = [isinstance(results[number][i], larder.Conflict) for number in (1, 2)]
            self.assertEqual(sorted(kinds), [False, True])
            self.assertEqual(session.get(64 * i), noise(size, 1_000 * (kinds.index(False) + 1) + i))

    def test_a_session_that_another_client_takes_away(self) -> None:
        session = self.session()
        size = attention().components[0].byte_count(8)
        session.put(0, 8, noise(size))
        with self.daemon.connect() as other:
            theirs = other.open_session(self.namespace, "session", other.declare_model(attention()))
            theirs.truncate(0)
            self.assertRaises(larder.Miss, session.get, 0)
            theirs.drop()
        self.assertRaises(larder.UnknownSession, session.put, 0, 8, noise(size))
        self.assertIsInstance(
            self.client.get_into([larder.PageIn(session, 0, bytearray(size))])[0], larder.UnknownSession
        )

    def test_a_client_of_many_threads(self) -> None:
        session = self.session()
        size = attention().components[0].byte_count(16)
        failed: list[BaseException] = []

        def work(number: int) -> None:
            try:
                into = bytearray(size)
                for index in range(30):
                    offset = 16 * (number * 30 + index)
                    session.put(offset, 16, noise(size, offset))
                    session.get_into(offset, into)
                    self.assertEqual(into, noise(size, offset))
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        self.assertEqual(failed, [])

    def test_errors_survive_pickling(self) -> None:
        for error in (larder.Miss("gone", item=3), larder.InternalFault("later", code=999)):
            again = pickle.loads(pickle.dumps(error))
            self.assertEqual(
                (type(again), again.message, again.item, again.code),
                (type(error), error.message, error.item, error.code),
            )
        violation = pickle.loads(pickle.dumps(larder.ProtocolViolation("what")))
        self.assertEqual(str(violation), str(larder.ProtocolViolation("what")))


class LimitTests(DaemonTest):
    """A daemon with room for few connections."""

    arguments = ("--max-connections", "2")

    def test_one_connection_too_many(self) -> None:
        with self.daemon.connect():
            with self.assertRaises(larder.TooManyConnections):
                larder.connect(self.daemon.socket)
        self.client.stat()


if __name__ == "__main__":
    unittest.main()
