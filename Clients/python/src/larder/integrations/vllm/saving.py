"""The thread that pages out.

The model's thread copies what a step completed out of the KV cache into slots of a pool; this thread hands the slots to
the daemon, which encodes straight out of them. The KV cache is never read behind the engine's back: its blocks may be
freed and filled anew as soon as the step is over.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, replace

from ... import (
    Busy,
    Conflict,
    Damaged,
    Declined,
    Full,
    LarderError,
    Miss,
    Model,
    Overlap,
    PageOut,
    Session,
    ShuttingDown,
)
from ..recent import Recent
from .cores import leave_the_models_cores
from .link import Link
from .naming import content_session
from .plan import SavePlan
from .pool import Pool
from .tally import Tally

#: Sessions that are kept open for further chunks of their requests.
OPEN_SESSIONS = 1024
#: Attempts at chunks that the daemon is too busy for, and the pause between them.
BUSY_ATTEMPTS = 5
BUSY_PAUSE_SECONDS = 0.05
#: Requests for which it is remembered that a chunk is missing, so that later ones are not kept in vain; and those whose
#: session was renamed.
REMEMBERED_REQUESTS = 4096


@dataclass
class Save:
    """Chunks that were copied: ``slots[i]`` is the slot of chunk ``plan.first + i``."""

    plan: SavePlan
    slots: list[int]


@dataclass
class Held:
    """An open session, and how many chunks it holds, from the first on, of the request that put to it last."""

    session: Session
    request_id: str
    chunks: int = 0


class Saver:
    """Pages out, in the order in which it is asked, on a thread of its own.

    Args:
        link: its connection. Only this thread uses it.
        model: the worker's model.
        chunk_bytes: bytes of a slot.
        slots: how many there are: chunks that may wait.
        timeout: seconds that a page-out may take.
        tally: where it is counted.
    """

    def __init__(self, link: Link, model: Model, chunk_bytes: int, slots: int, timeout: float, tally: Tally) -> None:
        self._link = link
        self._model = model
        self._chunk_bytes = chunk_bytes
        self._timeout = timeout
        self._tally = tally
        self.pool = Pool(slots * chunk_bytes, tally)
        self._lock = threading.Lock()
        self._free = list(range(slots - 1, -1, -1))
        self._gaps: Recent[str, None] = Recent(REMEMBERED_REQUESTS)
        self._renamed: Recent[str, str] = Recent(REMEMBERED_REQUESTS)
        self._sessions: Recent[tuple[str, str], Held] = Recent(OPEN_SESSIONS)
        self._generation = -1
        self._queue: queue.SimpleQueue[Save | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="larder-save", daemon=True)
        self._thread.start()

    # The model's thread.

    def take(self, plan: SavePlan) -> Save | None:
        """Slots for a plan's chunks, or for the first of them if there is no room for all. None if there is none, or an
        earlier chunk of the request is missing: nothing finds a chunk behind a gap."""
        with self._lock:
            if plan.request_id in self._gaps:
                self._tally.count("chunks not saved: behind a gap", plan.count)
                return None
            room = min(len(self._free), plan.count)
            if room < plan.count:
                self._gaps[plan.request_id] = None
                self._tally.count("chunks not saved: no room", plan.count - room)
                self._tally.warn_once(
                    "room", "state is made faster than it is stored, so some of it is not; raise save_buffer_bytes"
                )
                plan = replace(plan, keys=plan.keys[: plan.first + room])
            return Save(plan, [self._free.pop() for _ in range(room)]) if room else None

    def submit(self, save: Save) -> None:
        """Hands over slots that are filled."""
        self._queue.put(save)

    def drop(self, save: Save) -> None:
        """Gives back slots that were not filled."""
        with self._lock:
            self._free.extend(save.slots)
            self._gaps[save.plan.request_id] = None

    def forget(self, request_ids: set[str]) -> None:
        """Requests that have ended."""
        with self._lock:
            for request_id in request_ids:
                self._gaps.pop(request_id, None)

    def close(self, seconds: float) -> None:
        """Waits for what is under way, ends the thread."""
        self._queue.put(None)
        self._thread.join(seconds)

    # Its own thread.

    def _run(self) -> None:
        leave_the_models_cores()
        while (save := self._queue.get()) is not None:
            begun = time.monotonic()
            try:
                self._save(save)
            except Exception as error:  # noqa: BLE001: whatever it is, the thread goes on.
                self._give_up(save, self._link.why_failed(error, "save", "saved"))
            finally:
                self._tally.count("save microseconds", int(1e6 * (time.monotonic() - begun)))
                with self._lock:
                    self._free.extend(save.slots)
            self._tally.report()
        self._link.close()

    def _give_up(self, save: Save, why: str) -> None:
        self._tally.count(f"chunks not saved: {why}", save.plan.count)
        with self._lock:
            self._gaps[save.plan.request_id] = None

    def _save(self, save: Save) -> None:
        plan = save.plan
        client = self._link.client()
        self.pool.attach(client, self._link.generation)
        name = self._renamed.get(plan.request_id, plan.session)
        session, held = self._session(plan, name)
        start = min(held, plan.first)
        failed = self._put(session, save, start)
        if failed is not None:
            name, failed = self._mend(session, name, save, *failed)
        if failed is not None:
            raise failed[1]
        self._held(plan, name, len(plan.keys))

    def _mend(
        self, session: Session, name: str, save: Save, chunk: int, error: LarderError
    ) -> tuple[str, tuple[int, LarderError] | None]:
        """Does what can be done about a chunk that failed, and puts it and the rest again. The session's name, and the
        first chunk that failed then, or None."""
        plan = save.plan
        failed: tuple[int, LarderError] | None = (chunk, error)
        if isinstance(error, Damaged) or (plan.named and isinstance(error, (Conflict, Overlap))):
            session.truncate(chunk * self._model.page_tokens)
            self._tally.count("sessions cut")
            failed = self._put(session, save, chunk)
            for attempt in range(BUSY_ATTEMPTS):
                # A damaged chunk keeps its key until the last session that held it is cut, and that was worked off.
                if failed is None or not isinstance(failed[1], Damaged):
                    break
                time.sleep(BUSY_PAUSE_SECONDS * (attempt + 1))
                failed = self._put(session, save, failed[0])
        elif isinstance(error, (Conflict, Overlap)):
            name = content_session(plan.keys[chunk])
            self._renamed[plan.request_id] = name
            session, _ = self._session(plan, name)
            self._tally.count("sessions branched")
            failed = self._put(session, save, 0)
        return name, failed

    def _session(self, plan: SavePlan, name: str) -> tuple[Session, int]:
        """A session, and how many of the request's chunks it is known to hold, from the first on."""
        if self._generation != self._link.generation:
            self._generation = self._link.generation
            self._sessions.clear()
        key = (plan.place.namespace, name)
        known = self._sessions.get(key)
        if known is not None:
            self._sessions.move_to_end(key)
            return known.session, known.chunks if known.request_id == plan.request_id else 0
        session = self._link.session(plan.place, name, self._model)
        self._sessions[key] = Held(session, plan.request_id)
        return session, 0

    def _held(self, plan: SavePlan, name: str, chunks: int) -> None:
        key = (plan.place.namespace, name)
        if key in self._sessions:
            self._sessions[key] = Held(self._sessions[key].session, plan.request_id, chunks)

    def _put(self, session: Session, save: Save, start: int) -> tuple[int, LarderError] | None:
        """Puts the chunks from ``start`` on, those before ``plan.first`` by their keys. The first that failed, or
        None."""
        deadline = time.monotonic() + self._timeout
        for attempt in range(BUSY_ATTEMPTS):
            results = self._link.client().put_from(
                [self._item(session, save, chunk) for chunk in range(start, len(save.plan.keys))]
            )
            for chunk, result in enumerate(results, start):
                if isinstance(result, int):
                    continue
                if isinstance(result, (Busy, ShuttingDown)) and time.monotonic() < deadline:
                    start = chunk
                    break
                return chunk, self._explained(result)
            else:
                stored = [result for result in results if isinstance(result, int)]
                self._tally.count("chunks saved", save.plan.count)
                self._tally.count("bytes stored", sum(stored))
                return None
            time.sleep(BUSY_PAUSE_SECONDS * (attempt + 1))
        return start, Busy("the daemon is busy")

    def _item(self, session: Session, save: Save, chunk: int) -> PageOut:
        plan, tokens = save.plan, self._model.page_tokens
        data = None
        if chunk >= plan.first:
            slot = save.slots[chunk - plan.first]
            data = self.pool[slot * self._chunk_bytes : (slot + 1) * self._chunk_bytes]
        return PageOut(session, chunk * tokens, tokens, data, prefix_key=plan.keys[chunk])

    def _explained(self, error: LarderError) -> LarderError:
        """Says once what an operator should know of."""
        if isinstance(error, (Full, Declined)):
            self._tally.warn_once("full", f"state is not stored: {error}")
        elif not isinstance(error, (Miss, Conflict, Overlap, Damaged, Busy)):
            self._tally.warn_once("save", f"state is not stored: {error}")
        return error
