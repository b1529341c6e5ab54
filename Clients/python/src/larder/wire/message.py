"""What a message is, and the handshake."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

from ..errors import ProtocolViolation
from . import numbers
from .codec import STRING, U16, U32, U64, Codec, ListOf, Reader, Record

Q = TypeVar("Q")
A = TypeVar("A")

#: All messages by name.
MESSAGES: dict[str, Message[Any, Any]] = {}


class Message(Generic[Q, A]):
    """A request and its answer."""

    def __init__(self, name: str, number: int, request: Codec[Q], answer: Codec[A]) -> None:
        self.name = name
        self.number = number
        self.request = request
        self.answer = answer
        MESSAGES[name] = self


def page_of(item: Codec[A]) -> ListOf[A]:
    """A page of a listing."""
    return ListOf(item, numbers.PAGE_ENTRIES)


def batch_of(item: Codec[A]) -> ListOf[A]:
    """The items of a batch, or their results."""
    return ListOf(item, numbers.BATCH_ITEMS)


class Nothing(NamedTuple):
    """No fields."""


NOTHING = Record(Nothing)


class Hello(NamedTuple):
    """The handshake's request."""

    oldest_version: int
    newest_version: int
    features: int
    client_name: str


class Welcome(NamedTuple):
    """The handshake's answer."""

    version: int
    features: int
    frame_bytes: int
    batch_items: int
    requests_in_flight: int
    store_id_high: int
    store_id_low: int
    server_name: str


class _HelloCodec(Record[Hello]):
    """The magic, then the fields."""

    def write(self, out: bytearray, value: Hello) -> None:
        out += numbers.MAGIC
        super().write(out, value)

    def read(self, reader: Reader) -> Hello:
        if reader.take(len(numbers.MAGIC)) != numbers.MAGIC:
            raise ProtocolViolation("no handshake of this protocol")
        return super().read(reader)


HELLO = Message(
    "hello",
    0x01,
    _HelloCodec(Hello, ("oldest_version", U16), ("newest_version", U16), ("features", U64), ("client_name", STRING)),
    Record(
        Welcome,
        ("version", U16),
        ("features", U64),
        ("frame_bytes", U32),
        ("batch_items", U32),
        ("requests_in_flight", U32),
        ("store_id_high", U64),
        ("store_id_low", U64),
        ("server_name", STRING),
    ),
)
