"""A change to a namespace's policy: a mask of the fields that follow."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import ProtocolViolation
from . import numbers
from .codec import U8, U16, U32, U64, Codec, Reader
from .structures import ADMISSION, SHARING


class PolicyChange(NamedTuple):
    """What to change; None leaves a field as it is."""

    sharing: numbers.Sharing | None = None
    salt: bytes | None = None
    ttl_seconds: int | None = None
    min_bytes: int | None = None
    max_bytes: int | None = None
    max_sessions: int | None = None
    admission: numbers.Admission | None = None


class _SaltCodec(Codec[bytes]):
    def write(self, out: bytearray, value: bytes) -> None:
        if len(value) > numbers.SALT_BYTES:
            raise ValueError(f"a salt of {len(value)} bytes; it has at most {numbers.SALT_BYTES}")
        U8.write(out, len(value))
        out += value

    def read(self, reader: Reader) -> bytes:
        count = U8.read(reader)
        if count > numbers.SALT_BYTES:
            raise ProtocolViolation(f"a salt of {count} bytes")
        return reader.take(count)


#: In the order of their bits.
_FIELDS: tuple[tuple[str, Codec[Any]], ...] = (
    ("sharing", SHARING),
    ("salt", _SaltCodec()),
    ("ttl_seconds", U32),
    ("min_bytes", U64),
    ("max_bytes", U64),
    ("max_sessions", U32),
    ("admission", ADMISSION),
)


class _PolicyChangeCodec(Codec[PolicyChange]):
    def write(self, out: bytearray, value: PolicyChange) -> None:
        named = [(bit, getattr(value, name), codec) for bit, (name, codec) in enumerate(_FIELDS)]
        U16.write(out, sum(1 << bit for bit, field, _ in named if field is not None))
        for _, field, codec in named:
            if field is not None:
                codec.write(out, field)

    def read(self, reader: Reader) -> PolicyChange:
        mask = U16.read(reader)
        if mask >> len(_FIELDS):
            raise ProtocolViolation(f"a policy's field of bit {mask.bit_length() - 1}")
        named = {name: codec.read(reader) for bit, (name, codec) in enumerate(_FIELDS) if mask >> bit & 1}
        return PolicyChange(**named)


POLICY_CHANGE = _PolicyChangeCodec()
