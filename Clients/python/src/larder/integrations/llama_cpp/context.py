"""The sequence state of a `llama_cpp.Llama`: read a stretch of it, put a stretch back, and say what is there.

llama.cpp reads and writes whole sequences. To take tokens a..<b of one, they are named in a second sequence, the
scratch (`seq_cp` copies no data in a unified cache), which is then read, or written and named in the first.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp

from .blob import CacheLayout, Cells, StateBuilder, UnknownState, parse

#: The sequence that `llama_cpp.Llama` decodes.
SEQUENCE = 0
_EMPTY_STATE_BYTES, _EMPTY_CACHE_BYTES = 8, 8


class Unsupported(ValueError):
    """A model or context whose state this module cannot keep. The message says why, and what to do."""


class RestoreFailed(RuntimeError):
    """llama.cpp did not take a state, or holds something else afterwards. Nothing is left of it in the context."""


def refuse_images(llama: Any) -> None:
    """Raises `Unsupported` for a `Llama` whose chat handler puts images into the context: `input_ids` does not say
    which, and state must not be taken for that of other tokens."""
    if getattr(llama, "chat_handler", None) is not None and hasattr(llama.chat_handler, "_mtmd_cpp"):
        raise Unsupported("a chat handler for images: their state has no token ids to be known by")


class Context:
    """The state of one `llama_cpp.Llama`.

    Attributes:
        layouts: the layout of each of its KV caches: global, and sliding if the model has a sliding window.
        window: tokens of the sliding window; 0 without.
        ring: cells of the sliding cache if it is smaller than the context; else 0.
    """

    def __init__(self, llama: Any):
        self.llama = llama
        self._refuse_unsupported(llama)
        self._scratch = self._scratch_sequence()
        self._buffer = (ctypes.c_uint8 * 0)()
        self.window = 0
        self.layouts = self._learn_layouts()
        if len(self.layouts) > 1:
            self.window = llama_cpp.llama_model_n_swa(llama.model)
            if self.window < 2:
                raise Unsupported(f"two KV caches, and a sliding window of {self.window} tokens: an unknown model")
        self.ring = self._ring_cells() if self.window else 0

    @property
    def _context(self) -> Any:
        """llama.cpp's context: asked for each time, for after `Llama.close` its address is of freed memory."""
        context = self.llama.ctx
        if context is None:
            raise Unsupported("the Llama was closed, and its state is gone with it")
        return context

    @property
    def _memory(self) -> Any:
        return llama_cpp.llama_get_memory(self._context)

    def _refuse_unsupported(self, llama: Any) -> None:
        refuse_images(llama)
        model = llama.model
        if not self._memory:
            raise Unsupported("the context has no memory: an encoder has no state to keep")
        if llama_cpp.llama_model_has_encoder(model):
            raise Unsupported("a model with an encoder: its decoder's state depends on what was encoded, too")
        if llama_cpp.llama_model_is_recurrent(model) or llama_cpp.llama_model_is_hybrid(model):
            raise Unsupported("a recurrent or hybrid model: its states at single offsets are not read by this module")
        if llama_cpp.llama_n_seq_max(self._context) > 1 and not llama.context_params.kv_unified:
            raise Unsupported("a KV cache for each sequence: make the context with kv_unified=True")

    def _scratch_sequence(self) -> int:
        """The first sequence that the context does not decode itself, so that it collides with nobody's."""
        scratch: int = llama_cpp.llama_n_seq_max(self._context)
        if scratch >= llama_cpp.llama_max_parallel_sequences():
            scratch -= 1
        return scratch

    def _learn_layouts(self) -> tuple[CacheLayout, ...]:
        """From the state of one token: what is in the context, or one that is decoded for it and removed again."""
        empty = self.end == 0
        if empty:
            batch = self.llama._batch
            batch.set_batch(batch=[max(self.llama.token_bos(), 0)], n_past=0, logits_all=False)
            self.llama._ctx.decode(batch)
        try:
            self._caches = self._count_caches()
            cells = self.read(self.end - 1, self.end)
        finally:
            if empty:
                self.clear()
        layouts = tuple(one.layout for one in cells if one.layout is not None)
        if len(layouts) != len(cells):
            raise UnknownState("a KV cache without a cell for the last token")
        return layouts

    def _count_caches(self) -> int:
        size: int = llama_cpp.llama_state_seq_get_size(self._context, self._scratch)
        caches, rest = divmod(size - _EMPTY_STATE_BYTES, _EMPTY_CACHE_BYTES)
        if rest or caches < 1:
            raise UnknownState(f"the state of an empty sequence has {size} bytes: another llama.cpp")
        return caches

    def _ring_cells(self) -> int:
        """As llama.cpp sizes it. It does not tell, and were it another size, only last bits would depend on it."""
        settings = self.llama.context_params
        cells: int = self.window * llama_cpp.llama_n_seq_max(self._context) + llama_cpp.llama_n_ubatch(self._context)
        cells += -cells % 256
        return 0 if settings.swa_full or cells >= llama_cpp.llama_n_ctx(self._context) else cells

    @property
    def end(self) -> int:
        """Tokens in the context: one more than the last position."""
        last: int = llama_cpp.llama_memory_seq_pos_max(self._memory, SEQUENCE)
        return last + 1

    @property
    def sliding_start(self) -> int:
        """The first position that the sliding cache has; all from there to the end are there. 0 without one."""
        return max(llama_cpp.llama_memory_seq_pos_min(self._memory, SEQUENCE), 0) if self.window else 0

    def can_go_on_at(self, offset: int) -> bool:
        """True if the context has all that the token at `offset` sees."""
        return offset <= self.end and self.sliding_start <= max(offset - (self.window - 1), 0)

    def clear(self) -> None:
        """Forgets everything."""
        self.remove_from(0)

    def remove_from(self, offset: int) -> None:
        """Forgets the tokens from `offset` on."""
        llama_cpp.llama_memory_seq_rm(self._memory, SEQUENCE, offset, -1)

    def read(self, start: int, end: int) -> list[Cells]:
        """The state of the tokens start..<end, which the context must have: for each cache the cells that it holds.

        The bytes that they point into are `state`, until the next call. Raises `UnknownState`.
        """
        llama_cpp.llama_memory_seq_cp(self._memory, SEQUENCE, self._scratch, start, end)
        try:
            size = llama_cpp.llama_state_seq_get_size(self._context, self._scratch)
            if size > len(self._buffer):
                self._buffer = (ctypes.c_uint8 * size)()
            got = llama_cpp.llama_state_seq_get_data(self._context, self._buffer, size, self._scratch)
        finally:
            self._drop_scratch()
        if got != size or size == 0:
            raise UnknownState(f"llama.cpp gave {got} of {size} bytes of its state")
        self.state = memoryview(self._buffer).cast("B")[:size]
        cells = parse(self.state, self._caches)
        self._check(cells, start, end)
        return cells

    def _check(self, cells: Sequence[Cells], start: int, end: int) -> None:
        """The first cache must have all of the tokens, the second the last of them; both as they always were."""
        if cells[0].span != range(start, end):
            raise UnknownState(f"tokens {start}..<{end} were asked for, and {cells[0].span} came")
        for one in cells[1:]:
            if one.positions and (one.span.start < start or one.span.stop != end):
                raise UnknownState(f"a sliding cache gave {one.span} of the tokens {start}..<{end}")
        known = getattr(self, "layouts", None)
        if known and any(one.layout not in (None, layout) for one, layout in zip(cells, known)):
            raise UnknownState("the layout of the context's state has changed")

    def _drop_scratch(self) -> None:
        llama_cpp.llama_memory_seq_rm(self._memory, self._scratch, -1, -1)

    def write(self, builder: StateBuilder) -> None:
        """Adds a state to the context. Raises `RestoreFailed` if llama.cpp refuses it; then it added nothing."""
        state = (ctypes.c_uint8 * len(builder.state)).from_buffer(builder.state)
        try:
            taken = llama_cpp.llama_state_seq_set_data(self._context, state, len(state), self._scratch)
            if taken != len(state):
                raise RestoreFailed(f"llama.cpp took {taken} of {len(state)} bytes of state: is n_ctx large enough?")
            llama_cpp.llama_memory_seq_cp(self._memory, self._scratch, SEQUENCE, -1, -1)
        finally:
            self._drop_scratch()

    def check_end(self, offset: int) -> None:
        """Makes sure that the context holds `offset` tokens and can go on there; else clears it and raises
        `RestoreFailed`."""
        end, start = self.end, self.sliding_start
        if end != offset or not self.can_go_on_at(offset):
            self.clear()
            raise RestoreFailed(f"after a restore of {offset} tokens the context holds {start}..<{end}")
