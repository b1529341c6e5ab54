"""What makes the state of two models interchangeable, and what tells one line of tokens from another."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Sequence

import torch
import transformers

REVISION = 1
"""Of the way in which caches are cut into components. State of another is not restored."""

CHAIN_BYTES = 16
"""Bytes of a link of a chain."""


def weights_hash(model: torch.nn.Module) -> str:
    """A SHA-256 over all parameters and buffers of a model: names, types, shapes and bytes. It reads them all once; a
    user who knows the weights' identity can give that instead."""
    hasher = hashlib.sha256(b"larder-weights-1")
    for name, tensor in sorted(model.state_dict().items()):
        hasher.update(f"{len(name)} {name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8)
        hasher.update(flat.numpy())
    return f"sha256:{hasher.hexdigest()}"


def revision_of(model: Any) -> str:
    """What else decides the state: transformers' version, how attention is computed, and the configuration."""
    config = model.config
    about = config.to_dict()
    for key in ("_name_or_path", "transformers_version"):
        about.pop(key, None)
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=repr).encode()).hexdigest()
    attention = getattr(config, "_attn_implementation", None)
    experts = getattr(config, "_experts_implementation", None)
    return (
        f"transformers/{REVISION} {transformers.__version__} attention {attention} experts {experts} "
        f"dtype {model.dtype} config {digest}"
    )


def chain(tokens: Sequence[int], start: bytes = b"") -> bytes:
    """A link of ``CHAIN_BYTES`` for each token: a hash over it and all before it.

    It is stored beside the state. State is restored for tokens whose links are the stored ones: the same tokens, and
    the same past.
    """
    link = hashlib.sha256(b"larder-transformers-1" + start).digest()
    links = bytearray()
    for token in tokens:
        link = hashlib.sha256(link + int(token).to_bytes(8, "little", signed=True)).digest()
        links += link[:CHAIN_BYTES]
    return bytes(links)


def matching_links(stored: memoryview, expected: memoryview) -> int:
    """How many links, from the first on, are the same."""
    count = min(len(stored), len(expected)) // CHAIN_BYTES
    if stored[: count * CHAIN_BYTES] == expected[: count * CHAIN_BYTES]:
        return count
    low, high = 0, count
    # Links depend on all before them: the first that differs is found by halving.
    while low < high:
        middle = (low + high) // 2
        end = (middle + 1) * CHAIN_BYTES
        if stored[:end] == expected[:end]:
            low = middle + 1
        else:
            high = middle
    return low
