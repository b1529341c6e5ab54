"""What bench_mooncake.py compares: Larder and Mooncake Store behind one set of calls, each with memory of its own."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import bench_paging
import mooncake_rig

import larder
from larder.wire.numbers import Acknowledgement, EncodingChoice


class Call(NamedTuple):
    """A call to be measured: what it does, and of how many chunks. It returns its results."""

    run: Callable[[], Any]
    chunks: int


class Side(ABC):
    """One of those that are compared: it puts and gets one set of chunks, a chunk a call or all in one."""

    #: What the rows say of it.
    name: str
    #: True of Mooncake's.
    is_rival = False
    #: False where another side gets the same way.
    has_gets = True

    @abstractmethod
    def puts(self, batched: bool) -> list[Call]:
        """Calls that put the set, anew."""

    @abstractmethod
    def gets(self, batched: bool) -> list[Call]:
        """Calls that get what was put last."""

    @abstractmethod
    def fault(self, results: Any) -> object | None:
        """What went wrong in a call, if anything."""

    @abstractmethod
    def memory(self) -> Sequence[memoryview]:
        """Where the chunks come from, and where they go."""

    @abstractmethod
    def forget(self) -> None:
        """Drops what was put last, and returns when the room is free."""

    def settle(self) -> None:  # noqa: B027
        """Returns when what was put is there, and nothing of it left to be written while the next one is measured."""


class LarderSide(Side):
    """Larder, with chunks in an arena or in memory of the worker's own."""

    def __init__(
        self, chunks: bench_paging.Set, encoding: EncodingChoice, memory: str, acknowledgement: Acknowledgement
    ) -> None:
        self.name = f"{encoding:5}{memory:6}{acknowledgement}"
        self.has_gets = acknowledgement == "committed"
        self._set = chunks
        self._choice: dict[str, Any] = {"encoding": encoding, "acknowledgement": acknowledgement}
        self._places: Sequence[Any] = chunks.slices if memory == "arena" else chunks.own
        self._session: larder.Session | None = None

    def puts(self, batched: bool) -> list[Call]:
        self._session = self._set.session()
        return self._calls(
            self._set.page_outs(self._session, self._places), batched, self._set.client.put_from, **self._choice
        )

    def gets(self, batched: bool) -> list[Call]:
        assert self._session is not None
        return self._calls(self._set.page_ins(self._session, self._places), batched, self._set.client.get_into)

    @staticmethod
    def _calls(items: list[Any], batched: bool, call: Callable[..., Any], **choice: Any) -> list[Call]:
        batches = [items] if batched else [[one] for one in items]
        return [Call(lambda batch=batch: call(batch, **choice), len(batch)) for batch in batches]  # type: ignore[misc]

    def fault(self, results: Any) -> object | None:
        return next((one for one in results if isinstance(one, larder.LarderError)), None)

    def memory(self) -> Sequence[memoryview]:
        return [one.view if isinstance(one, larder.ArenaSlice) else memoryview(one) for one in self._places]

    def forget(self) -> None:
        assert self._session is not None
        # Waits its turn behind what was accepted before.
        self._session.drop()

    def settle(self) -> None:
        self._set.client.sync()


class MooncakeSide(Side):
    """Mooncake Store, with all chunks in one range of registered memory."""

    is_rival = True

    def __init__(self, name: str, store: Any, memory: mooncake_rig.Memory, chunks: Sequence[bytes]) -> None:
        self.name = name
        self._store = store
        size, count = len(chunks[0]), len(chunks)
        self._views = [memory.view[size * index : size * (index + 1)] for index in range(count)]
        self._addresses = [memory.address + size * index for index in range(count)]
        self._sizes = [size] * count
        self._keys: list[str] = []
        self._sets = 0
        for view, data in zip(self._views, chunks, strict=True):
            view[:] = data

    def puts(self, batched: bool) -> list[Call]:
        self._sets += 1
        self._keys = [f"{self._sizes[0]}-{self._sets}-{index}" for index in range(len(self._sizes))]
        return self._calls(batched, self._store.put_from, self._store.batch_put_from)

    def gets(self, batched: bool) -> list[Call]:
        return self._calls(batched, self._store.get_into, self._store.batch_get_into)

    def _calls(self, batched: bool, one: Callable[..., Any], many: Callable[..., Any]) -> list[Call]:
        if batched:
            keys, addresses, sizes = self._keys, self._addresses, self._sizes
            return [Call(lambda: many(keys, addresses, sizes), len(keys))]
        return [
            Call(lambda arguments=arguments: one(*arguments), 1)  # type: ignore[misc]
            for arguments in zip(self._keys, self._addresses, self._sizes, strict=True)
        ]

    def fault(self, results: Any) -> object | None:
        # 0 of a put, the bytes of a get, and what is below 0 of an error.
        return next((one for one in (results if isinstance(results, list) else [results]) if one < 0), None)

    def memory(self) -> Sequence[memoryview]:
        return self._views

    def forget(self) -> None:
        if any(self._store.batch_remove(self._keys, True)):
            sys.exit(f"Mooncake {self.name} does not remove what it was given")

    def warm(self, sets: int) -> None:
        """Puts so many sets and drops them, so that all of the segment was touched before anything is measured."""
        keys = []
        for _ in range(sets):
            for call in self.puts(True):
                checked(self, call.run())
            keys.append(self._keys)
        for self._keys in keys:
            self.forget()


def checked(side: Side, results: Any) -> None:
    """Ends the run if a call failed."""
    fault = side.fault(results)
    if fault is not None:
        sys.exit(f"{side.name}: {fault}")
