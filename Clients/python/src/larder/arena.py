"""Memory that this process shares with the daemon: chunks paged out of it and into it cross no socket."""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import TYPE_CHECKING, Any

from .errors import Busy, ConnectionLost, ProtocolViolation
from .wire.paging import CLOSE_ARENA, OPEN_ARENA, REGISTER_ARENA, ArenaBytes, ArenaNumber

if TYPE_CHECKING:
    from .transport import Transport

# From <linux/fcntl.h>; Python's fcntl has them too, but not every build.
_ADD_SEALS, _GET_SEALS = 1033, 1034
_SEAL_SHRINK, _SEAL_GROW = 0x2, 0x4
_SIZE_SEALS = _SEAL_SHRINK | _SEAL_GROW


def sealed_memfd(byte_count: int, name: str = "larder") -> int:
    """A memfd of ``byte_count`` zero bytes that nobody can resize any more: what ``Client.register_arena`` takes.

    Returns the descriptor, which is the caller's to close.
    """
    if byte_count <= 0:
        raise ValueError(f"an arena of {byte_count} bytes")
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, byte_count)
        fcntl.fcntl(descriptor, _ADD_SEALS, _SIZE_SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _mapped(descriptor: int, byte_count: int) -> mmap.mmap:
    """Maps all of a sealed memfd. Raises ``ValueError`` if it is not sealed, or has another size."""
    try:
        seals = fcntl.fcntl(descriptor, _GET_SEALS)
    except OSError:
        raise ValueError("the descriptor is no memfd, or one without seals") from None
    if seals & _SIZE_SEALS != _SIZE_SEALS:
        raise ValueError("the memfd is not sealed against shrinking and growing")
    size = os.fstat(descriptor).st_size
    if size != byte_count:
        raise ValueError(f"the memfd has {size} bytes, not {byte_count}")
    mapped = mmap.mmap(descriptor, byte_count, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    mapped.madvise(mmap.MADV_DONTDUMP)
    return mapped


class ArenaSlice:
    """A range of an arena's bytes, to page out of or into. Made by ``arena[start:end]``."""

    __slots__ = ("arena", "start", "stop")

    def __init__(self, arena: Arena, start: int, stop: int) -> None:
        self.arena = arena
        self.start = start
        self.stop = stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __repr__(self) -> str:
        return f"ArenaSlice({self.start}:{self.stop} of arena {self.arena.number})"

    @property
    def view(self) -> memoryview:
        """Its bytes."""
        return self.arena.view[self.start : self.stop]


class Arena:
    """Shared memory of one connection. Close it, or use it as a context manager.

    The daemon forgets it when it is closed or the client is. The memory itself stays for as long as anything in this
    process looks at it, so that a view never dangles.

    Attributes:
        number: its number on the connection.
        size: its bytes.
        view: all of it, writable. What the daemon is given must not be changed until it has answered.
    """

    def __init__(self, transport: Transport, number: int, memory: mmap.mmap) -> None:
        self.number = number
        self.size = len(memory)
        self.view = memoryview(memory)
        self._transport = transport
        self.is_open = True

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: slice) -> ArenaSlice:
        """``arena[start:end]``: a slice that lies wholly inside, or ``IndexError``."""
        if not isinstance(key, slice) or key.step not in (None, 1):
            raise TypeError("an arena is cut by arena[start:end]")
        start = 0 if key.start is None else key.start
        stop = self.size if key.stop is None else key.stop
        if not 0 <= start <= stop <= self.size:
            raise IndexError(f"{start}:{stop} is not inside an arena of {self.size} bytes")
        return ArenaSlice(self, start, stop)

    def __enter__(self) -> Arena:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def belongs_to(self, transport: Transport) -> bool:
        """True if it can be used on that connection."""
        return self.is_open and self._transport is transport

    def close(self) -> None:
        """Gives it back to the daemon. Slices of it can be used no more; views stay valid. Repeating it does
        nothing."""
        if not self.is_open:
            return
        try:
            with self._transport.turn, self._transport:
                self.give_back()
        except ConnectionLost:
            # With its connection the arena is gone, too.
            self.is_open = False

    def give_back(self) -> None:
        """``close`` within an exchange."""
        self.is_open = False
        self._transport.exchange(CLOSE_ARENA, CLOSE_ARENA.request.encode(ArenaNumber(self.number)))


def open_arena(transport: Transport, byte_count: int) -> Arena:
    """Has the daemon make an arena; within an exchange. Raises ``Busy`` if it has no memory for it."""
    body = OPEN_ARENA.request.encode(ArenaBytes(byte_count))
    sent = transport.send(OPEN_ARENA.number, [body])
    (kind, _, answer), descriptor = transport.receive_with_descriptor(sent)
    try:
        number = OPEN_ARENA.answer.decode(transport.answer_body(kind, OPEN_ARENA.number, answer)).arena
        if descriptor is None:
            raise ProtocolViolation("an arena came without its descriptor, or with several")
        try:
            return Arena(transport, number, _mapped(descriptor, byte_count))
        except ValueError as error:
            raise ProtocolViolation(str(error)) from None
        except (OSError, MemoryError) as error:
            transport.exchange(CLOSE_ARENA, CLOSE_ARENA.request.encode(ArenaNumber(number)))
            raise Busy(f"this process cannot map an arena of {byte_count} bytes: {error}") from error
    finally:
        if descriptor is not None:
            os.close(descriptor)


def register_arena(transport: Transport, descriptor: int, byte_count: int) -> Arena:
    """Shares the caller's sealed memfd with the daemon; within an exchange. The descriptor stays the caller's."""
    memory = _mapped(descriptor, byte_count)
    body = REGISTER_ARENA.request.encode(ArenaBytes(byte_count))
    return Arena(transport, transport.exchange(REGISTER_ARENA, body, descriptor).arena, memory)
