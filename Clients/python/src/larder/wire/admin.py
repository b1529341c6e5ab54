"""Messages of an admin: forks drawn, damaged chunks taken out, the store copied."""

from __future__ import annotations

from typing import NamedTuple

from . import numbers
from .codec import FLAG, STRING, U32, U64, ListOf, Record
from .message import Message
from .structures import CHUNK_NAME


class TreeRequest(NamedTuple):
    """Asks for the lines that share a past with a session."""

    session: int


class TreeLine(NamedTuple):
    """A stretch of state that one session wrote between two forks or truncates."""

    line: int
    parent: int
    offset: int
    session: int
    name: str
    end: int
    chunks: int
    raw_bytes: int
    stored_bytes: int
    changed_seconds: int


class Tree(NamedTuple):
    """The lines, the session's own path first; ``complete`` is false if there are more."""

    complete: bool
    lines: list[TreeLine]


TREE = Message(
    "tree",
    0x21,
    Record(TreeRequest, ("session", U64)),
    Record(
        Tree,
        ("complete", FLAG),
        (
            "lines",
            ListOf(
                Record(
                    TreeLine,
                    ("line", U64),
                    ("parent", U64),
                    ("offset", U64),
                    ("session", U64),
                    ("name", STRING),
                    ("end", U64),
                    ("chunks", U64),
                    ("raw_bytes", U64),
                    ("stored_bytes", U64),
                    ("changed_seconds", U64),
                ),
                numbers.TREE_LINES,
            ),
        ),
    ),
)


class Repaired(NamedTuple):
    """What was taken out, and why; 0 if nothing."""

    removed: int
    freed_bytes: int
    reason: str


REPAIR = Message(
    "repair",
    0x22,
    CHUNK_NAME,
    Record(Repaired, ("removed", U32), ("freed_bytes", U64), ("reason", STRING)),
)


class BackupRequest(NamedTuple):
    """Has the daemon copy its store to a directory of its machine."""

    directory: str


class BackupAnswer(NamedTuple):
    """What was copied, and the moment that it is a copy of."""

    shards: int
    bytes: int
    created_seconds: int


class BackupProgress(NamedTuple):
    """How far a backup is."""

    copied_bytes: int
    total_bytes: int


BACKUP = Message(
    "backup",
    0x23,
    Record(BackupRequest, ("directory", STRING)),
    Record(BackupAnswer, ("shards", U32), ("bytes", U64), ("created_seconds", U64)),
)
#: Comes before the answer to a ``backup``.
BACKUP_PROGRESS = Record(BackupProgress, ("copied_bytes", U64), ("total_bytes", U64))
