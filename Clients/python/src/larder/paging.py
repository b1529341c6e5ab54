"""Chunks out and in, in batches, with as few copies as the caller's memory allows.

What lies in an arena is not copied by this side at all. Other memory is staged through an arena of the client's own
(one copy), or travels in the frames where the daemon shares no memory.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable, Sequence

from .arena import ArenaSlice
from .chunks import Checked, PageIn, PageOut, checked_in, checked_out, id_in, memory_of
from .errors import FrameTooLong, LarderError, ProtocolViolation
from .pipeline import FRAME_ITEMS, INLINE_FRAME_BYTES, Part, Result, cut, pipeline
from .results import (
    COUNT,
    complete,
    copied,
    counted,
    inline_results,
    next_get_result,
    only_get_result,
    only_put_result,
    take_put_results,
)
from .staging import SLOT_BYTES, Staging
from .transport import HEADER, Transport
from .wire import numbers
from .wire.codec import Buffer, Reader
from .wire.paging import GET, GET_INTO, PROGRESS, PUT
from .wire.structures import ACKNOWLEDGEMENT, ENCODING_CHOICE, REFUSAL

#: Requests of a batch that are in flight at once.
WINDOW = 8

_PLACE = struct.Struct("<BQ")
_PLACE_IN_ARENA = struct.Struct("<BQIQ")
_REGION = struct.Struct("<IQQ")
#: A whole ``get_into`` of one item.
_GET_ONE = struct.Struct("<IHHQIIQHHQIIIQQ")
_GET_ONE_BODY = _GET_ONE.size - HEADER.size
_ONE = COUNT.pack(1)
_PUT_TYPE = PUT.number | numbers.ANSWER_BIT
_GET_INTO_TYPE = GET_INTO.number | numbers.ANSWER_BIT
_PROGRESS_TYPE = _GET_INTO_TYPE | numbers.PROGRESS_BIT


class Pager:
    """Pages batches over one connection."""

    def __init__(self, transport: Transport, batch_items: int, requests_in_flight: int, has_arenas: bool) -> None:
        self._transport = transport
        self._window = min(WINDOW, requests_in_flight)
        self._batch_items = batch_items
        self._staging = Staging(transport) if has_arenas else None
        self._one = bytearray(_GET_ONE.size)

    # Out.

    def put(
        self, items: Iterable[PageOut], acknowledgement: numbers.Acknowledgement, encoding: numbers.EncodingChoice
    ) -> list[Result]:
        """Pages out; for each item the bytes that it takes in the store, or its error."""
        flags = _flags(acknowledgement, encoding)
        checked = [checked_out(one, self._transport) for one in items]
        if len(checked) == 1:
            result = self._put_one(flags, checked[0])
            if result is not None:
                return [result]
        results: list[Result | None] = [None] * len(checked)
        with self._transport.turn, self._transport:
            slots, slot_bytes = self._slots(checked)
            indices = self._fitting(checked, slot_bytes, results)

            def send(part: Part, slot: int) -> int:
                return self._send_put(flags, checked, part, slot)

            def finish(part: Part, slot: int, body: memoryview) -> None:
                take_put_results(part, body, results)

            parts = cut(checked, indices, slot_bytes, self._inline_bytes, self._frame_items)
            pipeline(self._transport, PUT.number, parts, slots, self._window, send, finish, results)
            self._end()
        return complete(results)

    def _put_one(self, flags: bytes, item: Checked) -> Result | None:
        """The fast path: one chunk from an arena, the client's own if need be, with one system call each way.

        None if it cannot be taken.
        """
        transport = self._transport
        head, memory, size, naming = item
        with transport.turn, transport:
            region = self._region_of_one(memory, size)
            if region is None:
                return None
            if isinstance(memory, memoryview):
                self._staged_view(0, size)[:] = memory
            body = b"".join((flags, _ONE, head, _PLACE_IN_ARENA.pack(1, size, *region), naming))
            kind, _, answer = transport.exchange_frame(HEADER.pack(len(body), PUT.number, 0, transport.next_id) + body)
            if kind == numbers.REFUSAL_TYPE:
                return REFUSAL.decode(answer)
            if kind != _PUT_TYPE:
                transport.answer_body(kind, PUT.number, answer)
            return only_put_result(answer)

    def _send_put(self, flags: bytes, items: Sequence[Checked], part: Part, slot: int) -> int:
        fields = bytearray(flags)
        fields += COUNT.pack(len(part.indices))
        payloads: list[Buffer] = []
        for index, staged in zip(part.indices, part.staged, strict=True):
            head, memory, size, naming = items[index]
            fields += head
            if memory is None or (staged is None and not isinstance(memory, ArenaSlice)):
                fields += _PLACE.pack(0, size)
                if memory is not None:
                    payloads.append(memory)
            else:
                arena, start = self._region(memory, slot, staged)
                fields += _PLACE_IN_ARENA.pack(1, size, arena, start)
                if not isinstance(memory, ArenaSlice):
                    self._staged_view(start, size)[:] = memory
            fields += naming
        return self._transport.send(PUT.number, [fields, *payloads])

    # In.

    def get(self, items: Sequence[PageIn]) -> list[Result]:
        """Pages in; for each item the bytes that were written, or its error."""
        if len(items) == 1:
            result = self._get_one(items[0])
            if result is not None:
                return [result]
        checked = [checked_in(one, self._transport) for one in items]
        results: list[Result | None] = [None] * len(checked)
        with self._transport.turn, self._transport:
            slots, slot_bytes = self._slots(checked)
            if slot_bytes:
                through_arenas, inline = list(range(len(checked))), []
            else:
                through_arenas = [i for i, one in enumerate(checked) if isinstance(one.memory, ArenaSlice)]
                inline = [i for i, one in enumerate(checked) if not isinstance(one.memory, ArenaSlice)]
            self._get_through_arenas(checked, through_arenas, slots, slot_bytes, results)
            self._get_inline(checked, inline, results)
            self._end()
        return complete(results)

    def get_with_progress(
        self, items: Sequence[PageIn], layer_group: int, on_progress: Callable[[int], object]
    ) -> list[Result]:
        """Pages in to arenas with one request, and tells of layers as they land."""
        if len(items) > self._batch_items:
            raise ValueError(f"{len(items)} items; with progress at most {self._batch_items} go into one call")
        checked = [checked_in(one, self._transport) for one in items]
        if not all(isinstance(one.memory, ArenaSlice) for one in checked):
            raise ValueError("progress is told of arena slices only: other memory is filled when all is there")
        part = Part(list(range(len(checked))), [None] * len(checked))
        results: list[Result | None] = [None] * len(checked)
        told: BaseException | None = None
        with self._transport.turn, self._transport:
            sent = self._send_get_into(checked, part, -1, layer_group)
            kind, _, body = self._transport.receive(sent)
            frames = 0
            while kind == _PROGRESS_TYPE:
                frames += 1
                if frames > numbers.PROGRESS_FRAMES:
                    raise ProtocolViolation(f"more than {numbers.PROGRESS_FRAMES} frames of progress")
                layers = PROGRESS.decode(body).layers
                try:
                    if told is None:
                        on_progress(layers)
                except BaseException as error:  # Raised below, when the answer was read.
                    told = error
                kind, _, body = self._transport.receive(sent)
            if kind == numbers.REFUSAL_TYPE:
                results = [REFUSAL.decode(body)] * len(checked)
            else:
                answer = self._transport.answer_body(kind, GET_INTO.number, body)
                self._take_get_results(checked, part, -1, answer, results)
        if told is not None:
            raise told
        return complete(results)

    def get_bytes(self, item: PageIn) -> bytes:
        """One chunk, or some of its layers, inline. Raises its error."""
        checked = checked_in(item, self._transport)
        with self._transport.turn, self._transport:
            sent = self._transport.send(GET.number, [COUNT.pack(1), checked.head])
            kind, _, body = self._transport.receive(sent)
            reader = Reader(self._transport.answer_body(kind, GET.number, body))
            error, payload = inline_results(reader, 1)[0]
            if error is not None:
                reader.finish()
                raise error
            data = reader.take(payload)
            reader.finish()
            return data

    def _get_one(self, item: PageIn) -> Result | None:
        """The fast path: one chunk into an arena, the client's own if need be, with one system call each way.

        None if it cannot be taken.
        """
        transport = self._transport
        session = item.session
        rank = session.rank if item.rank is None else item.rank
        session_id = id_in(session, transport)
        memory = memory_of(item.into, transport, writable=True)
        size = len(memory)
        with transport.turn, transport:
            region = self._region_of_one(memory, size)
            if region is None:
                return None
            number, start = region
            try:
                _GET_ONE.pack_into(
                    self._one,
                    0,
                    _GET_ONE_BODY,
                    GET_INTO.number,
                    0,
                    transport.next_id,
                    0,
                    1,
                    session_id,
                    rank,
                    item.component,
                    item.offset,
                    item.first_layer,
                    item.layers,
                    number,
                    start,
                    size,
                )
            except struct.error as why:
                raise ValueError(f"a number is outside what the wire carries: {item}: {why}") from None
            kind, _, body = transport.exchange_frame(self._one)
            if kind == numbers.REFUSAL_TYPE:
                return REFUSAL.decode(body)
            if kind != _GET_INTO_TYPE:
                transport.answer_body(kind, GET_INTO.number, body)
            written = only_get_result(body, number, start, size)
            if isinstance(written, LarderError):
                return written
            if isinstance(memory, memoryview):
                memory[:written] = self._staged_view(0, written)
            return written

    def _get_through_arenas(
        self,
        items: Sequence[Checked],
        indices: Sequence[int],
        slots: Sequence[int],
        slot_bytes: int,
        results: list[Result | None],
    ) -> None:
        def send(part: Part, slot: int) -> int:
            return self._send_get_into(items, part, slot, 0)

        def finish(part: Part, slot: int, body: memoryview) -> None:
            self._take_get_results(items, part, slot, body, results)

        parts = cut(items, indices, slot_bytes, self._inline_bytes, self._frame_items)
        pipeline(self._transport, GET_INTO.number, parts, slots, self._window, send, finish, results)

    def _send_get_into(self, items: Sequence[Checked], part: Part, slot: int, layer_group: int) -> int:
        fields = bytearray(COUNT.pack(layer_group) + COUNT.pack(len(part.indices)))
        for index, staged in zip(part.indices, part.staged, strict=True):
            head, memory, size, _ = items[index]
            fields += head
            fields += _REGION.pack(*self._region(memory, slot, staged), size)
        return self._transport.send(GET_INTO.number, [fields])

    def _take_get_results(
        self, items: Sequence[Checked], part: Part, slot: int, body: memoryview, results: list[Result | None]
    ) -> None:
        reader = counted(body, len(part.indices))
        for index, staged in zip(part.indices, part.staged, strict=True):
            _, memory, size, _ = items[index]
            error, written, named = next_get_result(reader)
            if error is not None:
                results[index] = error
                continue
            region = self._region(memory, slot, staged)
            if named != region or written > size:
                raise ProtocolViolation("it paged in to another region than it was told")
            if isinstance(memory, memoryview):
                memory[:written] = self._staged_view(region[1], written)
            results[index] = written
        reader.finish()

    def _get_inline(self, items: Sequence[Checked], indices: Sequence[int], results: list[Result | None]) -> None:
        def send(part: Part, _: int) -> int:
            heads = [items[index].head for index in part.indices]
            return self._transport.send(GET.number, [COUNT.pack(len(heads)), b"".join(heads)])

        def finish(part: Part, _: int, body: memoryview) -> None:
            reader = Reader(body)
            answered = inline_results(reader, len(part.indices))
            for index, (error, size) in zip(part.indices, answered, strict=True):
                results[index] = error or copied(reader, size, items[index].memory)
            reader.finish()

        parts = cut(items, indices, 0, self._inline_bytes, self._frame_items)
        pipeline(self._transport, GET.number, parts, [], self._window, send, finish, results)

    # Both.

    @property
    def _frame_items(self) -> int:
        return min(FRAME_ITEMS, self._batch_items)

    @property
    def _inline_bytes(self) -> int:
        return min(INLINE_FRAME_BYTES, self._transport.frame_bytes)

    def _region_of_one(self, memory: ArenaSlice | memoryview | None, size: int) -> tuple[int, int] | None:
        """The arena and the offset in it for the bytes of a single chunk: where they are, or the beginning of this
        client's own. None if there is no room for them; within an exchange."""
        if isinstance(memory, ArenaSlice):
            return memory.arena.number, memory.start
        if memory is None or self._staging is None or size > SLOT_BYTES or not self._staging.slots(SLOT_BYTES, 1):
            return None
        return self._staging.arena.number, 0

    def _slots(self, items: Sequence[Checked]) -> tuple[list[int], int]:
        """Slots to stage what is in no arena, and their size; none and 0 where it goes inline, or nothing is to be."""
        sizes = [one.size for one in items if isinstance(one.memory, memoryview)]
        if self._staging is None or not sizes:
            return [], 0
        largest = max(sizes)
        if largest > numbers.CHUNK_BYTES:
            return [], 0
        slot_bytes = SLOT_BYTES if largest <= SLOT_BYTES else -(-largest // SLOT_BYTES) * SLOT_BYTES
        slots = self._staging.slots(slot_bytes, -(-sum(sizes) // slot_bytes))
        return slots, slot_bytes if slots else 0

    def _fitting(self, items: Sequence[Checked], slot_bytes: int, results: list[Result | None]) -> list[int]:
        """Indices of what can be sent; the rest gets its error here: a frame above the bound would end the
        connection."""
        fitting: list[int] = []
        room = self._transport.frame_bytes - numbers.ITEM_ANSWER_BYTES
        for index, one in enumerate(items):
            if isinstance(one.memory, memoryview) and not slot_bytes and one.size > room:
                results[index] = FrameTooLong(f"a chunk of {one.size} bytes is above the {room} that a frame carries")
            else:
                fitting.append(index)
        return fitting

    def _region(self, memory: ArenaSlice | memoryview | None, slot: int, staged: int | None) -> tuple[int, int]:
        """The arena and the offset in it where an item's bytes are."""
        if isinstance(memory, ArenaSlice):
            return memory.arena.number, memory.start
        assert self._staging is not None and staged is not None
        return self._staging.arena.number, slot + staged

    def _staged_view(self, start: int, size: int) -> memoryview:
        assert self._staging is not None
        return self._staging.arena.view[start : start + size]

    def _end(self) -> None:
        if self._staging is not None:
            self._staging.release()


@functools.cache
def _flags(acknowledgement: numbers.Acknowledgement, encoding: numbers.EncodingChoice) -> bytes:
    """How a put begins. There are twelve of them: what is wrong raises, and is not kept."""
    return bytes(ACKNOWLEDGEMENT.encode(acknowledgement) + ENCODING_CHOICE.encode(encoding))
