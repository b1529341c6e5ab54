"""The element types of engines' tensors."""

from __future__ import annotations

from typing import Any

from ..wire.numbers import ElementType

#: Torch's names of the types that Larder's codecs know.
_TORCH_TYPES: dict[str, ElementType] = {
    "bfloat16": "bf16",
    "float16": "f16",
    "float32": "f32",
    "float8_e4m3fn": "f8e4m3",
    "float8_e5m2": "f8e5m2",
    "int8": "i8",
}


def torch_name(dtype: Any) -> str:
    """The name of a torch type, such as ``bfloat16``."""
    return str(dtype).removeprefix("torch.")


def element_type_of(dtype: Any) -> ElementType:
    """Larder's element type for a torch type, or its name; ``bytes`` for one without a structure that is known."""
    return _TORCH_TYPES.get(torch_name(dtype), "bytes")
