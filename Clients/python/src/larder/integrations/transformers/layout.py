"""How a cache of transformers is cut into Larder's components, and put together again.

A cache is a list of layers. Layers of one shape are one component:

- full attention: ``[layers][K, V][tokens][heads * width]``,
- sliding attention: the same, of which the last window is needed,
- states of recurrent layers, convolution and recurrence apart: ``[layers][state]``, valid at one offset.

The layers' shapes are not told by the configuration in one way for all models, so the model is asked: it computes one
token, and the cache that comes out is looked at. What is in it that this module does not know is refused by name: state
that is kept in part is wrong state.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from math import prod
from typing import Any, Iterable, Sequence

import torch
from transformers import DynamicCache
from transformers.cache_utils import (
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionAndSlidingWindowAttentionLayer,
    LinearAttentionLayer,
)

import larder

from ..elements import element_type_of
from .fingerprint import CHAIN_BYTES

_FULL = (DynamicLayer, LinearAttentionAndFullAttentionLayer)
_SLIDING = (DynamicSlidingWindowLayer, LinearAttentionAndSlidingWindowAttentionLayer)
_RECURRENT = (
    LinearAttentionLayer, LinearAttentionAndFullAttentionLayer, LinearAttentionAndSlidingWindowAttentionLayer,
)
_ELEMENTS = (torch.bfloat16, torch.float16, torch.float32, torch.float64)

Piece = tuple[int, int, torch.Tensor]
"""A chunk that was loaded: its offset, its tokens, its bytes."""


class UnknownCache(TypeError):
    """A cache, or a layer of one, that cannot be kept whole. The message names it."""


@dataclass(frozen=True)
class KeyValues:
    """Attention layers of one shape.

    Attributes:
        layers: their places in the cache.
        names: ``keys`` and ``values``; apart where their widths differ.
        heads: of each layer.
        width: elements of a head.
        dtype: of the elements.
        window: tokens that are needed; 0 for all.
    """

    layers: tuple[int, ...]
    names: tuple[str, ...]
    heads: int
    width: int
    dtype: torch.dtype
    window: int

    def component(self, name: str) -> larder.Component:
        """This as a component."""
        return larder.Component(
            name=name,
            kind="sliding" if self.window else "attention",
            element_type=element_type_of(self.dtype),
            layers=len(self.layers),
            planes=len(self.names),
            row_bytes=self.heads * self.width * self.dtype.itemsize,
            window=self.window,
        )

    def pack(self, cache: DynamicCache, start: int, end: int, length: int) -> torch.Tensor:
        """The bytes of tokens ``start..<end`` of a cache that has seen ``length``."""
        packed = torch.empty(
            (len(self.layers), len(self.names), end - start, self.heads, self.width), dtype=self.dtype
        )
        for row, layer in enumerate(self.layers):
            for plane, name in enumerate(self.names):
                tensor = getattr(cache.layers[layer], name)[0]
                first = length - tensor.shape[-2]
                packed[row, plane] = tensor[:, start - first : end - first].transpose(0, 1)
        return packed.reshape(-1).view(torch.uint8)

    def unpack(self, pieces: Iterable[Piece], end: int) -> dict[tuple[int, str], torch.Tensor]:
        """The layers' tensors at ``end``, by layer and name, from chunks that cover what is needed."""
        first = max(0, end - self.window) if self.window else 0
        tensors = {
            (layer, name): torch.empty((1, self.heads, end - first, self.width), dtype=self.dtype)
            for layer in self.layers
            for name in self.names
        }
        for offset, tokens, data in pieces:
            rows = data.view(self.dtype).view(len(self.layers), len(self.names), tokens, self.heads, self.width)
            low, high = max(offset, first), min(offset + tokens, end)
            for row, layer in enumerate(self.layers):
                for plane, name in enumerate(self.names):
                    part = rows[row, plane, low - offset : high - offset].transpose(0, 1)
                    tensors[layer, name][0, :, low - first : high - first] = part
        return tensors


