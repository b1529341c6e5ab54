"""The journal of acknowledgements, kept outside the daemon: what each session must hold, may hold and must not hold.

A session's history is a list of steps, each with the time at which it was sent and at which it was acknowledged. A step
without an acknowledgement may have happened or not; so may an item that failed for a reason that leaves it open. The
daemon commits a session's steps in order, so what it holds after a crash is what the first j steps make, and perhaps a
part of the next, for some j: at least as many as were acknowledged well enough, at most as many as were sent.
"""

import threading
import time
from dataclasses import dataclass, field
from typing import NamedTuple

ACCEPTED, COMMITTED, DURABLE = 0, 1, 2
LEVELS = ("accepted", "committed", "durable")

Key = tuple[int, int]  # component, offset


class Held(NamedTuple):
    """A chunk at its place: how many tokens, and which content."""

    tokens: int
    content: int


@dataclass
class Step:
    """One change of one session that was asked for."""

    kind: str  # create, put, truncate, drop; none for one that was refused
    start_ns: int
    level: int = COMMITTED
    ack_ns: int | None = None
    # Of a put, what it stores; of a create, what a fork sees of its parent.
    holds: dict[Key, Held] = field(default_factory=dict)
    # What may be stored: items of a put that failed in a way that leaves it open, what a fork's parent had lost before.
    open: dict[Key, Held] = field(default_factory=dict)
    offset: int = 0
    # What a truncate found evicted: it may have taken along what was remembered of that.
    gone: set[Key] = field(default_factory=set)
    # True if the whole step was answered by a failure that leaves open whether it happened.
    is_open: bool = False


class Candidate:
    """What a session may look like: `must` hold, `may` hold, and whether it exists at all."""

    def __init__(self, exists: bool, must: dict[Key, Held]):
        self.exists = exists
        self.may_be_absent = not exists
        self.must = dict(must)
        self.may: dict[Key, set[Held]] = {}

    def _loosen(self, keys: list[Key]) -> None:
        for key in keys:
            self.may.setdefault(key, set()).add(self.must.pop(key))

    def apply(self, step: Step, certain: bool) -> None:
        """Takes a step in; one that is not certain widens what may be."""
        certain = certain and not step.is_open
        if step.kind == "create":
            self.exists = True
            self.may_be_absent = not certain
            self.must = dict(step.holds)
            self.may = {key: {held} for key, held in step.open.items()}
        elif step.kind == "put":
            for key, held in step.holds.items():
                if certain:
                    self.must[key] = held
                    self.may.pop(key, None)
                else:
                    self.may.setdefault(key, set()).add(held)
            for key, held in step.open.items():
                self.may.setdefault(key, set()).add(held)
        elif step.kind == "truncate":
            gone = [key for key, held in self.must.items() if key[1] + held.tokens > step.offset]
            if certain:
                for key in gone:
                    del self.must[key]
                self.may = {
                    key: kept for key, every in self.may.items()
                    if (kept := {held for held in every if key[1] + held.tokens <= step.offset})}
                self._loosen([key for key in step.gone if key in self.must])
            else:
                self._loosen(gone)
        elif step.kind == "none":
            return
        elif certain:
            self.exists, self.may_be_absent, self.must, self.may = False, True, {}, {}
        else:
            self.may_be_absent = True

    def differences(self, observed: dict[Key, Held] | None) -> tuple[list[Key], list[Key]]:
        """Chunks that are lost, and chunks that are phantoms; None stands for a session that is not there."""
        if observed is None:
            return ([] if self.may_be_absent else [*self.must, (-1, -1)]), []
        if not self.exists:
            return [], [*observed, (-1, -1)]
        lost = [key for key, held in self.must.items() if observed.get(key) != held]
        phantoms = [
            key for key, held in observed.items()
            if self.must.get(key) != held and held not in self.may.get(key, ())]
        return lost, phantoms


