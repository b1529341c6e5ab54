"""A connection to the daemon, and all that can be asked over it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from .answers import (
    Cap,
    ChunkName,
    HintResult,
    Limits,
    ModelSummary,
    NamespaceSummary,
    Policy,
    Report,
    ReportRow,
    SessionSummary,
    Stat,
    Verification,
)
from .arena import Arena, open_arena, register_arena
from .chunks import PageIn, PageOut
from .errors import LarderError, ProtocolViolation, UnknownModel, UnknownSession
from .hints import Hint
from .model import DeclaredModel, Model
from .paging import Pager
from .session import Session
from .transport import Transport
from .wire import numbers
from .wire.listings import (
    LIST_MODELS,
    LIST_NAMESPACES,
    LIST_SESSIONS,
    REPORT,
    STAT,
    SYNC,
    VERIFY,
    After,
    ReportRequest,
    SessionsRequest,
)
from .wire.message import HELLO, Hello, Message, Nothing, Welcome
from .wire.numbers import Acknowledgement, Admission, EncodingChoice, Sharing
from .wire.policies import CONFIGURE_NAMESPACE, HINTS, SET_CAP, CapRequest, HintRequest, NamespaceRequest
from .wire.policy import PolicyChange
from .wire.sessions import (
    DECLARE_MODEL,
    MATCH,
    OPEN_SESSION,
    SET_PREFILL_RATE,
    MatchRequest,
    ModelRequest,
    RateRequest,
    SessionRequest,
)

Q = TypeVar("Q")
A = TypeVar("A")
E = TypeVar("E", ModelSummary, NamespaceSummary)

#: Where the daemon listens if nothing else is said.
DEFAULT_SOCKET = "/run/larder/larder.sock"
#: The longest timeout in seconds: what is meant as none.
TIMEOUT_SECONDS = 1e9


def connect(path: str | os.PathLike[str] | None = None, *, name: str = "python", timeout: float = 30.0) -> Client:
    """Connects to the daemon.

    Args:
        path: its data socket; None for ``$LARDER_SOCKET``, else ``/run/larder/larder.sock``.
        name: this client's name, for the daemon's log; 1 to 255 bytes.
        timeout: longest wait in seconds for the daemon to answer or to take a request. After it the client is closed.

    Raises ``ConnectionFailed``, which names the path and what to do; ``TooManyConnections``, ``ProtocolVersion`` and
    the other refusals of a handshake; ``ProtocolViolation`` if what listens there is no Larder.
    """
    if not 0 < timeout <= TIMEOUT_SECONDS:
        raise ValueError(f"a timeout of {timeout} seconds")
    where = os.fspath(path) if path is not None else os.environ.get("LARDER_SOCKET") or DEFAULT_SOCKET
    transport = Transport(where, timeout)
    try:
        return Client(transport, transport.ask(HELLO, Hello(numbers.VERSION, numbers.VERSION, numbers.ARENAS, name)))
    except BaseException:
        transport.close()
        raise


class Client:
    """A connection. Made by ``connect``; a context manager.

    Several threads may use one: calls are taken one after another. For parallel work give each thread its own. After
    the process forks, the child can use none of its parent's clients: each call raises ``ConnectionLost``.

    Every method raises ``ConnectionLost`` if the daemon is gone or does not answer within the timeout, and
    ``ProtocolViolation`` if it says what it must not; the client is closed then. Other refusals leave it as it was.

    Attributes:
        limits: what the handshake agreed on.
        store_id: the store's identity: 32 hexadecimal digits. If it is another than before, so are all ids.
        server_name: name and version of the daemon.
        has_arenas: True if the daemon shares memory.
    """

    def __init__(self, transport: Transport, welcome: Welcome) -> None:
        self._transport = transport
        self.limits = _agreed(welcome)
        transport.frame_bytes = self.limits.frame_bytes
        self.store_id = transport.store_id = f"{welcome.store_id_high:016x}{welcome.store_id_low:016x}"
        self.server_name = welcome.server_name
        self.has_arenas = bool(welcome.features & numbers.ARENAS)
        self._pager = Pager(transport, self.limits.batch_items, self.limits.requests_in_flight, self.has_arenas)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection: arenas and pins end with it. Waits for a call of another thread. Repeating it is
        fine."""
        self._transport.close_between()

    @property
    def is_open(self) -> bool:
        """False once nothing can be asked any more; then connect anew."""
        return self._transport.is_open

    def _ask(self, message: Message[Q, A], request: Q) -> A:
        return self._transport.ask(message, request)

    def _violated(self, what: str) -> ProtocolViolation:
        """Closes the client and returns why, to be raised."""
        error = ProtocolViolation(what)
        self._transport.close_between(str(error))
        return error

    def _known(self, declared: DeclaredModel) -> int:
        """A model's id. Raises ``UnknownModel`` if it is another store's: there it is another model's."""
        if declared.store_id not in ("", self.store_id):
            raise UnknownModel(f"model {declared.id} was declared to store {declared.store_id}, not to {self.store_id}")
        return declared.id

    # Models and sessions.

    def declare_model(self, model: Model) -> DeclaredModel:
        """Has the store know a model; equal ones get one id. Raises ``InvalidModel``."""
        declared = self._ask(DECLARE_MODEL, ModelRequest(model))
        return DeclaredModel(declared.model_id, declared.fingerprint, model, self.store_id)

    def open_session(self, namespace: str, name: str, declared: DeclaredModel, create: bool = True) -> Session:
        """Opens a session, or creates it. A new namespace belongs to this user from then on.

        Raises ``ModelMismatch`` if the session's state belongs to another model (the message names the field),
        ``UnknownSession`` if there is none and ``create`` is False, ``Forbidden`` in another user's namespace.
        """
        opened = self._ask(OPEN_SESSION, SessionRequest(namespace, name, self._known(declared), create))
        return Session(self, opened.session, opened.created, namespace, name, declared)

    def match(self, namespace: str, declared: DeclaredModel, keys: Sequence[bytes], *, component: int = 0) -> int:
        """How many of ``keys``, from the first on, name stored chunks of a component. Promises nothing for later."""
        step = self.limits.batch_items
        matched = 0
        for start in range(0, len(keys), step):
            part = list(keys[start : start + step])
            found = self._ask(MATCH, MatchRequest(namespace, self._known(declared), component, part)).matched
            if found > len(part):
                raise self._violated(f"it matched {found} of {len(part)} keys")
            matched += found
            if found < len(part):
                break
        return matched

    # Paging.

    def put_from(
        self,
        items: Iterable[PageOut],
        *,
        acknowledgement: Acknowledgement = "committed",
        encoding: EncodingChoice = "auto",
    ) -> list[int | LarderError]:
        """Pages out a batch: for each item the bytes that it takes in the store, or its error, in order.

        Args:
            items: any number; they are cut into frames, some of which are under way at once.
            acknowledgement: answered when the daemon holds a copy (``accepted``; then results are 0, and faults of the
                commit are only in its log), when readers see it (``committed``), when it survives power loss
                (``durable``).
            encoding: ``auto``, ``raw``, ``lz4`` or ``cascade``.

        Raises ``TypeError`` and ``ValueError`` for what cannot be sent, before anything is.
        """
        return self._pager.put(items, acknowledgement, encoding)

    def get_into(
        self, items: Iterable[PageIn], *, layer_group: int = 0, on_progress: Callable[[int], object] | None = None
    ) -> list[int | LarderError]:
        """Pages in a batch: for each item the bytes that were written, or its error (``Miss``, ``Damaged``), in order.

        Args:
            items: any number; they are cut into frames. No two may share bytes of their destinations. The destination
                of an item with an error is undefined.
            layer_group: with ``on_progress``: to be told after so many layers.
            on_progress: is told that the first so many layers of every item are in place. Only for arena slices, and
                for no more than ``limits.batch_items`` of them. It may not use this client.

        Raises ``TypeError`` and ``ValueError`` for what cannot be asked, before anything is.
        """
        batch = items if isinstance(items, list) else list(items)
        if on_progress is None:
            return self._pager.get(batch)
        if layer_group < 1:
            raise ValueError("on_progress needs a layer_group of 1 or more")
        return self._pager.get_with_progress(batch, layer_group, on_progress)

    def open_arena(self, byte_count: int) -> Arena:
        """Shared memory that the daemon makes. Raises ``Busy`` if it has none left for this user, or if this process
        cannot map it."""
        if byte_count < 1:
            raise ValueError(f"an arena of {byte_count} bytes")
        with self._transport.turn, self._transport:
            return open_arena(self._transport, byte_count)

    def register_arena(self, fd: int, byte_count: int) -> Arena:
        """Shared memory of the caller's own: a memfd of ``byte_count`` bytes, sealed as ``larder.sealed_memfd``
        does."""
        with self._transport.turn, self._transport:
            return register_arena(self._transport, fd, byte_count)

    # Hints and policies.

    def hint(self, hints: Iterable[Hint]) -> list[HintResult]:
        """Tells what is to come of state; one result a hint, in order. At most ``limits.batch_items`` of them: a later
        call's retention or pin of a session takes the place of an earlier call's."""
        given = [one.on_wire() for one in hints]
        results = self._ask(HINTS, HintRequest(given)).results
        if len(results) != len(given):
            raise self._violated(f"it gave {len(results)} results for {len(given)} hints")
        return results

    def namespace_policy(self, name: str) -> Policy:
        """The policy of a namespace. Raises ``UnknownSession`` if there is none of that name."""
        return self._ask(CONFIGURE_NAMESPACE, NamespaceRequest(name, PolicyChange()))

    def configure_namespace(
        self,
        name: str,
        *,
        sharing: Sharing | None = None,
        salt: bytes | None = None,
        ttl_seconds: int | None = None,
        min_bytes: int | None = None,
        max_bytes: int | None = None,
        max_sessions: int | None = None,
        admission: Admission | None = None,
    ) -> Policy:
        """Changes what is given of a namespace's policy, and returns the one in force.

        The owner may set ``sharing``, ``salt`` (up to 32 random bytes; empty for none) and ``ttl_seconds`` (0 for
        never); the operator all. Else ``Forbidden``.
        """
        change = PolicyChange(sharing, salt, ttl_seconds, min_bytes, max_bytes, max_sessions, admission)
        return self._ask(CONFIGURE_NAMESPACE, NamespaceRequest(name, change))

    def set_prefill_rate(self, declared: DeclaredModel, rate: int) -> None:
        """Says how many tokens a second a model's workers compute, a parallel group as one; 0 forgets it."""
        self._ask(SET_PREFILL_RATE, RateRequest(self._known(declared), rate))

    def set_cap(self, cap_bytes: int) -> Cap:
        """Changes the store's cap until the daemon is restarted. For the operator; else ``Forbidden``."""
        return self._ask(SET_CAP, CapRequest(cap_bytes))

    # Questions.

    def stat(self) -> Stat:
        """Facts and counters of the daemon."""
        answer = self._ask(STAT, Nothing())
        return Stat({one.name: one.value for one in answer.facts}, {one.name: one.value for one in answer.counters})

    def sync(self) -> None:
        """Returns when all that was committed before survives power loss."""
        self._ask(SYNC, Nothing())

    def verify(self, session: Session | None = None) -> Iterator[Verification]:
        """Has the daemon read and check a session's chunks, or those of all sessions that this user may see.

        Yields what was found, step by step. A session that is dropped meanwhile is left out, unless it was named.
        """
        if session is not None:
            yield from self._verify(session.id)
            return
        for one in self.list_sessions():
            try:
                yield from self._verify(one.session)
            except UnknownSession:
                continue

    def _verify(self, session: int) -> Iterator[Verification]:
        start: ChunkName | None = ChunkName(session, 0, 0, 0)
        while start is not None:
            page = self._ask(VERIFY, start)
            if page.next is not None and (page.next <= start or page.next.session != session):
                raise self._violated("its check of chunks does not go on")
            yield Verification(page.checked, page.raw_bytes, page.damaged)
            start = page.next

    def list_models(self) -> Iterator[ModelSummary]:
        """The models of the store, in order of id."""
        return self._listed(LIST_MODELS, lambda page: page.models)

    def list_namespaces(self) -> Iterator[NamespaceSummary]:
        """The namespaces that this user may use, in order of id."""
        return self._listed(LIST_NAMESPACES, lambda page: page.namespaces)

    def _listed(self, message: Message[After, A], entries_of: Callable[[A], list[E]]) -> Iterator[E]:
        """The entries of all pages of a listing that goes on from an entry's id."""
        after = 0
        while True:
            page = entries_of(self._ask(message, After(after)))
            for one in page:
                after = self._rising(one.id, after)
                yield one
            if len(page) < numbers.PAGE_ENTRIES:
                return

    def list_sessions(self, namespace: str = "") -> Iterator[SessionSummary]:
        """The sessions that this user may see, in order of id; of one namespace if it is named."""
        after = 0
        while True:
            page = self._ask(LIST_SESSIONS, SessionsRequest(namespace, after))
            yield from page.sessions
            if page.next == 0:
                return
            if not page.sessions:
                raise self._violated("it has more sessions, but names none")
            after = self._rising(page.next, after)

    def report(
        self, *, start: int = 0, end: int = 0, namespace: str = "", declared: DeclaredModel | None = None
    ) -> Report:
        """What paging has saved, by namespace and model, in the whole hours from ``start`` to ``end``.

        Args:
            start: seconds since 1970; 0 for all from the beginning.
            end: seconds since 1970, the first that does not count; 0 for no end.
            namespace: one namespace; empty for all that this user may see.
            declared: one model; None for all.
        """
        return self._report(0, start, end, namespace, self._known(declared) if declared else 0)

    def _report(self, session: int, start: int, end: int, namespace: str, model_id: int) -> Report:
        rows: list[ReportRow] = []
        after = 0
        while True:
            page = self._ask(REPORT, ReportRequest(session, start, end, namespace, model_id, after))
            rows += page.rows
            if page.next == 0:
                return Report(page.start, page.end, page.gpu_hour_price, rows)
            if not page.rows or len(rows) > numbers.REPORT_ROWS:
                raise self._violated(f"a report goes on after {len(rows)} rows")
            after = self._rising(page.next, after)

    def _rising(self, number: int, after: int) -> int:
        """Checks that a listing goes on: a peer cannot have a client ask for ever."""
        if number <= after:
            raise self._violated(f"a listing goes from {after} to {number}")
        return number


def _agreed(welcome: Welcome) -> Limits:
    """What the handshake agreed on, within what this client does."""
    if welcome.version != numbers.VERSION:
        raise ProtocolViolation(f"version {welcome.version} of the protocol, which was not offered")
    if welcome.features & ~numbers.ARENAS:
        raise ProtocolViolation(f"features {welcome.features:#x}, which were not offered")
    if welcome.frame_bytes < numbers.FRAME_BYTES_LEAST or not welcome.batch_items or not welcome.requests_in_flight:
        raise ProtocolViolation(f"limits that nothing can be done with: {welcome}")
    return Limits(
        min(welcome.frame_bytes, numbers.FRAME_BYTES),
        min(welcome.batch_items, numbers.BATCH_ITEMS),
        welcome.requests_in_flight,
    )
