"""How a batch becomes frames: cut, sent with some in flight, answered in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from .arena import ArenaSlice
from .chunks import Checked
from .errors import LarderError, ProtocolViolation
from .transport import Transport
from .wire import numbers
from .wire.structures import REFUSAL

#: Bytes of chunks that a frame carries inline, unless one chunk has more.
INLINE_FRAME_BYTES = 8 << 20
#: Bytes of chunks that a frame names in arenas, unless one chunk has more.
ARENA_FRAME_BYTES = 64 << 20
#: Items of a frame.
FRAME_ITEMS = 1_024
#: Staged chunks begin on a line of the processor's cache.
ALIGNMENT = 64

#: A result: a number, or why there is none.
Result = int | LarderError


class Part(NamedTuple):
    """What goes into one frame."""

    indices: list[int]
    #: For each, where in a slot it is staged; None for what is not.
    staged: list[int | None]

    @property
    def is_staged(self) -> bool:
        """True if it needs a slot."""
        return any(start is not None for start in self.staged)


def aligned(size: int) -> int:
    """Bytes that a staged chunk takes of its slot."""
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def cut(items: Sequence[Checked], indices: Sequence[int], slot_bytes: int, inline_bytes: int, limit: int) -> list[Part]:
    """Cuts the items of ``indices`` into frames, in order.

    ``slot_bytes`` is what a frame may stage; 0 where things go inline. ``inline_bytes`` is what it may carry so, in
    all.
    """
    parts: list[Part] = []
    part = Part([], [])
    staged = inline = in_arenas = 0
    for index in indices:
        _, memory, size, _ = items[index]
        is_inline = memory is None or (not slot_bytes and not isinstance(memory, ArenaSlice))
        is_staged = not is_inline and not isinstance(memory, ArenaSlice)
        new_staged = aligned(size) if is_staged else 0
        new_inline = numbers.ITEM_ANSWER_BYTES + (size if is_inline else 0)
        new_in_arenas = 0 if is_inline else size
        if part.indices and (
            len(part.indices) >= limit
            or staged + new_staged > slot_bytes
            or inline + new_inline > inline_bytes
            or in_arenas + new_in_arenas > ARENA_FRAME_BYTES
        ):
            parts.append(part)
            part = Part([], [])
            staged = inline = in_arenas = 0
        part.indices.append(index)
        part.staged.append(staged if is_staged else None)
        staged += new_staged
        inline += new_inline
        in_arenas += new_in_arenas
    if part.indices:
        parts.append(part)
    return parts


def pipeline(
    transport: Transport,
    number: int,
    parts: Sequence[Part],
    slots: Sequence[int],
    window: int,
    send: Callable[[Part, int], int],
    finish: Callable[[Part, int, memoryview], None],
    results: list[Result | None],
) -> None:
    """Sends every part with ``send``, some of them in flight at once, and has ``finish`` take each answer.

    Both are told the slot of the part. A frame that is refused as a whole gives that refusal to each of its items, so
    that all are accounted for.
    """
    free = list(reversed(slots))
    waiting: dict[int, tuple[Part, int]] = {}
    unsent = list(reversed(parts))
    while unsent or waiting:
        if unsent and len(waiting) < window and (free or not unsent[-1].is_staged):
            part = unsent.pop()
            slot = free.pop() if part.is_staged else -1
            waiting[send(part, slot)] = (part, slot)
            continue
        kind, request_id, body = transport.receive()
        if request_id not in waiting:
            raise ProtocolViolation(f"it answered request {request_id}, which was not asked")
        part, slot = waiting.pop(request_id)
        if kind == numbers.REFUSAL_TYPE:
            error = REFUSAL.decode(body)
            for index in part.indices:
                results[index] = error
        else:
            finish(part, slot, transport.answer_body(kind, number, body))
        if slot >= 0:
            free.append(slot)
