"""What a session holds: its tokens, and which stretches of them each component has. And the names of chunks by content.

Chunks lie on a grid of `chunk_tokens`: whole cells, which every session of the namespace with the same prefix shares by
their keys, and at the end of the line pieces of the last cell. Once that cell is full, one chunk takes their place.
"""

from __future__ import annotations

import array
import sys
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from itertools import takewhile

from larder import ChunkSummary, LarderError, PageIn, Session, prefix_keys

from .tracks import TOKEN_BYTES

#: (first token, end) of a stretch that is whole.
Stretch = tuple[int, int]


def as_tokens(ids: Iterable[int]) -> array.array[int]:
    """Token ids as u32. Raises ValueError for what is none."""
    try:
        return array.array("I", ids)
    except (OverflowError, TypeError) as error:
        raise ValueError(f"token ids are integers from 0 to 2^32 - 1: {error}") from None


def tokens_to_bytes(tokens: array.array[int]) -> bytes:
    """u32, little-endian: what a chunk of the component `tokens` holds."""
    if sys.byteorder == "big":
        tokens = array.array("I", tokens)
        tokens.byteswap()
    return tokens.tobytes()


def tokens_from_bytes(raw: bytes | bytearray | memoryview) -> array.array[int]:
    """The reverse of `tokens_to_bytes`."""
    tokens = array.array("I", bytes(raw))
    if sys.byteorder == "big":
        tokens.byteswap()
    return tokens


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two lines have in common from the first on."""
    low, high = 0, min(len(left), len(right))
    if left[:high] == right[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class Keys:
    """Names by content of the chunks of a line of `tokens`: equal ones have equal tokens up to their end, and are cut
    at the same places."""

    def __init__(self, tokens: array.array[int], chunk_tokens: int):
        self._tokens = tokens
        self._chunk = chunk_tokens
        #: A key for the end of each whole cell.
        self.grid = prefix_keys(tokens, chunk_tokens)

    def of(self, start: int, end: int) -> bytes:
        """The key of the chunk start..<end: of a whole cell the grid's, else one more link from what is before it."""
        return prefix_keys(self._tokens[start:end], end - start, parent=self._before(start))[0]

    def ending_in(self, start: int, end: int) -> list[bytes]:
        """The key of the chunk start..<end, if the line has it whole."""
        return [self.of(start, end)] if end <= len(self._tokens) else []

    def _before(self, offset: int) -> bytes | None:
        cell, left = divmod(offset, self._chunk)
        key = self.grid[cell - 1] if cell else None
        return prefix_keys(self._tokens[offset - left : offset], left, parent=key)[0] if left else key


class Line:
    """The tokens that a session holds from 0 on without a gap, and for each component what is stored of it. The last
    component is that of the tokens."""

    def __init__(self, components: int):
        self.tokens = as_tokens(())
        self.stored: list[list[Stretch]] = [[] for _ in range(components)]

    @classmethod
    def of(cls, session: Session, components: int) -> Line:
        """Reads it from Larder. Tokens end where a chunk of them is missing or damaged."""
        line, tokens_component = cls(components), components - 1
        chunks: list[ChunkSummary] = []
        for chunk in session.chunks():
            if chunk.component >= components:
                continue
            line.stored[chunk.component].append((chunk.offset, chunk.offset + chunk.tokens))
            if chunk.component == tokens_component:
                chunks.append(chunk)
        buffers = [bytearray(chunk.tokens * TOKEN_BYTES) for chunk in chunks]
        pages = [PageIn(session, chunk.offset, into, tokens_component) for chunk, into in zip(chunks, buffers)]
        results = session.client.get_into(pages) if pages else []
        read = takewhile(lambda one: not isinstance(one[2], LarderError), zip(chunks, buffers, results))
        for chunk, buffer, _ in read:
            if chunk.offset != len(line.tokens):
                break
            line.tokens.extend(tokens_from_bytes(buffer))
        return line

    @property
    def end(self) -> int:
        """Where the last chunk of any component ends."""
        return max((stretches[-1][1] for stretches in self.stored if stretches), default=0)

    def add(self, component: int, stretch: Stretch) -> None:
        """A chunk of a component that was stored."""
        insort(self.stored[component], stretch)

    def cut(self, offset: int) -> None:
        """What a truncate at `offset` does: every chunk that reaches beyond it goes, whole."""
        self.stored = [[one for one in stretches if one[1] <= offset] for stretches in self.stored]
        held = self.missing(-1, 0, len(self.tokens))
        del self.tokens[held[0][0] if held else len(self.tokens) :]

    def missing(self, component: int, start: int, end: int) -> list[Stretch]:
        """The stretches of start..<end that are not stored of a component."""
        gaps: list[Stretch] = []
        at = start
        for low, high in self.pieces(component, start, end):
            if low > at:
                gaps.append((at, low))
            at = max(at, high)
        if at < end:
            gaps.append((at, end))
        return gaps

    def pieces(self, component: int, start: int, end: int) -> list[Stretch]:
        """The chunks of a component that have tokens of start..<end."""
        stretches = self.stored[component]
        first = bisect_left(stretches, (start, 0))
        while first and stretches[first - 1][1] > start:
            first -= 1
        return stretches[first : bisect_left(stretches, (end, 0))]
