"""Messages about models and sessions."""

from __future__ import annotations

from typing import NamedTuple

from .. import answers
from ..model import Model
from . import numbers
from .codec import FLAG, HASH, STRING, U16, U32, U64, ListOf, Record
from .message import NOTHING, Message, batch_of
from .structures import CHUNK_SUMMARY, EVICTION_RULE, MISS_CAUSE, MODEL


class ModelRequest(NamedTuple):
    """Declares a model."""

    declaration: Model


class ModelDeclared(NamedTuple):
    """Its number and fingerprint."""

    model_id: int
    fingerprint: bytes


DECLARE_MODEL = Message(
    "declare_model",
    0x02,
    Record(ModelRequest, ("declaration", MODEL)),
    Record(ModelDeclared, ("model_id", U32), ("fingerprint", HASH)),
)


class SessionRequest(NamedTuple):
    """Opens a session."""

    namespace: str
    name: str
    model_id: int
    create: bool


class SessionOpened(NamedTuple):
    """Its id, and whether it is new."""

    session: int
    created: bool


SESSION_OPENED = Record(SessionOpened, ("session", U64), ("created", FLAG))
OPEN_SESSION = Message(
    "open_session",
    0x03,
    Record(SessionRequest, ("namespace", STRING), ("name", STRING), ("model_id", U32), ("create", FLAG)),
    SESSION_OPENED,
)


class ResumeRequest(NamedTuple):
    """How far can a session be restored?"""

    session: int
    at_most: int
    prefill_rate: int


RESUME = Message(
    "resume",
    0x06,
    Record(ResumeRequest, ("session", U64), ("at_most", U64), ("prefill_rate", U32)),
    Record(
        answers.Resume,
        ("offset", U64),
        ("complete", FLAG),
        ("raw_bytes", U64),
        ("load_us", U64),
        ("cheapest_offset", U64),
        ("prefill_rate", U32),
        (
            "reaches",
            ListOf(Record(answers.Reach, ("rank", U16), ("component", U16), ("offset", U64)), numbers.RESUME_REACHES),
        ),
        ("chunks", ListOf(CHUNK_SUMMARY, numbers.RESUME_CHUNKS)),
    ),
)


class OffsetRequest(NamedTuple):
    """A session and an offset of it."""

    session: int
    offset: int


class SessionOnly(NamedTuple):
    """A session."""

    session: int


TRUNCATE = Message("truncate", 0x07, Record(OffsetRequest, ("session", U64), ("offset", U64)), NOTHING)
DROP = Message("drop", 0x08, Record(SessionOnly, ("session", U64)), NOTHING)


class ForkRequest(NamedTuple):
    """Makes a session that shares another's past."""

    session: int
    offset: int
    name: str


FORK = Message("fork", 0x14, Record(ForkRequest, ("session", U64), ("offset", U64), ("name", STRING)), SESSION_OPENED)


class ExplainRequest(NamedTuple):
    """Why can a session be restored as far as it can?"""

    session: int
    at_most: int
    model_id: int


EXPLAIN = Message(
    "explain",
    0x15,
    Record(ExplainRequest, ("session", U64), ("at_most", U64), ("model_id", U32)),
    Record(
        answers.Explanation,
        ("at", U64),
        ("end", U64),
        ("offset", U64),
        ("missing_ranks", ListOf(U16, numbers.GROUP_SIZE)),
        ("model_difference", STRING),
        (
            "tracks",
            ListOf(
                Record(
                    answers.TrackExplanation,
                    ("rank", U16),
                    ("component", U16),
                    ("reach", U64),
                    ("cause", MISS_CAUSE),
                    ("missing_start", U64),
                    ("missing_end", U64),
                    ("rule", EVICTION_RULE),
                    ("evicted_seconds", U64),
                ),
                numbers.RESUME_REACHES,
            ),
        ),
    ),
)


class MatchRequest(NamedTuple):
    """How many of these keys are known?"""

    namespace: str
    model_id: int
    component: int
    keys: list[bytes]


class Matched(NamedTuple):
    """So many, from the first on."""

    matched: int


MATCH = Message(
    "match",
    0x16,
    Record(MatchRequest, ("namespace", STRING), ("model_id", U32), ("component", U16), ("keys", batch_of(HASH))),
    Record(Matched, ("matched", U32)),
)


class PlanRequest(NamedTuple):
    """Where should recurrent states be saved?"""

    session: int
    length: int
    resumed_at: int
    boundary: int
    stride: int
    budget: int


class Plan(NamedTuple):
    """The offsets, rising."""

    offsets: list[int]


PLAN_SNAPSHOTS = Message(
    "plan_snapshots",
    0x17,
    Record(
        PlanRequest,
        ("session", U64),
        ("length", U64),
        ("resumed_at", U64),
        ("boundary", U32),
        ("stride", U32),
        ("budget", U32),
    ),
    Record(Plan, ("offsets", ListOf(U64, numbers.SNAPSHOTS))),
)


class TimeToLive(NamedTuple):
    """A session's own time to live."""

    session: int
    ttl_seconds: int


CONFIGURE_SESSION = Message(
    "configure_session", 0x1A, Record(TimeToLive, ("session", U64), ("ttl_seconds", U32)), NOTHING
)


class RateRequest(NamedTuple):
    """How fast a model's workers compute."""

    model_id: int
    prefill_rate: int


SET_PREFILL_RATE = Message(
    "set_prefill_rate", 0x1C, Record(RateRequest, ("model_id", U32), ("prefill_rate", U32)), NOTHING
)
