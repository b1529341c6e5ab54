"""The bytes of a llama.cpp sequence state, as `llama_state_seq_get_data` writes and `..._set_data` reads them.

    u32 magic, i32 sequence, then each KV cache of the context: one, or two where some layers have a sliding window
    (global layers first):
      u32 streams (1: the cache is unified)
      u32 cells
      nothing more if there are no cells; else
      cells x (i32 position, u32 sequences, i32 each of them)
      u32 transposed: 1 if the values of a layer lie as [row][cell], without flash attention
      u32 layers
      layers x keys:   i32 type, u64 row bytes, cells x row
      layers x values: i32 type, u64 row bytes, cells x row
        or transposed: i32 type, u32 element bytes, u32 elements of a row, [elements][cells] elements

All little-endian. The bytes say nothing about the model that made them. Read in llama-cpp-python 0.3.36, and checked
field by field at every use: what is not exactly this is `UnknownState`, and nothing of it is stored or restored.

Only the standard library is used here; nothing depends on an engine.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

MAGIC = 0xAF143CD8
#: Version of this module's reading of the bytes; part of every fingerprint.
FORMAT = "seq-af143cd8/1"
#: Most caches in a state: global and sliding.
MAX_CACHES = 2
#: Most layers in a cache, cells in a state and bytes of a row. Larder's own limits are the same or wider.
MAX_LAYERS = 4096
MAX_CELLS = 1 << 20
MAX_ROW_BYTES = 1 << 26

_U32 = struct.Struct("<I")
_CELL = struct.Struct("<iI")
_SEQUENCE = struct.Struct("<i")
_ROWS = struct.Struct("<iQ")
_COLUMNS = struct.Struct("<iII")
_HEADER_BYTES = 12
assert _ROWS.size == _COLUMNS.size == _HEADER_BYTES


class UnknownState(ValueError):
    """A sequence state that is not laid out as this module knows it: another llama.cpp, or damage."""


@dataclass(frozen=True)
class Rows:
    """How one layer's keys, or its values, lie in a state.

    `ggml_type` is ggml's number; `row_bytes` are those of one token. With `element_bytes` above 0 they are
    transposed: [elements of a row][cells], else [cells][row].
    """

    ggml_type: int
    row_bytes: int
    element_bytes: int = 0

    @property
    def header(self) -> bytes:
        """The 12 bytes before them."""
        if self.element_bytes:
            return _COLUMNS.pack(self.ggml_type, self.element_bytes, self.row_bytes // self.element_bytes)
        return _ROWS.pack(self.ggml_type, self.row_bytes)


@dataclass(frozen=True)
class CacheLayout:
    """One KV cache: the keys and the values of its layers, in order."""

    transposed: bool
    keys: tuple[Rows, ...]
    values: tuple[Rows, ...]

    @property
    def rows(self) -> tuple[Rows, ...]:
        """Keys, then values: the order in which a state has them."""
        return self.keys + self.values

    @property
    def token_bytes(self) -> int:
        """Bytes of one token in all layers."""
        return sum(rows.row_bytes for rows in self.rows)


@dataclass(frozen=True)
class Cells:
    """The cells of one cache in a state: `positions` as they lie, and the offset in the state where the data of each
    of the layout's `rows` begins. Without cells there is no layout."""

    layout: CacheLayout | None
    positions: tuple[int, ...]
    data: tuple[int, ...]

    @property
    def span(self) -> range:
        """The positions, which are whole from the first to the last."""
        return range(min(self.positions), max(self.positions) + 1) if self.positions else range(0)

    def runs(self) -> list[tuple[int, int, int]]:
        """(cell, position, count) of the longest runs of cells whose positions rise by one."""
        runs: list[tuple[int, int, int]] = []
        for cell, position in enumerate(self.positions):
            if runs and position == runs[-1][1] + runs[-1][2]:
                runs[-1] = (runs[-1][0], runs[-1][1], runs[-1][2] + 1)
            else:
                runs.append((cell, position, 1))
        return runs


class _Reader:
    def __init__(self, state: memoryview):
        self.state = state
        self.at = 0

    def take(self, form: struct.Struct, what: str) -> tuple[Any, ...]:
        if len(self.state) - self.at < form.size:
            raise UnknownState(f"the state ends at byte {len(self.state)}, inside {what}")
        values = form.unpack_from(self.state, self.at)
        self.at += form.size
        return values

    def count(self, what: str, most: int) -> int:
        value: int = self.take(_U32, what)[0]
        if value > most:
            raise UnknownState(f"{value} {what} at byte {self.at - 4} of the state; at most {most} make sense")
        return value

    def skip(self, length: int, what: str) -> int:
        start = self.at
        if length > len(self.state) - start:
            raise UnknownState(f"the state ends at byte {len(self.state)}, inside {what}")
        self.at += length
        return start


def parse(state: memoryview | bytes, caches: int) -> list[Cells]:
    """The cells of each of the `caches` in a sequence state.

    Raises `UnknownState` for anything but what the top of this file says, bytes left over included.
    """
    if not 1 <= caches <= MAX_CACHES:
        raise UnknownState(f"{caches} caches; this module knows 1 or 2")
    reader = _Reader(memoryview(state).cast("B"))
    (magic,) = reader.take(_U32, "the magic")
    if magic != MAGIC:
        raise UnknownState(f"the state begins with 0x{magic:08x}, not 0x{MAGIC:08x}: another llama.cpp wrote it")
    reader.take(_SEQUENCE, "the sequence's number")
    cells = [_parse_cache(reader) for _ in range(caches)]
    if reader.at != len(reader.state):
        raise UnknownState(f"{len(reader.state) - reader.at} bytes follow the last cache of the state")
    return cells


