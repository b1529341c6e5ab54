"""What a caller asks to be paged, and how it is checked before anything is sent."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .arena import ArenaSlice
from .buffers import BytesLike, flat
from .errors import UnknownSession
from .wire.codec import HASH

if TYPE_CHECKING:
    from .session import Session
    from .transport import Transport

_PUT_HEAD = struct.Struct("<QHHQI")
_GET_HEAD = struct.Struct("<QHHQII")


@dataclass(slots=True)
class PageOut:
    """A chunk to page out.

    Attributes:
        session: of which session.
        offset: tokens before the chunk.
        tokens: its tokens; 0 for a recurrent state.
        data: its raw bytes: an ``ArenaSlice``, any C-contiguous buffer, or None to name it by ``prefix_key`` alone.
        component: index into the model's components.
        rank: None for that of the session's model.
        prefix_key: 32 bytes, its name by content.
    """

    session: Session
    offset: int
    tokens: int
    data: BytesLike | ArenaSlice | None
    component: int = 0
    rank: int | None = None
    prefix_key: bytes | None = None


@dataclass(slots=True)
class PageIn:
    """A chunk, or a range of its layers, to page in.

    Attributes:
        session: of which session.
        offset: the very offset of a stored chunk.
        into: where to: an ``ArenaSlice`` or any writable C-contiguous buffer, at least as long as the bytes.
        component: index into the model's components.
        rank: None for that of the session's model.
        first_layer: the first layer.
        layers: how many; 0 for all from the first on.
    """

    session: Session
    offset: int
    into: BytesLike | ArenaSlice
    component: int = 0
    rank: int | None = None
    first_layer: int = 0
    layers: int = 0


class Checked(NamedTuple):
    """An item that was checked: what it says on the wire, and where its bytes are."""

    head: bytes
    memory: ArenaSlice | memoryview | None
    size: int
    naming: bytes = b""


def id_in(session: Session, transport: Transport) -> int:
    """A session's id. Raises ``UnknownSession`` if it is another store's: there it is another session's."""
    if session.client._transport is not transport and session.client.store_id != transport.store_id:
        raise UnknownSession(f"{session} is of store {session.client.store_id}, not of {transport.store_id}")
    return session.id


def checked_out(item: PageOut, transport: Transport) -> Checked:
    """Checks a chunk to page out. Raises ``ValueError`` and ``TypeError`` for what cannot be sent."""
    session = item.session
    rank = session.rank if item.rank is None else item.rank
    head = _packed(_PUT_HEAD, id_in(session, transport), rank, item.component, item.offset, item.tokens)
    key = b"" if item.prefix_key is None else HASH.encode(item.prefix_key)
    if item.data is None:
        if not key:
            raise ValueError("a chunk without data needs a prefix_key")
        return Checked(head, None, 0, b"\2" + key)
    memory = memory_of(item.data, transport, writable=False)
    return Checked(head, memory, len(memory), b"\1" + key if key else b"\0")


def checked_in(item: PageIn, transport: Transport) -> Checked:
    """Checks a chunk to page in. Raises ``ValueError`` and ``TypeError`` for what cannot be asked."""
    session = item.session
    rank = session.rank if item.rank is None else item.rank
    head = _packed(
        _GET_HEAD, id_in(session, transport), rank, item.component, item.offset, item.first_layer, item.layers
    )
    memory = memory_of(item.into, transport, writable=True)
    return Checked(head, memory, len(memory))


def memory_of(given: BytesLike | ArenaSlice, transport: Transport, writable: bool) -> ArenaSlice | memoryview:
    """Where an item's bytes are. Raises ``ValueError`` and ``TypeError`` for memory that cannot be used."""
    if not isinstance(given, ArenaSlice):
        return flat(given, writable=writable)
    if not given.arena.belongs_to(transport):
        raise ValueError("the arena was closed, or belongs to another client")
    return given


def _packed(layout: struct.Struct, *values: int) -> bytes:
    try:
        return layout.pack(*values)
    except struct.error as error:
        raise ValueError(f"a number is outside what the wire carries: {values}: {error}") from None
