"""How fields become bytes and back: small codecs that are put together to messages.

Each codec works both ways. Writing raises ``ValueError`` for a value that the wire cannot carry. Reading takes nothing
on trust: whatever the bytes are, it gives a value or raises ``ProtocolViolation``, and it never makes more than the
bytes hold.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Generic, TypeVar

from ..errors import ProtocolViolation
from .numbers import KEY_BYTES

T = TypeVar("T")
Buffer = bytes | bytearray | memoryview


class Reader:
    """Takes fields from the front of a body."""

    __slots__ = ("data", "at", "end")

    def __init__(self, data: Buffer) -> None:
        self.data = data
        self.at = 0
        self.end = len(data)

    def step(self, count: int) -> int:
        """Passes over ``count`` bytes and returns where they begin."""
        start = self.at
        if count > self.end - start:
            raise ProtocolViolation(f"a message ends {count - (self.end - start)} bytes too early")
        self.at = start + count
        return start

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes, copied."""
        start = self.step(count)
        return bytes(self.data[start : start + count])

    def finish(self) -> None:
        """Checks that nothing is left."""
        if self.at != self.end:
            raise ProtocolViolation(f"a message has {self.end - self.at} bytes too many")


class Codec(Generic[T]):
    """Writes and reads one kind of field."""

    def write(self, out: bytearray, value: T) -> None:
        """Appends the bytes of ``value``."""
        raise NotImplementedError

    def read(self, reader: Reader) -> T:
        """Takes a value from the front of the reader's bytes."""
        raise NotImplementedError

    def encode(self, value: T) -> bytearray:
        """The bytes of ``value``."""
        out = bytearray()
        self.write(out, value)
        return out

    def decode(self, data: Buffer) -> T:
        """The value whose bytes are ``data``, all of them."""
        reader = Reader(data)
        value = self.read(reader)
        reader.finish()
        return value


class Scalar(Codec[T]):
    """A field of fixed size that ``struct`` knows; records join several of them into one ``struct``.

    ``dump`` makes of a value what ``struct`` packs, ``load`` the other way round; None leaves it as it is.
    """

    def __init__(
        self, format: str, dump: Callable[[Any], Any] | None = None, load: Callable[[Any], Any] | None = None
    ) -> None:
        self.format = format
        self.dump = dump
        self.load = load
        self._struct = struct.Struct("<" + format)

    def write(self, out: bytearray, value: T) -> None:
        raw = value if self.dump is None else self.dump(value)
        try:
            out += self._struct.pack(raw)
        except (struct.error, OverflowError) as error:
            raise ValueError(f"{value!r}: {error}") from None

    def read(self, reader: Reader) -> T:
        raw: Any = self._struct.unpack_from(reader.data, reader.step(self._struct.size))[0]
        value: T = raw if self.load is None else self.load(raw)
        return value


def _load_flag(raw: int) -> bool:
    if raw > 1:
        raise ProtocolViolation(f"a flag of {raw}")
    return raw == 1


U8: Scalar[int] = Scalar("B")
I8: Scalar[int] = Scalar("b")
U16: Scalar[int] = Scalar("H")
U32: Scalar[int] = Scalar("I")
U64: Scalar[int] = Scalar("Q")
FLAG: Scalar[bool] = Scalar("B", int, _load_flag)


class Enumeration(Scalar[T]):
    """One byte that stands for a name; names are strings."""

    def __init__(self, what: str, numbers: dict[str, int], none: int | None = None) -> None:
        self.names: dict[int, str | None] = {number: name for name, number in numbers.items()}
        self.numbers: dict[str | None, int] = dict(numbers.items())
        if none is not None:
            self.names[none] = None
            self.numbers[None] = none
        self.what = what
        super().__init__("B", self._number, self._name)

    def _number(self, name: str | None) -> int:
        try:
            return self.numbers[name]
        except (KeyError, TypeError):
            known = ", ".join(str(one) for one in self.numbers)
            raise ValueError(f"{self.what} {name!r} is not one of {known}") from None

    def _name(self, number: int) -> str | None:
        try:
            return self.names[number]
        except KeyError:
            raise ProtocolViolation(f"{self.what} {number} is not known") from None


def _dump_key(value: bytes) -> bytes:
    raw = bytes(value)
    if len(raw) != KEY_BYTES:
        raise ValueError(f"a key of {len(raw)} bytes; it has {KEY_BYTES}")
    return raw


