"""Requests with values that mean something, and often not what they should: of sessions, models and arenas that there
are, that there were, or that are somebody else's."""

import fcntl
import hashlib
import os
import random
from functools import lru_cache

from peer import MESSAGES, Peer, larder  # noqa: F401
from larder.answers import ChunkName
from larder.wire import hints, listings, message, numbers, paging, policies, policy, sessions, structures
from larder.wire import admin
from larder_client import MODEL, raw_bytes

CHUNK_TOKENS = 16
CHUNKS = 12
COMPONENTS = 3
# Arenas of clients' own: their first part holds what is put from there, one chunk behind the other.
ARENA_BYTES = 128 << 10
SLOT_BYTES = 256 * CHUNK_TOKENS

# How often each message is asked for.
WEIGHTS = {
    "put": 30, "get": 14, "get_into": 6, "open_session": 8, "resume": 6, "fork": 5, "truncate": 4, "drop": 3, "hint": 6,
    "open_arena": 4, "register_arena": 4, "close_arena": 4, "declare_model": 3, "hello": 1, "set_cap": 1, "backup": 1,
}
NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")
NAMESPACES = ("one", "two", "control")


@lru_cache(maxsize=4_096)
def content(component: int, offset: int, variant: int) -> bytes:
    """The bytes of a chunk: what a client may put at a place is one of two."""
    count = raw_bytes(component, CHUNK_TOKENS)
    seed = f"{component} {offset} {variant}".encode()
    if variant:
        return (hashlib.sha256(seed).digest() * (count // 32 + 1))[:count]
    return hashlib.shake_128(seed).digest(count)


def key(component: int, offset: int, variant: int) -> bytes:
    """The prefix key that names a chunk's bytes."""
    return hashlib.sha256(b"key" + content(component, offset, variant)).digest()


def expected(item, tokens: int) -> list[bytes]:
    """What may be served for an item of a page-in: layers of either variant of the chunk, or of the zeroes that are in
    the daemon's arenas."""
    layers = (2, 1, 1)[item.component]
    found = []
    raws = [content(item.component, item.offset, variant) for variant in (0, 1)]
    for raw in [*raws, bytes(len(raws[0]))] if item.component == 0 else raws:
        step = len(raw) // layers
        last = item.first_layer + item.layers if item.layers else layers
        found.append(raw[item.first_layer * step : last * step])
    return found if tokens == (0 if item.component == 2 else CHUNK_TOKENS) else []


class Asking:
    """Makes requests; what answers say is what later ones are about."""

    def __init__(self, choose: random.Random, scratch: str) -> None:
        self.choose = choose
        self.scratch = scratch
        self.sessions = [64]
        self.models = [1]
        names = list(MESSAGES)
        self._names, self._weights = names, [WEIGHTS.get(name, 2) for name in names]

    def name(self) -> str:
        """Of the message to ask for."""
        return self.choose.choices(self._names, self._weights)[0]

    def hello(self):
        """A handshake as it should be."""
        return message.Hello(numbers.VERSION, numbers.VERSION, numbers.ARENAS, "fuzz")

    def learn(self, peer: Peer, name: str, answer) -> None:
        """Remembers ids that an answer gives."""
        if name in ("open_session", "fork"):
            self.sessions = [*self.sessions[-40:], answer.session]
        elif name == "declare_model":
            self.models = [*self.models[-8:], answer.model_id]
        elif name in ("open_arena", "register_arena"):
            peer.arenas.append(answer.arena)

    def make(self, name: str, peer: Peer) -> tuple[object, bytes, tuple[int, ...]]:
        """Fields, what follows them, and descriptors that go along."""
        make = getattr(self, f"_{name}", None)
        made = make(peer) if make else self._plain(name)
        return made if isinstance(made, tuple) and len(made) == 3 and isinstance(made[2], tuple) else (made, b"", ())

    # Values.

    def _session(self) -> int:
        return self.choose.choice((*self.sessions[-8:], self.choose.choice(self.sessions), 64, 1, 2**63)[:12])

    def _model(self) -> int:
        return self.choose.choice((*self.models, 1, 1, 99))

    def _offset(self) -> int:
        return CHUNK_TOKENS * self.choose.randrange(CHUNKS)

    def _bound(self) -> int:
        return self.choose.choice((self._offset(), 0, 2**64 - 1, 2**40, self.choose.randrange(300)))

    def _component(self) -> int:
        return self.choose.randrange(COMPONENTS) if self.choose.random() < 0.98 else 7

    def _arena(self, peer: Peer) -> int:
        return self.choose.choice((*peer.arenas[-3:], 0, 1, 77))

    def _keys(self) -> list[bytes]:
        component, variant = self._component() % COMPONENTS, self.choose.randrange(2)
        return [key(component, CHUNK_TOKENS * index, variant) for index in range(self.choose.randrange(5))]

    # Requests.

    def _put(self, peer: Peer):
        items, payload = [], b""
        for _ in range(self.choose.choice((1, 1, 2, 4, 0, 40))):
            component, offset, variant = self._component(), self._offset(), self.choose.randrange(2)
            # A component that there is not has the bytes of another.
            raw = content(component % COMPONENTS, offset, variant)
            place = structures.Payload(len(raw))
            naming = structures.Naming()
            if self.choose.random() < 0.3:
                naming = structures.Naming(key(component % COMPONENTS, offset, variant), self.choose.random() < 0.4)
            if naming.known:
                place = structures.Payload(0)
            elif component == 0 and variant == 0 and peer.arenas and self.choose.random() < 0.6:
                region = structures.ArenaRegion(self._arena(peer), offset // CHUNK_TOKENS * SLOT_BYTES)
                place = structures.Payload(len(raw), region)
            else:
                payload += raw
            tokens = 0 if component == 2 else CHUNK_TOKENS
            rank = 0 if self.choose.random() < 0.98 else 3
            items.append(paging.PutItem(self._session(), rank, component, offset, tokens, place, naming))
        acknowledgement = self.choose.choice(tuple(numbers.ACKNOWLEDGEMENTS))
        encoding = self.choose.choice(tuple(numbers.ENCODING_CHOICES))
        return paging.PutRequest(acknowledgement, encoding, items), payload, ()

    def _layers(self, component: int) -> tuple[int, int]:
        return self.choose.choice(((0, 0), (0, 1), (1, 1), (1, 0), (0, 2))) if component == 0 else (0, 0)

    def _get(self, peer: Peer):
        items = []
        for _ in range(self.choose.choice((1, 2, 5, 30))):
            component = self.choose.randrange(COMPONENTS)
            items.append(paging.GetItem(self._session(), 0, component, self._offset(), *self._layers(component)))
        return paging.GetRequest(items)

    def _get_into(self, peer: Peer):
        items = []
        for _ in range(self.choose.choice((1, 2, 8))):
            component = self.choose.randrange(COMPONENTS)
            # Behind what is put from there.
            place = ARENA_BYTES // 2 + self.choose.randrange(12) * SLOT_BYTES
            room = self.choose.choice((raw_bytes(component, CHUNK_TOKENS), SLOT_BYTES, 0, 2**40))
            items.append(
                paging.GetIntoItem(self._session(), 0, component, self._offset(), 0, 0, self._arena(peer), place, room))
        return paging.GetIntoRequest(self.choose.choice((0, 1, 2)), items)

    def _open_arena(self, peer: Peer):
        return paging.ArenaBytes(self.choose.choice((4_096, 1 << 20, 40 << 20, 0, 2**50, 4_097)))

    def _register_arena(self, peer: Peer):
        kind = self.choose.random()
        if kind < 0.7:
            return paging.ArenaBytes(ARENA_BYTES), b"", (self._memory(True),)
        if kind < 0.8:
            return paging.ArenaBytes(ARENA_BYTES), b"", (self._memory(False),)
        if kind < 0.9:
            return paging.ArenaBytes(ARENA_BYTES * 2), b"", (self._memory(True),)
        if kind < 0.95:
            return paging.ArenaBytes(ARENA_BYTES), b"", ()
        return paging.ArenaBytes(ARENA_BYTES), b"", (self._memory(True), os.open("/dev/null", os.O_RDONLY))

    @staticmethod
    def _memory(is_sealed: bool) -> int:
        file = os.memfd_create("fuzz", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(file, ARENA_BYTES)
        for index in range(CHUNKS):
            os.pwrite(file, content(0, CHUNK_TOKENS * index, 0), index * SLOT_BYTES)
        if is_sealed:
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return file

    def _close_arena(self, peer: Peer):
        return paging.ArenaNumber(self._arena(peer))

    def _hello(self, peer: Peer):
        return self.hello()

    def _declare_model(self, peer: Peer):
        return sessions.ModelRequest(MODEL)

    def _set_cap(self, peer: Peer):
        return policies.CapRequest(self.choose.choice((48 << 20, 64 << 20, 40 << 20, 0, 2**63)))

    def _backup(self, peer: Peer):
        inside = os.path.join(self.scratch, f"backup-{self.choose.randrange(4)}")
        return admin.BackupRequest(self.choose.choice((inside, "relative", os.path.join(self.scratch, "data", "x"))))

    def _hint(self, peer: Peer):
        made = []
        for _ in range(self.choose.choice((1, 3, 80))):
            target = self.choose.choice((
                hints.TokensTarget(self._session(), self._offset(), self._bound()),
                hints.KeysTarget(self.choose.choice(NAMESPACES), self._model(), self._component(), self._keys()),
                hints.TrackTarget(self._session(), 0, self._bound(), 0, self._component(), self._keys())))
            kind = self.choose.choice(tuple(numbers.HINT_KINDS))
            seconds = self.choose.choice((0, 1, 60, 2**32 - 1))
            made.append(hints.WireHint(kind, self.choose.choice((0, 100, -100, 127)), seconds, target))
        return policies.HintRequest(made)

    def _configure_namespace(self, peer: Peer):
        change = policy.PolicyChange(
            sharing=self.choose.choice((None, "shared", "off")), ttl_seconds=self.choose.choice((None, 0, 1, 3_600)),
            max_sessions=self.choose.choice((None, 0, 5)), max_bytes=self.choose.choice((None, 0, 1 << 20)),
            admission=self.choose.choice((None, "everything", "secondTouch")),
            salt=self.choose.choice((None, None, b"salt")))
        # The control client's own stays as it is.
        return policies.NamespaceRequest(self.choose.choice(NAMESPACES[:2]), change)

    def _plain(self, name: str):
        """A message of numbers and names, each chosen by what its field is called."""
        record = MESSAGES[name].request
        return record.make(*(self._value(field, codec) for field, codec in record.fields))

    def _value(self, field: str, codec):
        choose = self.choose
        values = {
            "session": self._session, "model_id": self._model, "offset": self._bound, "at_most": self._bound,
            "component": self._component, "rank": lambda: choose.choice((0, 0, 0, 1, 999)),
            "namespace": lambda: choose.choice(NAMESPACES[:2]), "name": lambda: choose.choice(NAMES),
            "create": lambda: choose.random() < 0.9, "keys": self._keys,
            "ttl_seconds": lambda: choose.choice((0, 1, 3_600, 2**32 - 1)),
            "after": lambda: choose.choice((0, 1, 64, 2**31)), "budget": lambda: choose.choice((0, 1, 9, 5_000)),
            "prefill_rate": lambda: choose.choice((0, 1, 5_000, 2**32 - 1)),
        }
        if field in values:
            return values[field]()
        return choose.choice((0, 1, 16, 100, 2**32 - 1))
