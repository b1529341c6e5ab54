"""What the daemon answers to page-outs and page-ins, read quickly and checked against what was asked."""

from __future__ import annotations

import struct

from .arena import ArenaSlice
from .errors import ProtocolViolation, Refusal, WrongLength
from .pipeline import Part, Result
from .wire.codec import Reader
from .wire.paging import GET_RESULT, PUT_RESULT

#: How many items, or results, follow.
COUNT = struct.Struct("<I")
#: Results without an error: of a put, and of a get into an arena.
_PUT_DONE = struct.Struct("<HQ")
_GET_DONE = struct.Struct("<HIBQIQ")
#: The whole answer to a put of one item, if it was taken.
_PUT_ONE = struct.Struct("<IHQ")
#: The whole answer to a get of one item into an arena, if it was served.
_GOT_ONE = struct.Struct("<IHIBQIQ")


def complete(results: list[Result | None]) -> list[Result]:
    """The results of a batch, of which every item has one."""
    done = [one for one in results if one is not None]
    assert len(done) == len(results), "an item without a result"
    return done


def counted(body: memoryview, expected: int) -> Reader:
    """A reader behind the count of results, which is checked."""
    reader = Reader(body)
    _check_count(reader, expected)
    return reader


def _check_count(reader: Reader, expected: int) -> None:
    (count,) = COUNT.unpack_from(reader.data, reader.step(COUNT.size))
    if count != expected:
        raise ProtocolViolation(f"it gave {count} results for {expected} items")


def take_put_results(part: Part, body: memoryview, results: list[Result | None]) -> None:
    """The results of a frame of page-outs."""
    reader = counted(body, len(part.indices))
    for index in part.indices:
        if reader.end - reader.at >= _PUT_DONE.size:
            code, stored = _PUT_DONE.unpack_from(body, reader.at)
            if code == 0:
                reader.at += _PUT_DONE.size
                results[index] = stored
                continue
        result = PUT_RESULT.read(reader)
        results[index] = result.error or result.stored_bytes
    reader.finish()


def only_put_result(body: memoryview) -> Result:
    """The result of a page-out of one chunk."""
    if len(body) == _PUT_ONE.size:
        count, code, stored = _PUT_ONE.unpack(body)
        if count == 1 and not code:
            return int(stored)
    results: list[Result | None] = [None]
    take_put_results(Part([0], [None]), body, results)
    return complete(results)[0]


def next_get_result(reader: Reader) -> tuple[Refusal | None, int, tuple[int, int] | None]:
    """An item's error, or its bytes and its region of an arena."""
    if reader.end - reader.at >= _GET_DONE.size:
        code, _, place, size, arena, start = _GET_DONE.unpack_from(reader.data, reader.at)
        if code == 0 and place == 1:
            reader.at += _GET_DONE.size
            return None, size, (arena, start)
    result = GET_RESULT.read(reader)
    return result.error, result.payload.payload_bytes, result.payload.region


def only_get_result(body: memoryview, arena: int, start: int, size: int) -> Result:
    """The result of a page-in of one chunk to a region of ``size`` bytes."""
    if len(body) == _GOT_ONE.size:
        count, code, _, place, written, answered, answered_start = _GOT_ONE.unpack(body)
        if count == 1 and not code and place == 1 and written <= size and answered == arena and answered_start == start:
            return int(written)
    reader = counted(body, 1)
    error, written, region = next_get_result(reader)
    reader.finish()
    if error is None and (region != (arena, start) or written > size):
        raise ProtocolViolation("it paged in to another region than it was told")
    return error or int(written)


def inline_results(reader: Reader, expected: int) -> list[tuple[Refusal | None, int]]:
    """Errors and payload lengths of an answer whose payloads follow."""
    _check_count(reader, expected)
    answered: list[tuple[Refusal | None, int]] = []
    for _ in range(expected):
        error, size, region = next_get_result(reader)
        if region is not None:
            raise ProtocolViolation("it answered a page-in without an arena with a region of one")
        answered.append((error, 0 if error is not None else size))
    return answered


def copied(reader: Reader, size: int, into: ArenaSlice | memoryview | None) -> Result:
    """Copies an inline payload to its destination; the bytes, or why it has no room."""
    assert isinstance(into, memoryview)
    start = reader.step(size)
    if size > len(into):
        return WrongLength(f"the chunk has {size} bytes, its destination {len(into)}")
    into[:size] = reader.data[start : start + size]
    return size
