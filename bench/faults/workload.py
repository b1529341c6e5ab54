"""A worker that does, at random and repeatably, what workers do, and writes down every acknowledgement."""

import hashlib
import random
import threading
import time
from dataclasses import dataclass, replace

import content
from findings import Finding
from journal import ACCEPTED, COMMITTED, DURABLE, LEVELS, Held, History, Journal, Key
from larder_client import ELEMENT_TYPES, MODEL, Kind, larder, raw_bytes

# Failures after which nobody knows whether the daemon did what it was asked for.
UNKNOWN = (larder.StorageFault, larder.InternalFault)
# Failures that end a worker: the daemon is gone, or about to go.
ENDS = (larder.ConnectionLost, larder.ConnectionFailed, larder.ShuttingDown)


@dataclass
class Profile:
    """What workers are to do."""

    sessions: int = 6
    # Most tokens of a session before it is truncated or dropped.
    tokens: int = 1_536
    chunk_tokens: tuple[int, ...] = (16, 32, 64)
    # Chances of accepted, committed and durable.
    levels: tuple[int, int, int] = (1, 6, 2)
    # A put now and then of several blocks: so many tokens at once.
    large_tokens: int = 0
    pauses_seconds: float = 0.0
    timeout_seconds: float = 60.0
    # Refusals that the scenario provokes.
    may_refuse: tuple[type, ...] = ()
    # True where chunks may be gone at any time.
    evicts: bool = False
    # How often all is made durable, in 100 operations.
    syncs: int = 2
    # True where sessions without state may be gone.
    forgets_empty: bool = False


