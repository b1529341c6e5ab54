"""Names of chunks by content: a chain of SHA-256 over the tokens up to each chunk's end.

Equal keys mean equal prefixes under an equal context, in every process and on every machine: nothing of it depends on
Python's own ``hash``.
"""

from __future__ import annotations

import array
import hashlib
import sys
from collections.abc import Sequence
from typing import Any

_LABEL = b"larder-prefix-1"
_TOKEN_BYTES = 4


def prefix_keys(
    tokens: Sequence[int] | Any, chunk_tokens: int, *, context: bytes = b"", parent: bytes | None = None
) -> list[bytes]:
    """One 32-byte key for each whole chunk of ``tokens``; what is left over gets none.

    ``key_0 = SHA-256("larder-prefix-1", length of context as u64, context)``, and ``key_i = SHA-256(key_{i-1}, the
    tokens of chunk i as u32)``, integers little-endian; the list begins with ``key_1``.

    Args:
        tokens: token ids, each from 0 to 2^32 - 1: a list, or an array of integers.
        chunk_tokens: tokens of a chunk.
        context: what else makes the state: an adapter, say, or a prompt's images. The model need not be in it.
        parent: the key of the chunk before the first, to go on with a chain; ``context`` is in it already.
    """
    return _chain(_first(context, parent), _raw(tokens), _step(chunk_tokens))


def recurrent_key(
    tokens: Sequence[int] | Any, chunk_tokens: int, *, context: bytes = b"", parent: bytes | None = None
) -> bytes:
    """The key of a recurrent state that is valid after all of ``tokens``, at a chunk's end or not.

    It is the last of ``prefix_keys`` if the tokens are whole chunks; else one more link over those that are left over.
    """
    first, raw, step = _first(context, parent), _raw(tokens), _step(chunk_tokens)
    key = [first, *_chain(first, raw, step)][-1]
    left = raw[len(raw) // step * step :]
    return hashlib.sha256(key + left).digest() if left else key


def _chain(key: bytes, raw: bytes, step: int) -> list[bytes]:
    """One link for each whole ``step`` bytes."""
    keys = []
    for start in range(0, len(raw) - step + 1, step):
        key = hashlib.sha256(key + raw[start : start + step]).digest()
        keys.append(key)
    return keys


def _step(chunk_tokens: int) -> int:
    """Bytes of a chunk's tokens."""
    if chunk_tokens < 1:
        raise ValueError(f"chunks of {chunk_tokens} tokens")
    return chunk_tokens * _TOKEN_BYTES


def _first(context: bytes, parent: bytes | None) -> bytes:
    if parent is None:
        return hashlib.sha256(_LABEL + len(context).to_bytes(8, "little") + context).digest()
    if len(parent) != hashlib.sha256().digest_size:
        raise ValueError(f"a parent key of {len(parent)} bytes; it has 32")
    if context:
        raise ValueError("a context and a parent key: the context is in the parent's chain already")
    return bytes(parent)


def _raw(tokens: Sequence[int] | Any) -> bytes:
    """The tokens as u32, little-endian."""
    if isinstance(tokens, (bytes, bytearray, str)):
        raise ValueError("tokens are integers, not bytes or text")
    try:
        packed = array.array("I", tokens)
    except (OverflowError, TypeError) as error:
        raise ValueError(f"tokens are integers from 0 to 2^32 - 1: {error}") from None
    assert packed.itemsize == _TOKEN_BYTES
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()
