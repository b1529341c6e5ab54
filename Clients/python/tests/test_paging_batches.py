"""Batches of chunks out and in against a live daemon: cut into frames, staged, and with errors among their results."""

from __future__ import annotations

import random
import unittest

import larder
from larder.pipeline import ARENA_FRAME_BYTES, FRAME_ITEMS
from larder.staging import KEPT_BYTES, SLOT_BYTES

from support import TOKENS, DaemonTest, attention, chunk_bytes, noise, random_seed


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
