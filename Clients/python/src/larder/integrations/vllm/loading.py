"""The thread that pages in.

A load is done layer group by layer group: while the daemon decodes the next layers into shared memory, those that are
there are copied into the KV cache. Only blocks of the waiting request are written, and no step reads them before the
load is over; so whatever fails, nobody has seen it, and the engine computes those tokens instead.
"""

from __future__ import annotations

import itertools
import os
import queue
import threading
import time
from dataclasses import dataclass, field

from ... import LarderError, Miss, Model, PageIn, PageOut, Session, UnknownSession
from .cores import leave_the_models_cores
from .layout import KVCache
from .link import Link, Unavailable
from .naming import LOADING
from .plan import LoadPlan
from .pool import Pool
from .tally import Tally

#: Groups of layers that a load is cut into.
LAYER_GROUPS = 6


class LoadFailed(Exception):
    """A load ended before all was there. The message is the reason, for the counts."""


@dataclass
class Load:
    """A load under way. ``lock`` is held while the KV cache is written; none is written once ``abandoned``."""

    plan: LoadPlan
    deadline: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    abandoned: bool = False
    #: Chunks that are whole in the KV cache, from ``plan.first`` on.
    loaded: int = 0


class Loader:
    """Pages in, one request after another, on a thread of its own.

    Args:
        link: its connection. Only this thread uses it.
        model: the worker's model.
        cache: the KV cache.
        slots: chunks that its shared memory holds; larger loads go in several waves.
        timeout: seconds from the request for a load to its end, whatever happens.
        tally: where it is counted.
    """

    def __init__(self, link: Link, model: Model, cache: KVCache, slots: int, timeout: float, tally: Tally) -> None:
        self._link = link
        self._model = model
        self._cache = cache
        self._slots = slots
        self._timeout = timeout
        self._tally = tally
        self._chunk_bytes = cache.geometry.chunk_bytes
        self._pool = Pool(slots * self._chunk_bytes, tally)
        self._chunks = cache.chunks(self._pool.view, slots)
        self._names = (f"{LOADING}{os.getpid()}-{os.urandom(4).hex()}-{number}" for number in itertools.count())
        self._lock = threading.Lock()
        self._under_way: dict[str, Load] = {}
        self._finished: list[Load] = []
        self._queue: queue.SimpleQueue[Load | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="larder-load", daemon=True)
        self._thread.start()

    # The model's thread.

    def submit(self, plan: LoadPlan) -> None:
        """Begins a load."""
        load = Load(plan, time.monotonic() + self._timeout)
        with self._lock:
            self._under_way[plan.request_id] = load
        self._queue.put(load)

    def finished(self) -> list[Load]:
        """Loads that are over, each told of once: done, failed, or given up because their time is up."""
        now = time.monotonic()
        with self._lock:
            late = [load for load in self._under_way.values() if now > load.deadline]
        for load in late:
            with load.lock:
                load.abandoned = True
            self._tally.warn_once("late", f"a load took more than {self._timeout} s and was given up")
            self._over(load, "timeout")
        with self._lock:
            over, self._finished = self._finished, []
        return over

    def close(self, seconds: float) -> None:
        """Ends the thread."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _over(self, load: Load, why: str | None) -> None:
        """Notes the end of a load, unless it was noted before."""
        with self._lock:
            if self._under_way.get(load.plan.request_id) is not load:
                return
            del self._under_way[load.plan.request_id]
            self._finished.append(load)
        self._tally.count("chunks loaded", load.loaded)
        if why is not None:
            self._tally.count(f"loads failed: {why}")

    # Its own thread.

    def _run(self) -> None:
        leave_the_models_cores()
        self._connect()
        while (load := self._queue.get()) is not None:
            why: str | None = "fault"
            begun = time.monotonic()
            try:
                why = self._load(load)
            except LoadFailed as failure:
                why = str(failure)
            except Exception as error:  # noqa: BLE001: whatever it is, the thread goes on.
                why = self._link.why_failed(error, "load", "loaded")
            finally:
                self._tally.count("load microseconds", int(1e6 * (time.monotonic() - begun)))
                self._over(load, why)
            self._tally.report()
        self._link.close()

    def _connect(self) -> None:
        """Connects ahead of the first request, which would wait for it."""
        try:
            self._pool.attach(self._link.client(), self._link.generation)
            self._link.model(self._model)
        except Unavailable:
            pass
        except (LarderError, OSError) as error:
            self._link.failed(error)

    def _load(self, load: Load) -> str | None:
        """Loads wave by wave. Why it ended early, or None."""
        plan = load.plan
        client = self._link.client()
        self._pool.attach(client, self._link.generation)
        try:
            session, own = self._link.session(plan.place, plan.session, self._model, create=False), False
        except UnknownSession:
            session, own = self._link.session(plan.place, next(self._names), self._model), True
        try:
            why = self._waves(load, session, own)
            # What follows only tidies up: the request need not wait for it.
            self._over(load, why)
            return why
        finally:
            if own:
                session.drop()

    def _waves(self, load: Load, session: Session, own: bool) -> str | None:
        """Loads from a session: from one of its ``own``, chunks are named there first."""
        plan = load.plan
        for start in range(plan.first, plan.end, self._slots):
            count = min(self._slots, plan.end - start)
            named = self._name(session, plan, range(start, start + count)) if own else count
            whole, error = self._wave(load, session, start, named)
            if not own and isinstance(error, Miss):
                # The session lost some of its chunks, or never had them all: their keys may still name them.
                named = self._name(session, plan, range(start + whole, start + count))
                more, error = self._wave(load, session, start + whole, named)
                whole += more
            if error is not None:
                return type(error).__name__
            if whole < count:
                return Miss.__name__
        return None

    def _name(self, session: Session, plan: LoadPlan, chunks: range) -> int:
        """Has a session hold chunks that are stored already, by their keys. How many it does, from the first on."""
        tokens = self._model.page_tokens
        results = self._link.client().put_from(
            [
                PageOut(session, chunk * tokens, tokens, None, prefix_key=plan.keys[chunk - plan.first])
                for chunk in chunks
            ]
        )
        return next((number for number, result in enumerate(results) if not isinstance(result, int)), len(results))

    def _wave(self, load: Load, session: Session, start: int, count: int) -> tuple[int, LarderError | None]:
        """Loads chunks ``start..<start + count``. How many are whole in the KV cache, and the error of the next."""
        if not count:
            return 0, None
        size, layers = self._chunk_bytes, self._cache.geometry.layers
        items = [
            PageIn(session, (start + number) * self._model.page_tokens, self._pool[number * size : (number + 1) * size])
            for number in range(count)
        ]
        done = 0

        def landed(so_far: int) -> None:
            nonlocal done
            self._scatter(load, start, count, range(done, so_far))
            done = so_far

        client = self._link.client()
        if self._pool.is_shared and count <= client.limits.batch_items:
            group = -(-layers // LAYER_GROUPS)
            results = client.get_into(items, layer_group=group, on_progress=landed)
        else:
            results = client.get_into(items)
        whole = next((number for number, result in enumerate(results) if result != size), count)
        error = results[whole] if whole < count else None
        self._scatter(load, start, whole, range(done if whole == count else 0, layers))
        load.loaded += whole
        return whole, error if isinstance(error, LarderError) or error is None else Miss("another size")

    def _scatter(self, load: Load, start: int, count: int, layers: range) -> None:
        """Copies some layers of the pool's first ``count`` chunks into the KV cache. Raises ``LoadFailed`` if the load
        was given up meanwhile: its blocks may be another request's by now."""
        geometry = self._cache.geometry
        rows = geometry.tensor_rows(load.plan.block_ids, start, count)
        with load.lock:
            if load.abandoned:
                raise LoadFailed("timeout")
            for layer in layers:
                for number in range(count):
                    part = rows[number * geometry.rows : (number + 1) * geometry.rows]
                    self._cache.scatter(layer, part, self._chunks[number])
