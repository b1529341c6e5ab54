"""Chunks out and in against a live daemon: every kind of memory, and what comes back is bit for bit what went in."""

from __future__ import annotations

import array
import ctypes
import mmap
import random
import unittest

import larder
from larder.pipeline import ARENA_FRAME_BYTES, FRAME_ITEMS
from larder.staging import KEPT_BYTES, SLOT_BYTES

from support import REPOSITORY, DaemonTest, attention, hybrid, noise, random_seed

TOKENS = 8


def chunk_bytes(model: larder.Model, tokens: int = TOKENS, component: int = 0) -> int:
    return model.components[component].byte_count(tokens)


class SingleTests(DaemonTest):
    """One chunk at a time."""

    def test_put_and_get(self) -> None:
        session = self.session()
        data = noise(chunk_bytes(session.model.model))
        stored = session.put(0, TOKENS, data)
        self.assertGreater(stored, 0)
        self.assertEqual(session.get(0), data)
        # The same again stores nothing and succeeds.
        self.assertEqual(session.put(0, TOKENS, data), stored)

    def test_every_encoding_and_acknowledgement(self) -> None:
        path = REPOSITORY / "bench/data/kv/sec0_layer00_K.bin"
        component = larder.Component("k", kind="attention", element_type="f16", layers=1, planes=1, row_bytes=512)
        session = self.session(model=attention("real", components=(component,)))
        data = path.read_bytes()[: 512 * 512]
        offset = 0
        stored = {}
        for encoding in ("auto", "raw", "lz4", "cascade"):
            for acknowledgement in ("accepted", "committed", "durable"):
                size = session.put(offset, 512, data, encoding=encoding, acknowledgement=acknowledgement)  # type: ignore[arg-type]
                stored[encoding, acknowledgement] = size
                offset += 512
        self.client.sync()
        for start in range(0, offset, 512):
            self.assertEqual(session.get(start), data)
        self.assertEqual(stored["auto", "accepted"], 0)
        self.assertGreater(stored["raw", "committed"], stored["cascade", "committed"])
        self.assertEqual(stored["cascade", "committed"], stored["auto", "durable"])
        encodings = {one.offset: one.encoding for one in session.chunks()}
        self.assertEqual([encodings[start] for start in (0, 512 * 3, 512 * 9)], ["cascade", "raw", "cascade"])

    def test_layers(self) -> None:
        session = self.session(model=hybrid())
        data = noise(chunk_bytes(hybrid(), component=1))
        session.put(0, TOKENS, data, component=1)
        layer = len(data) // 3
        self.assertEqual(session.get(0, component=1, first_layer=1), data[layer:])
        self.assertEqual(session.get(0, component=1, first_layer=2, layers=1), data[2 * layer :])
        into = bytearray(layer)
        self.assertEqual(session.get_into(0, into, component=1, first_layer=1, layers=1), layer)
        self.assertEqual(into, data[layer : 2 * layer])
        self.assertRaises(larder.InvalidArgument, session.get, 0, component=1, first_layer=3)

    def test_memory_of_every_kind(self) -> None:
        session = self.session()
        data = noise(chunk_bytes(session.model.model))
        shared = mmap.mmap(-1, len(data))
        shared[:] = data
        grid = memoryview(bytearray(data)).cast("B", (2, len(data) // 2))
        sources = [
            data,
            bytearray(data),
            memoryview(data),
            array.array("H", data),
            array.array("d", data),
            shared,
            grid,
            (ctypes.c_uint16 * (len(data) // 2)).from_buffer_copy(data),
        ]
        for index, source in enumerate(sources):
            session.put(index * TOKENS, TOKENS, source)
            self.assertEqual(session.get(index * TOKENS), data, type(source))
        targets = [
            bytearray(len(data)),
            memoryview(bytearray(len(data))),
            array.array("Q", bytes(len(data))),
            mmap.mmap(-1, len(data)),
            (ctypes.c_uint16 * (len(data) // 2))(),
            memoryview(bytearray(len(data))).cast("B", (2, len(data) // 2)),
        ]
        for target in targets:
            self.assertEqual(session.get_into(0, target), len(data))
            self.assertEqual(bytes(memoryview(target).cast("B") if not isinstance(target, bytearray) else target), data)

    def test_numpy(self) -> None:
        """Arrays of any shape and element type go in and out without a copy; one with gaps is refused."""
        try:
            import numpy
        except ImportError:
            self.skipTest("numpy is not installed")
        session = self.session()
        data = noise(chunk_bytes(session.model.model))
        record = numpy.dtype([("key", "<u2"), ("value", ">f4"), ("rest", "V2")])
        for kind in ("u1", "e", "i8", ">f8", "c8", record):
            source = numpy.frombuffer(data, dtype=kind).copy()
            self.assertEqual(session.put(0, TOKENS, source), session.put(0, TOKENS, data))
            source.flags.writeable = False
            session.put(0, TOKENS, source)
            self.assertRaises(ValueError, session.get_into, 0, source)
            into = numpy.zeros(source.shape, dtype=kind).reshape(2, -1)
            self.assertEqual(session.get_into(0, into), len(data))
            self.assertEqual(into.tobytes(), data)
            self.assertRaises(ValueError, session.put, 0, TOKENS, into.T)
        arena = self.client.open_arena(1 << 16)
        numpy.frombuffer(arena.view, dtype="u1")[: len(data)] = numpy.frombuffer(data, dtype="u1")
        session.put(0, TOKENS, arena[: len(data)])
        self.assertEqual(larder.prefix_keys(numpy.arange(8), 4), larder.prefix_keys(range(8), 4))

    def test_room_to_spare(self) -> None:
        session = self.session()
        data = noise(chunk_bytes(session.model.model))
        session.put(0, TOKENS, data)
        arena = self.client.open_arena(2 * len(data))
        arena.view[:] = b"\xee" * len(arena)
        own = bytearray(b"\xee" * (2 * len(data)))
        for into in (own, arena[:]):
            self.assertEqual(session.get_into(0, into), len(data))
        self.assertEqual(own, data + b"\xee" * len(data))
        self.assertEqual(arena.view[: len(data)], data)

    def test_recurrent_states(self) -> None:
        session = self.session(model=hybrid())
        state = noise(chunk_bytes(hybrid(), component=2))
        session.put(100, 0, state, component=2)
        self.assertEqual(session.get(100, component=2), state)
        self.assertRaises(larder.InvalidArgument, session.put, 100, 1, state, component=2)

    def test_ranks(self) -> None:
        models = [attention("group", group_size=2, rank=rank) for rank in (0, 1)]
        sessions = [self.session(model=model) for model in models]
        self.assertEqual(sessions[0].id, sessions[1].id)
        data = [noise(chunk_bytes(models[0]), seed) for seed in (1, 2)]
        for session, one in zip(sessions, data, strict=True):
            session.put(0, TOKENS, one)
        self.assertEqual([session.get(0) for session in sessions], data)
        self.assertEqual(sessions[0].get(0, rank=1), data[1])
        self.assertEqual(sessions[0].resume().offset, TOKENS)

    def test_refusals_name_themselves(self) -> None:
        session = self.session(model=attention(page_tokens=4))
        size = chunk_bytes(attention())
        data = noise(size)
        session.put(0, TOKENS, data)
        cases = (
            (larder.WrongLength, 8, TOKENS, data[1:]),
            (larder.WrongLength, 8, TOKENS, b""),
            (larder.Conflict, 0, TOKENS, noise(size, 2)),
            (larder.Overlap, 4, TOKENS, data),
            (larder.Unaligned, 9, TOKENS, data),
            (larder.InvalidArgument, 8, 0, data),
        )
        for error, offset, tokens, given in cases:
            for one in (given, self._in_arena(given)):
                with self.subTest(error.__name__, arena=isinstance(one, larder.ArenaSlice)):
                    with self.assertRaises(error) as caught:
                        session.put(offset, tokens, one)
                    self.assertEqual(caught.exception.code, error.number)
                    self.assertTrue(caught.exception.message)
        self.assertRaises(larder.UnknownComponent, session.put, 8, TOKENS, data, component=5)
        self.assertRaises(larder.UnknownComponent, session.put, 8, TOKENS, data, rank=1)
        self.assertRaises(larder.Miss, session.get, 8)
        self.assertRaises(larder.Miss, session.get, 4)
        for into in (bytearray(size - 1), self._in_arena(bytes(size - 1))):
            self.assertRaises(larder.WrongLength, session.get_into, 0, into)
        session.drop()
        self.assertRaises(larder.UnknownSession, session.get, 0)
        self.assertTrue(self.client.is_open)

    def _in_arena(self, data: bytes) -> larder.ArenaSlice:
        if not hasattr(self, "arena"):
            self.arena = self.client.open_arena(1 << 16)
        part = self.arena[: len(data)]
        part.view[:] = data
        return part


class BatchTests(DaemonTest):
    """Batches, with one error among many, larger than any frame, and of every mixture of memory."""

    def test_results_in_order_with_errors_as_values(self) -> None:
        session = self.session()
        size = chunk_bytes(session.model.model)
        items = [larder.PageOut(session, index * TOKENS, TOKENS, noise(size, index)) for index in range(5)]
        items[2].data = b"short"
        results = self.client.put_from(items)
        self.assertIsInstance(results[2], larder.WrongLength)
        self.assertTrue(all(isinstance(one, int) and one > 0 for one in results[:2] + results[3:]))
        into = [bytearray(size) for _ in items]
        found = self.client.get_into(larder.PageIn(session, i * TOKENS, into[i]) for i in range(5))
        self.assertIsInstance(found[2], larder.Miss)
        self.assertEqual([one for one in found if isinstance(one, int)], [size] * 4)
        self.assertEqual(into[3], noise(size, 3))

    def test_nothing(self) -> None:
        self.assertEqual(self.client.put_from([]), [])
        self.assertEqual(self.client.get_into([]), [])

    def test_more_items_than_a_frame_takes(self) -> None:
        session = self.session()
        size = chunk_bytes(session.model.model, 1)
        count = 4_096 + FRAME_ITEMS + 3
        data = noise(size * count)
        slices = [data[size * i : size * (i + 1)] for i in range(count)]
        outs = [larder.PageOut(session, i, 1, one) for i, one in enumerate(slices)]
        self.assertFalse([one for one in self.client.put_from(outs) if isinstance(one, larder.LarderError)])
        into = bytearray(len(data))
        view = memoryview(into)
        ins = [larder.PageIn(session, i, view[size * i : size * (i + 1)]) for i in range(count)]
        self.assertEqual(set(self.client.get_into(ins)), {size})
        self.assertEqual(into, data)
        arena = self.client.open_arena(len(data))
        ins = [larder.PageIn(session, i, arena[size * i : size * (i + 1)]) for i in range(count)]
        self.assertEqual(set(self.client.get_into(ins)), {size})
        self.assertEqual(arena.view, data)

    def test_random_mixtures(self) -> None:
        seed = random_seed()
        generator = random.Random(seed)
        session = self.session()
        arena = self.client.open_arena(4 << 20)
        offset = 0
        expected: dict[int, bytes] = {}
        with self.subTest(LARDER_SEED=seed):
            for _ in range(8):
                items, used = [], 0
                for _ in range(generator.randint(1, 40)):
                    tokens = generator.choice((1, 3, 17, 200, 1_000))
                    data = generator.randbytes(chunk_bytes(session.model.model, tokens))
                    source: object = data
                    if generator.random() < 0.5 and used + len(data) <= len(arena):
                        source = arena[used : used + len(data)]
                        source.view[:] = data  # type: ignore[attr-defined]
                        used += len(data)
                    items.append(larder.PageOut(session, offset, tokens, source))
                    expected[offset] = data
                    offset += tokens
                for one in self.client.put_from(items, encoding=generator.choice(("raw", "auto"))):
                    self.assertIsInstance(one, int)
                wanted = generator.sample(sorted(expected), min(len(expected), 30))
                used, ins = 0, []
                for one in wanted:
                    size = len(expected[one])
                    into: object = bytearray(size)
                    if generator.random() < 0.5 and used + size <= len(arena):
                        into = arena[used : used + size]
                        used += size
                    ins.append(larder.PageIn(session, one, into))
                for page, result in zip(ins, self.client.get_into(ins), strict=True):
                    self.assertEqual(result, len(expected[page.offset]))
                    got = page.into.view if isinstance(page.into, larder.ArenaSlice) else page.into
                    self.assertEqual(got, expected[page.offset])

    def test_chunks_above_a_slot_of_the_staging_arena(self) -> None:
        component = larder.Component(
            "kv", kind="attention", element_type="bytes", layers=1, planes=1, row_bytes=1 << 20
        )
        session = self.session(model=attention("wide", components=(component,)))
        sizes = [1, SLOT_BYTES // 2**20 + 1, 2, KEPT_BYTES // 2**21 + 1]
        data = [noise(size << 20, size) for size in sizes]
        outs = [
            larder.PageOut(session, index * 1_000, size, one)
            for index, (size, one) in enumerate(zip(sizes, data, strict=True))
        ]
        for one in self.client.put_from(outs, encoding="raw"):
            self.assertIsInstance(one, int)
        into = [bytearray(len(one)) for one in data]
        results = self.client.get_into([larder.PageIn(session, i * 1_000, one) for i, one in enumerate(into)])
        self.assertEqual(results, [len(one) for one in data])
        self.assertEqual(into, data)
        # A small one after it, and one by itself.
        self.assertEqual(session.get_into(0, into[0]), len(data[0]))
        self.assertEqual(session.get(1_000), data[1])
        self.assertLessEqual(self.client.stat().counters["arena_bytes"], KEPT_BYTES)

    def test_a_chunk_above_a_frame(self) -> None:
        """What is too long for a frame goes through an arena, and comes back even where the caller has no buffer."""
        component = larder.Component(
            "kv", kind="attention", element_type="bytes", layers=1, planes=1, row_bytes=1 << 20
        )
        session = self.session(model=attention("wide", components=(component,)))
        tokens = (self.client.limits.frame_bytes >> 20) + 1
        data = bytes(range(256)) * (tokens << 12)
        session.put(0, tokens, data, encoding="lz4")
        self.assertTrue(session.get(0) == data)
        self.assertGreater(len(data), ARENA_FRAME_BYTES)

    def test_prefix_keys(self) -> None:
        session, other = self.session("one"), self.session("two")
        size = chunk_bytes(session.model.model)
        keys = larder.prefix_keys(range(3 * TOKENS + 1), TOKENS, context=b"adapter")
        data = [noise(size, index) for index in range(3)]
        for index in (0, 1):
            session.put(index * TOKENS, TOKENS, data[index], prefix_key=keys[index])
        self.assertEqual(self.client.match(self.namespace, session.model, keys), 2)
        self.assertEqual(self.client.match(self.namespace, session.model, keys[2:]), 0)
        self.assertEqual(self.client.match(self.namespace, session.model, []), 0)
        self.assertEqual(self.client.match("no such namespace", session.model, keys), 0)
        results = self.client.put_from(
            [larder.PageOut(other, i * TOKENS, TOKENS, None, prefix_key=keys[i]) for i in range(3)]
        )
        self.assertIsInstance(results[2], larder.Miss)
        self.assertEqual([other.get(0), other.get(TOKENS)], data[:2])
        self.assertRaises(larder.Conflict, other.put, 2 * TOKENS, TOKENS, data[2], prefix_key=keys[0])
        long = larder.prefix_keys(range(self.client.limits.batch_items + 5), 1)
        self.assertEqual(self.client.match(self.namespace, session.model, long), 0)

    def test_progress(self) -> None:
        component = larder.Component(
            "kv", kind="attention", element_type="bytes", layers=8, planes=1, row_bytes=64 << 10
        )
        session = self.session(model=attention("deep", components=(component,)))
        size = component.byte_count(2)
        data = [noise(size, index) for index in range(3)]
        for index, one in enumerate(data):
            session.put(2 * index, 2, one, encoding="raw")
        arena = self.client.open_arena(3 * size)
        items = [larder.PageIn(session, 2 * i, arena[i * size : (i + 1) * size]) for i in range(3)]
        told: list[int] = []

        def landed(layers: int) -> None:
            told.append(layers)
            for index, one in enumerate(data):
                part = layers * size // 8
                self.assertEqual(items[index].into.view[:part], one[:part])

        self.assertEqual(self.client.get_into(items, layer_group=2, on_progress=landed), [size] * 3)
        self.assertEqual(arena.view, b"".join(data))
        self.assertEqual(told, sorted(told))
        self.assertTrue(set(told) <= {2, 4, 6})

    def test_progress_of_what_cannot_be(self) -> None:
        session = self.session()
        items = [larder.PageIn(session, 0, bytearray(64))]
        self.assertRaises(ValueError, self.client.get_into, items, layer_group=1, on_progress=print)
        self.assertRaises(ValueError, self.client.get_into, items, on_progress=print)
        arena = self.client.open_arena(4_096)
        items = [larder.PageIn(session, 0, arena[:64])]
        results = self.client.get_into(items, layer_group=1, on_progress=print)
        self.assertIsInstance(results[0], larder.Miss)

    def test_a_callback_that_fails(self) -> None:
        """Its error comes out, after the answer was read: the client goes on."""
        session = self.session()
        size = chunk_bytes(session.model.model)
        session.put(0, TOKENS, noise(size))
        arena = self.client.open_arena(size)
        items = [larder.PageIn(session, 0, arena[:])]
        told: list[int] = []

        def fail(layers: int) -> None:
            told.append(layers)
            raise ZeroDivisionError

        def use(layers: int) -> None:
            told.append(layers)
            self.client.stat()

        for callback, error in ((fail, ZeroDivisionError), (use, RuntimeError)):
            told.clear()
            try:
                self.client.get_into(items, layer_group=1, on_progress=callback)
            except error:
                self.assertTrue(told)
            else:
                self.assertFalse(told)
            self.assertEqual(session.get(0), noise(size))


class WithoutArenasTests(BatchTests):
    """The same over a connection that shares no memory: bytes travel in the frames."""

    def setUp(self) -> None:
        super().setUp()
        self.client._pager._staging = None

    def test_a_chunk_above_a_frame(self) -> None:
        component = larder.Component(
            "kv", kind="attention", element_type="bytes", layers=1, planes=1, row_bytes=1 << 20
        )
        session = self.session(model=attention("wide", components=(component,)))
        tokens = (self.client.limits.frame_bytes >> 20) + 1
        items = [
            larder.PageOut(session, 0, tokens, bytes(tokens << 20)),
            larder.PageOut(session, tokens, 1, bytes(1 << 20)),
        ]
        results = self.client.put_from(items)
        self.assertIsInstance(results[0], larder.FrameTooLong)
        self.assertIsInstance(results[1], int)


if __name__ == "__main__":
    unittest.main()
