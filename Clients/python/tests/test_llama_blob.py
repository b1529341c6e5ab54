"""The bytes of llama.cpp's sequence states: read, made, and refused. Needs no engine."""

from __future__ import annotations

import importlib.util
import random
import struct
import sys
import unittest
from pathlib import Path

# The package's __init__ imports the engine; this module of it needs none.
_PATH = Path(__file__).resolve().parents[1] / "src/larder/integrations/llama_cpp/blob.py"
_SPEC = importlib.util.spec_from_file_location("larder_llama_blob", _PATH)
blob = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = blob
_SPEC.loader.exec_module(blob)

F16, Q8 = 1, 8


def layout(transposed: bool, layers: int = 2, row: int = 8) -> blob.CacheLayout:
    """A cache of f16 rows."""
    values = blob.Rows(F16, row, 2 if transposed else 0)
    return blob.CacheLayout(transposed, (blob.Rows(F16, row),) * layers, (values,) * layers)


def state(layouts: list, spans: list[range], seed: int = 1) -> bytes:
    """A state with random data."""
    builder = blob.StateBuilder(layouts, spans)
    numbers = random.Random(seed)
    for one, span, starts in zip(layouts, spans, builder.data):
        for rows, start in zip(one.rows, starts):
            size = len(span) * rows.row_bytes
            builder.state[start : start + size] = numbers.randbytes(size)
    return bytes(builder.state)


class Reading(unittest.TestCase):
    def test_what_is_made_is_read(self) -> None:
        for transposed in (False, True):
            layouts = [layout(transposed), layout(transposed, layers=5, row=4)]
            cells = blob.parse(state(layouts, [range(3, 9), range(7, 9)]), 2)
            self.assertEqual([one.layout for one in cells], layouts)
            self.assertEqual([one.span for one in cells], [range(3, 9), range(7, 9)])
            self.assertEqual(cells[1].runs(), [(0, 7, 2)])

    def test_bytes_as_llama_cpp_writes_them(self) -> None:
        """One cache, two cells at 4 and 5, one layer, values transposed: field by field."""
        raw = struct.pack("<Ii", 0xAF143CD8, 3) + struct.pack("<II", 1, 2)
        raw += struct.pack("<iIi", 4, 1, 3) + struct.pack("<iIi", 5, 1, 3) + struct.pack("<II", 1, 1)
        raw += struct.pack("<iQ", F16, 4) + b"kkkkKKKK" + struct.pack("<iII", F16, 2, 2) + b"aaAAbbBB"
        (cells,) = blob.parse(raw, 1)
        self.assertEqual(cells.positions, (4, 5))
        self.assertEqual(cells.layout.values, (blob.Rows(F16, 4, 2),))
        self.assertEqual([raw[start : start + 8] for start in cells.data], [b"kkkkKKKK", b"aaAAbbBB"])
        builder = blob.StateBuilder([cells.layout], [range(4, 6)])
        for start, data in zip(builder.data[0], (b"kkkkKKKK", b"aaAAbbBB")):
            builder.state[start : start + 8] = data
        # The number of the sequence is the reader's to choose; the rest is the same.
        self.assertEqual(bytes(builder.state), raw.replace(struct.pack("<i", 3), bytes(4)))

    def test_a_cell_whose_sequence_is_not_named(self) -> None:
        raw = struct.pack("<IiIIiI", 0xAF143CD8, 1, 1, 1, 9, 0) + struct.pack("<II", 0, 1)
        raw += struct.pack("<iQ", F16, 2) + b"kk" + struct.pack("<iQ", F16, 2) + b"vv"
        self.assertEqual(blob.parse(raw, 1)[0].positions, (9,))

    def test_an_empty_cache(self) -> None:
        layouts = [layout(True), layout(True)]
        cells = blob.parse(state(layouts, [range(5), range(0)]), 2)
        self.assertEqual((cells[1].layout, cells[1].span), (None, range(0)))

    def test_cells_in_another_order(self) -> None:
        """A ring that has begun anew: the last tokens lie first."""
        one = layout(True, layers=1)
        raw = bytearray(state([one], [range(10, 14)]))
        for cell, position in enumerate((12, 13, 10, 11)):
            struct.pack_into("<i", raw, 16 + 12 * cell, position)
        (cells,) = blob.parse(raw, 1)
        self.assertEqual(cells.runs(), [(0, 12, 2), (2, 10, 2)])
        chunk = bytearray(4 * 8)
        for cell, position, count in cells.runs():
            source = blob.Place(memoryview(raw), cells.data[1], 4, cell)
            blob.copy_rows(one.values[0], source, blob.Place(memoryview(chunk), 0, 4, position - 10), count)
        values = raw[cells.data[1] : cells.data[1] + 32]
        for element in range(4):
            row = values[element * 8 : element * 8 + 8]
            self.assertEqual(chunk[element * 8 : element * 8 + 8], row[4:] + row[:4])


