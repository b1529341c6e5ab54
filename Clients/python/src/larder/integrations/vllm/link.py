"""A connection to the daemon that comes back after it was lost."""

from __future__ import annotations

from ... import Client, DeclaredModel, LarderError, Model, Refusal, Session, TooManyConnections, connect
from ..backoff import Backoff
from ..recent import Recent
from .naming import Place
from .tally import Tally

#: Seconds until a lost connection is tried again: at first, and at most, doubling between.
FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 30.0
#: Namespaces whose policy is known to be set.
KNOWN_PLACES = 4096


class Unavailable(Exception):
    """There is no connection now. Go on without."""


class Link:
    """One thread's connection. After it is lost, or cannot be made, it is left alone for a while, longer each time; who
    asks meanwhile is told at once.

    Args:
        socket: the daemon's socket; empty for the default.
        name: this client's name.
        timeout: seconds; bounds every wait.
        tally: where it is said that the daemon is gone, and back.
        ttl_seconds: time to live for namespaces that have none; 0 for never.
    """

    def __init__(self, socket: str, name: str, timeout: float, tally: Tally, ttl_seconds: int) -> None:
        self._socket = socket or None
        self._name = name
        self._timeout = timeout
        self._tally = tally
        self._ttl_seconds = ttl_seconds
        self._client: Client | None = None
        self._backoff = Backoff(FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS)
        self._declared: dict[Model, DeclaredModel] = {}
        self._places: Recent[str, None] = Recent(KNOWN_PLACES)
        #: Counts connections: what was opened with an earlier one is gone.
        self.generation = 0

    def client(self) -> Client:
        """The connection, made anew if need be. Raises ``Unavailable``."""
        if self._client is not None and self._client.is_open:
            return self._client
        if self._backoff.is_waiting:
            raise Unavailable
        self._forget()
        try:
            self._client = connect(self._socket, name=self._name, timeout=self._timeout)
        except (LarderError, OSError) as error:
            self.lost(error)
            raise Unavailable from error
        self.generation += 1
        self._backoff.succeeded()
        self._tally.settled("daemon", f"the daemon is back ({self._name})")
        return self._client

    def lost(self, error: BaseException) -> None:
        """Ends the connection after an error that it does not survive, and leaves it alone for a while."""
        self._tally.count("connections lost")
        busy = " (the daemon serves as many as it may)" if isinstance(error, TooManyConnections) else ""
        self._tally.warn_once(
            "daemon", f"no daemon{busy}: {error}. The engine goes on and computes; the connection is tried again"
        )
        self._backoff.failed()
        self._forget()

    def failed(self, error: BaseException) -> None:
        """To be told of every error: those that end a connection end it; a refusal does not."""
        if not isinstance(error, Refusal) or self._client is None or not self._client.is_open:
            self.lost(error)

    def why_failed(self, error: Exception, topic: str, doing: str) -> str:
        """To be told of what ended some work, as ``failed``: a few words for the counts. A fault of the connector's own
        is said once, by its topic: it must end neither a thread nor the engine."""
        if isinstance(error, Unavailable):
            return "no daemon"
        if isinstance(error, (LarderError, OSError)):
            self.failed(error)
            return type(error).__name__
        self._tally.warn_once(topic, f"a fault of the connector while it {doing}: {error!r}")
        return "fault"

    def _forget(self) -> None:
        client, self._client = self._client, None
        self._declared.clear()
        self._places.clear()
        if client is not None:
            try:
                client.close()
            except (LarderError, OSError):
                pass

    def close(self) -> None:
        """Ends the connection for good."""
        self._backoff.stop()
        self._forget()

    def model(self, model: Model) -> DeclaredModel:
        """The model as the store knows it."""
        declared = self._declared.get(model)
        if declared is None:
            declared = self._declared[model] = self.client().declare_model(model)
        return declared

    def session(self, place: Place, name: str, model: Model, create: bool = True) -> Session:
        """Opens a session. Raises ``UnknownSession`` if it does not exist and is not to be created.

        The first one of a namespace sets its salt and time to live, before anything can be put there.
        """
        session = self.client().open_session(place.namespace, name, self.model(model), create)
        if place.namespace not in self._places:
            self._settle(place)
        return session

    def _settle(self, place: Place) -> None:
        client = self.client()
        policy = client.namespace_policy(place.namespace)
        if place.salt and not policy.has_salt:
            client.configure_namespace(place.namespace, salt=place.salt)
        if self._ttl_seconds and not policy.ttl_seconds:
            client.configure_namespace(place.namespace, ttl_seconds=self._ttl_seconds)
        self._places[place.namespace] = None
