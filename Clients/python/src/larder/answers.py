"""What the daemon answers, as values. All are immutable; offsets and lengths count tokens, times are seconds since
1970."""

from __future__ import annotations

from typing import NamedTuple

from .model import Model
from .wire.numbers import Admission, Encoding, EvictionRule, HintBound, HintOutcome, MissCause, RateOrigin, Sharing


class Limits(NamedTuple):
    """What the handshake agreed on."""

    frame_bytes: int
    """Most bytes of a frame after its header, either way."""
    batch_items: int
    """Most items of one request; longer batches are cut into several."""
    requests_in_flight: int
    """Most puts of a connection that wait for their answer."""


class ChunkName(NamedTuple):
    """Which chunk."""

    session: int
    rank: int
    component: int
    offset: int
    """Tokens before the chunk; for a recurrent state, the offset at which it is valid."""


class ChunkSummary(NamedTuple):
    """A stored chunk."""

    session: int
    rank: int
    component: int
    offset: int
    tokens: int
    """Tokens; 0 for a recurrent state."""
    raw_bytes: int
    """Bytes that a page-in of the whole chunk returns."""
    stored_bytes: int
    """Bytes in the store."""
    encoding: Encoding
    """The stored encoding of most of it."""
    created_seconds: int


class Reach(NamedTuple):
    """How far one component alone can be restored."""

    rank: int
    component: int
    offset: int


class Resume(NamedTuple):
    """How far a session can be restored, and what to load for it."""

    offset: int
    """The resume point; 0 if nothing can be restored, which is no failure."""
    complete: bool
    """False if more chunks are needed than one answer names; ``Session.chunks`` has them all."""
    raw_bytes: int
    """Raw bytes to load."""
    load_us: int
    """What loading them takes, in microseconds, as page-ins went lately."""
    cheapest_offset: int
    """The resume point with which loading and computing the rest take least together."""
    prefill_rate: int
    """Tokens a second that this was worked out with; 0 if nobody knows."""
    reaches: list[Reach]
    """How far each component alone reaches, whatever was asked for at most."""
    chunks: list[ChunkSummary]
    """What to load, by offset, rank and component. Kept from eviction for 30 seconds."""


class TrackExplanation(NamedTuple):
    """What keeps one component from the offset in question."""

    rank: int
    component: int
    reach: int
    """How far this component alone can be restored."""
    cause: MissCause
    missing_start: int
    """The first tokens that are missing, from here ..."""
    missing_end: int
    """... to here; equal for a recurrent state, which is missing at that offset."""
    rule: EvictionRule | None
    """Why it was evicted, if it was."""
    evicted_seconds: int


class Explanation(NamedTuple):
    """Why a session can be restored as far as it can."""

    at: int
    """The offset in question."""
    end: int
    """Where the last stored chunk ends."""
    offset: int
    """The resume point up to ``at``."""
    missing_ranks: list[int]
    """Ranks that have not opened the session: until they have, nothing can be restored."""
    model_difference: str
    """In what field the model that was asked about differs from the session's, for people; empty if none does."""
    tracks: list[TrackExplanation]
    """One for each component of each rank."""


class HintResult(NamedTuple):
    """What was made of a hint."""

    outcome: HintOutcome
    bound: HintBound
    """What kept it from being done as asked."""
    start: int
    """What it holds for: tokens from here (or so many keys from 0) ..."""
    end: int
    """... to here, which is not in it."""
    seconds: int
    """For how long; 0 where that means nothing."""
    reason: str
    """One sentence for people; empty if nothing bound it."""


class Policy(NamedTuple):
    """The policy of a namespace."""

    sharing: Sharing
    has_salt: bool
    ttl_seconds: int
    """Time since a session's last use after which its state expires; 0 for never."""
    min_bytes: int
    """Stored bytes that it keeps whatever others need; 0 for none."""
    max_bytes: int
    """The most stored bytes; 0 for no limit."""
    max_sessions: int
    """The most sessions; 0 for no limit."""
    admission: Admission


class NamespaceSummary(NamedTuple):
    """A namespace that this user may use."""

    id: int
    name: str
    owner_user_id: int
    sessions: int
    policy: Policy


class ModelSummary(NamedTuple):
    """A model of the store."""

    id: int
    fingerprint: bytes
    model: Model


class SessionModel(NamedTuple):
    """A rank that opened a session, and with which model."""

    rank: int
    model_id: int


class SessionSummary(NamedTuple):
    """A session that this user may see."""

    session: int
    """Its id."""
    namespace: str
    name: str
    owner_user_id: int
    models: list[SessionModel]
    chunks: int
    """Chunks that no other session sees: what a drop would free."""
    raw_bytes: int
    stored_bytes: int
    created_seconds: int
    changed_seconds: int
    ttl_seconds: int
    """Its own time to live; 0 for what its namespace says."""


class Stat(NamedTuple):
    """Facts and counters of the daemon, by name. Later daemons may have more: ignore what you do not know."""

    facts: dict[str, str]
    counters: dict[str, int]


class DamagedChunk(NamedTuple):
    """A stored chunk whose checks failed. It is never served."""

    chunk: ChunkName
    reason: str


class Verification(NamedTuple):
    """What one step of reading and checking stored chunks found."""

    checked: int
    """Chunks that were read."""
    raw_bytes: int
    """Raw bytes of those that are whole."""
    damaged: list[DamagedChunk]
    """Those that are not."""


class Cap(NamedTuple):
    """The store's cap in force."""

    cap_bytes: int
    """The most bytes that the store's files may take of the disk."""
    disk_bytes: int
    """What they take now."""


class ReportRow(NamedTuple):
    """What paging saved for one model in one namespace."""

    namespace: str
    model_id: int
    """Of a parallel group, the model of its lowest rank, for all of them."""
    stored_tokens: int
    restored_tokens: int
    not_recomputed_tokens: int
    """Distinct tokens that were paged in since a resume, up to its offset."""
    page_out_raw_bytes: int
    page_out_stored_bytes: int
    page_in_raw_bytes: int
    page_in_stored_bytes: int
    prefill_rate: int
    """Tokens a second; 0 if nobody knows."""
    rate_origin: RateOrigin
    prefill_avoided_ms: int
    """``not_recomputed_tokens`` at that rate."""


class Report(NamedTuple):
    """What paging has saved."""

    start: int
    """Seconds since 1970 of what was counted first."""
    end: int
    """And where it ends."""
    gpu_hour_price: int
    """What a GPU-hour costs, in millionths of the operator's currency; 0 if the daemon was not told."""
    rows: list[ReportRow]
