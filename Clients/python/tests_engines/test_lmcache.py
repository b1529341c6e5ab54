"""LMCache's remote backend on a live daemon: what it stores it gets back bit for bit, or not at all."""

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


class Layouts(unittest.TestCase):
    def test_shapes_map_to_rows(self) -> None:
        table = [
            ("KV_2LTD", (2, 6, 32, 192), 32, 12, 384),
            ("KV_MLA_FMT", (1, 6, 32, 576), 32, 6, 1_152),
            ("KV_2TD", (2, 32, 192), 32, 2, 384),
            ("KV_T2D", (32, 2, 192), 32, 1, 768),
            ("KV_MLA_FMT", (32, 576), 32, 1, 1_152),
            ("EC_TD", (32, 128), 32, 1, 256),
        ]
        for format, shape, tokens, layers, row in table:
            layout, count = layout_of(format, [shape], ["bfloat16"])
            (component,) = layout.components
            self.assertEqual((count, component.layers, component.planes, component.row_bytes), (tokens, layers, 1, row))
            self.assertEqual(layout.shapes(tokens), [shape])
            self.assertEqual(component.byte_count(tokens), torch.Size(shape).numel() * 2)

    def test_what_is_no_layout_is_bytes(self) -> None:
        for format, shapes, dtypes in [
            ("KV_2LTD", [(4096,)], ["bfloat16"]),
            ("UNDEFINED", [(2, 6, 32, 192)], ["bfloat16"]),
            ("KV_2LTD", [(2, 6, 32, 192)], ["complex64"]),
            ("KV_2LTD", [(2, 6, 32, 192), (2, 6, 16, 192)], ["bfloat16", "bfloat16"]),
            ("KV_2LTD", [(2, 6, 0, 192)], ["bfloat16"]),
            ("KV_2LTD", [(2, 4096, 32, 192)], ["bfloat16"]),
            ("KV_2LTD", [], []),
        ]:
            self.assertIsNone(layout_of(format, shapes, dtypes), (format, shapes))

    def test_options_that_are_wrong_are_named(self) -> None:
        for options, name in [
            ({"sokcet": "/x"}, "sokcet"), ({"timeout_seconds": 0}, "timeout_seconds"), ({"loads": "many"}, "loads"),
            ({"encoding": "zip"}, "encoding"), ({"namespace": 7}, "namespace"), ({"ttl_seconds": -2}, "ttl_seconds"),
            ({"acknowledgement": "soon"}, "acknowledgement"), ({"stores": True}, "stores"),
        ]:
            with self.assertRaisesRegex(ValueError, name):
                Settings.read(options)


