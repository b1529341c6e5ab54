"""From a context into Larder: the chunks of a line of tokens that are not stored yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from larder import ArenaSlice, Busy, Conflict, Damaged, Declined, LarderError, Overlap, PageOut
from larder.buffers import BytesLike
from larder.wire.numbers import Acknowledgement

from .line import Keys, Line, Stretch, as_tokens, common_prefix, tokens_to_bytes
from .pages import WINDOW_BYTES, extract, view_of
from .restore import Store

#: Times that a save begins anew because the session was changed under it, or a chunk in it is damaged.
MAX_ATTEMPTS = 3


@dataclass
class Saved:
    """What a save came to.

    Attributes:
        offset: tokens of the line that are stored now, from the first on.
        chunks: chunks that were stored anew.
        shared: of them, those whose bytes were there already under their key.
        raw_bytes: bytes of the others.
        stored_bytes: what these take in the store; 0 at `accepted`.
        errors: chunks that were not stored, and why: what a full store or a budget refuses is no failure.
    """

    offset: int = 0
    chunks: int = 0
    shared: int = 0
    raw_bytes: int = 0
    stored_bytes: int = 0
    errors: list[LarderError] = field(default_factory=list)


class _Anew(Exception):
    """The session is not as it was thought to be; begin anew."""

    def __init__(self, error: LarderError):
        super().__init__(str(error))
        self.error = error


@dataclass
class _Piece:
    """A chunk to store: of which component, of which tokens."""

    component: int
    stretch: Stretch
    key: bytes
    cell: int


class Saver:
    """Saves the line of one context, and remembers what is stored of it."""

    def __init__(self, store: Store, acknowledgement: Acknowledgement):
        self._store = store
        self._acknowledgement = acknowledgement
        #: What the session holds, as far as is known here; None until it is read.
        self.line: Line | None = None
        #: What the namespace wants to see computed a second time, by component and key: not put again until then.
        self.declined: set[tuple[int, bytes]] = set()

    def save(self, held: Sequence[int], tail: bool) -> Saved:
        """Stores what is missing of the line `held`, which the context holds; with `tail` its last, partial cell too.

        What the session holds of another line is forgotten.
        """
        tokens = as_tokens(held)
        saved = Saved()
        if not self._store.shares:
            # Without keys nothing tells later on whether a chunk follows the tokens that another worker put before it.
            self.line = None
        for attempt in range(MAX_ATTEMPTS):
            try:
                self._save(tokens, tail, saved)
                break
            except _Anew as again:
                self.line = None
                if attempt + 1 == MAX_ATTEMPTS:
                    saved.errors.append(again.error)
        if self.line is not None:
            saved.offset = common_prefix(self.line.tokens, tokens)
        return saved

    def _save(self, tokens: Sequence[int], tail: bool, saved: Saved) -> None:
        store = self._store
        if self.line is None:
            self.line = store.read_line()
        line, step = self.line, store.chunk_tokens
        same = common_prefix(line.tokens, tokens)
        if same < min(len(line.tokens), len(tokens)) or line.end > len(line.tokens):
            self._truncate(line, same)
        end = len(tokens) if tail else len(tokens) // step * step
        keys = Keys(as_tokens(tokens), step)
        for window in self._windows(list(self._missing(line, keys, end))):
            self._store_window(line, tokens, window, saved)

    def _truncate(self, line: Line, offset: int) -> None:
        self._store.session.truncate(offset)
        line.cut(offset)

    def _missing(self, line: Line, keys: Keys, end: int) -> Iterator[_Piece]:
        """The chunks to store, cell by cell. A sliding component's past is not in the context any more: it is left
        out."""
        store, step = self._store, self._store.chunk_tokens
        reach = store.context.sliding_start
        for cell in range(0, end, step):
            stop = min(cell + step, end)
            starts = [cell] * store.components
            for index, track in enumerate(store.tracks):
                starts[index] = min(max(cell, reach), stop) if track.cache else cell
            gaps = [line.missing(index, start, stop) for index, start in enumerate(starts)]
            if not any(gaps):
                continue
            if stop == cell + step and line.end > cell and self._can_merge(line, cell, stop, reach):
                self._truncate(line, cell)
                gaps = [[(start, stop)] if start < stop else [] for start in starts]
            # The tokens first: see _store_window.
            for index in reversed(range(store.components)):
                for gap in gaps[index]:
                    piece = _Piece(index, gap, keys.of(*gap), cell)
                    if (index, piece.key) not in self.declined:
                        yield piece

    def _can_merge(self, line: Line, cell: int, stop: int, reach: int) -> bool:
        """True if the pieces of a cell can give way to one chunk: it is the line's last, and nothing of it is lost."""
        pieces = [one for index in range(self._store.components) for one in line.pieces(index, cell, stop)]
        whole = reach <= cell or not any(
            line.pieces(index, cell, stop) for index, track in enumerate(self._store.tracks) if track.cache
        )
        return line.end <= stop and whole and any(one != (cell, stop) for one in pieces)

    def _windows(self, pieces: Sequence[_Piece]) -> Iterator[list[_Piece]]:
        """Runs of whole cells, of at most WINDOW_BYTES."""
        window: list[_Piece] = []
        size = 0
        for piece in pieces:
            if window and size > WINDOW_BYTES and piece.cell != window[-1].cell:
                yield window
                window, size = [], 0
            window.append(piece)
            size += self._bytes(piece)
        if window:
            yield window

    def _bytes(self, piece: _Piece) -> int:
        if piece.component >= len(self._store.tracks):
            return 0
        return (piece.stretch[1] - piece.stretch[0]) * self._store.tracks[piece.component].token_bytes()

    def _store_window(self, line: Line, tokens: Sequence[int], pieces: Sequence[_Piece], saved: Saved) -> None:
        """Stores the tokens, and when that is done the state. Of two workers that save different lines in one session
        only one can store its tokens at an offset, and the other's state never gets there."""
        last = len(self._store.tracks)
        names = [piece for piece in pieces if piece.component == last]
        data = [tokens_to_bytes(as_tokens(tokens[slice(*piece.stretch)])) for piece in names]
        refused = self._put(line, names, data, saved, self._at_least_committed)
        for piece in names:
            stored = piece.stretch in line.stored[last]
            if stored and piece.stretch[0] == len(line.tokens):
                line.tokens.extend(tokens[slice(*piece.stretch)])
        state = [piece for piece in pieces if piece.component != last and piece.cell not in refused]
        if self._store.shares:
            state = self._adopt(line, state, saved)
        self._put(line, state, self._read(state), saved, self._acknowledgement)
        if state and not self._store.shares:
            self._check_own(line)

    @property
    def _at_least_committed(self) -> Acknowledgement:
        """At `accepted` nobody would say that another's tokens are there already."""
        return "committed" if self._acknowledgement == "accepted" else self._acknowledgement

    def _check_own(self, line: Line) -> None:
        """Without keys: if another worker has put its tokens under the state that was just stored, forgets it."""
        same = common_prefix(self._store.read_line().tokens, line.tokens)
        if same < len(line.tokens):
            self._store.session.truncate(same)
            raise _Anew(LarderError(f"another worker changed the session from token {same} on"))

    def _adopt(self, line: Line, pieces: Sequence[_Piece], saved: Saved) -> list[_Piece]:
        """Stores those that some session has already by their keys alone; returns the others."""
        named = [piece for piece in pieces if piece.key not in self._store.damaged]
        taken: set[int] = set()
        for piece, result in zip(named, self._send(named, [None] * len(named), self._acknowledgement)):
            if not isinstance(result, LarderError):
                line.add(piece.component, piece.stretch)
                taken.add(id(piece))
        saved.chunks += len(taken)
        saved.shared += len(taken)
        return [piece for piece in pieces if id(piece) not in taken]

    def _read(self, pieces: Sequence[_Piece]) -> list[ArenaSlice | memoryview]:
        """The pieces' bytes, from the context: each cell is read once."""
        regions = self._store.staging.take([self._bytes(piece) for piece in pieces])
        read: Stretch | None = None
        for piece, region in zip(pieces, regions):
            together = [other.stretch for other in pieces if other.cell == piece.cell]
            span = min(low for low, _ in together), max(high for _, high in together)
            if span != read:
                cells, read = self._store.context.read(*span), span
            extract(self._store.context, cells, self._store.tracks[piece.component], piece.stretch, view_of(region))
        return regions

    def _put(
        self,
        line: Line,
        pieces: Sequence[_Piece],
        data: Sequence[BytesLike],
        saved: Saved,
        acknowledgement: Acknowledgement,
    ) -> set[int]:
        """Stores pieces; returns the cells of those that were refused. Raises `_Anew`."""
        refused: set[int] = set()
        for piece, result in zip(pieces, self._send(pieces, data, acknowledgement)):
            if isinstance(result, Damaged):
                self._store.damaged.add(piece.key)
                self._store.session.truncate(piece.stretch[0])
                raise _Anew(result)
            if isinstance(result, (Conflict, Overlap, Busy)):
                raise _Anew(result)
            if isinstance(result, LarderError):
                saved.errors.append(result)
                if isinstance(result, Declined):
                    self.declined.add((piece.component, piece.key))
                # What comes by keys is checked by them at each restore: all of a cell may be put for a first time.
                if not (isinstance(result, Declined) and self._store.shares):
                    refused.add(piece.cell)
                continue
            line.add(piece.component, piece.stretch)
            saved.chunks += 1
            saved.raw_bytes += self._bytes(piece)
            saved.stored_bytes += result
        return refused

    def _send(
        self, pieces: Sequence[_Piece], data: Sequence[BytesLike], acknowledgement: Acknowledgement
    ) -> list[int | LarderError]:
        return self._store.client.put_from(
            (
                PageOut(
                    self._store.session, piece.stretch[0], piece.stretch[1] - piece.stretch[0], each, piece.component,
                    None, None if piece.key in self._store.damaged else piece.key,
                )
                for piece, each in zip(pieces, data)
            ),
            acknowledgement=acknowledgement,
        )
