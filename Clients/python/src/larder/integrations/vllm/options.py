"""What ``kv_connector_extra_config`` may say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..options import read_options

#: A request id that names its session: ``session:NAME`` or ``session:NAME:whatever``. Servers put a prefix before an id
#: that came with a request, and a suffix behind it.
REQUEST_ID_SESSION = r"(?:^|-)session:(?P<session>[^:]{1,200})(?::|$)"


@dataclass(frozen=True)
class Options:
    """Options of the connector, from ``kv_connector_extra_config``.

    Attributes:
        socket: the daemon's data socket; empty for ``$LARDER_SOCKET``, else ``/run/larder/larder.sock``.
        namespace: where state is kept. Requests with a ``cache_salt`` get a namespace each that is derived from it.
        weights_id: identity of the weights, where their files cannot be read; else they are hashed.
        chunk_tokens: tokens of a chunk; 0 for the fewest that suit the KV cache and make 256 KiB.
        minimum_tokens: the least tokens that are worth a load.
        session_pattern: a regular expression with a group ``session``, for the request ids that name a session.
        ttl_seconds: time after which unused state of the namespace expires, unless it has one already; 0 for never.
        lookup_timeout_seconds: the longest that a request waits to hear what is stored.
        load_timeout_seconds: the longest that a request waits for its state; then it is computed.
        save_timeout_seconds: the longest that one page-out may take, and the wait for those under way at the end.
        load_buffer_bytes, save_buffer_bytes: shared memory of a worker; 0 to derive it from the model.
        salted_namespaces: the most namespaces that one engine makes for salts; further salts go without a store.
        lora_digest: True to hash an adapter's files; else its name and path are its identity.
    """

    socket: str = ""
    namespace: str = "vllm"
    weights_id: str = ""
    chunk_tokens: int = 0
    minimum_tokens: int = 1
    session_pattern: str = REQUEST_ID_SESSION
    ttl_seconds: int = 3 * 86_400
    lookup_timeout_seconds: float = 1.0
    load_timeout_seconds: float = 10.0
    save_timeout_seconds: float = 10.0
    load_buffer_bytes: int = 0
    save_buffer_bytes: int = 0
    salted_namespaces: int = 1024
    lora_digest: bool = True

    @classmethod
    def parse(cls, given: Mapping[str, Any] | None) -> Options:
        """Reads ``kv_connector_extra_config``. Raises ``ValueError`` that names the option and what it may be."""
        options = read_options(cls, given or {})
        options._check()
        return options

    def _check(self) -> None:
        for name in ("lookup_timeout_seconds", "load_timeout_seconds", "save_timeout_seconds"):
            if not 0 < getattr(self, name) <= 600:
                raise ValueError(f"{name} is {getattr(self, name)}; it may be above 0 and up to 600")
        for name, most in (
            ("chunk_tokens", 1 << 20),
            ("minimum_tokens", 1 << 40),
            ("ttl_seconds", (1 << 32) - 1),
            ("load_buffer_bytes", 1 << 40),
            ("save_buffer_bytes", 1 << 40),
            ("salted_namespaces", 65_536),
        ):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}; it may be from 0 to {most}")
        if not 1 <= len(self.namespace.encode()) <= 200 or any(ord(c) < 32 or ord(c) == 127 for c in self.namespace):
            raise ValueError("namespace is a name of 1 to 200 bytes without control characters")
        if len(self.weights_id.encode()) > 200:
            raise ValueError("weights_id has at most 200 bytes")
        try:
            if "session" not in re.compile(self.session_pattern).groupindex:
                raise ValueError("session_pattern has no group (?P<session>...)")
        except re.error as error:
            raise ValueError(f"session_pattern is no regular expression: {error}") from None
