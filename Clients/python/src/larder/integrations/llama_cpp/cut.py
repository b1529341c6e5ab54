"""Going back into the middle of a chunk. A fork or truncate there drops the chunk that crosses the offset, whole; its
first part is kept as a chunk of its own, so that nothing up to the offset is lost."""

from __future__ import annotations

from dataclasses import dataclass

from larder import LarderError, PageIn, PageOut, Session

from .blob import Place, copy_rows
from .line import Keys, Line, Stretch
from .restore import Store
from .tracks import TOKEN_BYTES


@dataclass
class Part:
    """The first tokens of a chunk, as a chunk."""

    component: int
    stretch: Stretch
    key: bytes
    data: bytearray


def read_parts(store: Store, line: Line, offset: int) -> list[Part]:
    """What the chunks of the session that cross `offset` hold before it. What cannot be read is left out."""
    crossing = [
        (component, low, high)
        for component in range(store.components)
        for low, high in line.pieces(component, offset - 1, offset + 1)
        if low < offset < high
    ]
    buffers = [bytearray((high - low) * _token_bytes(store, component)) for component, low, high in crossing]
    pages = [PageIn(store.session, low, into, component) for (component, low, _), into in zip(crossing, buffers)]
    results = store.client.get_into(pages) if pages else []
    keys = Keys(line.tokens, store.chunk_tokens)
    parts = []
    for (component, low, high), buffer, result in zip(crossing, buffers, results):
        if not isinstance(result, LarderError) and offset <= len(line.tokens):
            data = _first_tokens(store, component, buffer, high - low, offset - low)
            parts.append(Part(component, (low, offset), keys.of(low, offset), data))
    return parts


def put_parts(store: Store, session: Session, parts: list[Part]) -> None:
    """Stores the parts in a session that ends before them. The tokens first: without them nothing is of use."""
    for part in sorted(parts, key=lambda one: -one.component):
        low, high = part.stretch
        item = PageOut(session, low, high - low, part.data, part.component, None, part.key)
        (result,) = store.client.put_from([item])
        if isinstance(result, LarderError) and store.shares:
            item.data = None
            (result,) = store.client.put_from([item])
        if isinstance(result, LarderError) and part.component == store.components - 1:
            return


def _token_bytes(store: Store, component: int) -> int:
    return store.tracks[component].token_bytes() if component < len(store.tracks) else TOKEN_BYTES


def _first_tokens(store: Store, component: int, chunk: bytearray, tokens: int, count: int) -> bytearray:
    if component >= len(store.tracks):
        return chunk[: count * TOKEN_BYTES]
    track = store.tracks[component]
    data = bytearray(count * track.token_bytes())
    with memoryview(chunk) as source, memoryview(data) as target:
        for index, section in enumerate(track.sections):
            rows = store.context.layouts[track.cache].rows[section]
            copy_rows(
                rows,
                Place(source, index * tokens * rows.row_bytes, tokens),
                Place(target, index * count * rows.row_bytes, count),
                count,
            )
    return data
