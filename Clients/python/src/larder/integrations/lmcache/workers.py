"""Threads that talk to the daemon for LMCache, and waiting for them no longer than allowed."""

from __future__ import annotations

import asyncio
import concurrent.futures
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, Callable, Literal, TypeVar

from .link import Complaints
from .settings import Settings

T = TypeVar("T")

Kind = Literal["look-up", "load", "store"]


class Workers:
    """Threads of their own for look-ups, loads and stores, so that none stands behind another kind."""

    def __init__(self, settings: Settings, complaints: Complaints) -> None:
        self._patience = settings.timeout_seconds
        self._complaints = complaints
        self._pools = {
            "look-up": ThreadPoolExecutor(1, "larder-look-up"),
            "load": ThreadPoolExecutor(settings.loads, "larder-load"),
            "store": ThreadPoolExecutor(settings.stores, "larder-store"),
        }

    def submit(self, kind: Kind, otherwise: T, work: Callable[..., T], *arguments: Any) -> "Future[T]":
        """Has a thread do work; the future's result is ``otherwise`` where that fails. Never raises."""

        def guarded() -> T:
            try:
                return work(*arguments)
            except Exception as error:  # noqa: BLE001 - nothing may reach the engine
                self._complaints.say("unexpected", f"{type(error).__name__}: {error}; this {kind} is given up")
                return otherwise

        try:
            return self._pools[kind].submit(guarded)
        except RuntimeError:
            # Closed.
            nothing: "Future[T]" = Future()
            nothing.set_result(otherwise)
            return nothing

    async def answer(
        self, future: "Future[T]", otherwise: T, abandon: Callable[["Future[T]"], None] | None = None,
        is_lost: bool = True,
    ) -> T:
        """The future's result; ``otherwise`` if it takes too long.

        Parameters:
            abandon: is called with the future when it is done, if nobody waits for its result any more.
            is_lost: False if what takes longer is of use nevertheless.
        """
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), self._patience)
        except asyncio.TimeoutError:
            self._give_up(future, abandon)
            if is_lost or future.cancelled():
                self._slow()
            return otherwise
        except asyncio.CancelledError:
            if future.cancelled():
                # The pool's end, not the caller's.
                return otherwise
            self._give_up(future, abandon)
            raise

    def answer_now(self, future: "Future[T]", otherwise: T) -> T:
        """As ``answer``, for who is on no event loop."""
        try:
            return future.result(self._patience)
        except CancelledError:
            return otherwise
        except concurrent.futures.TimeoutError:
            future.cancel()
            self._slow()
            return otherwise

    def close(self) -> None:
        """Begins no more work."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def _give_up(self, future: "Future[T]", abandon: Callable[["Future[T]"], None] | None) -> None:
        if not future.cancel() and abandon is not None:
            future.add_done_callback(abandon)

    def _slow(self) -> None:
        self._complaints.say(
            "slow",
            f"no answer within {self._patience:g} s: it counts as a miss, or is not stored. See how busy larderd is and "
            f"the plugin's options 'loads', 'stores' and 'timeout_seconds'",
        )
