"""LMCache's objects in Larder: bytes under a key, in chunks that the codec understands.

An object is a session of its own, named by its key, with its tensors as chunks at offset 0. A session of its own,
because objects are wanted one by one: the store evicts a session from its tail, and a chunk behind a hole is worth
nothing to it; so objects that shared a session would go with one another. Its chunks carry the key as their prefix key
too, and that is how objects are looked up: one ``match`` answers for many. When its chunks were evicted, the store
forgets the session by itself after a week.

Bytes of no known layout are whole rows, and then a trailer: what is left, how many bytes there are, and a description.
"""

from __future__ import annotations

import struct
from typing import Callable, NamedTuple, Sequence

import larder

from . import keys
from .layout import OPAQUE, OPAQUE_ROW, Layout
from .link import Connection, Link, logger

_TRAILER = struct.Struct("<8sQHH")
"""Magic, bytes of the object, bytes of the description, bytes of the object in the trailer."""
_MAGIC = b"LRDRLMC1"
MOST_DESCRIPTION = 512
"""Bytes of an opaque object's description."""


class Entry(NamedTuple):
    """An object to be stored."""

    digest: bytes
    """Its key; 32 bytes."""
    label: str
    """Its key as LMCache writes it, for people."""
    layout: Layout
    tokens: int
    """Of each tensor; of an opaque object ignored."""
    data: memoryview
    """The tensors' bytes one after another."""
    description: bytes = b""
    """What is to be known of an opaque object to make it again."""


class Wanted(NamedTuple):
    """An object to be loaded."""

    digest: bytes
    label: str
    layout: Layout


class Found(NamedTuple):
    """An object that the store has."""

    session: larder.Session
    model: larder.DeclaredModel
    name: str
    layout: Layout
    tokens: int
    """Of each tensor; of an opaque object 0."""
    byte_count: int
    description: bytes
    tail: bytes
    """An opaque object's bytes that are in its trailer."""


Place = Callable[[int, Found], "memoryview | None"]
"""Where the bytes of the object at an index go; None for nowhere."""