#: A prefix key or a fingerprint.
HASH: Scalar[bytes] = Scalar(f"{KEY_BYTES}s", _dump_key)


class String(Codec[str]):
    """UTF-8 with its length before it."""

    def write(self, out: bytearray, value: str) -> None:
        raw = value.encode("utf-8")
        if len(raw) > 0xFFFF:
            raise ValueError(f"a text of {len(raw)} bytes is too long for the wire")
        out += len(raw).to_bytes(2, "little")
        out += raw

    def read(self, reader: Reader) -> str:
        try:
            return reader.take(U16.read(reader)).decode("utf-8")
        except UnicodeDecodeError:
            raise ProtocolViolation("a text that is not UTF-8") from None


STRING = String()


class ListOf(Codec[list[T]]):
    """A count, then so many items; a count above ``limit`` is refused before anything is made of it."""

    def __init__(self, item: Codec[T], limit: int, count: Scalar[int] = U32) -> None:
        self.item = item
        self.limit = limit
        self.count = count

    def write(self, out: bytearray, value: Iterable[T]) -> None:
        values = value if isinstance(value, Sequence) else list(value)
        if len(values) > self.limit:
            raise ValueError(f"{len(values)} entries; at most {self.limit} go into a message")
        self.count.write(out, len(values))
        for one in values:
            self.item.write(out, one)

    def read(self, reader: Reader) -> list[T]:
        count = self.count.read(reader)
        if count > self.limit:
            raise ProtocolViolation(f"a list of {count} entries; it has at most {self.limit}")
        read = self.item.read
        return [read(reader) for _ in range(count)]


class Maybe(Codec[T | None]):
    """A flag, then a value if it is true."""

    def __init__(self, item: Codec[T]) -> None:
        self.item = item

    def write(self, out: bytearray, value: T | None) -> None:
        FLAG.write(out, value is not None)
        if value is not None:
            self.item.write(out, value)

    def read(self, reader: Reader) -> T | None:
        return self.item.read(reader) if FLAG.read(reader) else None


class _Run:
    """Scalars of a record that follow each other: one ``struct``."""

    def __init__(self, fields: Sequence[tuple[str, Scalar[Any]]]) -> None:
        self.names = [name for name, _ in fields]
        self.dumps = [scalar.dump for _, scalar in fields]
        self.loads = [(index, scalar.load) for index, (_, scalar) in enumerate(fields) if scalar.load]
        self.struct = struct.Struct("<" + "".join(scalar.format for _, scalar in fields))

    def write(self, out: bytearray, value: Any) -> None:
        raws = []
        for name, dump in zip(self.names, self.dumps, strict=True):
            raw = getattr(value, name)
            raws.append(raw if dump is None else dump(raw))
        try:
            out += self.struct.pack(*raws)
        except (struct.error, OverflowError):
            named = ", ".join(f"{name} {raw!r}" for name, raw in zip(self.names, raws, strict=True))
            raise ValueError(f"a number is outside what the wire carries: {named}") from None

    def read(self, reader: Reader, values: list[Any]) -> None:
        raws = list(self.struct.unpack_from(reader.data, reader.step(self.struct.size)))
        for index, load in self.loads:
            raws[index] = load(raws[index])
        values += raws


class Record(Codec[T]):
    """Fields one after another, made to an object by ``make``, which takes them in that order.

    A field is its attribute's name and its codec.
    """

    def __init__(self, make: Callable[..., T], *fields: tuple[str, Codec[Any]]) -> None:
        self.make = make
        self.fields = fields
        self._parts: list[_Run | tuple[Callable[[Any], Any], Codec[Any]]] = []
        run: list[tuple[str, Scalar[Any]]] = []
        for name, codec in fields:
            if isinstance(codec, Scalar):
                run.append((name, codec))
                continue
            self._end(run)
            self._parts.append((attrgetter(name), codec))
        self._end(run)

    def _end(self, run: list[tuple[str, Scalar[Any]]]) -> None:
        if run:
            self._parts.append(_Run(run))
            run.clear()

    def write(self, out: bytearray, value: T) -> None:
        for part in self._parts:
            if isinstance(part, _Run):
                part.write(out, value)
            else:
                part[1].write(out, part[0](value))

    def read(self, reader: Reader) -> T:
        values: list[Any] = []
        for part in self._parts:
            if isinstance(part, _Run):
                part.read(reader, values)
            else:
                values.append(part[1].read(reader))
        return self.make(*values)
