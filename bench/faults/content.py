"""Bytes of chunks that need not be kept: a number is enough to know what each of them must be."""

import hashlib
import os
import struct
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
_MAGIC = b"LFC1"
_HEAD = struct.Struct("<4sQI")
HEAD_BYTES = _HEAD.size

# Real attention state, float16: bench/data/README.md.
_STATE_DIRECTORY = os.path.join(HERE, "..", "data", "kv")


def _load_state() -> bytes:
    names = sorted(name for name in os.listdir(_STATE_DIRECTORY) if name.endswith(".bin"))
    parts = []
    for name in names:
        with open(os.path.join(_STATE_DIRECTORY, name), "rb") as file:
            parts.append(file.read())
    return b"".join(parts)


_STATE = _load_state()


def _bf16(state: bytes) -> bytes:
    """float16 as bfloat16, rounded to zero: enough for bytes that look like real ones."""
    count = len(state) // 2
    return b"".join(struct.pack("<f", value)[2:] for value in struct.unpack(f"<{count}e", state[:2 * count]))


# A part of it as bfloat16: 256 KiB are enough to take chunks from.
_BF16 = _bf16(_STATE[:1 << 18])


def number_of(*parts: object) -> int:
    """A content number that follows from `parts` alone: 64 bits of their hash."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little")


def make(number: int, count: int, element_type: str) -> bytes:
    """The `count` bytes of content `number`. A third is real attention state, a third compressible, a third noise.

    The first 16 name the number, so that a chunk served in the place of another is told from a damaged one.
    """
    kind = number % 3
    body = count - HEAD_BYTES
    if kind == 0 and element_type in ("f16", "bf16"):
        state = _STATE if element_type == "f16" else _BF16
        start = (number >> 8) % (len(state) - body) & ~1 if body < len(state) else 0
        rest = state[start:start + body]
        rest += bytes(body - len(rest))
    elif kind == 1:
        word = number.to_bytes(8, "little") + bytes(24)
        rest = (word * (body // len(word) + 1))[:body]
    else:
        rest = hashlib.shake_128(number.to_bytes(8, "little")).digest(body)
    head = struct.pack("<4sQ", _MAGIC, number)
    return head + struct.pack("<I", zlib.crc32(head)) + rest


def identify(data: bytes | memoryview, element_type: str) -> int | None:
    """The number of the content that these bytes are, every one of them; None if they are no content at all."""
    if len(data) < HEAD_BYTES:
        return None
    magic, number, check = _HEAD.unpack_from(data)
    if magic != _MAGIC or zlib.crc32(bytes(data[:HEAD_BYTES - 4])) != check:
        return None
    return number if bytes(data) == make(number, len(data), element_type) else None
