"""From Larder into a context: as far as a prompt and what is stored agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from larder import (
    Client, Conflict, Damaged, LarderError, Miss, Overlap, PageIn, PageOut, Session,
)

from .context import Context
from .line import Keys, Line, Stretch, as_tokens, common_prefix, tokens_to_bytes
from .pages import WINDOW_BYTES, Chunk, Staging, insert, view_of
from .tracks import Track

#: Damaged or missing chunks that one restore steps back for, before it restores nothing.
MAX_STEPS_BACK = 64
#: What says that a chunk is not the one that its tokens name.
_OTHERS = (Conflict, Overlap, Miss)


@dataclass
class Store:
    """What a restore and a save work on: a context, and its session in Larder."""

    client: Client
    session: Session
    context: Context
    tracks: tuple[Track, ...]
    chunk_tokens: int
    staging: Staging
    shares: bool = True
    #: Keys whose chunks were found damaged: as long as any session has one, its key can't name a whole one.
    damaged: set[bytes] = field(default_factory=set)

    @property
    def components(self) -> int:
        """Of the model: the tracks', and that of the tokens, which is the last."""
        return len(self.tracks) + 1

    def read_line(self) -> Line:
        """What the session holds now."""
        return Line.of(self.session, self.components)

    def ask_policy(self) -> None:
        """Learns whether the namespace shares chunks by their keys."""
        self.shares = self.client.namespace_policy(self.session.namespace).sharing == "shared"


class _StepBack(Exception):
    """State cannot be had beyond `offset`. If it is `bad`, what is stored there can never be served, and has to go
    before it can be stored anew."""

    def __init__(self, offset: int, why: str, bad: bool = False, end: int = 1 << 40):
        super().__init__(why)
        self.offset = offset
        self.bad = bad
        #: Where the chunk ends that is the reason.
        self.end = end


@dataclass(frozen=True)
class Loaded:
    """What a restore came to: the context holds `offset` tokens, of which Larder gave those from `kept` on, in
    `raw_bytes`. `reason` says why it is not more, if something is wrong rather than absent. `line` is what the session
    holds."""

    offset: int
    kept: int
    raw_bytes: int
    reason: str
    line: Line


def restore(store: Store, wanted: Sequence[int], kept: int, limit: int, prefill_rate: int) -> Loaded:
    """Brings the context to the largest offset up to `limit` at which `wanted` can go on. It holds the first `kept` of
    them, no more, and can go on there."""
    tokens = as_tokens(wanted)
    line = adopt(store, tokens[:limit], store.read_line())
    at_most, reason = min(limit, common_prefix(line.tokens, tokens)), ""
    for _ in range(MAX_STEPS_BACK):
        offset = store.session.resume(at_most, prefill_rate).offset
        if offset <= kept:
            break
        kept = kept if _cheaper_on_top(store, line, kept, offset) else 0
        store.context.remove_from(kept)
        try:
            return Loaded(offset, kept, _load(store, line, kept, offset), reason, line)
        except _StepBack as step:
            at_most, reason = step.offset, str(step)
            if step.bad:
                store.damaged.update(Keys(line.tokens, store.chunk_tokens).ending_in(step.offset, step.end))
                store.session.truncate(step.offset)
                line.cut(step.offset)
            kept = _retreat(store.context, kept)
        except BaseException:
            _retreat(store.context, kept)
            raise
    return Loaded(kept, kept, 0, reason, line)


def _cheaper_on_top(store: Store, line: Line, kept: int, offset: int) -> bool:
    """True if it is best to load what follows the first `kept` tokens that the context holds, rather than all.

    A sliding cache then needs everything in between, so that it never has a gap that a later step back would take for
    whole."""
    sliding = [(index, track) for index, track in enumerate(store.tracks) if track.cache]
    if any(line.missing(index, kept, offset) for index, _ in sliding):
        return False
    sliding_bytes = sum(track.token_bytes() for _, track in sliding)
    attention_bytes = sum(track.token_bytes() for track in store.tracks) - sliding_bytes
    anew = offset * attention_bytes + min(offset, store.context.window) * sliding_bytes
    return (offset - kept) * (attention_bytes + sliding_bytes) <= anew


