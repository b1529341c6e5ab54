"""What a user can set of the LMCache plugins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from larder.wire.numbers import ACKNOWLEDGEMENTS, ENCODING_CHOICES, NAME_BYTES, Acknowledgement, EncodingChoice

from ..options import read_options


@dataclass(frozen=True)
class Settings:
    """The plugin's settings. Each is an option of the same name in LMCache's configuration.

    Attributes:
        socket: the daemon's socket; empty for ``$LARDER_SOCKET``, else ``/run/larder/larder.sock``.
        namespace: where objects are kept. Who shares it shares state.
        weights: identity of the weights, best a content hash. LMCache knows a model by its name alone; where two sets
            of weights go by one name, this keeps them apart.
        timeout_seconds: the longest that a call of LMCache's waits for the daemon. Below LMCache's own
            ``blocking_timeout_secs``.
        acknowledgement: ``committed``: a put is done when readers see it; ``accepted``: when the daemon has a copy.
        encoding: ``auto``, ``raw``, ``lz4`` or ``cascade``.
        ttl_seconds: time since the last use after which an object expires; 0 for never; below 0 to leave the
            namespace's policy as it is.
        loads: connections that load at once.
        stores: connections that store at once.
    """

    socket: str = ""
    namespace: str = "lmcache"
    weights: str = ""
    timeout_seconds: float = 5.0
    acknowledgement: Acknowledgement = "committed"
    encoding: EncodingChoice = "auto"
    ttl_seconds: int = -1
    loads: int = 2
    stores: int = 1

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> "Settings":
        """The settings of a configuration.

        Raises:
            ValueError: an option that there is not, or one out of its bounds; the message names it.
        """
        settings = read_options(cls, options)
        settings._check()
        return settings

    def _check(self) -> None:
        def demand(holds: bool, name: str, rule: str) -> None:
            if not holds:
                raise ValueError(f"Larder's option {name!r} is {getattr(self, name)!r}; it {rule}")

        demand(0.05 <= self.timeout_seconds <= 600, "timeout_seconds", "is from 0.05 to 600")
        demand(self.acknowledgement in ACKNOWLEDGEMENTS, "acknowledgement", "is accepted, committed or durable")
        demand(self.encoding in ENCODING_CHOICES, "encoding", "is auto, raw, lz4 or cascade")
        demand(-1 <= self.ttl_seconds < 1 << 32, "ttl_seconds",
               "is from 0 to 4294967295, or -1 for the namespace's own")
        demand(1 <= self.loads <= 64, "loads", "is from 1 to 64")
        demand(1 <= self.stores <= 64, "stores", "is from 1 to 64")
        demand(0 < len(self.namespace.encode()) <= NAME_BYTES, "namespace", "has 1 to 255 bytes")
        demand(len(self.weights.encode()) <= NAME_BYTES, "weights", "has up to 255 bytes")