def _parse_cache(reader: _Reader) -> Cells:
    streams = reader.count("streams", 1 << 16)
    if streams != 1:
        raise UnknownState(f"the cache has {streams} streams; make the context with kv_unified=True")
    count = reader.count("cells", MAX_CELLS)
    if count == 0:
        return Cells(None, (), ())
    positions = tuple(_parse_cell(reader) for _ in range(count))
    first = min(positions)
    if first < 0 or len(set(positions)) != count or max(positions) - first != count - 1:
        raise UnknownState(f"the state's {count} cells do not hold {count} positions in a row")
    transposed = reader.count("for 'transposed'", 1) == 1
    layers = reader.count("layers", MAX_LAYERS)
    if layers == 0:
        raise UnknownState("a cache with cells and no layers")
    keys = [_parse_rows(reader, count, False, "keys") for _ in range(layers)]
    values = [_parse_rows(reader, count, transposed, "values") for _ in range(layers)]
    layout = CacheLayout(transposed, tuple(rows for rows, _ in keys), tuple(rows for rows, _ in values))
    return Cells(layout, positions, tuple(start for _, start in keys + values))


def _parse_cell(reader: _Reader) -> int:
    cell: tuple[int, int] = reader.take(_CELL, "a cell")
    position, sequences = cell
    # A sequence beyond those that the context decodes is not named in its own state: then there are none.
    if sequences > 1:
        raise UnknownState(f"a cell with {sequences} sequences in the state of one")
    if sequences:
        reader.take(_SEQUENCE, "a cell's sequence")
    return position


def _parse_rows(reader: _Reader, cells: int, transposed: bool, what: str) -> tuple[Rows, int]:
    if transposed:
        ggml_type, element_bytes, elements = reader.take(_COLUMNS, f"the header of {what}")
        if element_bytes not in (1, 2, 4, 8):
            raise UnknownState(f"{what} with elements of {element_bytes} bytes")
        rows = Rows(ggml_type, elements * element_bytes, element_bytes)
    else:
        rows = Rows(*reader.take(_ROWS, f"the header of {what}"))
    if not 1 <= rows.row_bytes <= MAX_ROW_BYTES:
        raise UnknownState(f"{what} with rows of {rows.row_bytes} bytes")
    return rows, reader.skip(cells * rows.row_bytes, what)


class StateBuilder:
    """A sequence state in the making: headers for the `spans` (positions, one range a cache; an empty one for none)
    of `layouts`, and room for the data.

    `state` is the whole; `data[cache][i]` is where the data of `layouts[cache].rows[i]` begins in it.
    """

    def __init__(self, layouts: list[CacheLayout] | tuple[CacheLayout, ...], spans: list[range]):
        if len(layouts) != len(spans):
            raise ValueError(f"{len(spans)} spans for {len(layouts)} caches")
        self.state = bytearray(sum(map(_cache_bytes, layouts, spans), _U32.size + _SEQUENCE.size))
        self.data: list[list[int]] = []
        self._at = 0
        self._write(_U32.pack(MAGIC) + _SEQUENCE.pack(0))
        for layout, span in zip(layouts, spans):
            self.data.append(self._cache(layout, span))
        assert self._at == len(self.state)

    def _write(self, piece: bytes) -> None:
        self.state[self._at : self._at + len(piece)] = piece
        self._at += len(piece)

    def _cache(self, layout: CacheLayout, span: range) -> list[int]:
        self._write(_U32.pack(1) + _U32.pack(len(span)))
        starts: list[int] = []
        if not span:
            return starts
        # The reader takes every cell for the sequence that it is told to restore, whatever number stands here.
        self._write(b"".join(_CELL.pack(position, 1) + bytes(_SEQUENCE.size) for position in span))
        self._write(_U32.pack(layout.transposed) + _U32.pack(len(layout.keys)))
        for rows in layout.rows:
            self._write(rows.header)
            starts.append(self._at)
            self._at += len(span) * rows.row_bytes
        return starts


def _cache_bytes(layout: CacheLayout, span: range) -> int:
    if not span:
        return 2 * _U32.size
    cells = len(span) * (_CELL.size + _SEQUENCE.size)
    return 4 * _U32.size + cells + len(layout.rows) * _HEADER_BYTES + len(span) * layout.token_bytes


@dataclass(frozen=True)
class Place:
    """Where rows lie in a buffer: from byte `start` on, `tokens` of them, of which the one at index `first` is the
    first to be copied."""

    buffer: memoryview
    start: int
    tokens: int
    first: int = 0


def copy_rows(rows: Rows, source: Place, target: Place, count: int) -> None:
    """Copies `count` tokens of one layer's keys or values from one place to another: both [tokens][row], or both
    [elements][tokens] if they are transposed. Runs that are whole on both sides are one copy."""
    if min(source.first, target.first) < 0 or max(source.first - source.tokens, target.first - target.tokens) > -count:
        raise ValueError("rows outside their place")
    whole = source.tokens == target.tokens == count
    if whole or not rows.element_bytes:
        step, strips = count * rows.row_bytes, 1
        from_byte = source.start + source.first * rows.row_bytes
        to_byte = target.start + target.first * rows.row_bytes
        from_stride = to_stride = 0
    else:
        step, strips = count * rows.element_bytes, rows.row_bytes // rows.element_bytes
        from_byte = source.start + source.first * rows.element_bytes
        to_byte = target.start + target.first * rows.element_bytes
        from_stride, to_stride = source.tokens * rows.element_bytes, target.tokens * rows.element_bytes
    from_view, to_view = source.buffer, target.buffer
    for _ in range(strips):
        to_view[to_byte : to_byte + step] = from_view[from_byte : from_byte + step]
        from_byte += from_stride
        to_byte += to_stride
