"""LMCache's keys as names in Larder.

Every field of a key goes into a SHA-256, each with its length, so that no two keys can be written the same way and no
rank can be given another rank's state. Python's ``hash`` is never used: it differs between processes.
"""

from __future__ import annotations

import hashlib
from typing import Any, Iterable

from larder.wire.numbers import NAME_BYTES


def _digest(kind: str, fields: Iterable[tuple[str, str]]) -> bytes:
    hasher = hashlib.sha256(kind.encode())
    for name, value in fields:
        for part in (name.encode(), value.encode("utf-8", "surrogatepass")):
            hasher.update(len(part).to_bytes(8, "little"))
            hasher.update(part)
    return hasher.digest()


def _text(value: Any) -> str:
    # A hash may be bytes or an integer; the same digits in the other form are another key.
    return f"bytes {value.hex()}" if isinstance(value, (bytes, bytearray)) else str(value)


def cache_engine_key_digest(key: Any) -> bytes:
    """The 32 bytes that stand for a ``CacheEngineKey`` or a ``LayerCacheEngineKey``: all its fields, tags and layer."""
    fields = [
        ("model_name", key.model_name),
        ("world_size", str(key.world_size)),
        ("worker_id", str(key.worker_id)),
        ("chunk_hash", _text(key.chunk_hash)),
        ("dtype", str(key.dtype)),
    ]
    layer = getattr(key, "layer_id", None)
    if layer is not None:
        fields.append(("layer_id", str(layer)))
    fields += [(f"tag {name}", str(value)) for name, value in key.tags or ()]
    return _digest("larder-lmcache-engine-key-1", fields)


def object_key_digest(key: Any) -> bytes:
    """The 32 bytes that stand for an ``ObjectKey``: all its fields."""
    return _digest(
        "larder-lmcache-object-key-1",
        [
            ("model_name", key.model_name),
            ("kv_rank", str(key.kv_rank)),
            ("object_group_id", str(key.object_group_id)),
            ("chunk_hash", _text(key.chunk_hash)),
            ("cache_salt", key.cache_salt),
        ],
    )


def session_name(fingerprint: bytes, digest: bytes, label: str) -> str:
    """The name of the session that holds one object.

    It is a hash over the model's fingerprint and the key, so that state of one key and different weights or layouts
    does not meet; and behind it, for people, the key as LMCache writes it, if it is plain text that fits.
    """
    name = hashlib.sha256(fingerprint + digest).hexdigest()
    plain = label.isascii() and label.isprintable() and label
    return f"{name} {label}" if plain and len(name) + 1 + len(label) <= NAME_BYTES else name


def label_of(name: str) -> str | None:
    """The key in a session's name, or the hash where there is no key in it; None for a session that holds no object."""
    digest, _, label = name.partition(" ")
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        return None
    return label or digest


def model_name(name: str) -> str:
    """A model's name as Larder takes one: itself, or a hash where it is empty, too long or not plain text."""
    if name and name.isascii() and name.isprintable() and len(name) <= NAME_BYTES:
        return name
    return "sha256:" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