class Objects:
    """LMCache's objects of one model in Larder."""

    def __init__(self, link: Link, model_name: str) -> None:
        self.link = link
        self._name = keys.model_name(model_name)
        self._models: dict[Layout, larder.Model] = {}

    def model(self, layout: Layout) -> larder.Model:
        """The model as Larder is told of it. The fingerprint covers name, weights and layout: what differs in any is
        never served."""
        model = self._models.get(layout)
        if model is None:
            model = larder.Model(
                name=self._name,
                revision=f"lmcache/1 {layout}",
                weights=self.link.settings.weights,
                components=layout.components,
            )
            self._models[layout] = model
        return model

    def _home(
        self, connection: Connection, layout: Layout, digest: bytes, label: str
    ) -> tuple[larder.DeclaredModel, str]:
        """The model of an object, declared, and the name of its session."""
        declared = connection.declared(self.model(layout))
        return declared, keys.session_name(declared.fingerprint, digest, label)

    def layouts(self) -> list[Layout]:
        """The layouts that were used so far."""
        return list(self._models)

    # Looking up

    def leading(self, layout: Layout, digests: Sequence[bytes]) -> int:
        """How many of the objects, from the first on, the store has. Never raises."""
        return self.link.run(lambda connection: self._leading(connection, layout, digests), 0)

    def present(self, layout: Layout, digests: Sequence[bytes]) -> list[bool]:
        """Which of the objects the store has. Never raises."""

        def look(connection: Connection) -> list[bool]:
            found = [False] * len(digests)
            start = 0
            while start < len(digests):
                hits = self._leading(connection, layout, digests[start:])
                found[start : start + hits] = [True] * hits
                start += hits + 1
            return found

        return self.link.run(look, [False] * len(digests))

    def _leading(self, connection: Connection, layout: Layout, digests: Sequence[bytes]) -> int:
        declared = connection.declared(self.model(layout))
        namespace = connection.settings.namespace
        known = len(digests)
        for component in range(len(layout.components)):
            known = connection.client.match(namespace, declared, digests[:known], component=component)
        return known

    # Storing

    def store(self, entries: Sequence[Entry]) -> list[bool]:
        """Stores objects; true for those that the store has afterwards. Never raises."""
        return self.link.run(lambda connection: self._store(connection, entries), [False] * len(entries))

    def _store(self, connection: Connection, entries: Sequence[Entry]) -> list[bool]:
        stored = [False] * len(entries)
        left = list(range(len(entries)))
        for _ in range(2):
            left = self._store_once(connection, entries, left, stored)
            if not left:
                break
        return stored

    def _store_once(
        self, connection: Connection, entries: Sequence[Entry], indices: list[int], stored: list[bool]
    ) -> list[int]:
        """Stores some of the entries; returns those to be tried again."""
        items: list[larder.PageOut] = []
        owners: list[int] = []
        sessions: dict[int, larder.Session] = {}
        for index in indices:
            entry = entries[index]
            declared, name = self._home(connection, entry.layout, entry.digest, entry.label)
            sessions[index] = connection.session(declared, name, create=True)
            chunks = _chunks(entry)
            owners += [index] * len(chunks)
            items += [
                larder.PageOut(sessions[index], offset, tokens, data, component=component, prefix_key=key)
                for offset, tokens, data, component, key in chunks
            ]
        settings = connection.settings
        results = connection.client.put_from(
            items, acknowledgement=settings.acknowledgement, encoding=settings.encoding
        )
        again: list[int] = []
        faults: dict[int, larder.LarderError] = {}
        for index, result in zip(owners, results):
            if isinstance(result, larder.LarderError) and index not in faults:
                faults[index] = result
        for index in indices:
            if index not in faults:
                stored[index] = True
            elif self._mend(connection, entries[index], sessions[index], faults[index]):
                again.append(index)
            else:
                stored[index] = isinstance(faults[index], larder.Conflict)
        return again

    def _mend(
        self, connection: Connection, entry: Entry, session: larder.Session, fault: larder.LarderError
    ) -> bool:
        """Makes way for an object that could not be stored; true if it is to be tried again."""
        declared, name = self._home(connection, entry.layout, entry.digest, entry.label)
        if isinstance(fault, larder.UnknownSession):
            # It was idle so long that the store forgot it, or somebody dropped it.
            connection.forget(declared, name)
            return True
        if isinstance(fault, (larder.Damaged, larder.Overlap)):
            session.truncate(0)
            return True
        if isinstance(fault, larder.Conflict):
            # Two workers computed the same state a little differently. What came first is as good, and stays.
            logger.debug("Larder: %s is stored already, with other bytes; that stays", name)
        elif isinstance(fault, (larder.Busy, larder.Declined)):
            logger.debug("Larder: %s was not stored: %s", name, fault)
        else:
            self.link.complaints.say(f"put {type(fault).__name__}", f"state is not stored: {fault}")
        return False

    # Loading

    def load(self, wanted: Sequence[Wanted], place: Place) -> list[bool]:
        """Loads objects to where ``place`` says; true for those that are there, bit for bit. Never raises.

        ``place`` is called once an object, from the first on, for those that the store has; may be called again for all
        of them, if the connection was made anew. The bytes of an object that did not come are undefined.
        """
        return self.link.run(lambda connection: self._load(connection, wanted, place), [False] * len(wanted))

    def _load(self, connection: Connection, wanted: Sequence[Wanted], place: Place) -> list[bool]:
        loaded = [False] * len(wanted)
        items: list[larder.PageIn] = []
        owners: list[int] = []
        found: dict[int, Found] = {}
        for index, want in enumerate(wanted):
            here = self._find(connection, want)
            into = None if here is None else place(index, here)
            if here is None or into is None:
                continue
            if into.nbytes != here.byte_count:
                self.link.complaints.say(
                    "size", f"{here.name} has {here.byte_count} bytes where LMCache expects {into.nbytes}: a miss"
                )
                continue
            found[index] = here
            pages = _pages(here, into)
            owners += [index] * len(pages)
            items += pages
            loaded[index] = True
        results = connection.client.get_into(items) if items else []
        for index, item, result in zip(owners, items, results):
            if isinstance(result, larder.LarderError):
                loaded[index] = False
                self._unreadable(connection, found[index], result)
            elif result != memoryview(item.into).nbytes:
                loaded[index] = False
        return loaded

    def _find(self, connection: Connection, want: Wanted) -> Found | None:
        declared, name = self._home(connection, want.layout, want.digest, want.label)
        try:
            session = connection.session(declared, name, create=False)
            resume = session.resume()
        except larder.UnknownSession:
            # Forgotten by the store, or by somebody who made it anew.
            return self._find(connection, want) if connection.forget(declared, name) else None
        if resume.offset == 0:
            return None
        if not want.layout.is_opaque:
            count = sum(want.layout.byte_counts(resume.offset))
            # An object is one chunk a tensor, from 0 on; anything else is not ours.
            if len(resume.chunks) != len(want.layout.components):
                return None
            return Found(session, declared, name, want.layout, resume.offset, count, b"", b"")
        trailer = resume.chunks[-1]
        try:
            return _opened(session, declared, name, resume.offset, trailer.offset, session.get(trailer.offset))
        except larder.Damaged as error:
            self._unreadable(connection, Found(session, declared, name, OPAQUE, 0, 0, b"", b""), error)
            return None
        except larder.Miss:
            return None

    def _unreadable(self, connection: Connection, found: Found, error: larder.LarderError) -> None:
        if isinstance(error, larder.Miss):
            return
        self.link.complaints.say(
            f"get {type(error).__name__}", f"{found.name} cannot be loaded and is computed anew: {error}"
        )
        if isinstance(error, larder.Damaged):
            # Else a look-up would find it for ever, and a load never.
            connection.forget(found.model, found.name)
            try:
                found.session.drop()
            except larder.Refusal:
                pass

    # Housekeeping

    def remove(self, layouts: Sequence[Layout], digest: bytes, label: str) -> int:
        """Forgets an object; the bytes that the store had of it, 0 if none. Never raises."""

        def forget(connection: Connection) -> int:
            removed = 0
            for layout in layouts:
                declared, name = self._home(connection, layout, digest, label)
                connection.forget(declared, name)
                try:
                    session = connection.session(declared, name, create=False)
                    removed += session.resume().raw_bytes
                    session.drop()
                except larder.UnknownSession:
                    pass
                connection.forget(declared, name)
            return removed

        return self.link.run(forget, 0)