@dataclass(frozen=True)
class States:
    """States of recurrent layers, of one kind and shape.

    Attributes:
        places: layer, and index of the state in it.
        kind: ``conv_states`` or ``recurrent_states``.
        shape: of one state, with a batch of 1.
        dtype: of its elements.
    """

    places: tuple[tuple[int, int], ...]
    kind: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    def component(self, name: str) -> larder.Component:
        """This as a component."""
        return larder.Component(
            name=name,
            kind="recurrent",
            element_type=element_type_of(self.dtype),
            layers=len(self.places),
            planes=1,
            row_bytes=prod(self.shape) * self.dtype.itemsize,
        )

    def pack(self, cache: DynamicCache) -> torch.Tensor:
        """The bytes of the states as they are now."""
        states = [getattr(cache.layers[layer], self.kind)[index] for layer, index in self.places]
        return torch.stack([state.detach().to("cpu") for state in states]).reshape(-1).view(torch.uint8)

    def unpack(self, data: torch.Tensor) -> dict[tuple[int, int], torch.Tensor]:
        """The states, by place."""
        states = data.view(self.dtype).view(len(self.places), *self.shape)
        return {place: states[row] for row, place in enumerate(self.places)}


class CacheLayout:
    """The components of a model's cache.

    Component 0 is not of the cache: it has a link of a hash chain for each token, by which it is known whose state this
    is. It is put first: it is the claim to a range of a session.
    """

    def __init__(self, cache: DynamicCache) -> None:
        """Looks at a cache that has seen one token or more. Raises ``UnknownCache``."""
        self._kinds = _known_kinds(cache)
        self.key_values = _key_values(cache)
        self.states = _states(cache)
        self._begun = [
            (layer, index)
            for layer, here in enumerate(cache.layers)
            if isinstance(here, _RECURRENT)
            for index, begun in here.has_previous_state.items()
            if begun
        ]
        if not self.key_values and not self.states:
            raise UnknownCache("the cache is empty")

    @classmethod
    def of(cls, model: Any) -> "CacheLayout":
        """The layout of a model's caches; has it compute one token. Raises ``UnknownCache``."""
        if getattr(model.config, "is_encoder_decoder", False):
            raise UnknownCache("the cache of an encoder-decoder model is not kept")
        if model.training:
            raise ValueError("the model is in training mode: call model.eval() first")
        cache = new_cache(model)
        compute(model, [0], cache)
        return cls(cache)

    @property
    def components(self) -> tuple[larder.Component, ...]:
        """What a session of this layout consists of: links, attention, states."""
        links = larder.Component("links", "attention", "bytes", 1, 1, CHAIN_BYTES)
        return (
            links,
            *(part.component(f"attention {index}") for index, part in enumerate(self.key_values)),
            *(part.component(f"{part.kind} {index}") for index, part in enumerate(self.states)),
        )

    def check(self, cache: DynamicCache, length: int) -> None:
        """Raises ``UnknownCache`` for a cache of another layout, ``ValueError`` for one that has seen other tokens."""
        if _known_kinds(cache) != self._kinds or _key_values(cache) != self.key_values or _states(cache) != self.states:
            raise UnknownCache("the cache is not one of the model that this was made for")
        for part in self.key_values:
            for layer in part.layers:
                seen = cache.layers[layer].get_seq_length()
                held = getattr(cache.layers[layer], part.names[0]).shape[-2]
                if seen != length or held != (min(length, part.window) if part.window else length):
                    raise ValueError(
                        f"layer {layer} of the cache has seen {seen} tokens and holds {held}, where {length} were given"
                    )

    def build(
        self, model: Any, end: int, attention: Sequence[Sequence[Piece]], states: Sequence[torch.Tensor]
    ) -> DynamicCache:
        """A cache of ``model`` that has seen ``end`` tokens, from what was loaded of each component."""
        cache = new_cache(model)
        device = model.device
        found: dict[tuple[int, str], torch.Tensor] = {}
        for part, pieces in zip(self.key_values, attention, strict=True):
            found |= part.unpack(pieces, end)
        for layer in {layer for layer, _ in found}:
            keys, values = (found[layer, name].to(device) for name in ("keys", "values"))
            here = cache.layers[layer]
            here.lazy_initialization(keys, values)
            here.keys, here.values = keys, values
            if isinstance(here, _SLIDING):
                here.cumulative_length = end
        for track, data in zip(self.states, states, strict=True):
            for (layer, index), state in track.unpack(data).items():
                here = cache.layers[layer]
                here.lazy_initialization(**{track.kind: state.to(device)}, state_idx=index)
                getattr(here, track.kind)[index].copy_(state)
        for layer, index in self._begun:
            cache.layers[layer].has_previous_state[index] = True
        return cache


