"""Messages that list what there is, check it, and count it."""

from __future__ import annotations

from typing import NamedTuple

from .. import answers
from . import numbers
from .codec import HASH, STRING, U16, U32, U64, ListOf, Maybe, Record
from .message import NOTHING, Message, page_of
from .structures import CHUNK_NAME, CHUNK_SUMMARY, MODEL, POLICY, RATE_ORIGIN


class After(NamedTuple):
    """The last id of the page before."""

    after: int


class Models(NamedTuple):
    """A page of models."""

    models: list[answers.ModelSummary]


LIST_MODELS = Message(
    "list_models",
    0x09,
    Record(After, ("after", U32)),
    Record(
        Models, ("models", page_of(Record(answers.ModelSummary, ("id", U32), ("fingerprint", HASH), ("model", MODEL))))
    ),
)


class SessionsRequest(NamedTuple):
    """Asks for a page of sessions."""

    namespace: str
    after: int


class Sessions(NamedTuple):
    """A page of sessions; ``next`` is 0 at the end."""

    next: int
    sessions: list[answers.SessionSummary]


LIST_SESSIONS = Message(
    "list_sessions",
    0x0A,
    Record(SessionsRequest, ("namespace", STRING), ("after", U64)),
    Record(
        Sessions,
        ("next", U64),
        (
            "sessions",
            page_of(
                Record(
                    answers.SessionSummary,
                    ("session", U64),
                    ("namespace", STRING),
                    ("name", STRING),
                    ("owner_user_id", U32),
                    (
                        "models",
                        ListOf(Record(answers.SessionModel, ("rank", U16), ("model_id", U32)), numbers.GROUP_SIZE),
                    ),
                    ("chunks", U64),
                    ("raw_bytes", U64),
                    ("stored_bytes", U64),
                    ("created_seconds", U64),
                    ("changed_seconds", U64),
                    ("ttl_seconds", U32),
                )
            ),
        ),
    ),
)


class Chunks(NamedTuple):
    """A page of chunks."""

    chunks: list[answers.ChunkSummary]


LIST_CHUNKS = Message("list_chunks", 0x0B, CHUNK_NAME, Record(Chunks, ("chunks", page_of(CHUNK_SUMMARY))))


class Namespaces(NamedTuple):
    """A page of namespaces."""

    namespaces: list[answers.NamespaceSummary]


LIST_NAMESPACES = Message(
    "list_namespaces",
    0x19,
    Record(After, ("after", U32)),
    Record(
        Namespaces,
        (
            "namespaces",
            page_of(
                Record(
                    answers.NamespaceSummary,
                    ("id", U32),
                    ("name", STRING),
                    ("owner_user_id", U32),
                    ("sessions", U64),
                    ("policy", POLICY),
                )
            ),
        ),
    ),
)


class Fact(NamedTuple):
    """A fact of the daemon."""

    name: str
    value: str


class Counter(NamedTuple):
    """A counter of the daemon."""

    name: str
    value: int


class StatAnswer(NamedTuple):
    """Facts and counters, in any order."""

    facts: list[Fact]
    counters: list[Counter]


STAT = Message(
    "stat",
    0x0C,
    NOTHING,
    Record(
        StatAnswer,
        ("facts", page_of(Record(Fact, ("name", STRING), ("value", STRING)))),
        ("counters", page_of(Record(Counter, ("name", STRING), ("value", U64)))),
    ),
)
SYNC = Message("sync", 0x0D, NOTHING, NOTHING)


class VerifyAnswer(NamedTuple):
    """What was checked, and where to go on."""

    checked: int
    raw_bytes: int
    damaged: list[answers.DamagedChunk]
    next: answers.ChunkName | None


VERIFY = Message(
    "verify",
    0x0E,
    CHUNK_NAME,
    Record(
        VerifyAnswer,
        ("checked", U64),
        ("raw_bytes", U64),
        ("damaged", page_of(Record(answers.DamagedChunk, ("chunk", CHUNK_NAME), ("reason", STRING)))),
        ("next", Maybe(CHUNK_NAME)),
    ),
)


class ReportRequest(NamedTuple):
    """What has paging saved?"""

    session: int
    start: int
    end: int
    namespace: str
    model_id: int
    after: int


class ReportAnswer(NamedTuple):
    """A page of a report."""

    start: int
    end: int
    gpu_hour_price: int
    next: int
    rows: list[answers.ReportRow]


REPORT = Message(
    "report",
    0x1B,
    Record(
        ReportRequest,
        ("session", U64),
        ("start", U64),
        ("end", U64),
        ("namespace", STRING),
        ("model_id", U32),
        ("after", U64),
    ),
    Record(
        ReportAnswer,
        ("start", U64),
        ("end", U64),
        ("gpu_hour_price", U64),
        ("next", U64),
        (
            "rows",
            page_of(
                Record(
                    answers.ReportRow,
                    ("namespace", STRING),
                    ("model_id", U32),
                    ("stored_tokens", U64),
                    ("restored_tokens", U64),
                    ("not_recomputed_tokens", U64),
                    ("page_out_raw_bytes", U64),
                    ("page_out_stored_bytes", U64),
                    ("page_in_raw_bytes", U64),
                    ("page_in_stored_bytes", U64),
                    ("prefill_rate", U32),
                    ("rate_origin", RATE_ORIGIN),
                    ("prefill_avoided_ms", U64),
                )
            ),
        ),
    ),
)
