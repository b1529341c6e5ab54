"""Hints on the wire: three kinds of target, told apart by a number."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import ProtocolViolation
from . import numbers
from .codec import HASH, I8, STRING, U8, U16, U32, U64, Codec, ListOf, Reader, Record
from .structures import HINT_KIND

_KEYS = ListOf(HASH, numbers.BATCH_ITEMS)


class TokensTarget(NamedTuple):
    """A session's tokens ``start..<end``, of all ranks and components."""

    session: int
    start: int
    end: int


class KeysTarget(NamedTuple):
    """What prefix keys name, from the first on."""

    namespace: str
    model_id: int
    component: int
    keys: list[bytes]


class TrackTarget(NamedTuple):
    """The chunks of one component, one after another, and a key for each."""

    session: int
    start: int
    end: int
    rank: int
    component: int
    keys: list[bytes]


Target = TokensTarget | KeysTarget | TrackTarget

_TARGETS: tuple[tuple[type, Record[Target]], ...] = (
    (TokensTarget, Record(TokensTarget, ("session", U64), ("start", U64), ("end", U64))),
    (KeysTarget, Record(KeysTarget, ("namespace", STRING), ("model_id", U32), ("component", U16), ("keys", _KEYS))),
    (
        TrackTarget,
        Record(
            TrackTarget,
            ("session", U64),
            ("start", U64),
            ("end", U64),
            ("rank", U16),
            ("component", U16),
            ("keys", _KEYS),
        ),
    ),
)


class _TargetCodec(Codec[Target]):
    def write(self, out: bytearray, value: Target) -> None:
        for number, (kind, codec) in enumerate(_TARGETS):
            if isinstance(value, kind):
                U8.write(out, number)
                codec.write(out, value)
                return
        raise ValueError(f"{value!r} is no target of a hint")

    def read(self, reader: Reader) -> Target:
        number = U8.read(reader)
        if number >= len(_TARGETS):
            raise ProtocolViolation(f"a hint's target of {number}")
        return _TARGETS[number][1].read(reader)


class WireHint(NamedTuple):
    """A hint as it is sent."""

    hint: numbers.HintKind
    priority: int
    seconds: int
    target: Target


HINT = Record(WireHint, ("hint", HINT_KIND), ("priority", I8), ("seconds", U32), ("target", _TargetCodec()))
