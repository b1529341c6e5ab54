"""Larder under `create_completion` and everything else that goes through `Llama.generate` and `Llama.eval`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

from larder import LarderError, UnknownSession

from ..said import Said
from .blob import UnknownState
from .cache import LlamaCache, Restored
from .context import RestoreFailed, Unsupported
from .save import Saved

_log = logging.getLogger(__name__)
#: Seconds from one attempt to connect anew to the next.
RETRY_SECONDS = 5.0
#: Or so many times what the last one took, if that is more: a daemon that hangs takes the whole timeout.
RETRY_FACTOR = 30.0
#: What must not end a completion: the daemon's faults, and state that is not what it should be.
_FAULTS = (LarderError, RestoreFailed, UnknownState, Unsupported, OSError)


class Attachment:
    """A cache in the way of a `Llama`: each prompt is restored as far as Larder or the context has it, and what is
    evaluated is saved chunk by chunk. A fault is logged, once for each kind, and the tokens are computed.

    A context manager; at its end, or with `detach`, the `Llama` is what it was.

    Attributes:
        cache: the cache. Assign another one of the same `Llama` (a fork) to go on with that.
        last: what the last prompt's restore came to; None before the first, and where it failed.
        seconds_saving: time spent in saving so far.
    """

    def __init__(self, cache: LlamaCache):
        self.cache = cache
        self.last: Restored | None = None
        self.seconds_saving = 0.0
        self._llama = cache.llama
        self._said = Said()
        self._retry_at = 0.0
        self._is_dropped = False
        if "eval" in vars(self._llama):
            raise ValueError("this Llama has a cache attached already; detach it first")
        self._eval, self._generate = self._llama.eval, self._llama.generate
        self._llama.eval, self._llama.generate = self._eval_and_save, self._restore_and_generate

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *_: Any) -> None:
        self.detach()

    def detach(self) -> None:
        """Leaves the `Llama` as it was before. Repeating it is fine."""
        for name in ("eval", "generate"):
            vars(self._llama).pop(name, None)

    def _restore_and_generate(self, tokens: Sequence[int], *args: Any, **settings: Any) -> Generator[int, Any, None]:
        """`Llama.generate`, which finds what was restored in the context, and goes on from there."""
        prompt = list(tokens)
        if settings.get("reset", True):
            self._connect_anew()
            self.last = self._guarded(lambda: self.cache.restore(prompt))
        try:
            yield from self._generate(prompt, *args, **settings)
        finally:
            self._save(tail=True)

    def _connect_anew(self) -> None:
        """After the daemon was restarted, for a cache that connects itself; and after the session was dropped."""
        if self._is_dropped and self.cache.is_connected:
            self._is_dropped = False
            self._guarded(lambda: self.cache.reconnect(self.cache.session.client))
        started = time.monotonic()
        if self.cache.is_connected or not self.cache.connects_itself or started < self._retry_at:
            return
        self._guarded(self.cache.reconnect)
        ended = time.monotonic()
        self._retry_at = ended + max(RETRY_SECONDS, RETRY_FACTOR * (ended - started))
        if self.cache.is_connected:
            self._said.all_over()
            _log.warning("connected to Larder again")

    def _eval_and_save(self, tokens: Sequence[int]) -> None:
        """`Llama.eval` in steps that end where chunks do, so that a chunk is saved before a sliding window is past it;
        and so that the batches, and with them every bit, do not depend on where a restore left off."""
        tokens, done, step = list(tokens), 0, self.cache.chunk_tokens
        while done < len(tokens):
            held = self._llama.n_tokens
            count = min(step - held % step, len(tokens) - done)
            started = time.perf_counter()
            self._eval(tokens[done : done + count])
            if count == step:
                self._learn_rate(count / (time.perf_counter() - started))
            done += count
            if (held + count) % step == 0:
                self._save(tail=False)

    def _learn_rate(self, tokens_per_second: float) -> None:
        """A decayed average over whole chunks."""
        known = self.cache.prefill_rate
        self.cache.prefill_rate = max(1, round(known + (tokens_per_second - known) / 8 if known else tokens_per_second))

    def _save(self, tail: bool) -> None:
        started = time.perf_counter()
        saved: Saved | None = self._guarded(lambda: self.cache.save(tail=tail))
        self.seconds_saving += time.perf_counter() - started
        for error in saved.errors if saved else ():
            self._log_once(error)

    def _guarded(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except _FAULTS as error:
            self._is_dropped = self._is_dropped or isinstance(error, UnknownSession)
            self._log_once(error)
            return None

    def _log_once(self, error: BaseException) -> None:
        if self._said.note(type(error).__name__) == 1:
            _log.warning("going on without Larder: %s: %s", type(error).__name__, error)