def _chunks(entry: Entry) -> list[tuple[int, int, memoryview, int, bytes | None]]:
    """The chunks of an object: offset, tokens, bytes, component, prefix key."""
    if not entry.layout.is_opaque:
        chunks: list[tuple[int, int, memoryview, int, bytes | None]] = []
        start = 0
        for component, count in enumerate(entry.layout.byte_counts(entry.tokens)):
            chunks.append((0, entry.tokens, entry.data[start : start + count], component, entry.digest))
            start += count
        if start != entry.data.nbytes:
            raise ValueError(f"{entry.label} has {entry.data.nbytes} bytes where {entry.layout} has {start}")
        return chunks
    rows, left = divmod(entry.data.nbytes, OPAQUE_ROW)
    trailer = _TRAILER.pack(_MAGIC, entry.data.nbytes, len(entry.description), left)
    trailer += entry.description + entry.data[rows * OPAQUE_ROW :]
    trailer += bytes(-len(trailer) % OPAQUE_ROW)
    last = (rows, len(trailer) // OPAQUE_ROW, memoryview(trailer), 0, entry.digest)
    # The key comes with the trailer, behind the rest: what is found by its key is whole.
    return [(0, rows, entry.data[: rows * OPAQUE_ROW], 0, None), last] if rows else [last]


def _opened(
    session: larder.Session, model: larder.DeclaredModel, name: str, end: int, rows: int, trailer: bytes
) -> Found | None:
    """An opaque object as its trailer tells of it; None if that does not add up."""
    if len(trailer) < _TRAILER.size:
        return None
    magic, count, description, left = _TRAILER.unpack_from(trailer)
    if magic != _MAGIC or description > MOST_DESCRIPTION or count != rows * OPAQUE_ROW + left:
        return None
    body = _TRAILER.size + description
    if left >= OPAQUE_ROW or len(trailer) != -(-(body + left) // OPAQUE_ROW) * OPAQUE_ROW:
        return None
    if end != rows + len(trailer) // OPAQUE_ROW:
        return None
    return Found(
        session, model, name, OPAQUE, 0, count, bytes(trailer[_TRAILER.size : body]), bytes(trailer[body : body + left])
    )


def _pages(found: Found, into: memoryview) -> list[larder.PageIn]:
    """What to load for an object. An opaque object's tail is put in place at once."""
    if not found.layout.is_opaque:
        pages = []
        start = 0
        for component, count in enumerate(found.layout.byte_counts(found.tokens)):
            pages.append(larder.PageIn(found.session, 0, into[start : start + count], component=component))
            start += count
        return pages
    rows = found.byte_count - len(found.tail)
    into[rows:] = found.tail
    return [larder.PageIn(found.session, 0, into[:rows])] if rows else []