class Worker:
    """One worker: its own connection, namespace and sessions."""

    def __init__(self, number: int, socket: str, journal: Journal, profile: Profile, seed: int):
        self.number = number
        self.socket = socket
        self.journal = journal
        self.profile = profile
        self.random = random.Random(f"{seed}/{number}")
        self.namespace = f"worker {number}"
        self.stopping = threading.Event()
        self.failure: BaseException | None = None
        # How its connection ended, where that was not of its own will.
        self.cut_off: BaseException | None = None
        self.client: larder.Client | None = None
        self.declared: larder.DeclaredModel | None = None
        self.handles: dict[str, larder.Session] = {}
        # The session that it works on.
        self.current: History | None = None
        self.made = 0
        self.seed = seed
        self.operations = 0

    # MARK: the thread

    def run(self) -> None:
        """Works until told to stop, or until the daemon is gone."""
        try:
            with self.connect() as client:
                while not self.stopping.is_set():
                    try:
                        self.declared = self.declared or client.declare_model(MODEL)
                        self.act()
                    except larder.UnknownSession as error:
                        self.forget(error)
                    except larder.Refusal as error:
                        self.note_refusal(error)
                    self.operations += 1
                    if self.profile.pauses_seconds:
                        time.sleep(self.random.random() * self.profile.pauses_seconds)
            # Pins end with the connection.
            for history in self.journal.all():
                if history.namespace == self.namespace:
                    history.pinned = {}
        except ENDS as error:
            self.cut_off = error
        except (Finding, Exception) as error:  # Reported by whoever joins this thread.
            self.failure = error

    def connect(self) -> larder.Client:
        """The worker's own connection."""
        self.client = larder.connect(
            self.socket, name=f"faults {self.number}", timeout=self.profile.timeout_seconds)
        return self.client

    def run_for(self, operations: int) -> None:
        """Does so many things, in the thread that calls. Raises what goes wrong."""
        with self.connect() as client:
            self.declared = client.declare_model(MODEL)
            for self.operations in range(operations):
                self.act()

    def act(self) -> None:
        """One thing that a worker does."""
        mine = [one for one in self.journal.all() if one.namespace == self.namespace and one.exists]
        if len(mine) < 2:
            self.create()
            return
        history = self.current = self.random.choice(mine)
        end = max((offset + held.tokens for (_, offset), held in history.now().items()), default=0)
        if end >= self.profile.tokens or len(mine) > self.profile.sessions:
            self.random.choice((self.truncate, self.drop))(history)
            return
        actions = (
            (self.put, 60), (self.read, 12), (self.create, 4), (self.fork, 7), (self.truncate, 7), (self.drop, 3),
            (self.sync, self.profile.syncs), (self.hint, 5))
        action = self.random.choices([one for one, _ in actions], [weight for _, weight in actions])[0]
        if action in (self.create, self.sync):
            action()
        else:
            action(history)

    # MARK: what it does

    def create(self) -> None:
        """Makes a session, one of four whose content is that of other sessions with the same root."""
        self.made += 1
        name = f"{self.seed}.{self.number}.{self.made}"
        root = self.random.randrange(4) if self.random.random() < 0.5 else content.number_of(self.seed, name)
        history = self.journal.new(self.namespace, name, root)
        step = history.add("create")
        session = self.attempt(step, lambda: self.client.open_session(self.namespace, name, self.declared))
        if session is not None:
            self.learn(history, session)

    def put(self, history: History) -> None:
        """Puts the next chunks of all components, and a state at their end."""
        holds = history.now(at_most=True)
        start = at = self.end_of(holds, Kind.FULL)
        puts: list[tuple[Key, Held]] = []
        large = self.profile.large_tokens and self.random.random() < 0.1
        for _ in range(1 if large else self.random.randint(1, 6)):
            tokens = self.profile.large_tokens if large else self.random.choice(self.profile.chunk_tokens)
            for component in (Kind.FULL, Kind.WINDOW):
                if (component, at) not in holds:
                    puts.append(((component, at), Held(tokens, self.number_of(history, component, at, tokens))))
            at += tokens
        if self.random.random() < 0.7:
            puts.append(((Kind.STATE, at), Held(0, self.number_of(history, Kind.STATE, at, 0))))
        level = self.random.choices((ACCEPTED, COMMITTED, DURABLE), self.profile.levels)[0]
        keyed = history.root < 4 and start < 1_024
        alone = keyed and self.random.random() < 0.5
        # When the daemon writes it, what the key names may be gone, and then nobody is told of an accepted one.
        is_promised = level > ACCEPTED or not keyed
        step = history.add("put", level=level, **{"holds" if is_promised else "open": dict(puts)})
        results = self.attempt(step, lambda: self.send(history, puts, level, keyed, alone))
        if results is not None:
            self.journal.count(
                acknowledged_chunks=len(step.holds), acknowledged_durable=len(step.holds) if level == DURABLE else 0)

    def send(self, history: History, puts: list[tuple[Key, Held]], level: int, keyed: bool, alone: bool) -> list:
        """Puts, and takes what was refused out of the step that is last in the history."""
        session = self.session(history)
        items = []
        for (component, offset), held in puts:
            key = None
            data = None
            if keyed:
                key = hashlib.sha256(repr((component, held)).encode()).digest()
            if not (keyed and alone):
                data = self.data(component, held)
            items.append(
                larder.PageOut(session, offset, held.tokens, data, component=component, prefix_key=key))
        results = self.client.put_from(items, acknowledgement=LEVELS[level])
        for _ in range(3):
            # What a key names may not be there, or go while it is put.
            again = [
                index for index, result in enumerate(results)
                if isinstance(result, (larder.Miss, larder.Busy)) and keyed]
            if not again:
                break
            repeated = self.client.put_from(
                [replace(items[index], data=self.data(puts[index][0][0], puts[index][1])) for index in again],
                acknowledgement=LEVELS[level])
            for index, result in zip(again, repeated):
                results[index] = result
        step = history.steps[-1]
        for (key, held), result in zip(puts, results):
            if isinstance(result, larder.UnknownSession) and self.profile.forgets_empty:
                raise result
            if isinstance(result, larder.Refusal):
                self.note_refusal(result)
                step.holds.pop(key, None)
                step.open.pop(key, None)
                if isinstance(result, UNKNOWN):
                    step.open[key] = held
            elif isinstance(result, Exception):
                raise result
        return results

    def read(self, history: History) -> None:
        """Resumes, pages in what the answer names, and compares it."""
        session = self.session(history)
        resume = session.resume()
        holds = history.now()
        buffers = [bytearray(one.raw_bytes) for one in resume.chunks]
        items = [larder.PageIn(session, one.offset, into, component=one.component)
                 for one, into in zip(resume.chunks, buffers)]
        for one, data, result in zip(resume.chunks, buffers, self.client.get_into(items) if items else []):
            where = f"{history.namespace}/{history.name} component {one.component} offset {one.offset}"
            if isinstance(result, Exception):
                if not isinstance(result, self.profile.may_refuse):
                    raise Finding("promised, not served", f"{where}: {result!r}")
                continue
            number = content.identify(data, ELEMENT_TYPES[one.component])
            if number is None:
                raise Finding("wrong byte", where)
            if not history.allows((one.component, one.offset), Held(one.tokens, number)):
                raise Finding("phantom", f"{where} was served and was never put there, or was truncated")
        if self.random.random() < 0.2:
            session.explain()
        if self.profile.evicts and resume.offset < self.end_of(holds, Kind.FULL):
            # Some of it was evicted: a worker computes the rest anew.
            self.truncate_at(history, resume.offset)

    def fork(self, history: History) -> None:
        """Forks a session at one of its chunks' ends."""
        holds = history.now()
        if self.is_unsure(history):
            return
        offset = self.random.choice([0] + [key[1] + held.tokens for key, held in holds.items()])
        self.made += 1
        name = f"{self.seed}.{self.number}.{self.made}"
        child = self.journal.new(self.namespace, name, history.root)
        shared = {key: held for key, held in holds.items() if key[1] + held.tokens <= offset}
        step = child.add("create", holds=shared)
        session = self.attempt(step, lambda: self.session(history).fork(offset, name))
        if session is None:
            return
        self.learn(child, session)
        if self.profile.evicts:
            # What the parent had lost by then, the fork never had.
            gone = set(step.holds) - self.listed(session)
            step.open = {key: step.holds.pop(key) for key in gone}

    def is_unsure(self, history: History) -> bool:
        """True if the daemon may hold less than was asked of it, at this moment."""
        return any(
            step.is_open or step.open or (step.level == ACCEPTED and not self.is_settled(history, step))
            for step in history.steps)

    def is_settled(self, history: History, step) -> bool:
        """True if a later step of the session was acknowledged as committed: the daemon takes them in order."""
        later = history.steps[history.steps.index(step) + 1:]
        return any(one.ack_ns is not None and one.level >= COMMITTED and not one.is_open for one in later)

    def truncate(self, history: History) -> None:
        """Truncates a session at one of its chunks' ends, or in the midst of one."""
        holds = history.now()
        ends = [0] + [key[1] + held.tokens for key, held in holds.items()]
        self.truncate_at(history, max(0, self.random.choice(ends) - self.random.choice((0, 0, 0, 7))))

    def truncate_at(self, history: History, offset: int) -> None:
        """Truncates a session at an offset."""
        step = history.add("truncate", offset=offset)
        if self.attempt(step, lambda: self.session(history).truncate(offset) or True) and self.profile.evicts:
            step.gone = set(history.now()) - self.listed(self.session(history))

    def drop(self, history: History) -> None:
        """Drops a session."""
        session = self.session(history)
        step = history.add("drop")
        if self.attempt(step, lambda: session.drop() or True):
            self.handles.pop(history.name, None)

    def sync(self) -> None:
        """Asks for all that was committed to survive power loss."""
        for _ in range(2):
            start_ns = time.monotonic_ns()
            try:
                self.client.sync()
                self.journal.note_sync(start_ns)
                return
            except larder.Refusal as error:
                # Asked for again at once: then it must be true.
                self.note_refusal(error)

    def hint(self, history: History) -> None:
        """Retains, pins or demotes: changes nothing of what is stored."""
        session = self.session(history)
        holds = history.now()
        try:
            if self.random.random() < 0.4:
                result = session.pin(600)
                if result.outcome == "accepted":
                    # What is there now stays, whatever was evicted before.
                    kept = self.listed(session)
                    history.pinned = {key: held for key, held in holds.items() if key in kept}
            else:
                self.random.choice((
                    lambda: session.retain(60, priority=self.random.randint(0, 9)),
                    lambda: session.prefetch()))()
        except larder.Refusal as error:
            self.note_refusal(error)

    # MARK: helpers

    def attempt(self, step, ask):
        """Asks the daemon for a step and notes its answer. Returns what `ask` did, or None if it was refused."""
        try:
            answer = ask()
        except larder.Refusal as error:
            step.ack_ns = time.monotonic_ns()
            if isinstance(error, larder.UnknownSession) and self.profile.forgets_empty:
                step.kind, step.holds, step.open = "none", {}, {}
                self.forget(error)
                return None
            self.note_refusal(error)
            if isinstance(error, UNKNOWN):
                step.is_open = True
            else:
                step.kind, step.holds, step.open = "none", {}, {}
            return None
        step.ack_ns = time.monotonic_ns()
        self.journal.count(acknowledged_other=step.kind != "put")
        return answer

    def note_refusal(self, error: larder.Refusal) -> None:
        """Counts a refusal that the scenario provokes; any other is a fault. The end of the daemon ends the worker."""
        if isinstance(error, ENDS):
            raise error
        if not isinstance(error, self.profile.may_refuse):
            raise Finding("refused", f"{type(error).__name__}: {error}")
        self.journal.count(refused=1)

    def forget(self, error: larder.UnknownSession) -> None:
        """Takes a session as dropped that the daemon has forgotten, if it may."""
        history = self.current
        if not self.profile.forgets_empty or history is None or history.now(at_most=True):
            self.note_refusal(error)
            return
        step = history.add("drop")
        step.ack_ns = time.monotonic_ns()
        self.handles.pop(history.name, None)

    def learn(self, history: History, session: larder.Session) -> None:
        """Keeps a session's handle and checks that its id is new."""
        self.handles[history.name] = session
        wrong = self.journal.learn_id(history, session.id)
        if wrong:
            raise Finding("id", wrong)

    @staticmethod
    def listed(session: larder.Session) -> set[Key]:
        """Where the session has chunks now."""
        return {(one.component, one.offset) for one in session.chunks()}

    def session(self, history: History) -> larder.Session:
        """The handle of a session that exists."""
        if history.name not in self.handles:
            self.handles[history.name] = self.client.open_session(
                history.namespace, history.name, self.declared, create=False)
        return self.handles[history.name]

    def number_of(self, history: History, component: int, offset: int, tokens: int) -> int:
        """The content of a chunk. Below offset 1,024 equal roots have equal content, so that prefixes can be shared."""
        if history.root < 4 and offset < 1_024:
            return content.number_of("shared", history.root, component, offset, tokens)
        return content.number_of(self.seed, history.name, len(history.steps), self.operations, component, offset)

    @staticmethod
    def data(component: int, held: Held) -> bytes:
        """The bytes of a chunk."""
        return content.make(held.content, raw_bytes(component, held.tokens), ELEMENT_TYPES[component])

    @staticmethod
    def end_of(holds: dict[Key, Held], component: int) -> int:
        """Where a component's chunks end."""
        return max((offset + held.tokens for (one, offset), held in holds.items() if one == component), default=0)
