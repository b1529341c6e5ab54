"""When to try again what has failed."""

from __future__ import annotations

import time


class Backoff:
    """After a failure nothing is tried for a while, twice as long after each further one.

    Args:
        first_seconds: the pause after a first failure.
        longest_seconds: what the pauses grow to.
    """

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._pause_seconds = first_seconds
        #: By ``time.monotonic``.
        self._until = 0.0

    @property
    def is_waiting(self) -> bool:
        """True while nothing is to be tried."""
        return time.monotonic() < self._until

    def failed(self) -> None:
        """Begins a pause."""
        self._until = time.monotonic() + self._pause_seconds
        self._pause_seconds = min(2 * self._pause_seconds, self._longest_seconds)

    def succeeded(self) -> None:
        """The next failure is a first one again."""
        self._pause_seconds = self._first_seconds

    def stop(self) -> None:
        """Nothing is to be tried any more."""
        self._until = float("inf")