class Connector(unittest.TestCase):
    daemon: LiveDaemon

    @classmethod
    def setUpClass(cls) -> None:
        cls.daemon = LiveDaemon()
        cls.addClassCleanup(cls.daemon.remove)

    def engine(self, **options: object) -> Engine:
        engine = Engine(self.daemon.socket, **{"namespace": self.id().rsplit(".", 1)[1], **options})
        self.addCleanup(engine.close)
        return engine

    def assert_same(self, got: object, chunk: object) -> None:
        self.assertIsNotNone(got)
        self.assertEqual(got.get_shape(), chunk.get_shape())
        self.assertEqual(got.get_dtype(), chunk.get_dtype())
        self.assertEqual(got.get_memory_format(), chunk.get_memory_format())
        self.assertEqual(bytes(got.byte_array), bytes(chunk.byte_array))

    def test_a_chunk_comes_back_in_another_process_bit_for_bit(self) -> None:
        engine = self.engine()
        key, chunk = engine.key("a"), engine.chunk(1)
        self.assertFalse(engine.backend.contains(key))
        self.assertIsNone(engine.backend.get_blocking(key))
        engine.put(key, chunk)
        self.assertTrue(engine.backend.contains(key))
        self.assertTrue(engine.connector.exists_sync(key))
        other = self.engine()
        self.assertTrue(other.backend.contains(key))
        self.assert_same(other.backend.get_blocking(key), chunk)
        self.assertEqual(engine.complaints, {})

    def test_kinds_of_chunks(self) -> None:
        layer_key = lambda engine, text: engine.key(text).split_layers(3)[2]  # noqa: E731
        for name, options, key, shape, fmt in [
            ("fewer tokens", {}, None, (2, 6, 5, 192), MemoryFormat.KV_2LTD),
            ("f16", {"dtype": torch.float16}, None, None, None),
            ("f32", {"dtype": torch.float32}, None, None, None),
            ("fp8", {"dtype": torch.float8_e4m3fn}, None, None, None),
            ("latent", {"use_mla": True, "heads": 1, "width": 576}, None, None, None),
            ("one layer", {}, layer_key, (32, 2, 192), MemoryFormat.KV_T2D),
            ("one layer, few", {}, layer_key, (7, 2, 192), MemoryFormat.KV_T2D),
            ("one layer, planes", {}, layer_key, (2, 32, 192), MemoryFormat.KV_2TD),
            ("one latent layer", {"use_mla": True, "heads": 1}, layer_key, (32, 64), MemoryFormat.KV_MLA_FMT),
        ]:
            with self.subTest(name):
                engine = self.engine(model=name, **options)
                here = key(engine, name) if key else engine.key(name)
                chunk = engine.chunk(3, shape, fmt)
                engine.put(here, chunk)
                self.assertTrue(engine.backend.contains(here))
                self.assert_same(engine.backend.get_blocking(here), chunk)
                self.assertEqual(engine.complaints, {})

    def test_the_codec_sees_rows_of_floats(self) -> None:
        engine = self.engine()
        engine.put(engine.key("a"), engine.chunk(1))
        with larder.connect(self.daemon.socket) as client:
            (summary,) = [s for s in client.list_sessions("test_the_codec_sees_rows_of_floats") if s.chunks]
            self.assertTrue(summary.name.endswith(engine.key("a").to_string()))
            self.assertLess(summary.stored_bytes, summary.raw_bytes)
            model = next(m.model for m in client.list_models() if m.id == summary.models[0].model_id)
            session = client.open_session(summary.namespace, summary.name, client.declare_model(model), create=False)
            (chunk,) = session.chunks()
            self.assertEqual((chunk.encoding, chunk.tokens), ("cascade", 32))

    def test_batches(self) -> None:
        engine = self.engine()
        keys = [engine.key(f"k{index}") for index in range(20)]
        chunks = [engine.chunk(index) for index in range(20)]
        engine.put_many(keys, chunks)
        self.assertEqual(engine.backend.batched_contains(keys), 20)
        strange = engine.key("never")
        self.assertEqual(engine.backend.batched_contains([keys[0], keys[1], strange, keys[2]]), 2)
        self.assertEqual(engine.backend.batched_contains([strange, keys[0]]), 0)
        got = engine.backend.batched_get_blocking([keys[3], strange, keys[4]])
        self.assertIsNone(got[1])
        self.assert_same(got[0], chunks[3])
        self.assert_same(got[2], chunks[4])
        import asyncio
        prefix = asyncio.run_coroutine_threadsafe(
            engine.connector.batched_get_non_blocking("id", [keys[5], keys[6], strange, keys[7]]), engine.loop
        ).result(60)
        self.assertEqual(len(prefix), 2)
        listed = asyncio.run_coroutine_threadsafe(engine.connector.list(), engine.loop).result(60)
        self.assertEqual(sorted(listed), sorted(key.to_string() for key in keys))
        self.assertTrue(engine.backend.remove(keys[0]))
        self.assertFalse(engine.backend.remove(keys[0]))
        engine.wait_for_hits(keys, 0)
        self.assertEqual(asyncio.run_coroutine_threadsafe(engine.connector.ping(), engine.loop).result(60), 0)

    def test_memory_is_given_back(self) -> None:
        engine = self.engine()
        key, chunk = engine.key("a"), engine.chunk(1)
        engine.put(key, chunk)
        self.assertEqual(chunk.get_ref_count(), 1)
        got = engine.backend.get_blocking(key)
        self.assertEqual(got.get_ref_count(), 1)
        before = engine.allocator.memory_allocator.pin_allocator.total_allocated_size \
            if hasattr(engine.allocator.memory_allocator, "pin_allocator") else None
        got.ref_count_down()
        for _ in range(3):
            self.assertIsNone(engine.backend.get_blocking(engine.key("never")))
        if before is not None:
            self.assertLess(engine.allocator.memory_allocator.pin_allocator.total_allocated_size, before)

    def test_every_field_of_a_key_counts(self) -> None:
        engine = self.engine()
        base = engine.key("a")
        engine.put(base, engine.chunk(1))
        others = [
            engine.key("a", model_name="test/other"), engine.key("a", world_size=4), engine.key("a", worker_id=0),
            engine.key("b"), engine.key("a", dtype=torch.float16),
            engine.key("a", request_configs={"lmcache.tag.user": "x"}), engine.key("a").split_layers(2)[0],
            engine.key("a").split_layers(2)[1],
        ]
        digests = [cache_engine_key_digest(key) for key in [base, *others]]
        self.assertEqual(len(set(digests)), len(digests))
        for key in others:
            self.assertFalse(engine.backend.contains(key), key)
            self.assertIsNone(engine.backend.get_blocking(key), key)

    def test_serialised_chunks_are_bytes(self) -> None:
        engine = self.engine()
        engine.connector._candidates[False].append(OPAQUE)
        for size in (1, 100, 4_080, 4_096, 4_097, 8_191, 1_000_003):
            key, data = engine.key(f"size {size}"), random.Random(size).randbytes(size)
            engine.put(key, BytesBufferMemoryObj(data))
            self.assertTrue(engine.backend.contains(key))
            got = engine.backend.get_blocking(key)
            self.assertEqual(bytes(got.byte_array), data)
        self.assertEqual(engine.complaints, {})

    def test_basic_check_passes(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            config = Path(directory) / "lmcache.yaml"
            config.write_text(
                "chunk_size: 256\nlocal_cpu: false\nmax_local_cpu_size: 0.2\n"
                f'remote_url: "larder://{self.daemon.socket}?namespace=basic-check"\n'
                'remote_storage_plugins: ["larder"]\nextra_config:\n'
                "  remote_storage_plugin.larder.module_path: larder.integrations.lmcache\n"
                "  remote_storage_plugin.larder.class_name: LarderConnectorAdapter\n"
            )
            result = subprocess.run(
                [sys.executable, "-m", "lmcache.v1.basic_check", "--mode", "test_remote", "--obj-size", "65536"],
                env={**os.environ, "LMCACHE_CONFIG_FILE": str(config)}, capture_output=True, text=True, timeout=600,
            )
        rows = [line.split("|") for line in result.stdout.splitlines() if line.startswith("| ")][1:]
        self.assertEqual(
            {row[1].strip(): row[5].strip() for row in rows},
            dict.fromkeys(["EXISTS (non-exist)", "PUT", "EXISTS (exist)", "GET"], "5/5"), result.stdout + result.stderr,
        )


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
