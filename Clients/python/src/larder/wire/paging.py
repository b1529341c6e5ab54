"""Messages that move chunks, and those about the memory that they move through."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import Refusal
from . import numbers
from .codec import U32, U64, Record
from .message import NOTHING, Message, batch_of
from .structures import ACKNOWLEDGEMENT, CHUNK_FIELDS, ENCODING_CHOICE, NAMING, PAYLOAD, STATUS, Naming, Payload


class PutItem(NamedTuple):
    """A chunk to page out."""

    session: int
    rank: int
    component: int
    offset: int
    tokens: int
    payload: Payload
    naming: Naming


class PutRequest(NamedTuple):
    """Pages out; inline payloads follow the fields."""

    acknowledgement: numbers.Acknowledgement
    encoding: numbers.EncodingChoice
    items: list[PutItem]


class PutResult(NamedTuple):
    """What became of an item."""

    error: Refusal | None
    stored_bytes: int


class PutAnswer(NamedTuple):
    """One result an item."""

    results: list[PutResult]


PUT_RESULT = Record(PutResult, ("error", STATUS), ("stored_bytes", U64))
PUT = Message(
    "put",
    0x04,
    Record(
        PutRequest,
        ("acknowledgement", ACKNOWLEDGEMENT),
        ("encoding", ENCODING_CHOICE),
        ("items", batch_of(Record(PutItem, *CHUNK_FIELDS, ("tokens", U32), ("payload", PAYLOAD), ("naming", NAMING)))),
    ),
    Record(PutAnswer, ("results", batch_of(PUT_RESULT))),
)


class GetItem(NamedTuple):
    """A chunk, or a range of its layers, to page in."""

    session: int
    rank: int
    component: int
    offset: int
    first_layer: int
    layers: int


class GetRequest(NamedTuple):
    """Pages in; the payloads follow the answer's fields."""

    items: list[GetItem]


class GetResult(NamedTuple):
    """What became of an item."""

    error: Refusal | None
    tokens: int
    payload: Payload


class GetAnswer(NamedTuple):
    """One result an item."""

    results: list[GetResult]


GET_RESULT = Record(GetResult, ("error", STATUS), ("tokens", U32), ("payload", PAYLOAD))
GET_ANSWER = Record(GetAnswer, ("results", batch_of(GET_RESULT)))
GET = Message(
    "get",
    0x05,
    Record(GetRequest, ("items", batch_of(Record(GetItem, *CHUNK_FIELDS, ("first_layer", U32), ("layers", U32))))),
    GET_ANSWER,
)


class ArenaBytes(NamedTuple):
    """How large an arena is to be, or is."""

    arena_bytes: int


class ArenaNumber(NamedTuple):
    """An arena's number on its connection."""

    arena: int


_ARENA_BYTES = Record(ArenaBytes, ("arena_bytes", U64))
_ARENA_NUMBER = Record(ArenaNumber, ("arena", U32))
OPEN_ARENA = Message("open_arena", 0x0F, _ARENA_BYTES, _ARENA_NUMBER)
REGISTER_ARENA = Message("register_arena", 0x10, _ARENA_BYTES, _ARENA_NUMBER)
CLOSE_ARENA = Message("close_arena", 0x11, _ARENA_NUMBER, NOTHING)


class GetIntoItem(NamedTuple):
    """A chunk, or a range of its layers, and the region of an arena that it goes to."""

    session: int
    rank: int
    component: int
    offset: int
    first_layer: int
    layers: int
    arena: int
    arena_offset: int
    region_bytes: int


class GetIntoRequest(NamedTuple):
    """Pages in to an arena."""

    layer_group: int
    items: list[GetIntoItem]


GET_INTO = Message(
    "get_into",
    0x12,
    Record(
        GetIntoRequest,
        ("layer_group", U32),
        (
            "items",
            batch_of(
                Record(
                    GetIntoItem,
                    *CHUNK_FIELDS,
                    ("first_layer", U32),
                    ("layers", U32),
                    ("arena", U32),
                    ("arena_offset", U64),
                    ("region_bytes", U64),
                )
            ),
        ),
    ),
    GET_ANSWER,
)


class Progress(NamedTuple):
    """So many layers of every item are in place."""

    layers: int


#: Comes before the answer to a ``get_into`` that asks for it.
PROGRESS = Record(Progress, ("layers", U32))


class PrefetchRequest(NamedTuple):
    """Brings into memory what a resume would load."""

    session: int
    at_most: int


PREFETCH = Message("prefetch", 0x13, Record(PrefetchRequest, ("session", U64), ("at_most", U64)), NOTHING)
