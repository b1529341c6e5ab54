"""How an LMCache object lies in memory, and what that is to Larder.

A Larder chunk is ``[layers][planes][tokens][row_bytes]``. A tensor of LMCache has one axis of tokens; what comes
before it is layers, what comes after it is a row. So every tensor is a component with one plane, and its bytes are
stored in the order in which they lie: nothing is moved, and the codec sees whole rows of the element type.

======================  ===========================  ===============================
LMCache                 shape                        in Larder
======================  ===========================  ===============================
``KV_2LTD``             ``[2, layers, tokens, d]``   ``2 * layers`` layers, rows of d
``KV_MLA_FMT``          ``[1, layers, tokens, d]``   ``layers`` layers, rows of d
``KV_MLA_FMT``          ``[layers, tokens, d]``      ``layers`` layers, rows of d
``KV_2TD`` (one layer)  ``[2, tokens, d]``           2 layers, rows of d
``KV_T2D`` (one layer)  ``[tokens, 2, d]``           1 layer, rows of 2 d
``KV_MLA_FMT``          ``[tokens, d]``              1 layer, rows of d
``EC_TD``, ``HS_TD``    ``[tokens, d]``              1 layer, rows of d
anything else           bytes                        1 layer, rows of 4,096 bytes
======================  ===========================  ===============================
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Sequence

import larder
from larder.wire import numbers

from ..elements import element_type_of

ELEMENT_BYTES = {
    "bfloat16": 2,
    "float16": 2,
    "float32": 4,
    "float64": 8,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "int8": 1,
    "uint8": 1,
}
"""Bytes of an element of the types that are known, by torch's names."""

_TOKEN_AXIS = {
    ("KV_2LTD", 4): 2,
    ("KV_MLA_FMT", 4): 2,
    ("KV_MLA_FMT", 3): 1,
    ("KV_MLA_FMT", 2): 0,
    ("KV_2TD", 3): 1,
    ("KV_T2D", 3): 0,
    ("EC_TD", 2): 0,
    ("HS_TD", 2): 0,
    # LMCache's server describes objects by shape alone.
    ("OBJECT", 4): 2,
    ("OBJECT", 3): 1,
}

MOST_TEXT = 200
"""Bytes of a layout's description, which is part of a model's revision."""

OPAQUE_ROW = 4_096
"""Bytes of a row of an object without a known layout."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of an object, without its number of tokens.

    Attributes:
        leading: the axes before that of tokens.
        trailing: the axes after it.
        dtype: torch's name, such as ``bfloat16``.
    """

    leading: tuple[int, ...]
    trailing: tuple[int, ...]
    dtype: str

    @property
    def layers(self) -> int:
        """Rows of one token."""
        return prod(self.leading)

    @property
    def row_bytes(self) -> int:
        """Bytes of one token in one layer."""
        return prod(self.trailing) * ELEMENT_BYTES[self.dtype]

    def shape(self, tokens: int) -> tuple[int, ...]:
        """The tensor's shape with so many tokens."""
        return (*self.leading, tokens, *self.trailing)

    def byte_count(self, tokens: int) -> int:
        """The tensor's bytes with so many tokens."""
        return self.layers * tokens * self.row_bytes

    def __str__(self) -> str:
        return ",".join(map(str, (*self.leading, "t", *self.trailing))) + f" {self.dtype}"


@dataclass(frozen=True)
class Layout:
    """The layout of an object: its format, and its tensors one after another."""

    format: str
    tensors: tuple[Tensor, ...]

    @cached_property
    def components(self) -> tuple[larder.Component, ...]:
        """A component for each tensor."""
        return tuple(
            larder.Component(
                name=f"tensor{index}",
                kind="attention",
                element_type=element_type_of(tensor.dtype),
                layers=tensor.layers,
                planes=1,
                row_bytes=tensor.row_bytes,
            )
            for index, tensor in enumerate(self.tensors)
        )

    @property
    def is_opaque(self) -> bool:
        """True for bytes of no known layout."""
        return self is OPAQUE or self == OPAQUE

    def shapes(self, tokens: int) -> list[tuple[int, ...]]:
        """The tensors' shapes with so many tokens."""
        return [tensor.shape(tokens) for tensor in self.tensors]

    def byte_counts(self, tokens: int) -> list[int]:
        """The tensors' bytes with so many tokens."""
        return [tensor.byte_count(tokens) for tensor in self.tensors]

    def __str__(self) -> str:
        return f"{self.format} " + "; ".join(map(str, self.tensors))


OPAQUE = Layout("BYTES", (Tensor((1,), (OPAQUE_ROW,), "uint8"),))
"""The layout of bytes of no known layout."""


def layout_of(
    format: str, shapes: Sequence[Sequence[int]], dtypes: Sequence[str]
) -> tuple[Layout, int] | None:
    """The layout of an object, and its tokens.

    Parameters:
        format: the name of LMCache's ``MemoryFormat``, or ``OBJECT`` where only shapes are known.
        shapes: of its tensors.
        dtypes: torch's names of their types, such as ``bfloat16``.

    Returns:
        None if the layout is none that is known, or beyond what a model may be: the object is then bytes.
    """
    if not shapes or len(shapes) != len(dtypes) or len(shapes) > numbers.COMPONENTS:
        return None
    tensors = []
    counts = set()
    for shape, dtype in zip(shapes, dtypes):
        axis = _TOKEN_AXIS.get((format, len(shape)))
        if axis is None or dtype not in ELEMENT_BYTES or min(shape) < 1:
            return None
        tensor = Tensor(tuple(map(int, shape[:axis])), tuple(map(int, shape[axis + 1 :])), dtype)
        if tensor.layers > numbers.LAYERS or tensor.row_bytes > numbers.ROW_BYTES:
            return None
        tensors.append(tensor)
        counts.add(int(shape[axis]))
    layout = Layout(format, tuple(tensors))
    if len(counts) != 1 or max(counts) > numbers.CHUNK_TOKENS or len(str(layout)) > MOST_TEXT:
        return None
    return layout, counts.pop()
