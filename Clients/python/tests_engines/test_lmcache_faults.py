"""LMCache's remote backend when things go wrong: never wrong bytes, never an exception, never a wait without end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

os.environ.setdefault("PYTHONHASHSEED", "0")

try:
    import torch
    from lmcache.v1.memory_management import BytesBufferMemoryObj, MemoryFormat
except ImportError as error:
    raise unittest.SkipTest(f"LMCache is not here ({error}): make test-engines installs it") from None

import larder
from larder.integrations.lmcache.keys import cache_engine_key_digest
from larder.integrations.lmcache.layout import OPAQUE, layout_of
from larder.integrations.lmcache.objects import Objects
from larder.integrations.lmcache.settings import Settings
from live_daemon import LiveDaemon
from lmcache_rig import Engine

HERE = Path(__file__).parent


class BadInput(unittest.TestCase):
    def setUp(self) -> None:
        self.daemon = LiveDaemon()
        self.addCleanup(self.daemon.remove)

    def engine(self, **options: object) -> Engine:
        engine = Engine(self.daemon.socket, **options)
        self.addCleanup(engine.close)
        return engine

    def test_another_model_of_the_same_name_is_a_miss(self) -> None:
        engine = self.engine()
        key, chunk = engine.key("a"), engine.chunk(1)
        engine.put(key, chunk)
        for options in ({"layers": 5}, {"width": 32}, {"use_mla": True}, {"weights": "sha256:other"}):
            other = self.engine(**options)
            self.assertFalse(other.backend.contains(key), options)
            self.assertIsNone(other.backend.get_blocking(key), options)
            mine = other.chunk(2)
            other.put(key, mine)
            self.assertEqual(bytes(other.backend.get_blocking(key).byte_array), bytes(mine.byte_array))
        self.assertEqual(bytes(engine.backend.get_blocking(key).byte_array), bytes(chunk.byte_array))

    def test_half_of_an_object_is_a_miss(self) -> None:
        engine = self.engine()
        layout, tokens = layout_of("OBJECT", [(2, 4, 8, 64), (2, 2, 8, 32)], ["bfloat16", "float32"])
        objects = Objects(engine.connector._link, "two groups")
        digest = bytes(range(32))
        data = random.Random(1).randbytes(sum(layout.byte_counts(tokens)))
        with larder.connect(self.daemon.socket) as client:
            from larder.integrations.lmcache.keys import session_name
            declared = client.declare_model(objects.model(layout))
            name = session_name(declared.fingerprint, digest, "x")
            session = client.open_session("lmcache", name, declared)
            first = layout.byte_counts(tokens)[0]
            session.put(0, tokens, data[:first], component=0, prefix_key=digest)
            into = memoryview(bytearray(len(data)))
            from larder.integrations.lmcache.objects import Entry, Wanted
            wanted = [Wanted(digest, "x", layout)]
            self.assertEqual(objects.present(layout, [digest]), [False])
            self.assertEqual(objects.load(wanted, lambda *_: into), [False])
            self.assertEqual(objects.store([Entry(digest, "x", layout, tokens, memoryview(data))]), [True])
            self.assertEqual(objects.present(layout, [digest]), [True])
            self.assertEqual(objects.load(wanted, lambda *_: into), [True])
            self.assertEqual(bytes(into), data)

    def test_damaged_bytes_are_never_served(self) -> None:
        engine = self.engine(encoding="raw")
        keys = [engine.key("whole"), engine.key("damaged")]
        chunks = [engine.chunk(1), engine.chunk(2)]
        engine.put_many(keys, chunks)
        self.daemon.stop()
        self.assertEqual(self.daemon.damage(bytes(chunks[1].byte_array)[1_000:1_064]), 1)
        self.daemon.start()
        again = self.engine(encoding="raw")
        with self.assertLogs("larder.lmcache", "ERROR") as logs:
            got = again.backend.batched_get_blocking(keys)
        self.assertIn("cannot be loaded", logs.output[0])
        self.assertEqual(bytes(got[0].byte_array), bytes(chunks[0].byte_array))
        self.assertIsNone(got[1])
        # It is no hit any more, and can be stored anew.
        again.wait_for_hits(keys, 1)
        again.put(keys[1], chunks[1])
        self.assertEqual(bytes(again.backend.get_blocking(keys[1]).byte_array), bytes(chunks[1].byte_array))

    def test_a_daemon_that_dies_is_a_miss_said_once_and_back_when_it_is_back(self) -> None:
        engine = self.engine(timeout_seconds=5)
        key, chunk = engine.key("a"), engine.chunk(1)
        engine.put(key, chunk)
        self.assertTrue(engine.backend.contains(key))
        self.daemon.kill()
        with self.assertLogs("larder.lmcache", "ERROR") as logs:
            for _ in range(5):
                self.assertIsNone(engine.backend.get_blocking(key))
                self.assertFalse(engine.backend.contains(key))
                engine.put(engine.key("b"), chunk)
        loud = [line for line in logs.output if "NOTHING IS LOADED" in line]
        self.assertEqual(len(loud), 1, logs.output)
        self.assertIn(self.daemon.socket, loud[0])
        self.daemon.start()
        for _ in range(600):
            if engine.backend.contains(key):
                break
            threading.Event().wait(0.1)
        self.assertEqual(bytes(engine.backend.get_blocking(key).byte_array), bytes(chunk.byte_array))

    def test_a_daemon_that_was_never_there(self) -> None:
        self.daemon.kill()
        with self.assertLogs("larder.lmcache", "ERROR") as logs:
            engine = self.engine(timeout_seconds=2)
            self.assertFalse(engine.backend.contains(engine.key("a")))
        self.assertIn("Start larderd", "".join(logs.output))

    def test_a_daemon_that_hangs_is_waited_for_a_bounded_time(self) -> None:
        engine = self.engine(timeout_seconds=0.5)
        key, chunk = engine.key("a"), engine.chunk(1)
        engine.put(key, chunk)
        self.daemon.signal(signal.SIGSTOP)
        with self.assertLogs("larder.lmcache", "ERROR"):
            self.assertIsNone(engine.backend.get_blocking(key))
            self.assertFalse(engine.backend.contains(key))
            self.assertFalse(engine.connector.exists_sync(key))
            engine.put(engine.key("b"), chunk)
        self.daemon.signal(signal.SIGCONT)

    def test_a_daemon_killed_while_it_is_loaded_from_and_stored_to(self) -> None:
        engine = self.engine(timeout_seconds=5)
        keys = [engine.key(f"k{index}") for index in range(8)]
        chunks = [engine.chunk(index) for index in range(8)]
        engine.put_many(keys, chunks)
        wrong: list[int] = []
        started = threading.Barrier(3)
        end = threading.Event()

        def load() -> None:
            started.wait()
            while not end.is_set():
                for index, got in enumerate(engine.backend.batched_get_blocking(keys)):
                    if got is not None:
                        if bytes(got.byte_array) != bytes(chunks[index].byte_array):
                            wrong.append(index)
                        got.ref_count_down()

        def store() -> None:
            started.wait()
            for index in range(10_000):
                if end.is_set():
                    return
                engine.put(engine.key(f"new {index}"), chunks[index % 8])

        threads = [threading.Thread(target=work) for work in (load, store)]
        for thread in threads:
            thread.start()
        started.wait()
        for _ in range(3):
            threading.Event().wait(0.3)
            self.daemon.kill()
            threading.Event().wait(0.2)
            self.daemon.start()
        end.set()
        for thread in threads:
            thread.join(120)
            self.assertFalse(thread.is_alive())
        self.assertEqual(wrong, [])

    def test_two_writers_of_one_key(self) -> None:
        engines = [self.engine(), self.engine()]
        keys = [engines[0].key(f"k{index}") for index in range(16)]
        chunks = [[engine.chunk(100 * which + index) for index in range(16)] for which, engine in enumerate(engines)]
        threads = [threading.Thread(target=engine.put_many, args=(keys, mine)) for engine, mine in zip(engines, chunks)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for index, key in enumerate(keys):
            got = [bytes(engine.backend.get_blocking(key).byte_array) for engine in engines]
            self.assertEqual(got[0], got[1])
            self.assertIn(got[0], [bytes(mine[index].byte_array) for mine in chunks])

    def test_a_process_killed_while_it_stores(self) -> None:
        for seconds in (0.05, 0.2, 0.5):
            writer = subprocess.Popen(
                [sys.executable, str(HERE / "lmcache_writer.py"), self.daemon.socket], stdout=subprocess.PIPE
            )
            assert writer.stdout is not None
            writer.stdout.readline()
            threading.Event().wait(seconds)
            writer.kill()
            writer.wait()
            writer.stdout.close()
        engine = self.engine()
        served = 0
        for index in range(64):
            got = engine.backend.get_blocking(engine.key(f"killed {index}"))
            if got is not None:
                served += 1
                chunk = engine.chunk(index)
                self.assertEqual(bytes(got.byte_array), bytes(chunk.byte_array))
                chunk.ref_count_down()
                got.ref_count_down()
        self.assertGreater(served, 0)

    def test_a_namespace_that_does_not_share_is_said_loudly(self) -> None:
        with larder.connect(self.daemon.socket) as client:
            model = client.declare_model(
                larder.Model("x", components=(larder.Component("a", "attention", "bytes", 1, 1, 1),)))
            client.open_session("alone", "x", model)
            client.configure_namespace("alone", sharing="off")
        with self.assertLogs("larder.lmcache", "ERROR") as logs:
            engine = self.engine(namespace="alone")
            engine.backend.contains(engine.key("a"))
        self.assertIn("NOTHING WILL BE FOUND", "".join(logs.output))

    def test_a_wrong_option_is_said_loudly(self) -> None:
        with self.assertLogs("larder.lmcache", "ERROR") as logs:
            engine = Engine(self.daemon.socket, namespce="x")
        self.assertIn("namespce", "".join(logs.output))
        self.assertIsNone(engine.backend.connection)
        self.assertFalse(engine.backend.contains(engine.key("a")))


if __name__ == "__main__":
    unittest.main()