class History:
    """One session: what it was known to hold when it was last looked at, and what was asked of it since."""

    def __init__(self, namespace: str, name: str, root: int):
        self.namespace = namespace
        self.name = name
        # What its content follows from, where that is to equal another session's; see workload.py.
        self.root = root
        self.id: int | None = None
        self.base: dict[Key, Held] | None = None
        self.steps: list[Step] = []
        # What was pinned by a connection that is still open.
        self.pinned: dict[Key, Held] = {}

    def add(self, kind: str, **fields) -> Step:
        """Notes a step that is about to be sent."""
        step = Step(kind, time.monotonic_ns(), **fields)
        self.steps.append(step)
        return step

    def candidate(self, certain: int) -> Candidate:
        """What may be if exactly the first `certain` steps happened, and perhaps a part of the next."""
        candidate = Candidate(self.base is not None, self.base or {})
        for step in self.steps[:certain]:
            candidate.apply(step, certain=True)
        if certain < len(self.steps):
            candidate.apply(self.steps[certain], certain=False)
        return candidate

    def _now(self) -> Candidate:
        candidate = Candidate(self.base is not None, self.base or {})
        for step in self.steps:
            candidate.apply(step, certain=True)
        return candidate

    def now(self, at_most: bool = False) -> dict[Key, Held]:
        """What it holds if all that was sent has happened; with `at_most` also what it may hold."""
        candidate = self._now()
        more = {key: next(iter(every)) for key, every in candidate.may.items()} if at_most else {}
        return {**more, **candidate.must}

    def allows(self, key: Key, held: Held) -> bool:
        """True if a chunk may be there, after all that was sent."""
        candidate = self._now()
        return candidate.must.get(key) == held or held in candidate.may.get(key, ())

    @property
    def exists(self) -> bool:
        """True if it exists, as far as the worker knows."""
        changes = [step.kind for step in self.steps if step.kind in ("create", "drop") and not step.is_open]
        return changes[-1] == "create" if changes else self.base is not None

    def required(self, level: int, before_ns: int | None = None, syncs: tuple[tuple[int, int], ...] = ()) -> int:
        """How many steps must have happened: all up to the last one acknowledged at `level` (before a moment).

        `syncs` are the start and the acknowledgement of sync requests: they make durable what was committed before.
        """
        limit = before_ns if before_ns is not None else 1 << 63
        synced = max((start for start, ack in syncs if ack <= limit), default=0)
        for index in range(len(self.steps) - 1, -1, -1):
            step = self.steps[index]
            if step.ack_ns is None or step.is_open:
                continue
            if (step.level >= level and step.ack_ns <= limit) or (step.level >= COMMITTED and step.ack_ns <= synced):
                return index + 1
        return 0

    def sent(self, before_ns: int | None = None) -> int:
        """How many steps had been sent by a moment."""
        if before_ns is None:
            return len(self.steps)
        return sum(1 for step in self.steps if step.start_ns <= before_ns)

    def rebase(self, observed: dict[Key, Held] | None) -> None:
        """Starts anew from what was found, which was checked."""
        self.base = None if observed is None else dict(observed)
        self.steps = []
        self.pinned = {}


class Journal:
    """All histories of one store, and every id that it ever gave out. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.histories: dict[tuple[str, str], History] = {}
        self.ids: dict[int, tuple[str, str]] = {}
        self.syncs: list[tuple[int, int]] = []
        self.store_id = ""
        self.counts = {"acknowledged_chunks": 0, "acknowledged_durable": 0, "acknowledged_other": 0, "refused": 0}

    def new(self, namespace: str, name: str, root: int) -> History:
        """A history for a session that is about to be made."""
        history = History(namespace, name, root)
        with self._lock:
            self.histories[namespace, name] = history
        return history

    def learn_id(self, history: History, identifier: int) -> str | None:
        """Notes a session's id. Says what is wrong with it, if another session ever had it."""
        with self._lock:
            owner = self.ids.setdefault(identifier, (history.namespace, history.name))
            history.id = identifier
        if owner != (history.namespace, history.name):
            return f"session id {identifier} of {owner} was given to {(history.namespace, history.name)}"
        return None

    def note_sync(self, start_ns: int) -> None:
        """Notes that a sync request sent at `start_ns` was acknowledged."""
        with self._lock:
            self.syncs.append((start_ns, time.monotonic_ns()))

    def count(self, **amounts: int) -> None:
        """Adds to counters."""
        with self._lock:
            for name, amount in amounts.items():
                self.counts[name] = self.counts.get(name, 0) + amount

    def all(self) -> list[History]:
        """The histories, a copy of the list."""
        with self._lock:
            return list(self.histories.values())

    def forget(self, history: History) -> None:
        """Drops the history of a session that is known to be gone for good."""
        with self._lock:
            del self.histories[history.namespace, history.name]