class Copying(unittest.TestCase):
    def test_parts_of_rows(self) -> None:
        numbers = random.Random(4)
        for element_bytes in (0, 2):
            rows = blob.Rows(F16, 6, element_bytes)
            source, target = numbers.randbytes(60), bytearray(42)
            place = blob.Place(memoryview(target), 0, 7, 1)
            blob.copy_rows(rows, blob.Place(memoryview(source), 0, 10, 3), place, 5)
            for token in range(5):
                self.assertEqual(row(target, rows, 7, 1 + token), row(source, rows, 10, 3 + token))

    def test_outside_of_a_place(self) -> None:
        rows = blob.Rows(F16, 2)
        view = memoryview(bytearray(8))
        for first, count in ((-1, 1), (0, 5), (3, 2)):
            with self.assertRaises(ValueError):
                blob.copy_rows(rows, blob.Place(view, 0, 4, first), blob.Place(view, 0, 8), count)


def row(data: bytes, rows: blob.Rows, tokens: int, token: int) -> bytes:
    """One token's row, element by element."""
    if not rows.element_bytes:
        return bytes(data[token * rows.row_bytes : (token + 1) * rows.row_bytes])
    step = rows.element_bytes
    starts = range(token * step, rows.row_bytes * tokens, tokens * step)
    return b"".join(bytes(data[start : start + step]) for start in starts)


class Hostile(unittest.TestCase):
    def test_every_prefix_is_refused(self) -> None:
        raw = state([layout(True), layout(True, row=4)], [range(3), range(1, 3)])
        for length in range(len(raw)):
            with self.assertRaises(blob.UnknownState):
                blob.parse(raw[:length], 2)
        with self.assertRaisesRegex(blob.UnknownState, "1 bytes follow"):
            blob.parse(raw + b"\0", 2)
        with self.assertRaises(blob.UnknownState):
            blob.parse(raw, 1)

    def test_each_field(self) -> None:
        raw = state([layout(True, layers=1)], [range(2)])
        fields = {
            "magic": (0, 0xAF143CD9), "streams": (8, 2), "cells": (12, 0xFFFFFFFF), "fewer cells": (12, 1),
            "position": (16, 0xFFFFFFFF), "the same position": (28, 0), "a gap": (28, 2), "sequences": (20, 2),
            "transposed": (40, 2), "layers": (44, 0), "many layers": (44, 4097), "row": (52, 0), "long row": (56, 1),
            "element": (48 + 12 + 16 + 4, 3), "elements": (48 + 12 + 16 + 8, 0xFFFFFFFF),
        }
        blob.parse(raw, 1)
        for what, (offset, value) in fields.items():
            broken = bytearray(raw)
            struct.pack_into("<I", broken, offset, value)
            with self.subTest(what), self.assertRaises(blob.UnknownState):
                blob.parse(broken, 1)

    def test_random_damage_is_refused_or_read_within_the_state(self) -> None:
        numbers = random.Random(9)
        raw = state([layout(True), layout(False, row=4)], [range(4), range(2, 4)])
        for _ in range(4000):
            broken = bytearray(raw)
            for _ in range(numbers.randint(1, 4)):
                broken[numbers.randrange(len(broken))] = numbers.randrange(256)
            try:
                cells = blob.parse(broken, 2)
            except blob.UnknownState:
                continue
            for one in cells:
                for rows, start in zip(one.layout.rows if one.layout else (), one.data):
                    self.assertLessEqual(start + len(one.positions) * rows.row_bytes, len(broken))

    def test_a_state_of_huge_counts_takes_no_memory(self) -> None:
        raw = struct.pack("<IiII", 0xAF143CD8, 0, 1, 1 << 20) + bytes(64)
        with self.assertRaises(blob.UnknownState):
            blob.parse(raw, 1)


if __name__ == "__main__":
    unittest.main()
