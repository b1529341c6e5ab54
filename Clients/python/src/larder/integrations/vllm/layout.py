"""How a chunk of tokens lies in vLLM's KV cache, and how it lies in a chunk of Larder's.

vLLM keeps a tensor a layer, ``[rows][heads][row tokens][content]``. A block of ``block_tokens`` tokens is one row, or
several where the kernels want shorter ones: block b is then rows b * n to b * n + n - 1. A chunk takes ``chunk_tokens``
tokens, which is a whole number of rows, out of every layer: ``[layers][planes][rows][heads][half of a head's row]``.

The CPU kernels hold a head's K and V of a row one after the other, K in an order of the processor's liking. So each is
a plane, copied in whole pieces, never element by element. Measured on SmolLM2's state in chunks of 32 tokens: 1.434
times fewer bytes stored; with both in one plane 1.413; with K put back into the order of tokens 1.457, for a
transposition at every load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...wire import numbers
from ..elements import element_type_of

#: The least bytes of a chunk: below, what a chunk costs beside its bytes begins to show.
CHUNK_BYTES = 256 << 10


class Unsupported(Exception):
    """The connector cannot keep this model's state. The message says why, and what would help."""


@dataclass(frozen=True)
class Geometry:
    """The shape of one layer's KV cache, and of the chunks made of it.

    Attributes:
        layers: layers with a KV cache of their own.
        block_tokens: tokens of vLLM's block.
        row_tokens: tokens of a row of the tensor; divides ``block_tokens``.
        heads: heads in a row.
        content: elements of a token in a head.
        element_bytes: bytes of an element.
        planes: 2 if K and V of a head's row lie one after the other, else 1.
        chunk_tokens: tokens of a chunk; a multiple of ``row_tokens`` that divides ``block_tokens``.
    """

    layers: int
    block_tokens: int
    row_tokens: int
    heads: int
    content: int
    element_bytes: int
    planes: int
    chunk_tokens: int

    @property
    def token_bytes(self) -> int:
        """Bytes of one token in one layer."""
        return self.heads * self.content * self.element_bytes

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk."""
        return self.layers * self.chunk_tokens * self.token_bytes

    @property
    def rows(self) -> int:
        """Rows of the tensor that a chunk takes of a layer."""
        return self.chunk_tokens // self.row_tokens

    @property
    def piece_bytes(self) -> int:
        """Bytes that lie together both in the KV cache and in a chunk."""
        return self.row_tokens * self.content * self.element_bytes // self.planes

    def tensor_rows(self, block_ids: Sequence[int], first: int, count: int) -> list[int]:
        """The rows of chunks ``first`` to ``first + count - 1`` of a request whose blocks are ``block_ids``, in
        order."""
        per_block = self.block_tokens // self.row_tokens
        span = range(first * self.rows, (first + count) * self.rows)
        return [block_ids[row // per_block] * per_block + row % per_block for row in span]

    def check(self) -> Geometry:
        """Raises ``Unsupported`` if chunks of this shape cannot be kept."""
        if self.layers > numbers.LAYERS or self.chunk_bytes > numbers.CHUNK_BYTES:
            raise Unsupported(
                f"a chunk of {self.chunk_tokens} tokens has {self.chunk_bytes} bytes in {self.layers} layers"
            )
        if self.token_bytes // self.planes > numbers.ROW_BYTES:
            raise Unsupported(f"a token has {self.token_bytes} bytes in a layer")
        return self


def chunk_tokens(wanted: int, row_tokens: int, block_tokens: int, token_bytes: int) -> int:
    """Tokens of a chunk: ``wanted``, or for 0 the fewest that make ``CHUNK_BYTES``.

    Chunks are rows of the tensor and divide vLLM's blocks. ``token_bytes`` are those of all layers. Raises
    ``Unsupported``.
    """
    if block_tokens % row_tokens:
        raise Unsupported(f"blocks of {block_tokens} tokens in rows of {row_tokens}")
    possible = [n for n in range(row_tokens, block_tokens + 1, row_tokens) if block_tokens % n == 0]
    if wanted:
        if wanted not in possible:
            raise Unsupported(f"chunk_tokens is {wanted}; with this KV cache it may be {', '.join(map(str, possible))}")
        return wanted
    return next((n for n in possible if n * token_bytes >= CHUNK_BYTES), possible[-1])


class KVCache:
    """vLLM's KV cache in memory that the processor reaches, and the copies out of it and into it.

    Args:
        tensors: name of each layer and its tensor, ``[rows][heads][row tokens][content]``.
        block_tokens: tokens of vLLM's block.
        split: True if K and V of a head's row lie one after the other.
        wanted_chunk_tokens: tokens of a chunk, 0 to choose.

    Raises ``Unsupported``.
    """

    def __init__(self, tensors: dict[str, Any], block_tokens: int, split: bool, wanted_chunk_tokens: int) -> None:
        import numpy

        if not tensors:
            raise Unsupported("no layer has a KV cache")
        shapes = {(tuple(tensor.shape[1:]), str(tensor.dtype)) for tensor in tensors.values()}
        if len(shapes) != 1:
            raise Unsupported(f"layers differ in the shape of their KV cache: {sorted(map(str, shapes))}")
        (shape, dtype), first = shapes.pop(), next(iter(tensors.values()))
        if len(shape) != 3:
            raise Unsupported(f"a KV cache of {len(shape) + 1} axes; 4 are known: rows, heads, tokens, content")
        heads, row_tokens, content = shape
        element_bytes = first.element_size()
        planes = 2 if split and row_tokens * content % 2 == 0 else 1
        total = len(tensors) * heads * content * element_bytes
        self.element_type = element_type_of(dtype)
        self.dtype = dtype
        self.geometry = Geometry(
            len(tensors),
            block_tokens,
            row_tokens,
            heads,
            content,
            element_bytes,
            planes,
            chunk_tokens(wanted_chunk_tokens, row_tokens, block_tokens, total),
        ).check()
        self.layer_names = list(tensors)
        self._index = {name: number for number, name in enumerate(tensors)}
        self._layers = [_pieces(tensor, self.geometry, numpy) for tensor in tensors.values()]

    def index(self, layer_name: str) -> int | None:
        """The number of a layer in chunks; None if it has no KV cache of its own."""
        return self._index.get(layer_name)

    def chunks(self, memory: memoryview, count: int) -> Any:
        """``memory`` as ``count`` chunks: an array ``[chunks][layers][rows][heads][planes][piece bytes]``."""
        import numpy

        g = self.geometry
        flat = numpy.frombuffer(memory, dtype=numpy.uint8, count=count * g.chunk_bytes)
        shaped = flat.reshape(count, g.layers, g.planes, g.rows, g.heads, g.piece_bytes)
        return shaped.transpose(0, 1, 3, 4, 2, 5)

    def gather(self, layer: int, rows: Sequence[int], chunk: Any) -> None:
        """Copies one layer of one chunk out of the KV cache. ``chunk``: ``[layers][rows][heads][planes][piece
        bytes]``."""
        source, target = self._layers[layer], chunk[layer]
        for number, row in enumerate(rows):
            target[number] = source[row]

    def scatter(self, layer: int, rows: Sequence[int], chunk: Any) -> None:
        """Copies one layer of one chunk into the KV cache."""
        target, source = self._layers[layer], chunk[layer]
        for number, row in enumerate(rows):
            target[row] = source[number]


def _pieces(tensor: Any, geometry: Geometry, numpy: Any) -> Any:
    """A layer's tensor as bytes: ``[rows][heads][planes][piece bytes]``, in the same memory."""
    import torch

    if tensor.device.type != "cpu":
        raise Unsupported(f"a KV cache on {tensor.device}; this connector reaches CPU memory only")
    if not tensor.is_contiguous():
        raise Unsupported("a KV cache whose heads or tokens do not lie together")
    shape = (tensor.shape[0], geometry.heads, geometry.planes, geometry.piece_bytes)
    return tensor.view(torch.uint8).numpy().reshape(shape)
