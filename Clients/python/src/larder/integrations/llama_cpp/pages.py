"""Bytes between a llama.cpp context and the chunks of its components."""

from __future__ import annotations

from collections.abc import Sequence

from larder import Arena, ArenaSlice, Busy, Client

from .blob import Cells, Place, StateBuilder, UnknownState, copy_rows
from .context import Context
from .line import Stretch
from .tracks import Track

#: Most bytes of chunks that are on their way at once; a single chunk may have more.
WINDOW_BYTES = 64 << 20


def extract(context: Context, cells: Sequence[Cells], track: Track, piece: Stretch, into: memoryview) -> None:
    """Fills a chunk of `track` with the tokens of `piece`.

    Raises `UnknownState` if the cells that were just read do not have them all."""
    held = cells[track.cache]
    if piece[0] < held.span.start or piece[1] > held.span.stop:
        raise UnknownState(f"{track.component.name}: {held.span} came, where {piece[0]}..<{piece[1]} were to be stored")
    layout = context.layouts[track.cache]
    start, end = piece
    for index, section in enumerate(track.sections):
        rows = layout.rows[section]
        for cell, position, count in held.runs():
            low, high = max(position, start), min(position + count, end)
            if low < high:
                source = Place(context.state, held.data[section], len(held.positions), cell + low - position)
                target = Place(into, index * (end - start) * rows.row_bytes, end - start, low - start)
                copy_rows(rows, source, target, high - low)


class Chunk:
    """A chunk that was paged in: its track, the tokens that it has, and those of them that are wanted."""

    __slots__ = ("track", "piece", "wanted", "memory")

    def __init__(self, track: Track, piece: Stretch, wanted: Stretch):
        self.track = track
        self.piece = piece
        self.wanted = wanted
        self.memory = memoryview(b"")

    @property
    def size(self) -> int:
        """Its bytes."""
        return (self.piece[1] - self.piece[0]) * self.track.token_bytes()


def insert(context: Context, chunks: Sequence[Chunk]) -> None:
    """Puts chunks into the context: those of one cache must want the same tokens. Raises `RestoreFailed`."""
    spans = [range(0)] * len(context.layouts)
    for chunk in chunks:
        spans[chunk.track.cache] = range(*chunk.wanted)
    builder = StateBuilder(context.layouts, spans)
    with memoryview(builder.state) as state:
        for chunk in chunks:
            _fill(context, builder, state, chunk)
    context.write(builder)


def _fill(context: Context, builder: StateBuilder, state: memoryview, chunk: Chunk) -> None:
    cache = chunk.track.cache
    tokens, wanted = chunk.piece[1] - chunk.piece[0], chunk.wanted[1] - chunk.wanted[0]
    for index, section in enumerate(chunk.track.sections):
        rows = context.layouts[cache].rows[section]
        source = Place(chunk.memory, index * tokens * rows.row_bytes, tokens, chunk.wanted[0] - chunk.piece[0])
        copy_rows(rows, source, Place(state, builder.data[cache][section], wanted), wanted)


class Staging:
    """Memory for chunks on their way: an arena, or plain memory where the daemon has none to share."""

    def __init__(self, client: Client):
        self._client = client
        self._arena: Arena | None = None
        self._plain = bytearray()

    def take(self, sizes: Sequence[int]) -> list[ArenaSlice | memoryview]:
        """A region for each size, until the next call."""
        total = sum(sizes)
        if self._client.has_arenas:
            try:
                return _cut(self._arena_of(total), sizes)
            except Busy:
                pass
        if len(self._plain) < total:
            self._plain = bytearray(total)
        return _cut(memoryview(self._plain), sizes)

    def _arena_of(self, total: int) -> Arena:
        if self._arena is None or self._arena.size < total:
            self.close()
            self._arena = self._client.open_arena(max(total, 1 << 20))
        return self._arena

    def close(self) -> None:
        """Gives the memory back."""
        if self._arena is not None:
            self._arena.close()
        self._arena = None


def _cut(memory: Arena | memoryview, sizes: Sequence[int]) -> list[ArenaSlice | memoryview]:
    regions: list[ArenaSlice | memoryview] = []
    at = 0
    for size in sizes:
        regions.append(memory[at : at + size])
        at += size
    return regions


def view_of(region: ArenaSlice | memoryview) -> memoryview:
    """Its bytes."""
    return region.view if isinstance(region, ArenaSlice) else region