def new_cache(model: Any) -> DynamicCache:
    """An empty cache of a model."""
    return DynamicCache(config=model.config)


def compute(model: Any, tokens: Sequence[int], cache: DynamicCache) -> torch.Tensor:
    """Has a model see the tokens that follow those that the cache has seen; logits of the last: ``[vocabulary]``."""
    known = inspect.signature(model.forward).parameters
    options = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
    # Models without attention have another word for it.
    options["past_key_values" if "past_key_values" in known else "cache_params"] = cache
    with torch.no_grad():
        output = model(input_ids=torch.tensor([list(tokens)], device=model.device), use_cache=True, **options)
    return output.logits[0, -1]


def _known_kinds(cache: Any) -> tuple[type, ...]:
    if type(cache) is not DynamicCache or cache.offloading:
        kind = "an offloaded DynamicCache" if type(cache) is DynamicCache else f"a {type(cache).__name__}"
        raise UnknownCache(f"{kind} is not kept; use DynamicCache(config=model.config)")
    for index, layer in enumerate(cache.layers):
        if type(layer) not in (*_FULL, *_SLIDING, *_RECURRENT):
            raise UnknownCache(f"layer {index} of the cache is a {type(layer).__name__}, which is not known here")
        if getattr(layer, "record_past", False):
            raise UnknownCache(f"layer {index} of the cache records its past, as for speculation; that is not kept")
    return tuple(map(type, cache.layers))


def _key_values(cache: DynamicCache) -> tuple[KeyValues, ...]:
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index, layer in enumerate(cache.layers):
        if not isinstance(layer, (*_FULL, *_SLIDING)) or layer.keys is None or layer.keys.dim() != 4:
            continue
        # The token that is being computed is itself in the window.
        window = layer.sliding_window - 1 if isinstance(layer, _SLIDING) else 0
        if isinstance(layer, _SLIDING) and window < 1:
            raise UnknownCache(f"layer {index} of the cache has a window of {layer.sliding_window} tokens")
        shapes = {"keys": layer.keys, "values": layer.values}
        together = layer.keys.shape == layer.values.shape and layer.keys.dtype == layer.values.dtype
        for names in [("keys", "values")] if together else [("keys",), ("values",)]:
            tensor = shapes[names[0]]
            _require(index, tensor)
            groups.setdefault((names, tensor.shape[1], tensor.shape[3], tensor.dtype, window), []).append(index)
    return tuple(KeyValues(tuple(layers), *shape) for shape, layers in groups.items())


def _states(cache: DynamicCache) -> tuple[States, ...]:
    groups: dict[tuple[Any, ...], list[tuple[int, int]]] = {}
    for kind in ("conv_states", "recurrent_states"):
        for layer_index, layer in enumerate(cache.layers):
            if not isinstance(layer, _RECURRENT):
                continue
            for index, state in getattr(layer, kind).items():
                if state is not None:
                    _require(layer_index, state)
                    groups.setdefault((kind, tuple(state.shape), state.dtype), []).append((layer_index, index))
    return tuple(States(tuple(places), *shape) for shape, places in groups.items())


def _require(layer: int, tensor: torch.Tensor) -> None:
    if tensor.shape[0] != 1:
        raise UnknownCache(f"layer {layer} of the cache has {tensor.shape[0]} sequences; give each a cache of its own")
    if tensor.dtype not in _ELEMENTS:
        raise UnknownCache(f"layer {layer} of the cache has elements of type {tensor.dtype}, which is not known here")
