"""A llama.cpp context whose state is kept in Larder, by session and offset."""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import llama_cpp

from larder import Client, HintResult, Model, Session, connect
from larder.wire.numbers import Acknowledgement

from .context import Context, refuse_images
from .cut import put_parts, read_parts
from .fingerprint import facts, revision, weights_of
from .line import common_prefix
from .pages import Staging
from .restore import Store, restore
from .save import Saved, Saver
from .tracks import tokens_component, tracks_of

if TYPE_CHECKING:
    from .attach import Attachment

#: Tokens of a chunk, if nothing else is said.
CHUNK_TOKENS = 256
#: Bytes of a chunk of one component, if nothing else is said: less than what a frame carries.
CHUNK_BYTES = 32 << 20
#: Longest wait for the daemon on a connection of the cache's own: a daemon that hangs costs this once.
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Restored:
    """What a restore came to.

    Attributes:
        offset: tokens at the front of the prompt that need not be evaluated; the context holds just these.
        from_context: of them, those that the context held already.
        raw_bytes: bytes of state that were loaded for the others.
        seconds: how long it took.
        reason: why it is not more, where state is damaged or not what it should be; empty if more was never stored.
    """

    offset: int
    from_context: int
    raw_bytes: int
    seconds: float
    reason: str = ""

    @property
    def from_larder(self) -> int:
        """Tokens that were loaded."""
        return self.offset - self.from_context


def _name(given: str) -> str:
    """What a file calls its model, as a name for Larder: without control characters, and not too long."""
    shown = unicodedata.normalize("NFC", "".join(one if one.isprintable() else " " for one in given))
    return shown.encode("utf-8", "replace")[:255].decode("utf-8", "ignore").strip() or "gguf"


