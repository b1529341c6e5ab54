"""Which kinds of trouble were said already, so that a log says each of them once."""

from __future__ import annotations

import threading

#: Kinds of trouble that are told apart; what is beyond counts as one more kind.
MOST_KINDS = 256
_OTHERS = "others"


class Said:
    """Counts trouble by its kind. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def note(self, kind: str) -> int:
        """Counts trouble. How often there was its kind since it was last over: 1 for what is to be said."""
        with self._lock:
            if kind not in self._counts and len(self._counts) >= MOST_KINDS:
                kind = _OTHERS
            count = self._counts[kind] = self._counts.get(kind, 0) + 1
            return count

    def over(self, kind: str) -> bool:
        """A kind of trouble is over; true if it was said."""
        with self._lock:
            return self._counts.pop(kind, None) is not None

    def all_over(self) -> None:
        """Every kind of trouble is to be said anew."""
        with self._lock:
            self._counts.clear()

    @property
    def counts(self) -> dict[str, int]:
        """How often there was each kind of trouble."""
        with self._lock:
            return dict(self._counts)
