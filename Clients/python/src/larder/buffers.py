"""The caller's memory as flat bytes, without a copy."""

from __future__ import annotations

import ctypes
from typing import Any

#: Anything with the buffer protocol: bytes, bytearray, memoryview, mmap, array, numpy arrays, ``tensor.numpy()``.
BytesLike = Any


def flat(buffer: BytesLike, *, writable: bool = False) -> memoryview:
    """The bytes of a C-contiguous buffer.

    Raises ``TypeError`` for what is no buffer, ``ValueError`` for one with gaps, or a read-only one where it is
    written to.
    """
    try:
        view = memoryview(buffer)
    except TypeError:
        raise TypeError(
            f"a {type(buffer).__name__} has no buffer protocol; of a torch tensor pass tensor.numpy(), or for bfloat16 "
            "tensor.view(torch.uint8).numpy()"
        ) from None
    if not view.c_contiguous:
        raise ValueError("a buffer with gaps between its bytes; copy it first (numpy.ascontiguousarray)")
    if writable and view.readonly:
        raise ValueError("a read-only buffer as a destination")
    if view.nbytes == 0:
        return memoryview(bytearray())
    if view.ndim == 1 and view.format == "B":
        return view
    try:
        return view.cast("B")
    except TypeError:
        # A format that memoryview does not know, such as one of ml_dtypes or a structure.
        if view.readonly:
            return memoryview(view.tobytes())
        return memoryview((ctypes.c_char * view.nbytes).from_buffer(buffer)).cast("B")