class LlamaCache:
    """Keeps the state of a `llama_cpp.Llama` in a session of Larder.

        cache = LlamaCache(llama, session="task-17")
        restored = cache.restore(tokens)          # the context holds tokens[:restored.offset]
        llama.eval(tokens[restored.offset:])
        cache.save()                              # what is new since

    or, for `create_completion` and its kin, `cache.attach()`: then each call restores what it can and saves what it
    computes, and a daemon that is gone costs time, but never an error.

    Its methods raise what the client raises (`larder.LarderError`) and leave a context that is usable: it holds what
    `llama.n_tokens` says. One thread at a time may use a `Llama` and its caches.

    Attributes:
        session: the session in Larder.
        prefill_rate: tokens that the context computes in a second, as far as `attach` has seen; 0 if unknown.
    """

    _store: Store
    _saver: Saver
    _acknowledgement: Acknowledgement
    _connects: bool
    _path: str | os.PathLike[str] | None

    def __init__(
        self,
        llama: Any,
        client: Client | str | os.PathLike[str] | None = None,
        *,
        session: str,
        namespace: str = "llama.cpp",
        chunk_tokens: int | None = None,
        identity: str = "",
        acknowledgement: Acknowledgement = "committed",
    ):
        """
        Args:
            llama: a `llama_cpp.Llama`, or what has its `ctx`, `model`, `n_tokens` and `input_ids`.
            client: a connection, which stays the caller's; or the path of the daemon's socket, None for the usual one:
                then the cache connects itself, and what is attached connects anew after the daemon was restarted.
            session: the session's name in the namespace; it is created if it is new.
            namespace: its namespace.
            chunk_tokens: tokens of a chunk: sessions share prefixes in steps of these, and a sliding window's state
                can be had anew at each of them. No more than the model's window. None for 256, or fewer where a token
                has so much state that a chunk would have more than 32 MiB.
            identity: what else makes the state, and cannot be seen from here: adapters and control vectors that were
                set through llama.cpp's own functions. Another identity is another model.
            acknowledgement: see `Client.put_from`.

        Raises `Unsupported` for a model whose state this module cannot keep, `UnknownState` for a llama.cpp that writes
        another state than it knows, `larder.ModelMismatch` if the session is another model's.
        """
        if chunk_tokens is not None and chunk_tokens < 1:
            raise ValueError(f"chunks of {chunk_tokens} tokens")
        self._connects = not isinstance(client, Client)
        self._path = None if isinstance(client, Client) else client
        context = Context(llama)
        tracks = tracks_of(context.layouts, context.window)
        most = max(CHUNK_BYTES // max(track.token_bytes() for track in tracks), 1)
        chunk_tokens = chunk_tokens or min(CHUNK_TOKENS, 1 << most.bit_length() - 1)
        chunk_tokens = min(chunk_tokens, context.window or chunk_tokens)
        found = facts(context, llama_cpp.__version__, identity)
        model = Model(
            name=_name(llama.metadata.get("general.name") or llama.metadata.get("general.architecture") or ""),
            revision=revision(found),
            weights="sha256:" + weights_of(llama),
            components=tuple(track.component for track in tracks) + (tokens_component(),),
        )
        if not isinstance(client, Client):
            client = connect(client, name="llama.cpp", timeout=TIMEOUT_SECONDS)
        try:
            opened = client.open_session(namespace, session, client.declare_model(model))
            self._bind(llama, Store(client, opened, context, tracks, chunk_tokens, Staging(client)), acknowledgement)
            self._store.ask_policy()
        except BaseException:
            if self._connects:
                client.close()
            raise

    def reconnect(self, client: Client | None = None) -> None:
        """Goes on over another connection, after the daemon was restarted: the caller's, or for a cache that connected
        itself, a new one of its own. The model and the session are opened anew, by name."""
        if client is None:
            if not self._connects:
                raise ValueError("this cache was given its connection; give it a new one")
            own = connect(self._path, name="llama.cpp", timeout=TIMEOUT_SECONDS)
            try:
                self.reconnect(own)
            except BaseException:
                own.close()
                raise
            return
        old, store = self.session, self._store
        opened = client.open_session(old.namespace, old.name, client.declare_model(self.model))
        staging = store.staging if client is store.client else Staging(client)
        self._store = replace(store, client=client, session=opened, staging=staging)
        self._store.ask_policy()
        self._saver = Saver(self._store, self._acknowledgement)

    def _bind(self, llama: Any, store: Store, acknowledgement: Acknowledgement) -> None:
        self.llama = llama
        self.prefill_rate = 0
        self._store = store
        self._acknowledgement = acknowledgement
        self._saver = Saver(store, acknowledgement)

    @property
    def is_connected(self) -> bool:
        """False once the connection is gone: then `reconnect`."""
        return self._store.client.is_open

    @property
    def connects_itself(self) -> bool:
        """True if `reconnect` needs no client."""
        return self._connects

    @property
    def session(self) -> Session:
        """The session in Larder."""
        return self._store.session

    @property
    def chunk_tokens(self) -> int:
        """Tokens of a chunk."""
        return self._store.chunk_tokens

    @property
    def model(self) -> Model:
        """What was declared: all that makes state interchangeable."""
        return self.session.model.model

    def restore(self, tokens: Sequence[int], at_most: int | None = None) -> Restored:
        """Brings the longest prefix of `tokens` that the context or Larder holds into the context, and only that.

        Larder may have it in this session, to the token, or from other sessions of the namespace, in whole chunks. If
        these go further, the session takes them over, and follows `tokens` from then on.

        Args:
            tokens: the prompt.
            at_most: most tokens of use. If None, all but the last: one has to be evaluated, or there are no logits.
        """
        started = time.perf_counter()
        refuse_images(self.llama)
        tokens = list(tokens)
        limit = max(len(tokens) - 1, 0) if at_most is None else min(at_most, len(tokens))
        kept = self._held(tokens[:limit])
        self._store.context.remove_from(kept)
        self._saver.declined.clear()
        try:
            if kept == limit:
                return Restored(kept, kept, 0, time.perf_counter() - started)
            self._saver.line = None
            loaded = restore(self._store, tokens, kept, limit, self.prefill_rate)
            self._saver.line = loaded.line
        finally:
            self._tell_llama(tokens)
        return Restored(loaded.offset, loaded.kept, loaded.raw_bytes, time.perf_counter() - started, loaded.reason)

    def _held(self, tokens: list[int]) -> int:
        """How many of the tokens the context holds, such that it can go on there."""
        context = self._store.context
        count = min(self.llama.n_tokens, context.end)
        held = common_prefix(self.llama.input_ids[:count].tolist(), tokens)
        return held if context.can_go_on_at(held) else 0

    def _tell_llama(self, tokens: list[int]) -> None:
        """Keeps `Llama`'s own account: which tokens the context holds, and that its logits are not theirs."""
        count = self._store.context.end
        self.llama.input_ids[:count] = tokens[:count]
        self.llama.n_tokens = count
        self.llama._requires_eval = True

    def save(self, tokens: Sequence[int] | None = None, *, tail: bool = True) -> Saved:
        """Stores what the session lacks of the tokens in the context. The session follows them: what it held of another
        line is forgotten (`fork` keeps it).

        A sliding window's state is only there for the last tokens, unless the context was made with `swa_full`. Save
        every `chunk_tokens` or so, as `attach` does, to be able to go back to each chunk; a save at the end alone can
        be restored only near that end.

        Args:
            tokens: what the context holds; None for what `Llama` says. Else it must begin with these.
            tail: False to leave out the last chunk if it is not whole.
        """
        refuse_images(self.llama)
        count = min(self.llama.n_tokens, self._store.context.end)
        held = self.llama.input_ids[:count].tolist()
        if tokens is not None:
            if list(tokens) != held[: len(tokens)]:
                raise ValueError(f"the context does not hold these {len(tokens)} tokens: evaluate them first")
            held = held[: len(tokens)]
        return self._saver.save(held, tail)

    def fork(self, offset: int, name: str) -> LlamaCache:
        """A cache of a new session `name` that shares this one's state up to `offset`, at once and without a copy.

        The context stays as it is and serves both: restore through the one that is to go on. Raises `larder.Exists` if
        there is a session of that name, `larder.InvalidArgument` for an offset beyond what is stored.
        """
        store = self._store
        parts = read_parts(store, store.read_line(), offset)
        made = store.session.fork(offset, name)
        put_parts(store, made, parts)
        fork = object.__new__(type(self))
        fork._path, fork._connects = self._path, self._connects
        fork._bind(
            self.llama,
            Store(store.client, made, store.context, store.tracks, store.chunk_tokens, store.staging, store.shares),
            self._acknowledgement,
        )
        fork.prefill_rate = self.prefill_rate
        return fork

    def rewind(self, offset: int) -> Restored:
        """Forgets the session's tokens from `offset` on, and brings the context back there."""
        line = self._store.read_line()
        if not 0 <= offset <= len(line.tokens):
            raise ValueError(f"the session holds {len(line.tokens)} tokens, so none at {offset}")
        tokens = line.tokens[:offset].tolist()
        parts = read_parts(self._store, line, offset)
        self._saver.line = None  # It is not what the session holds any more.
        self.session.truncate(offset)
        put_parts(self._store, self.session, parts)
        return self.restore(tokens, at_most=offset)

    def retain(self, seconds: int, *, priority: int = 0) -> HintResult:
        """Says that the session is wanted again within `seconds`: a tool is running, say. See `Session.retain`."""
        return self.session.retain(seconds, priority=priority)

    def attach(self) -> Attachment:
        """Puts the cache under `Llama.generate` and `Llama.eval`, and so under `create_completion` and the like."""
        from .attach import Attachment

        return Attachment(self)

    def close(self) -> None:
        """Gives back memory shared with the daemon, and the connection, if it is the cache's own. What is stored stays.
        Forks of this cache use the same."""
        if self._connects:
            self._store.client.close()
        else:
            self._store.staging.close()
