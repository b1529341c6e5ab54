"""Shared memory: made by the daemon, or by this process."""

from __future__ import annotations

import errno
import gc
import os
import unittest
import unittest.mock

import larder

from support import DaemonTest, noise


class ArenaTests(DaemonTest):
    """Arenas against a live daemon."""

    def setUp(self) -> None:
        super().setUp()
        self.line = self.session()
        self.data = noise(self.line.model.model.components[0].byte_count(8))

    def round_trip(self, arena: larder.Arena) -> None:
        """Out of the arena's start and in to its end."""
        size = len(self.data)
        arena.view[:size] = self.data
        self.line.put(0, 8, arena[:size])
        self.assertEqual(self.line.get_into(0, arena[len(arena) - size :]), size)
        self.assertEqual(arena.view[-size:], self.data)

    def test_open(self) -> None:
        self.assertTrue(self.client.has_arenas)
        with self.client.open_arena(1 << 20) as arena:
            self.assertEqual((arena.size, len(arena), len(arena.view)), (1 << 20,) * 3)
            self.assertFalse(arena.view.readonly)
            self.round_trip(arena)
            self.assertEqual(self.client.stat().counters["arena_bytes"], 1 << 20)
        self.assertEqual(self.client.stat().counters["arena_bytes"], 0)

    def test_register(self) -> None:
        descriptor = larder.sealed_memfd(1 << 16)
        self.assertRaises(OSError, os.ftruncate, descriptor, 1)
        arena = self.client.register_arena(descriptor, 1 << 16)
        os.close(descriptor)
        self.round_trip(arena)
        arena.close()

    def test_what_is_no_arena(self) -> None:
        plain = os.memfd_create("plain", os.MFD_ALLOW_SEALING)
        self.addCleanup(os.close, plain)
        os.ftruncate(plain, 4_096)
        sealed = larder.sealed_memfd(4_096)
        self.addCleanup(os.close, sealed)
        with open(os.devnull, "rb") as file:
            for descriptor, size in ((plain, 4_096), (sealed, 4_095), (sealed, 8_192), (file.fileno(), 4_096)):
                self.assertRaises(ValueError, self.client.register_arena, descriptor, size)
        for size in (0, -1):
            self.assertRaises(ValueError, self.client.open_arena, size)
            self.assertRaises(ValueError, larder.sealed_memfd, size)
        self.assertRaises(ValueError, self.client.open_arena, 2**64)
        self.assertRaises(larder.Refusal, self.client.open_arena, 2**60)
        self.assertTrue(self.client.is_open)

    def test_slices(self) -> None:
        arena = self.client.open_arena(100)
        part = arena[10:20]
        self.assertEqual((len(part), len(part.view), len(arena[:]), len(arena[100:])), (10, 10, 100, 0))
        part.view[0] = 7
        self.assertEqual(arena.view[10], 7)
        for bounds in (slice(-1, 5), slice(5, 101), slice(6, 5), slice(101, None)):
            self.assertRaises(IndexError, arena.__getitem__, bounds)
        for wrong in (5, slice(0, 10, 2), "a"):
            self.assertRaises(TypeError, arena.__getitem__, wrong)

    def test_use_after_close(self) -> None:
        arena = self.client.open_arena(1 << 16)
        part, view = arena[: len(self.data)], arena.view
        view[: len(self.data)] = self.data
        arena.close()
        arena.close()
        self.assertRaises(ValueError, self.line.put, 0, 8, part)
        self.assertRaises(ValueError, self.line.get_into, 0, part)
        self.assertRaises(ValueError, self.client.get_into, [larder.PageIn(self.line, 0, part)] * 2)
        # The memory outlives the arena for as long as somebody looks at it.
        del arena
        gc.collect()
        self.assertEqual(view[: len(self.data)], self.data)
        self.assertTrue(self.client.is_open)

    def test_another_clients_arena(self) -> None:
        with self.daemon.connect() as other:
            part = other.open_arena(1 << 16)[: len(self.data)]
            self.assertRaises(ValueError, self.line.put, 0, 8, part)
            self.assertRaises(ValueError, self.line.get_into, 0, part)

    def test_overlapping_destinations(self) -> None:
        self.line.put(0, 8, self.data)
        arena = self.client.open_arena(2 * len(self.data))
        items = [larder.PageIn(self.line, 0, arena[start : start + len(self.data)]) for start in (0, 1)]
        for one in self.client.get_into(items):
            self.assertIsInstance(one, larder.InvalidArgument)

    def test_as_many_as_a_connection_may_have(self) -> None:
        arenas = [self.client.open_arena(4_096) for _ in range(16)]
        self.assertRaises(larder.Busy, self.client.open_arena, 4_096)
        # Other memory goes inline now: there is no arena left to stage it.
        self.line.put(0, 8, self.data)
        into = bytearray(len(self.data))
        self.assertEqual(self.line.get_into(0, into), len(into))
        results = self.client.get_into([larder.PageIn(self.line, 0, bytearray(len(into))) for _ in range(3)])
        self.assertEqual((into, results), (self.data, [len(into)] * 3))
        arenas.pop().close()
        self.assertEqual(self.line.get_into(0, into), len(into))

    def test_where_nothing_can_be_mapped(self) -> None:
        """An arena that this process cannot map goes back, and chunks go over the socket."""
        with unittest.mock.patch("mmap.mmap", side_effect=OSError(errno.ENOMEM, "no room")):
            for _ in range(20):
                self.assertRaisesRegex(larder.Busy, "cannot map", self.client.open_arena, 4_096)
            self.line.put(0, 8, self.data)
            into = bytearray(len(self.data))
            self.assertEqual(self.line.get_into(0, into), len(into))
        self.assertEqual(into, self.data)
        self.client.open_arena(4_096).close()

    def test_descriptors_do_not_pile_up(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(50):
            self.client.open_arena(4_096).close()
        gc.collect()
        self.assertLessEqual(len(os.listdir("/proc/self/fd")), before)


if __name__ == "__main__":
    unittest.main()
