"""Sessions of a model's caches: restore, save, and a prefill that does both."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, NamedTuple, Sequence

import torch
from transformers import DynamicCache

import larder

from .fingerprint import CHAIN_BYTES, chain, matching_links, revision_of, weights_hash
from .layout import CacheLayout, Piece, compute, new_cache

logger = logging.getLogger("larder.transformers")

MOST_ATTEMPTS = 16
"""Resume points that a restore tries, each before what was found damaged."""


class Restored(NamedTuple):
    """A cache that was restored."""

    cache: DynamicCache
    """Empty if ``offset`` is 0."""
    offset: int
    """Tokens that it has seen."""
    matching: int
    """Tokens, from the first on, that the session knows as the same; at least ``offset``. What lies between was once
    computed, but there is no state at its end."""


class Prefilled(NamedTuple):
    """What a prefill gave."""

    cache: DynamicCache
    logits: torch.Tensor
    """Of the last token: ``[vocabulary]``."""
    restored: int
    """Tokens that were not computed."""
    snapshots: list[int]
    """Where recurrent states were saved."""
    fault: str
    """Why nothing more was loaded or saved; empty if all went well."""


@dataclass(frozen=True)
class _Loaded:
    attention: list[list[Piece]]
    states: list[torch.Tensor]


class CacheKeeper:
    """Keeps the caches of one model in Larder.

    State is restored only to a model of the same class, configuration, weights, element types and way of computing
    attention, under the same version of transformers.
    """

    def __init__(
        self, client: larder.Client, model: Any, *, namespace: str = "transformers", chunk_tokens: int = 256,
        weights: str | None = None,
    ) -> None:
        """Looks at the model's cache (computes one token), hashes its weights, and declares it.

        Parameters:
            client: where to keep it; used by this thread.
            model: a causal language model, in evaluation mode.
            namespace: whose sessions; see ``line``.
            chunk_tokens: tokens of a chunk, and from one place to the next where recurrent states may be saved.
            weights: identity of the weights, up to 255 bytes, if it is known; else they are read and hashed.

        Raises ``UnknownCache`` for a model whose cache cannot be kept whole, and ``larder.LarderError``.
        """
        if chunk_tokens < 1:
            raise ValueError(f"chunk_tokens is {chunk_tokens}; it is 1 or more")
        self.client, self.model, self.namespace, self.chunk_tokens = client, model, namespace, chunk_tokens
        self.layout = CacheLayout.of(model)
        self.declared = client.declare_model(
            larder.Model(
                name=type(model).__name__,
                revision=revision_of(model),
                weights=weights_hash(model) if weights is None else weights,
                components=self.layout.components,
            )
        )

    def line(self, name: str, *, create: bool = True) -> "Line":
        """The session of that name. Raises ``larder.ModelMismatch`` if it is another model's, naming what differs, and
        ``larder.UnknownSession`` if there is none and it is not to be made."""
        session = self.client.open_session(self.namespace, name, self.declared, create=create)
        return Line(self, session)


class Line:
    """One line of tokens, and its state. One process at a time writes to it; another is refused, not mixed in."""

    def __init__(self, keeper: CacheKeeper, session: larder.Session) -> None:
        self.keeper, self.session = keeper, session
        self._end = 0
        # True until something is saved: what the session holds beyond the end may be another line's past.
        self._is_fresh = True

    def fork(self, offset: int, name: str) -> "Line":
        """A line that shares this one's state up to ``offset``, in constant time. Raises ``larder.Exists``."""
        return Line(self.keeper, self.session.fork(offset, name))

    # Restoring

    def restore(self, tokens: Any, at_most: int | None = None) -> Restored:
        """The deepest state that the line has for a prefix of ``tokens``, as a cache to go on with.

        A line whose tokens part from these is restored up to where they part; recurrent layers, up to their last state
        before that. Damaged state counts as missing.

        Parameters:
            tokens: token ids: a list, or a tensor of one sequence.
            at_most: the largest offset of use.

        Raises ``larder.LarderError``.
        """
        ids = _ids(tokens)
        bound = len(ids) if at_most is None else min(at_most, len(ids))
        links = memoryview(chain(ids))
        matching = 0
        for _ in range(MOST_ATTEMPTS):
            resume = self.session.resume(bound)
            if resume.offset == 0:
                break
            chunks = resume.chunks if resume.complete else self._chunks_for(resume.offset)
            known, damaged = self._match(chunks, resume.offset, links)
            matching = max(matching, known)
            if damaged is None and known >= resume.offset:
                loaded, damaged = self._load(chunks, resume.offset)
                if loaded is not None:
                    self._end, self._is_fresh = resume.offset, True
                    cache = self.keeper.layout.build(
                        self.keeper.model, resume.offset, loaded.attention, loaded.states
                    )
                    return Restored(cache, resume.offset, matching)
            # Next, what lies before the place where the tokens part, or before what is damaged.
            bound = known if damaged is None else min(known, damaged)
            if bound < 1:
                break
        self._end, self._is_fresh = 0, True
        return Restored(new_cache(self.keeper.model), 0, matching)

    def _chunks_for(self, offset: int) -> list[larder.ChunkSummary]:
        """All chunks that a resume point may need; where they are too many for one answer."""
        return [
            chunk for chunk in self.session.chunks()
            if (chunk.offset == offset if chunk.tokens == 0 else chunk.offset < offset)
        ]

    def _match(
        self, chunks: Sequence[larder.ChunkSummary], end: int, links: memoryview
    ) -> tuple[int, int | None]:
        """How many tokens are those that the line knows, and where its links are damaged, if they are."""
        mine = [chunk for chunk in chunks if chunk.component == 0]
        stored = [bytearray(chunk.raw_bytes) for chunk in mine]
        results = self.keeper.client.get_into(
            [larder.PageIn(self.session, chunk.offset, into) for chunk, into in zip(mine, stored)]
        )
        known = 0
        for chunk, into, result in zip(mine, stored, results):
            if isinstance(result, larder.LarderError):
                self._note(chunk, result)
                return known, chunk.offset
            known = chunk.offset + matching_links(memoryview(into), links[chunk.offset * CHAIN_BYTES :])
            if known < min(chunk.offset + chunk.tokens, end):
                break
        return known, None

    def _load(self, chunks: Sequence[larder.ChunkSummary], end: int) -> tuple[_Loaded | None, int | None]:
        """Loads what a resume point needs; else the offset before which something else may do."""
        attention: list[list[Piece]] = [[] for _ in self.keeper.layout.key_values]
        states: list[torch.Tensor] = [torch.empty(0)] * len(self.keeper.layout.states)
        wanted = [chunk for chunk in chunks if chunk.component > 0]
        items = []
        for chunk in wanted:
            data = torch.empty(chunk.raw_bytes, dtype=torch.uint8)
            index = chunk.component - 1
            if chunk.tokens:
                attention[index].append((chunk.offset, chunk.tokens, data))
            else:
                states[index - len(attention)] = data
            items.append(larder.PageIn(self.session, chunk.offset, data.numpy(), component=chunk.component))
        damaged: list[int] = []
        for chunk, result in zip(wanted, self.keeper.client.get_into(items)):
            if isinstance(result, larder.LarderError):
                self._note(chunk, result)
                damaged.append(chunk.offset if chunk.tokens else chunk.offset - 1)
        return (None, min(damaged)) if damaged else (_Loaded(attention, states), None)

    def _note(self, chunk: larder.ChunkSummary, error: larder.LarderError) -> None:
        logger.warning(
            "Larder: %s of %r at %d cannot be loaded (%s); what lies before it is restored instead",
            self.keeper.layout.components[chunk.component].name, self.session.name, chunk.offset, error,
        )

    # Saving

    def plan(self, length: int, computed_from: int, *, stride: int = 0, budget: int = 0) -> list[int]:
        """Where recurrent states are worth their bytes, for a line that will have ``length`` tokens of which those from
        ``computed_from`` on are computed now. Empty for a model without recurrent layers."""
        return self.session.plan_snapshots(length, computed_from, self.keeper.chunk_tokens, stride, budget)

    def save(self, cache: DynamicCache, tokens: Any, *, states: bool = True) -> None:
        """Saves what a cache has beyond what this object restored or saved last, and its recurrent states as they are.

        What the session holds of other tokens is forgotten from there on: a line goes one way. To keep both, fork it.

        Parameters:
            cache: one that has seen just these tokens.
            tokens: all token ids from the line's first on.
            states: False to save attention only.

        Raises ``UnknownCache`` and ``ValueError`` for a cache that is not of this model or these tokens;
        ``larder.Conflict`` or ``larder.Overlap`` if another process writes to the line; ``larder.LarderError``.
        """
        ids = _ids(tokens)
        self.keeper.layout.check(cache, len(ids))
        if len(ids) < self._end:
            raise ValueError(f"{len(ids)} tokens were given, but the line goes on from {self._end}")
        if self._is_fresh:
            self._forget_unclaimed()
        try:
            self._write(cache, ids, states)
        except (larder.Conflict, larder.Overlap, larder.Damaged):
            if not self._is_fresh:
                raise
            # What the session held beyond the point that was restored is of other tokens, or cut in other places.
            self.session.truncate(self._end)
            self._write(cache, ids, states)
        self._end, self._is_fresh = len(ids), False

    def _forget_unclaimed(self) -> None:
        """Forgets state beyond the session's links, which may have been evicted before it: nobody can tell any more of
        which tokens it is."""
        reaches = [reach.offset for reach in self.session.resume(0).reaches if reach.component == 0]
        claimed = max([self._end, *reaches])
        if self.session.explain().end > claimed:
            self.session.truncate(claimed)

    def _write(self, cache: DynamicCache, ids: list[int], states: bool) -> None:
        pieces = self._pieces(len(ids))
        self._claim(pieces, ids)
        items = [
            larder.PageOut(self.session, start, end - start, data.numpy(), component=component)
            for component, start, end, data in self._attention(cache, pieces, len(ids))
        ]
        if states:
            first = 1 + len(self.keeper.layout.key_values)
            for index, track in enumerate(self.keeper.layout.states):
                data = track.pack(cache)
                items.append(larder.PageOut(self.session, len(ids), 0, data.numpy(), component=first + index))
        for result in self.keeper.client.put_from(items):
            # The same tokens computed in other steps differ in their last bits: what is stored is as good, and stays.
            if isinstance(result, larder.LarderError) and not isinstance(result, larder.Conflict):
                raise result

    def _pieces(self, end: int) -> list[tuple[int, int]]:
        """What is to be saved, cut at multiples of the chunk."""
        step = self.keeper.chunk_tokens
        pieces = []
        start = self._end
        while start < end:
            stop = min(end, (start // step + 1) * step)
            pieces.append((start, stop))
            start = stop
        return pieces

    def _claim(self, pieces: Sequence[tuple[int, int]], ids: Sequence[int]) -> None:
        """Says whose tokens these ranges are, before there is any state of them: two that write to one session at once
        with different tokens are told apart by it."""
        if not pieces:
            return
        links = chain(ids)
        items = [
            larder.PageOut(self.session, start, end - start, links[start * CHAIN_BYTES : end * CHAIN_BYTES])
            for start, end in pieces
        ]
        for result in self.keeper.client.put_from(items):
            if isinstance(result, larder.LarderError):
                raise result

    def _attention(
        self, cache: DynamicCache, pieces: Sequence[tuple[int, int]], length: int
    ) -> list[tuple[int, int, int, torch.Tensor]]:
        """The chunks of attention: component, start, end, bytes."""
        chunks = []
        for component, part in enumerate(self.keeper.layout.key_values, start=1):
            # A sliding layer has only its window left.
            held = max(0, length - part.window) if part.window else 0
            for start, end in pieces:
                if end > held:
                    first = max(start, held)
                    chunks.append((component, first, end, part.pack(cache, first, end, length)))
        return chunks

    # Both

    def prefill(self, tokens: Any, *, stride: int = 0, budget: int = 0) -> Prefilled:
        """Has the model see ``tokens``: restores what the line has, computes the rest in steps of ``chunk_tokens``,
        saves whole chunks, and recurrent states where the planner says.

        The logits are those of a run that stops at the same multiples of ``chunk_tokens`` and never breaks off. What
        Larder cannot do is computed instead, and said in ``fault``: a store never keeps a model from answering.

        Parameters:
            tokens: token ids, at least one; the last is always computed.
            stride: tokens from one regular state to the next; 0 for none.
            budget: most states; 0 for the daemon's own bound.
        """
        ids = _ids(tokens)
        if not ids:
            raise ValueError("there are no tokens")
        step = self.keeper.chunk_tokens
        faults: list[str] = []
        restored = Restored(new_cache(self.keeper.model), 0, 0)
        snapshots: set[int] = set()
        try:
            restored = self.restore(ids, (len(ids) - 1) // step * step)
            snapshots = set(self.plan(len(ids), restored.offset, stride=stride, budget=budget))
        except larder.LarderError as error:
            self._give_up(error, faults)
        cache, at = restored.cache, restored.offset
        saved: list[int] = []
        logits = torch.empty(0)
        while at < len(ids):
            end = min(len(ids), (at // step + 1) * step)
            logits, at = compute(self.keeper.model, ids[at:end], cache), end
            if end % step == 0 and not faults:
                try:
                    self.save(cache, ids[:end], states=end in snapshots)
                    saved += [end] if end in snapshots else []
                except larder.LarderError as error:
                    self._give_up(error, faults)
        return Prefilled(cache, logits, restored.offset, saved, faults[0] if faults else "")

    def _give_up(self, error: larder.LarderError, faults: list[str]) -> None:
        faults.append(f"{type(error).__name__}: {error}")
        logger.error("Larder: %r is computed without the store from here on: %s", self.session.name, faults[0])


def _ids(tokens: Any) -> list[int]:
    if isinstance(tokens, torch.Tensor):
        if tokens.dim() == 2 and tokens.shape[0] == 1:
            tokens = tokens[0]
        if tokens.dim() != 1 or tokens.is_floating_point():
            raise ValueError(f"tokens are one sequence of ids, not a tensor of {tokens.dtype} {tuple(tokens.shape)}")
        return tokens.tolist()
    return [int(token) for token in tokens]

