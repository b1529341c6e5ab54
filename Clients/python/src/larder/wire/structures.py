"""Structures that several messages share."""

from __future__ import annotations

from typing import NamedTuple

from .. import answers
from ..errors import ProtocolViolation, Refusal, refusal
from ..model import Component, Model
from . import numbers
from .codec import FLAG, HASH, STRING, U8, U16, U32, U64, Codec, Enumeration, ListOf, Reader, Record

COMPONENT_KIND: Enumeration[numbers.ComponentKind] = Enumeration("component kind", numbers.COMPONENT_KINDS)
ELEMENT_TYPE: Enumeration[numbers.ElementType] = Enumeration("element type", numbers.ELEMENT_TYPES)
ENCODING: Enumeration[numbers.Encoding] = Enumeration("encoding", numbers.ENCODINGS)
ENCODING_CHOICE: Enumeration[numbers.EncodingChoice] = Enumeration("encoding", numbers.ENCODING_CHOICES)
ACKNOWLEDGEMENT: Enumeration[numbers.Acknowledgement] = Enumeration("acknowledgement", numbers.ACKNOWLEDGEMENTS)
SHARING: Enumeration[numbers.Sharing] = Enumeration("sharing", numbers.SHARING)
ADMISSION: Enumeration[numbers.Admission] = Enumeration("admission", numbers.ADMISSIONS)
HINT_KIND: Enumeration[numbers.HintKind] = Enumeration("hint", numbers.HINT_KINDS)
HINT_OUTCOME: Enumeration[numbers.HintOutcome] = Enumeration("outcome", numbers.HINT_OUTCOMES)
HINT_BOUND: Enumeration[numbers.HintBound] = Enumeration("bound", numbers.HINT_BOUNDS)
MISS_CAUSE: Enumeration[numbers.MissCause] = Enumeration("cause", numbers.MISS_CAUSES)
EVICTION_RULE: Enumeration[numbers.EvictionRule | None] = Enumeration("rule", numbers.EVICTION_RULES, none=0)
RATE_ORIGIN: Enumeration[numbers.RateOrigin] = Enumeration("rate origin", numbers.RATE_ORIGINS)

#: The fields of a chunk name, for records that begin with one.
CHUNK_FIELDS = (("session", U64), ("rank", U16), ("component", U16), ("offset", U64))
CHUNK_NAME = Record(answers.ChunkName, *CHUNK_FIELDS)

COMPONENT = Record(
    Component,
    ("name", STRING),
    ("kind", COMPONENT_KIND),
    ("element_type", ELEMENT_TYPE),
    ("layers", U32),
    ("planes", U32),
    ("row_bytes", U32),
    ("window", U32),
)
MODEL = Record(
    Model,
    ("name", STRING),
    ("revision", STRING),
    ("weights", STRING),
    ("page_tokens", U32),
    ("group_size", U32),
    ("rank", U32),
    ("components", ListOf(COMPONENT, numbers.COMPONENTS, count=U16)),
)
CHUNK_SUMMARY = Record(
    answers.ChunkSummary,
    *CHUNK_FIELDS,
    ("tokens", U32),
    ("raw_bytes", U64),
    ("stored_bytes", U64),
    ("encoding", ENCODING),
    ("created_seconds", U64),
)
POLICY = Record(
    answers.Policy,
    ("sharing", SHARING),
    ("has_salt", FLAG),
    ("ttl_seconds", U32),
    ("min_bytes", U64),
    ("max_bytes", U64),
    ("max_sessions", U32),
    ("admission", ADMISSION),
)


class ArenaRegion(NamedTuple):
    """Where in an arena something lies."""

    arena: int
    arena_offset: int


class Payload(NamedTuple):
    """Where a chunk's bytes are: in an arena, or after the fields of the message."""

    payload_bytes: int
    region: ArenaRegion | None = None


_REGION = Record(ArenaRegion, ("arena", U32), ("arena_offset", U64))


class _PayloadCodec(Codec[Payload]):
    def write(self, out: bytearray, value: Payload) -> None:
        U8.write(out, 0 if value.region is None else 1)
        U64.write(out, value.payload_bytes)
        if value.region is not None:
            _REGION.write(out, value.region)

    def read(self, reader: Reader) -> Payload:
        place = U8.read(reader)
        if place > 1:
            raise ProtocolViolation(f"a payload at place {place}")
        count = U64.read(reader)
        return Payload(count, _REGION.read(reader) if place else None)


PAYLOAD = _PayloadCodec()


class Naming(NamedTuple):
    """A chunk's name by content."""

    prefix_key: bytes | None = None
    known: bool = False
    """True to name it by its key alone."""


class _NamingCodec(Codec[Naming]):
    def write(self, out: bytearray, value: Naming) -> None:
        if value.prefix_key is None:
            U8.write(out, 0)
            return
        U8.write(out, 2 if value.known else 1)
        HASH.write(out, value.prefix_key)

    def read(self, reader: Reader) -> Naming:
        kind = U8.read(reader)
        if kind > 2:
            raise ProtocolViolation(f"a naming of {kind}")
        return Naming(HASH.read(reader), kind == 2) if kind else Naming()


NAMING = _NamingCodec()


class _StatusCodec(Codec[Refusal | None]):
    """An item's error, or none."""

    def write(self, out: bytearray, value: Refusal | None) -> None:
        U16.write(out, 0 if value is None else value.code)
        if value is not None:
            STRING.write(out, value.message)

    def read(self, reader: Reader) -> Refusal | None:
        code = U16.read(reader)
        return refusal(code, STRING.read(reader)) if code else None


STATUS = _StatusCodec()


class _RefusalCodec(Codec[Refusal]):
    """The body of a refusal."""

    def write(self, out: bytearray, value: Refusal) -> None:
        U16.write(out, value.code)
        U32.write(out, numbers.NO_ITEM if value.item is None else value.item)
        STRING.write(out, value.message)

    def read(self, reader: Reader) -> Refusal:
        code, item, message = U16.read(reader), U32.read(reader), STRING.read(reader)
        return refusal(code, message, None if item == numbers.NO_ITEM else item)


REFUSAL = _RefusalCodec()
