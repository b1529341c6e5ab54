"""How the KV caches of a llama.cpp context become components of a Larder model, and a stretch of state their chunks.

A component's chunk is [layers][planes][tokens][row]. A cache whose keys and values have rows of one size and type is
one component of two planes, keys and values; else keys and values are components of one plane each, one for every
size of row. Without flash attention llama.cpp keeps values as [elements][tokens]; a plane of a chunk keeps them so:
it is as many bytes, and both ways are then one copy a layer.

One more component, `tokens`, holds the token ids: with them a new process finds out how much of a prompt a session
has, to the token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from larder.model import Component
from larder.wire.numbers import ComponentKind, ElementType

from .blob import CacheLayout, Rows

#: ggml's numbers of the types that Larder's codecs know. Others, quantised ones too, are bytes.
_ELEMENT_TYPES: dict[int, ElementType] = {0: "f32", 1: "f16", 30: "bf16"}
TOKENS = "tokens"
TOKEN_BYTES = 4


@dataclass(frozen=True)
class Track:
    """One component and what it is made of: `cache` is the index of its cache, `sections` the indices into the rows
    of the cache's layout, in the order in which a chunk has them; all of `rows` bytes."""

    component: Component
    cache: int
    sections: tuple[int, ...]

    def token_bytes(self) -> int:
        """Bytes of one token in a chunk."""
        return len(self.sections) * self.component.row_bytes


def tracks_of(layouts: Sequence[CacheLayout], window: int) -> tuple[Track, ...]:
    """The components of a context's caches: of the first `attention`, of a second `sliding` with that window.

    A query at offset o sees itself and the `window` - 1 tokens before: so many are needed to go on at o.
    """
    tracks: list[Track] = []
    for cache, layout in enumerate(layouts):
        kind: ComponentKind = "attention" if cache == 0 else "sliding"
        for name, planes, sections in _groups(layout):
            rows = layout.rows[sections[0]]
            component = Component(
                name=kind + name,
                kind=kind,
                element_type=_ELEMENT_TYPES.get(rows.ggml_type, "bytes"),
                layers=len(sections) // planes,
                planes=planes,
                row_bytes=rows.row_bytes,
                window=window - 1 if cache else 0,
            )
            tracks.append(Track(component, cache, tuple(sections)))
    return tuple(tracks)


def tokens_component() -> Component:
    """The component of the token ids: u32, little-endian."""
    return Component(TOKENS, kind="attention", element_type="bytes", layers=1, planes=1, row_bytes=TOKEN_BYTES)


def _groups(layout: CacheLayout) -> list[tuple[str, int, list[int]]]:
    """(end of the name, planes, sections) of each component of a cache, by the first layer of each."""
    layers = len(layout.keys)
    groups: dict[tuple[int, Rows, Rows | None], list[int]] = {}
    for layer, (keys, values) in enumerate(zip(layout.keys, layout.values)):
        if (keys.ggml_type, keys.row_bytes) == (values.ggml_type, values.row_bytes):
            groups.setdefault((2, keys, values), []).extend((layer, layers + layer))
        else:
            groups.setdefault((1, keys, None), []).append(layer)
            groups.setdefault((1, values, None), []).append(layers + layer)
    if len(groups) == 1:
        ((planes, _, _), sections) = next(iter(groups.items()))
        return [("", planes, sections)]
    return [(f".{index}", key[0], sections) for index, (key, sections) in enumerate(groups.items())]
