"""One chunk out and in against a live daemon: every kind of memory, and what comes back is bit for bit what went in."""

from __future__ import annotations

import array
import ctypes
import mmap
import unittest

import larder

from support import REPOSITORY, TOKENS, DaemonTest, attention, chunk_bytes, hybrid, noise


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


if __name__ == "__main__":
    unittest.main()
