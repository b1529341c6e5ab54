"""What a worker declares once: the layout of its state, and what makes state interchangeable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .wire.numbers import ComponentKind, ElementType

_ELEMENT_BYTES = {"bf16": 2, "f16": 2, "f32": 4, "f8e4m3": 1, "f8e5m2": 1, "i8": 1, "bytes": 1}


@dataclass(frozen=True)
class Component:
    """One kind of state in a model.

    A chunk's bytes are ``[layers][planes][tokens][row_bytes]``, little-endian, the last index running fastest; those
    of a recurrent state are ``[layers][planes][row_bytes]``.

    Attributes:
        name: distinct in the model; 1 to 255 bytes.
        kind: ``attention`` (bytes per token, needed from token 0), ``sliding`` (only the last ``window`` tokens are
            needed), ``recurrent`` (a state of fixed size, valid at exactly one offset).
        element_type: ``bf16``, ``f16``, ``f32``, ``f8e4m3``, ``f8e5m2``, ``i8`` or ``bytes``.
        layers: layers that it covers, 1 to 4,096.
        planes: planes in a layer, 1 to 16: 2 for K and V, 1 for a joint latent.
        row_bytes: bytes of one token in one plane of one layer (recurrent: of one plane's state); whole elements.
        window: tokens; above 0 for sliding components, 0 for others.
    """

    name: str
    kind: ComponentKind
    element_type: ElementType
    layers: int
    planes: int
    row_bytes: int
    window: int = 0

    def byte_count(self, tokens: int, layers: int = 0) -> int:
        """Raw bytes of a chunk of ``tokens`` tokens (of a recurrent state: whatever ``tokens`` is), or of ``layers``
        layers of it; 0 for all."""
        rows = 1 if self.kind == "recurrent" else tokens
        return (layers or self.layers) * self.planes * rows * self.row_bytes

    @property
    def element_bytes(self) -> int:
        """Bytes of an element."""
        return _ELEMENT_BYTES[self.element_type]


@dataclass(frozen=True)
class Model:
    """A model as one worker sees it. Everything in it is part of the fingerprint: state of a model that differs in
    anything is never served.

    Attributes:
        name: 1 to 255 bytes.
        revision: revision of the model or of the engine's layout; up to 255 bytes.
        weights: identity of the weights, best a content hash; up to 255 bytes.
        page_tokens: chunk offsets are multiples of this; 1 allows any.
        group_size: workers of the parallel group; 1 for none.
        rank: this worker's place in it, from 0.
        components: 1 to 64, in the order in which chunks name them.
    """

    name: str
    revision: str = ""
    weights: str = ""
    page_tokens: int = 1
    group_size: int = 1
    rank: int = 0
    components: tuple[Component, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "components", tuple(self.components))


class DeclaredModel(NamedTuple):
    """A model that the store knows."""

    id: int
    """The store's number for it, from 1; the same for as long as the store lives."""
    fingerprint: bytes
    """SHA-256 of the declaration; 32 bytes."""
    model: Model
    """What was declared."""
    store_id: str = ""
    """Of which store: in another one the id means another model. Empty if that is not known."""
