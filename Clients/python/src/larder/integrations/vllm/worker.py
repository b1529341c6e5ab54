"""The half of the connector in a worker process, beside the KV cache."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from ... import Model
from .layout import Geometry, KVCache
from .link import Link
from .loading import Load, Loader
from .options import Options
from .plan import StepPlan
from .saving import Save, Saver
from .tally import Tally

#: Bounds of the shared memory that a worker takes for loads, and for saves, if nothing is set.
LEAST_BUFFER_BYTES = 32 << 20
MOST_BUFFER_BYTES = 1 << 30
#: Loads are done in waves of at most so many bytes, if nothing is set.
LOAD_WAVE_BYTES = 256 << 20


@dataclass
class Introduction:
    """What a worker says of itself to the scheduler's half."""

    model: Model | None
    refused: str = ""


@dataclass
class Copying:
    """A save whose layers are being copied in this step."""

    save: Save
    rows: list[int]
    chunks: list[Any]
    layers: set[int]


class WorkerHalf:
    """Copies state between the KV cache and shared memory, and has it paged.

    Args:
        options: the connector's options.
        step_tokens: the most tokens that a step computes.
        log: where it is said what is wrong.
    """

    def __init__(self, options: Options, step_tokens: int, log: logging.Logger) -> None:
        self.tally = Tally(log, "worker")
        self._options = options
        self._step_tokens = step_tokens
        self._cache: KVCache | None = None
        self._loader: Loader | None = None
        self._saver: Saver | None = None
        self._slots: Any = None
        self._copying: list[Copying] = []
        self._bad_blocks: set[int] = set()
        self.introduction = Introduction(None, "its KV cache was never registered")

    def register(self, cache: KVCache, model: Model) -> None:
        """Takes up the KV cache, and begins to serve."""
        options, geometry = self._options, cache.geometry
        self._cache = cache
        tokens = geometry.layers * geometry.token_bytes
        load_bytes = options.load_buffer_bytes or min(
            LOAD_WAVE_BYTES, max(LEAST_BUFFER_BYTES, self._step_tokens * tokens)
        )
        save_bytes = options.save_buffer_bytes or min(
            MOST_BUFFER_BYTES, max(LEAST_BUFFER_BYTES, 2 * self._step_tokens * tokens)
        )
        self._loader = Loader(
            self._link("load", options.load_timeout_seconds),
            model,
            cache,
            _slots(load_bytes, geometry),
            options.load_timeout_seconds,
            self.tally,
        )
        slots = _slots(save_bytes, geometry)
        self._saver = Saver(
            self._link("save", options.save_timeout_seconds),
            model,
            geometry.chunk_bytes,
            slots,
            options.save_timeout_seconds,
            self.tally,
        )
        self._slots = cache.chunks(self._saver.pool.view, slots)
        self.introduction = Introduction(model)

    def refuse(self, why: str) -> None:
        """Serves nothing, because of ``why``."""
        self.introduction = Introduction(None, why)

    def _link(self, what: str, timeout: float) -> Link:
        options = self._options
        return Link(options.socket, f"vllm worker {what}", timeout, self.tally, options.ttl_seconds)

    # A step.

    def begin_loads(self, plan: StepPlan) -> None:
        """Begins the loads of a step. None of them is read by the step."""
        for load in plan.loads:
            if self._loader is not None:
                self._loader.submit(load)

    def begin_saves(self, plan: StepPlan) -> None:
        """Takes slots for what the step completes."""
        for save_plan in plan.saves:
            save = self._saver.take(save_plan) if self._saver is not None else None
            if save is not None and self._cache is not None:
                taken = save.plan
                rows = self._cache.geometry.tensor_rows(taken.block_ids, taken.first, taken.count)
                self._copying.append(Copying(save, rows, [self._slots[slot] for slot in save.slots], set()))

    def copy_layer(self, layer_name: str) -> None:
        """Copies a layer that the step has computed out of the KV cache."""
        layer = self._cache.index(layer_name) if self._cache is not None and self._copying else None
        if layer is not None:
            for one in self._copying:
                self._copy(one, layer)

    def end_saves(self) -> None:
        """Copies what is left, and hands all to the thread that pages out."""
        copying, self._copying = self._copying, []
        if self._cache is None or self._saver is None:
            return
        for one in copying:
            for layer in range(self._cache.geometry.layers):
                if layer not in one.layers:
                    self._copy(one, layer)
            self._saver.submit(one.save)

    def _copy(self, one: Copying, layer: int) -> None:
        if self._cache is None:
            return
        per_chunk = self._cache.geometry.rows
        for number, chunk in enumerate(one.chunks):
            self._cache.gather(layer, one.rows[number * per_chunk : (number + 1) * per_chunk], chunk)
        one.layers.add(layer)

    def abandon_saves(self) -> None:
        """Gives slots back after a fault."""
        copying, self._copying = self._copying, []
        for one in copying:
            if self._saver is not None:
                self._saver.drop(one.save)

    def ended(self, request_ids: set[str]) -> None:
        """Requests have ended."""
        if self._saver is not None and request_ids:
            self._saver.forget(request_ids)

    def loads_over(self) -> tuple[set[str], set[str]]:
        """Requests whose loads are over, and those of them that failed. The blocks that hold nothing are told once by
        ``bad_blocks``."""
        over = self._loader.finished() if self._loader is not None else []
        failed = set()
        for load in over:
            bad = self._blocks_without_state(load)
            if bad:
                failed.add(load.plan.request_id)
                self._bad_blocks |= bad
        return {load.plan.request_id for load in over}, failed

    def _blocks_without_state(self, load: Load) -> set[int]:
        if self._cache is None or load.loaded >= len(load.plan.keys):
            return set()
        geometry = self._cache.geometry
        first = (load.plan.first + load.loaded) * geometry.chunk_tokens // geometry.block_tokens
        end = -(-load.plan.end * geometry.chunk_tokens // geometry.block_tokens)
        return set(load.plan.block_ids[first:end])

    def bad_blocks(self) -> set[int]:
        """Blocks that were to be loaded and were not, since it was asked last."""
        bad, self._bad_blocks = self._bad_blocks, set()
        return bad

    def close(self) -> None:
        """Waits, for a bounded time, until what is under way is stored."""
        if self._saver is not None:
            self._saver.close(self._options.save_timeout_seconds)
        if self._loader is not None:
            self._loader.close(1.0)
        self.tally.report(force=True)


def _slots(byte_count: int, geometry: Geometry) -> int:
    return max(1, byte_count // geometry.chunk_bytes)
