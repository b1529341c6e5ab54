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


if __name__ == "__main__":
    unittest.main()
