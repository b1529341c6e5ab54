"""An arena of the client's own, through which chunks of other memory pass with one copy."""

from __future__ import annotations

from .arena import Arena, open_arena
from .errors import Refusal
from .transport import Transport

#: Bytes of a slot: what one frame stages, unless one chunk has more.
SLOT_BYTES = 4 << 20
#: Slots that are in use at once: while the daemon works on some, this side copies to or from another.
SLOTS = 4
#: The largest arena that is kept between calls.
KEPT_BYTES = 64 << 20


class Staging:
    """The arena, opened when it is first needed, and the slots that it is cut into."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._arena: Arena | None = None

    @property
    def arena(self) -> Arena:
        """The arena; there is one after ``slots`` returned any."""
        assert self._arena is not None
        return self._arena

    def slots(self, slot_bytes: int, frames: int) -> list[int]:
        """Where slots of ``slot_bytes`` begin, for a call that has so many frames; none if the daemon has no memory
        left.

        Within an exchange.
        """
        wanted = max(1, min(SLOTS, frames))
        if self._arena is None or self._arena.size < slot_bytes:
            self.close()
            for count in (SLOTS if slot_bytes <= SLOT_BYTES else min(wanted, 2), 1):
                try:
                    self._arena = open_arena(self._transport, slot_bytes * count)
                    break
                except Refusal:
                    if not self._transport.is_open:
                        raise
            if self._arena is None:
                return []
        return [slot_bytes * index for index in range(min(wanted, self._arena.size // slot_bytes))]

    def release(self) -> None:
        """Ends a call: a large arena is given back."""
        if self._arena is not None and self._arena.size > KEPT_BYTES:
            self.close()

    def close(self) -> None:
        """Gives the arena back; within an exchange."""
        arena, self._arena = self._arena, None
        if arena is not None:
            arena.give_back()
