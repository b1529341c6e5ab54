"""LMCache's memory objects as memory."""

from __future__ import annotations

from typing import Any


def bytes_of(memory: Any) -> memoryview:
    """An object's bytes, as many as it says it has, without a copy."""
    view = memoryview(memory.byte_array)
    # A view of a ctypes array says '<B', which is not the same as 'B' to a copy between views.
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")