def _retreat(context: Context, kept: int) -> int:
    """Forgets what was loaded beyond the first `kept` tokens, or all if that cost some of what these need; returns how
    many are left."""
    context.remove_from(kept)
    if context.can_go_on_at(kept):
        return kept
    context.clear()
    return 0


def adopt(store: Store, tokens: Sequence[int], line: Line) -> Line:
    """Takes whole chunks of the prefix that other sessions stored into this one, by their keys alone, if they go
    further than what it has itself. The session then follows `tokens`: what it held of another line is forgotten."""
    own = common_prefix(line.tokens, tokens)
    step = store.chunk_tokens
    if not store.shares or len(tokens) // step * step <= own:
        return line
    grid = Keys(as_tokens(tokens), step).grid
    model = store.session.model
    found = store.client.match(store.session.namespace, model, grid, component=0) * step
    start = own // step * step
    if found <= own:
        return line
    if line.end > start:
        if not _sliding_found(store, grid, found // step):
            return line
        store.session.truncate(start)
    last = store.components - 1
    cells = range(start, found, step)
    ids = [tokens_to_bytes(as_tokens(tokens[cell : cell + step])) for cell in cells]
    names = [
        PageOut(store.session, cell, step, data, last, None, grid[cell // step]) for cell, data in zip(cells, ids)
    ]
    # The tokens come first, and alone: whoever has stored them is the one that the session belongs to.
    if all(not isinstance(result, LarderError) for result in store.client.put_from(names)):
        store.client.put_from(
            PageOut(store.session, cell, step, None, component, None, grid[cell // step])
            for cell in cells
            for component in range(last)
        )
    return store.read_line()


def _sliding_found(store: Store, grid: Sequence[bytes], cells: int) -> bool:
    """True if other sessions have the sliding windows, too, of a prefix of so many cells: what this one has itself is
    not given up for less."""
    session, first = store.session, max(cells * store.chunk_tokens - store.context.window, 0) // store.chunk_tokens
    needed = grid[first:cells]
    return all(
        store.client.match(session.namespace, session.model, needed, component=index) == len(needed)
        for index, track in enumerate(store.tracks)
        if track.cache
    )


def _load(store: Store, line: Line, kept: int, offset: int) -> int:
    """Loads what the context needs at `offset` beyond the first `kept` tokens; returns raw bytes.

    Raises `_StepBack`."""
    replay = _replay_start(store, line, kept, offset)
    while True:
        chunks = list(_wanted(store, line, kept, offset, replay))
        try:
            _check_whole(store, chunks, offset, kept)
            _check_names(store, chunks, line)
            for window in _windows(chunks):
                _page_in(store, window)
                for _, group in groupby(window, key=attrgetter("piece")):
                    insert(store.context, list(group))
            store.context.check_end(offset)
            _check_unchanged(store, line, offset)
            return sum(chunk.size for chunk in chunks)
        except _StepBack as step:
            # What is only there to have the bits in their old order is not worth a token.
            if replay is None or step.end > offset - store.context.window:
                raise
            replay = None
            store.context.remove_from(kept)


def _replay_start(store: Store, line: Line, kept: int, offset: int) -> int | None:
    """Where to begin with a sliding cache that is smaller than the context, so that each token comes to lie in the very
    cell where a run without a restore would have it; None if that is not stored.

    Such a cache is a ring. Whatever lies where, the state is the same, but sums over cells in another order have other
    last bits."""
    ring = store.context.ring
    if kept or not ring:
        return None
    start = max(offset - store.context.window, 0) // ring * ring
    sliding = [index for index, track in enumerate(store.tracks) if track.cache]
    return None if any(line.missing(index, start, offset) for index in sliding) else start


def _wanted(store: Store, line: Line, kept: int, offset: int, replay: int | None) -> Iterator[Chunk]:
    """The chunks to load, in order. A query sees one token less than llama.cpp's window before it, but llama.cpp's own
    state has that token, too: it is taken along where it is at hand."""
    found: list[tuple[Stretch, int, Stretch]] = []
    for component, track in enumerate(store.tracks):
        low = kept
        if track.cache and not kept:
            low = max(offset - store.context.window, 0) if replay is None else replay
        for piece in line.pieces(component, low, offset):
            found.append((piece, component, (max(piece[0], low), min(piece[1], offset))))
    for piece, component, wanted in sorted(found):
        yield Chunk(store.tracks[component], piece, wanted)


def _check_whole(store: Store, chunks: Sequence[Chunk], offset: int, kept: int) -> None:
    """Makes sure that the chunks are all that the offset needs, whatever the plan promised: every track of a cache has
    the same stretches, without a gap up to the offset."""
    for track in store.tracks:
        window = store.context.window - 1
        at = max(kept, offset - window) if track.cache else kept
        stretches = [chunk.wanted for chunk in chunks if chunk.track is track]
        first = next(one for one in store.tracks if one.cache == track.cache)
        if stretches != [chunk.wanted for chunk in chunks if chunk.track is first]:
            raise _StepBack(kept, f"{track.component.name} and {first.component.name} are not cut alike")
        for low, high in stretches:
            if low > at:
                break
            at = max(at, high)
        if at < offset:
            raise _StepBack(kept, f"{track.component.name} ends at {at}, where {offset} tokens were promised")


def _windows(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    """Cuts the chunks into runs of at most WINDOW_BYTES; those of one stretch of tokens stay together."""
    window: list[Chunk] = []
    size = 0
    for _, group in groupby(chunks, key=attrgetter("piece")):
        together = list(group)
        more = sum(chunk.size for chunk in together)
        if window and size + more > WINDOW_BYTES:
            yield window
            window, size = [], 0
        window += together
        size += more
    if window:
        yield window


def _check_names(store: Store, chunks: Sequence[Chunk], line: Line) -> None:
    """Asks Larder whether these chunks are the ones that the keys of the line's tokens name: to put a chunk by its key
    alone where just that chunk lies changes nothing, and anything else is an error. So state that another worker put
    into this session for other tokens is never taken for this line's."""
    if not store.shares:
        return
    keys = Keys(line.tokens, store.chunk_tokens)
    items = []
    for chunk in chunks:
        start, end = chunk.piece
        if end > len(line.tokens):
            raise _StepBack(start, f"tokens {start}..<{end} of the session are not known", False, end)
        component = store.tracks.index(chunk.track)
        items.append(PageOut(store.session, start, end - start, None, component, None, keys.of(start, end)))
    results = store.client.put_from(items)
    if any(isinstance(result, Miss) for result in results):
        store.ask_policy()
        if not store.shares:
            return
    for chunk, result in zip(chunks, results):
        # Where a key's chunk is damaged, its page-in will show whether this one is.
        if isinstance(result, LarderError) and not isinstance(result, Damaged):
            why = f"chunk at {chunk.piece[0]}: not what its tokens name: {result}"
            raise _StepBack(chunk.piece[0], why, isinstance(result, _OTHERS), chunk.piece[1])


def _check_unchanged(store: Store, line: Line, offset: int) -> None:
    """Another worker that takes the session for its own line stores that line's tokens before their state. So if the
    tokens are what they were, the state was theirs when it was paged in."""
    same = common_prefix(store.read_line().tokens, line.tokens)
    if same < offset:
        raise _StepBack(same, f"another worker changed the session from token {same} on, while it was loaded")


def _page_in(store: Store, chunks: Sequence[Chunk]) -> None:
    regions = store.staging.take([chunk.size for chunk in chunks])
    items = [
        PageIn(store.session, chunk.piece[0], region, store.tracks.index(chunk.track))
        for chunk, region in zip(chunks, regions)
    ]
    for chunk, region, result in zip(chunks, regions, store.client.get_into(items)):
        if isinstance(result, LarderError) or result != chunk.size:
            why = f"chunk at {chunk.piece[0]}: {result}"
            raise _StepBack(chunk.piece[0], why, isinstance(result, Damaged), chunk.piece[1])
        chunk.memory = view_of(region)
