"""What can go wrong, as types.

Three things end a connection (``ConnectionFailed``, ``ConnectionLost``, ``ProtocolViolation``); a ``Refusal`` is an
answer of the daemon, and the connection goes on.
"""

from __future__ import annotations


class LarderError(Exception):
    """Base of every error that this package raises of its own."""


class ConnectionFailed(LarderError):
    """No connection came about. The message names the socket's path and what to do."""


class ConnectionLost(LarderError):
    """The connection is gone: the daemon ended, did not answer in time, or the client was closed. Connect anew."""


class ProtocolViolation(LarderError):
    """The daemon said something that the protocol does not allow. The connection is closed; nothing of it was used."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the daemon does not keep to the protocol: {what}")
        self.what = what

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what,)


class Refusal(LarderError):
    """The daemon refused a request, or an item of one. There is a subclass for each code of the protocol.

    Attributes:
        code: the number on the wire; kept even if this version does not know it.
        item: index of the item that it is about, or None if it is about the request.
        message: one sentence for people: what happened, to what, and what to do.
    """

    #: The number of this class on the wire.
    number = 0

    def __init__(self, message: str, *, item: int | None = None, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.item = item
        self.code = self.number if code is None else code

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.message, self.item, self.code)


def _restored(kind: type[Refusal], message: str, item: int | None, code: int) -> Refusal:
    """Unpickles a refusal."""
    return kind(message, item=item, code=code)


class Malformed(Refusal):
    """The bytes do not follow the protocol: a fault of this client."""

    number = 1


class FrameTooLong(Refusal):
    """A frame above the daemon's ``frame_bytes``. Use smaller chunks, or an arena."""

    number = 2


class UnknownRequest(Refusal):
    """This daemon does not know the request: do without, or upgrade it."""

    number = 3


class Handshake(Refusal):
    """A request before the handshake, or a second one."""

    number = 4


class ProtocolVersion(Refusal):
    """No version in common: upgrade the older side."""

    number = 5


class InvalidArgument(Refusal):
    """An argument outside its bounds; the message names it."""

    number = 6


class InvalidModel(Refusal):
    """A model that contradicts itself or a limit."""

    number = 7


class UnknownModel(Refusal):
    """A model id that the store does not hold: declare the model again."""

    number = 8


class ModelMismatch(Refusal):
    """The session's state belongs to another model; the message names the field."""

    number = 9


class Forbidden(Refusal):
    """The namespace belongs to another user, or only the operator may set this."""

    number = 10


class UnknownSession(Refusal):
    """A session that the store does not hold: open it by name; its state must be computed."""

    number = 11


class UnknownComponent(Refusal):
    """A component beyond the model's list, or a rank that has not opened the session."""

    number = 12


class WrongLength(Refusal):
    """Bytes that do not follow from model and tokens, or a destination that is too small."""

    number = 13


class Overlap(Refusal):
    """Overlaps a stored chunk without being equal to it: leave it, or truncate first."""

    number = 14


class Unaligned(Refusal):
    """An offset that is not a multiple of the model's page."""

    number = 15


class Conflict(Refusal):
    """Stored already, with other bytes: leave it, or truncate first."""

    number = 16


class Miss(Refusal):
    """Not stored. No failure: compute the state."""

    number = 17


class Damaged(Refusal):
    """Stored, but its checks fail; never served. Compute the state, truncate, put again."""

    number = 18


class Full(Refusal):
    """The store has reached its cap, or the namespace its most sessions: go on without."""

    number = 19


class Busy(Refusal):
    """A queue or memory bound of the daemon is reached: send it again later."""

    number = 20


class TooLarge(Refusal):
    """The answer would not fit in a frame: ask for less at once."""

    number = 21


class ShuttingDown(Refusal):
    """The daemon is draining: connect anew later."""

    number = 22


class StorageFault(Refusal):
    """The operating system refused the daemon a read or write: tell the operator; go on without."""

    number = 23


class InternalFault(Refusal):
    """A fault of the daemon, or a code that this version does not know: tell the operator; go on without."""

    number = 24


class TooManyConnections(Refusal):
    """The daemon serves as many connections as it may: connect later; close idle ones."""

    number = 25


class StoreUnusable(Refusal):
    """The store on disk cannot be used: tell the operator; go on without."""

    number = 26


class Exists(Refusal):
    """There is a session of that name already."""

    number = 27


class Declined(Refusal):
    """A put that the store does not take in now: put it again when it is next computed."""

    number = 28


#: The class of each code.
REFUSALS: dict[int, type[Refusal]] = {kind.number: kind for kind in Refusal.__subclasses__()}


def refusal(code: int, message: str, item: int | None = None) -> Refusal:
    """The error of a code on the wire. A code that is not known is an ``InternalFault`` that keeps its number."""
    return REFUSALS.get(code, InternalFault)(message, item=item, code=code)
