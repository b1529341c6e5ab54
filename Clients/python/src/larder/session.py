"""A named line of tokens, and what can be done with its state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .answers import ChunkName, ChunkSummary, Explanation, HintResult, Report, Resume
from .buffers import BytesLike
from .chunks import PageIn, PageOut
from .errors import LarderError, Miss, ProtocolViolation, TooLarge
from .hints import Hint
from .model import DeclaredModel
from .wire import numbers
from .wire.listings import LIST_CHUNKS
from .wire.numbers import Acknowledgement, EncodingChoice, HintKind
from .wire.sessions import (
    CONFIGURE_SESSION,
    DROP,
    EXPLAIN,
    FORK,
    PLAN_SNAPSHOTS,
    RESUME,
    TRUNCATE,
    ExplainRequest,
    ForkRequest,
    OffsetRequest,
    PlanRequest,
    ResumeRequest,
    SessionOnly,
    TimeToLive,
)

if TYPE_CHECKING:
    from .arena import ArenaSlice
    from .client import Client

#: A time to live that never ends.
NEVER = 2**32 - 1


class Session:
    """A session of a namespace, opened with one rank's model. Made by ``Client.open_session`` and ``fork``.

    Every method raises ``UnknownSession`` once the session was dropped, and what ends a connection (``ConnectionLost``,
    ``ProtocolViolation``).

    Attributes:
        client: the client that opened it.
        id: its id, never used again.
        created: True if it was new.
        namespace: the namespace's name.
        name: its name.
        model: the model that it was opened with.
        rank: that model's rank.
    """

    __slots__ = ("client", "id", "created", "namespace", "name", "model", "rank")

    def __init__(self, client: Client, id: int, created: bool, namespace: str, name: str, model: DeclaredModel) -> None:
        self.client = client
        self.id = id
        self.created = created
        self.namespace = namespace
        self.name = name
        self.model = model
        self.rank = model.model.rank

    def __repr__(self) -> str:
        return f"Session({self.id}: {self.namespace!r} {self.name!r})"

    # Paging.

    def put(
        self,
        offset: int,
        tokens: int,
        data: BytesLike | ArenaSlice | None,
        *,
        component: int = 0,
        rank: int | None = None,
        prefix_key: bytes | None = None,
        acknowledgement: Acknowledgement = "committed",
        encoding: EncodingChoice = "auto",
    ) -> int:
        """Pages out one chunk and returns the bytes that it takes in the store (0 at ``accepted``).

        Its arguments are those of ``PageOut`` and ``Client.put_from``. Raises the chunk's error: ``WrongLength``,
        ``Conflict``, ``Overlap``, ``Unaligned``, ``Full``, ``Busy``, ``Declined``, ``Miss`` for a key that names
        nothing.
        """
        item = PageOut(self, offset, tokens, data, component, rank, prefix_key)
        return _one(self.client.put_from([item], acknowledgement=acknowledgement, encoding=encoding))

    def get(
        self, offset: int, *, component: int = 0, rank: int | None = None, first_layer: int = 0, layers: int = 0
    ) -> bytes:
        """Pages in one chunk, or ``layers`` layers of it from ``first_layer`` on (0 for all).

        Raises ``Miss`` if nothing is stored at just that offset, ``Damaged`` if its checks fail.
        """
        item = PageIn(self, offset, bytearray(), component, rank, first_layer, layers)
        try:
            return self.client._pager.get_bytes(item)
        except TooLarge:
            # Above what a frame carries: through an arena, with room for the whole chunk.
            into = bytearray(self._raw_bytes(offset, component, self.rank if rank is None else rank))
            item.into = into
            return bytes(memoryview(into)[: _one(self.client.get_into([item]))])

    def get_into(
        self,
        offset: int,
        into: BytesLike | ArenaSlice,
        *,
        component: int = 0,
        rank: int | None = None,
        first_layer: int = 0,
        layers: int = 0,
    ) -> int:
        """Pages in one chunk to ``into`` and returns the bytes that were written. Raises as ``get``, and
        ``WrongLength``."""
        return _one(self.client.get_into([PageIn(self, offset, into, component, rank, first_layer, layers)]))

    def _raw_bytes(self, offset: int, component: int, rank: int) -> int:
        page = self.client._ask(LIST_CHUNKS, ChunkName(self.id, rank, component, offset)).chunks
        if not page or (page[0].rank, page[0].component, page[0].offset) != (rank, component, offset):
            raise Miss(f"nothing is stored at {offset}")
        if page[0].raw_bytes > numbers.CHUNK_BYTES:
            raise ProtocolViolation(f"a chunk of {page[0].raw_bytes} bytes")
        return page[0].raw_bytes

    # What is there.

    def resume(self, at_most: int | None = None, prefill_rate: int = 0) -> Resume:
        """How far the session can be restored, and what to load for it, which is kept from eviction for 30 seconds.

        Args:
            at_most: the largest offset of use, say the length of the matching prefix; None for no bound.
            prefill_rate: tokens that the worker computes in a second of prefill; 0 if it does not know.
        """
        bound = _bound(at_most)
        resume = self.client._ask(RESUME, ResumeRequest(self.id, bound, prefill_rate))
        if not resume.cheapest_offset <= resume.offset <= bound:
            raise self.client._violated(f"a resume point of {resume.offset}, cheapest {resume.cheapest_offset}")
        if any(one.session != self.id for one in resume.chunks):
            raise self.client._violated("a resume that names another session's chunks")
        return resume

    def explain(self, at_most: int | None = None, model: DeclaredModel | None = None) -> Explanation:
        """Why the session can be restored as far as it can.

        Args:
            at_most: the offset in question; None for the session's end.
            model: a model that a worker would resume with, to be compared with the session's.
        """
        model_id = self.client._known(model) if model else 0
        return self.client._ask(EXPLAIN, ExplainRequest(self.id, _bound(at_most), model_id))

    def plan_snapshots(
        self, length: int, resumed_at: int, boundary: int, stride: int = 0, budget: int = 0
    ) -> list[int]:
        """The offsets, rising, at which recurrent states are worth their bytes; empty for a model without them.

        Args:
            length: tokens that the session will have.
            resumed_at: where the worker begins to compute.
            boundary: tokens from one place where it can save a state to the next; at least 1.
            stride: tokens from one regular state to the next; 0 for none.
            budget: most states; 0 for 4,096.
        """
        request = PlanRequest(self.id, length, resumed_at, boundary, stride, budget)
        offsets = self.client._ask(PLAN_SNAPSHOTS, request).offsets
        if offsets and (offsets[0] <= resumed_at or offsets[-1] > length or sorted(set(offsets)) != offsets):
            raise self.client._violated(f"a plan of snapshots that does not rise from {resumed_at} to {length}")
        return offsets

    def chunks(self) -> Iterator[ChunkSummary]:
        """Its chunks, in order of rank, component and offset. Asked for in pages, which are not one snapshot."""
        start = ChunkName(self.id, 0, 0, 0)
        while True:
            page = self.client._ask(LIST_CHUNKS, start).chunks
            for one in page:
                if one.session != self.id or one[:4] < start:
                    raise self.client._violated(f"chunk {one[:4]} where those from {tuple(start)} on were to come")
                yield one
                start = ChunkName(one.session, one.rank, one.component, one.offset + 1)
            if len(page) < numbers.PAGE_ENTRIES:
                return

    def report(self) -> Report:
        """What paging has saved this session since the daemon's start."""
        return self.client._report(self.id, 0, 0, "", 0)

    # What becomes of it.

    def fork(self, offset: int, name: str) -> Session:
        """A new session of that name that shares this one's state up to ``offset``, at once and without a copy.

        Raises ``Exists`` if the name is taken, ``InvalidArgument`` for an offset beyond the end.
        """
        made = self.client._ask(FORK, ForkRequest(self.id, offset, name))
        return Session(self.client, made.session, made.created, self.namespace, name, self.model)

    def truncate(self, offset: int) -> None:
        """Forgets every chunk that reaches beyond ``offset``, of all ranks, at once."""
        self.client._ask(TRUNCATE, OffsetRequest(self.id, offset))

    def drop(self) -> None:
        """Forgets the session; its id is unknown from then on."""
        self.client._ask(DROP, SessionOnly(self.id))

    def configure(self, *, ttl_seconds: int) -> None:
        """Sets its own time to live, in place of its namespace's: 0 for what that says, ``larder.NEVER`` for never."""
        self.client._ask(CONFIGURE_SESSION, TimeToLive(self.id, ttl_seconds))

    # Hints.

    def retain(self, seconds: int, *, priority: int = 0, start: int = 0, end: int | None = None) -> HintResult:
        """Asks to keep tokens ``start..<end`` rather than other state, for up to 86,400 seconds; 0 ends it."""
        return self._hint("retain", start, end, priority=priority, seconds=seconds)

    def pin(self, seconds: int, *, start: int = 0, end: int | None = None) -> HintResult:
        """Keeps tokens ``start..<end`` whatever else goes, for up to 3,600 seconds or until the client closes; 0 ends
        it."""
        return self._hint("pin", start, end, seconds=seconds)

    def prefetch(self, at_most: int | None = None, *, start: int = 0) -> HintResult:
        """Has what a resume at ``at_most`` would load, from ``start`` on, brought into memory in the background."""
        return self._hint("prefetch", start, at_most)

    def demote(self, *, start: int = 0, end: int | None = None) -> HintResult:
        """Lets tokens ``start..<end`` go before other state, until they are used again."""
        return self._hint("demote", start, end)

    def share(
        self,
        keys: Sequence[bytes],
        *,
        start: int = 0,
        end: int | None = None,
        component: int = 0,
        rank: int | None = None,
    ) -> HintResult:
        """Names the stored chunks of a component, one after another from ``start`` on, by a prefix key each."""
        return self.client.hint([Hint.of_track(self, keys, start, end, component=component, rank=rank)])[0]

    def _hint(self, kind: HintKind, start: int, end: int | None, *, priority: int = 0, seconds: int = 0) -> HintResult:
        return self.client.hint([Hint.of_tokens(kind, self, start, end, priority=priority, seconds=seconds)])[0]


def _bound(at_most: int | None) -> int:
    return numbers.NO_BOUND if at_most is None else at_most


def _one(results: list[int | LarderError]) -> int:
    """The only result; raises it if it is an error."""
    (result,) = results
    if isinstance(result, LarderError):
        raise result
    return result
