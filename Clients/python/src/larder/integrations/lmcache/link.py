"""The way to the daemon that never raises and never waits for long.

LMCache takes an exception, and a store that is not there, for misses, and goes on without a word. So what fails here is
said once, as an error with its remedy, and from then on is a miss at once until the daemon is back.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Callable, TypeVar

import larder

from ..backoff import Backoff
from ..recent import Recent
from ..said import Said
from .settings import Settings

logger = logging.getLogger("larder.lmcache")

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 1.0
"""How long nothing is tried after the daemon was found gone."""
LONGEST_PAUSE_SECONDS = 30.0
"""What that grows to while it stays gone."""
MOST_SESSIONS = 8_192
"""Sessions whose ids a process remembers."""
MOST_MODELS = 256
"""Models that a connection remembers to have declared."""


class Complaints:
    """Says of each kind of trouble once what it is and what to do; repeats are counted."""

    def __init__(self) -> None:
        self._said = Said()

    def say(self, kind: str, message: str) -> None:
        """Logs an error, unless this kind was said before."""
        count = self._said.note(kind)
        if count == 1:
            logger.error("Larder: %s (said once)", message)
        else:
            logger.debug("Larder: %s (%d times)", message, count)

    def over(self, kind: str, message: str) -> None:
        """Logs that a kind of trouble is over, if it was said."""
        if self._said.over(kind):
            logger.warning("Larder: %s", message)

    @property
    def counts(self) -> dict[str, int]:
        """How often there was each kind of trouble."""
        return self._said.counts


class SessionIDs:
    """The ids of sessions that were opened lately, for all connections of a process: to open a session again has to
    wait for the daemon's writer, and an id is good on every connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: Recent[tuple[str, int, str], int] = Recent(MOST_SESSIONS)

    def find(self, store: str, model: int, name: str) -> int | None:
        """The id of a session of a store, if it is known."""
        with self._lock:
            known = self._ids.get((store, model, name))
            if known is not None:
                self._ids.move_to_end((store, model, name))
            return known

    def note(self, store: str, model: int, name: str, id: int) -> None:
        """Remembers an id."""
        with self._lock:
            self._ids[store, model, name] = id

    def forget(self, store: str, model: int, name: str) -> bool:
        """Forgets an id, which the daemon does not know any more; true if it was known here."""
        with self._lock:
            return self._ids.pop((store, model, name), None) is not None


class Connection:
    """A client of the daemon, and what it has declared. One thread's at a time."""

    def __init__(self, settings: Settings, ids: SessionIDs) -> None:
        """Connects. Raises ``larder.LarderError``."""
        self.settings = settings
        self.process = os.getpid()
        self.client = larder.connect(settings.socket or None, name="lmcache", timeout=settings.timeout_seconds)
        self._ids = ids
        self._models: Recent[larder.Model, larder.DeclaredModel] = Recent(MOST_MODELS)

    def declared(self, model: larder.Model) -> larder.DeclaredModel:
        """The declared model; declares it where it is not. Raises ``larder.LarderError``."""
        found = self._models.get(model)
        if found is None:
            found = self._models[model] = self.client.declare_model(model)
        return found

    def session(self, model: larder.DeclaredModel, name: str, *, create: bool) -> larder.Session:
        """The session of an object. Raises ``larder.UnknownSession`` if there is none and it is not to be created.

        Where its id is known it is not asked for, so that a later call may find the session unknown; then ``forget`` it
        and ask again.
        """
        known = self._ids.find(self.client.store_id, model.id, name)
        if known is not None:
            return larder.Session(self.client, known, False, self.settings.namespace, name, model)
        session = self.client.open_session(self.settings.namespace, name, model, create=create)
        self._ids.note(self.client.store_id, model.id, name, session.id)
        return session

    def forget(self, model: larder.DeclaredModel, name: str) -> bool:
        """Forgets a session's id: the daemon does not know it any more. True if it was known here."""
        return self._ids.forget(self.client.store_id, model.id, name)

    def close(self) -> None:
        """Closes the client; never raises."""
        try:
            self.client.close()
        except Exception:  # noqa: BLE001 - it is of no use any more, whatever it says
            pass


class Link:
    """Connections to one daemon, one a thread, made when they are needed and again when they are lost."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.complaints = Complaints()
        self._ids = SessionIDs()
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._all: set[Connection] = set()
        self._backoff = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        self._is_closed = False

    def run(self, operation: Callable[[Connection], T], otherwise: T) -> T:
        """Runs an operation on this thread's connection.

        An operation may run twice: where the connection turns out to be lost, as after a restart of the daemon, it is
        made anew at once. Never raises: what fails is said once, and ``otherwise`` is the result.
        """
        began = time.monotonic()
        for attempt in (1, 2):
            connection = self._connection()
            if connection is None:
                return otherwise
            try:
                return operation(connection)
            except (larder.ConnectionLost, larder.ConnectionFailed, larder.ProtocolViolation) as error:
                self._drop(connection)
                waited = time.monotonic() - began
                # What took long took the whole timeout: that is no restart.
                if attempt == 2 or waited > self.settings.timeout_seconds / 2:
                    self._lost(error)
                    return otherwise
            except larder.LarderError as error:
                self.complaints.say(type(error).__name__, f"{error}; what needs it is computed anew")
                return otherwise
            except Exception as error:  # noqa: BLE001 - nothing may reach the engine
                self.complaints.say("unexpected", f"{type(error).__name__}: {error}; what needs it is computed anew")
                logger.debug("Larder: unexpected", exc_info=True)
                return otherwise
        return otherwise

    @property
    def is_down(self) -> bool:
        """True while nothing is tried, because the daemon was found gone."""
        return self._backoff.is_waiting

    def close(self) -> None:
        """Closes all connections; what runs on them ends as a miss."""
        with self._lock:
            self._is_closed = True
            connections, self._all = self._all, set()
        for connection in connections:
            connection.close()

    def _connection(self) -> Connection | None:
        connection: Connection | None = getattr(self._mine, "connection", None)
        if connection is not None and connection.process == os.getpid():
            return connection
        if self._is_closed or self.is_down:
            return None
        try:
            connection = Connection(self.settings, self._ids)
        except Exception as error:  # noqa: BLE001 - nothing may reach the engine
            self._lost(error)
            return None
        with self._lock:
            if self._is_closed:
                connection.close()
                return None
            self._all.add(connection)
            self._backoff.succeeded()
        self._mine.connection = connection
        self.complaints.over("daemon", f"the daemon is back: {connection.client.server_name}")
        return connection

    def _drop(self, connection: Connection) -> None:
        self._mine.connection = None
        with self._lock:
            self._all.discard(connection)
        connection.close()

    def _lost(self, error: Exception) -> None:
        with self._lock:
            self._backoff.failed()
            if self._is_closed:
                return
        self.complaints.say(
            "daemon",
            f"{error}. Until the daemon is back NOTHING IS LOADED OR STORED: every look-up is a miss and everything is "
            f"computed anew. Start larderd, or name its socket in the plugin's option 'socket' or in LARDER_SOCKET",
        )
