"""What is stored of a prompt, asked on a thread of its own, so that a slow daemon never holds up the scheduler."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ... import LarderError, Model
from .link import Link
from .naming import Place
from .tally import Tally

#: Lookups that may wait; more are answered with nothing.
WAITING = 4096


@dataclass
class Lookup:
    """A question. ``matched`` and ``why`` (a reason for less than all) are valid once ``done`` is set."""

    place: Place
    keys: Sequence[bytes]
    asked: float = field(default_factory=time.monotonic)
    done: threading.Event = field(default_factory=threading.Event)
    matched: int = 0
    why: str = "not stored"

    @property
    def age(self) -> float:
        """Seconds since it was asked."""
        return time.monotonic() - self.asked


class Lookups:
    """Asks the daemon how many leading keys of a request it has, for all workers of the group: the fewest count."""

    def __init__(self, link: Link, tally: Tally) -> None:
        self._link = link
        self._tally = tally
        self._models: list[Model] = []
        self._queue: queue.Queue[Lookup | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="larder-lookup", daemon=True)
        self._thread.start()

    def serve(self, models: list[Model]) -> None:
        """Sets the models of all workers, and connects ahead of the first request."""
        self._models = models
        self.ask(Place("-"), [])

    def ask(self, place: Place, keys: Sequence[bytes]) -> Lookup:
        """Asks; the answer is in what is returned, once that is done."""
        lookup = Lookup(place, keys)
        try:
            self._queue.put_nowait(lookup)
        except queue.Full:
            lookup.why = "too many lookups wait"
            lookup.done.set()
        return lookup

    def close(self, seconds: float) -> None:
        """Ends the thread."""
        try:
            self._queue.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)

    def _run(self) -> None:
        while (lookup := self._queue.get()) is not None:
            try:
                lookup.matched = self._matched(lookup)
            except Exception as error:  # noqa: BLE001: whatever it is, the thread goes on.
                lookup.why = self._link.why_failed(error, "lookup fault", "looked up")
                if isinstance(error, (LarderError, OSError)):
                    self._tally.warn_once("lookup", f"nothing can be looked up: {error}")
            finally:
                lookup.done.set()
        self._link.close()

    def _matched(self, lookup: Lookup) -> int:
        client = self._link.client()
        matched = len(lookup.keys) if self._models else 0
        for model in self._models:
            declared = self._link.model(model)
            if matched:
                matched = min(matched, client.match(lookup.place.namespace, declared, lookup.keys[:matched]))
        return matched
