"""Names of namespaces and sessions."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

#: Bytes of a digest that go into a name.
DIGEST_BYTES = 16
#: What the names of the connector's own sessions begin with. No request may name one of them: loads trust a session
#: that is named by its content to hold that content.
CONTENT, LOADING = "prefix-", "load-"
#: Most bytes of a session's name that a request gave.
SESSION_NAME_BYTES = 200


@dataclass(frozen=True)
class Place:
    """A namespace, and the salt that its keys are stored with; empty for none."""

    namespace: str
    salt: bytes = b""


def place_of(namespace: str, cache_salt: str | None) -> Place:
    """Where the state of a request lies. Each ``cache_salt`` has a namespace of its own: neither what is stored nor how
    long a lookup takes tells one salt's requests anything of another's. Both names and keys are derived by SHA-256, so
    that the salt itself is stored nowhere."""
    if not cache_salt:
        return Place(namespace)
    secret = hashlib.sha256(b"larder-vllm-salt\0" + namespace.encode() + b"\0" + cache_salt.encode()).digest()
    name = hashlib.sha256(b"name\0" + secret).digest()[:DIGEST_BYTES].hex()
    return Place(f"{namespace}.salt-{name}", hashlib.sha256(b"keys\0" + secret).digest())


def content_session(key: bytes) -> str:
    """The session that holds the chain of chunks up to the one that ``key`` names. Who opens it by that name, in any
    process, finds chunks of that very content up to there."""
    return f"{CONTENT}{key[:DIGEST_BYTES].hex()}"


def hinted_session(request_id: str, transfer_params: Any, pattern: re.Pattern[str]) -> str | None:
    """The session that a request names: ``larder_session`` of its ``kv_transfer_params``, else what ``pattern`` finds
    in its id. None if it names none, or none that can be a name."""
    name = transfer_params.get("larder_session") if isinstance(transfer_params, dict) else None
    if not isinstance(name, str):
        found = pattern.search(request_id)
        name = found.group("session") if found else None
    name = unicodedata.normalize("NFC", name or "")
    if not name or name.startswith((CONTENT, LOADING)):
        return None
    encoded = name.encode(errors="replace")
    if len(encoded) > SESSION_NAME_BYTES or any(byte < 0x20 or byte == 0x7F for byte in encoded):
        return None
    return encoded.decode()
