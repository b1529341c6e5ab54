"""Counts, and warnings that are said once."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

from ..said import Said

#: Seconds between two log lines of counts, if anything was counted.
REPORT_SECONDS = 60.0


class Tally:
    """Counts of one half of a connector: hits, misses with their reasons, errors. Any thread may count."""

    def __init__(self, log: logging.Logger, half: str) -> None:
        self._log = log
        self._half = half
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._said = Said()
        self._next_report = time.monotonic() + REPORT_SECONDS
        self._reported: Counter[str] = Counter()

    def count(self, what: str, number: int = 1) -> None:
        """Adds to a count."""
        with self._lock:
            self._counts[what] += number

    def counts(self) -> dict[str, int]:
        """All counts so far."""
        with self._lock:
            return dict(self._counts)

    def warn_once(self, topic: str, text: str) -> None:
        """Says a warning, unless there was one of the topic since it was last ``settled``."""
        if self._said.note(topic) == 1:
            self._log.warning("Larder: %s", text)

    def settled(self, topic: str, text: str) -> None:
        """Says that what a topic warned of is over."""
        if self._said.over(topic):
            self._log.info("Larder: %s", text)

    def info(self, text: str) -> None:
        """Says something that is no trouble."""
        self._log.info("Larder: %s", text)

    def report(self, force: bool = False) -> None:
        """Logs the counts, if they changed and a minute has passed, or at the end."""
        now = time.monotonic()
        with self._lock:
            if (not force and now < self._next_report) or self._counts == self._reported:
                return
            self._next_report = now + REPORT_SECONDS
            self._reported = Counter(self._counts)
            line = ", ".join(f"{name} {number}" for name, number in sorted(self._counts.items()))
        self._log.info("Larder %s: %s", self._half, line)
