"""Memory that is shared with the daemon, and stays this process's own when a connection is lost."""

from __future__ import annotations

import mmap
import os

from ... import Arena, Busy, Client, InvalidArgument, sealed_memfd
from ...arena import ArenaSlice
from .tally import Tally


class Pool:
    """A memfd of ``byte_count`` bytes, registered with each connection in turn. One thread uses it with connections."""

    def __init__(self, byte_count: int, tally: Tally) -> None:
        self.byte_count = byte_count
        self._descriptor = sealed_memfd(byte_count)
        self.view = memoryview(mmap.mmap(self._descriptor, byte_count))
        self._tally = tally
        self._arena: Arena | None = None
        self._generation = -1

    def attach(self, client: Client, generation: int) -> None:
        """Registers the memory with a connection, once for each ``generation``. Without room for it in the daemon,
        bytes travel through the socket."""
        if generation == self._generation:
            return
        self._generation, self._arena = generation, None
        if not client.has_arenas:
            return
        try:
            self._arena = client.register_arena(self._descriptor, self.byte_count)
        except (Busy, InvalidArgument) as error:
            self._tally.warn_once("arena", f"no shared memory, so state travels through the socket: {error}")

    @property
    def is_shared(self) -> bool:
        """True if the connection that was attached last shares the memory."""
        return self._arena is not None

    def __getitem__(self, key: slice) -> ArenaSlice | memoryview:
        """A range of the memory, for the client to page out of or into."""
        return self.view[key] if self._arena is None else self._arena[key]

    def close(self) -> None:
        """Gives the descriptor back. The memory goes with its last view."""
        os.close(self._descriptor)
