"""Unix sockets: connecting to one, with waits that the kernel bounds."""

from __future__ import annotations

import os
import socket
import struct
import weakref

from .errors import ConnectionFailed

_TIME = struct.Struct("@ll")
#: The sockets of this process.
_open: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _close_after_fork() -> None:
    """In a child: it can use none of them, and as long as it held an end, its parent's connections would outlive the
    parent, and with them pins and arenas."""
    for one in list(_open):
        one.close()


os.register_at_fork(after_in_child=_close_after_fork)


def connected_socket(path: str, timeout: float) -> socket.socket:
    """A connected socket whose reads and writes wait for at most ``timeout`` seconds. Raises ``ConnectionFailed``."""
    new = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Blocking, and the kernel keeps the time: what is received is waited for with a poll(2) of the transport's own.
        new.setblocking(True)
        bound_waits(new, timeout)
        new.connect(path)
    except BaseException as error:
        new.close()
        if isinstance(error, OSError):
            raise ConnectionFailed(_why_not(path, error)) from error
        raise
    _open.add(new)
    return new


def bound_waits(of: socket.socket, seconds: float) -> None:
    """Has the kernel end each wait for a socket after so many seconds, with EAGAIN."""
    spell = _TIME.pack(*divmod(max(1, int(seconds * 1_000_000)), 1_000_000))
    of.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, spell)
    of.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, spell)


def _why_not(path: str, error: OSError) -> str:
    """What keeps a client from a socket, and what to do about it."""
    if isinstance(error, FileNotFoundError):
        return f"no daemon at {path}: start larderd, or say where its socket is (LARDER_SOCKET)"
    if isinstance(error, ConnectionRefusedError):
        return f"no daemon listens at {path}: start larderd"
    if isinstance(error, PermissionError):
        return f"this user may not use {path}: it has to be in the socket's group (--socket-group of larderd)"
    if isinstance(error, BlockingIOError):
        return f"the daemon at {path} takes no connection now: it has too many that wait"
    return f"cannot connect to {path}: {error}"
