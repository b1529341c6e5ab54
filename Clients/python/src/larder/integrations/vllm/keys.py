"""Names of chunks by content, from vLLM's own block hashes.

A key covers all tokens up to its chunk's end and whatever else makes their state: vLLM's hash of the last whole block
(a SHA-256 chain over tokens, images, adapters), the tokens of the chunk behind that block, and a context. Two processes
get the same keys only if vLLM's hashes are the same in both. They are with ``sha256`` and ``sha256_cbor``, unless
PYTHONHASHSEED is set; with ``xxhash`` they begin at random. Where they are not, the chain is made here, from the same
things.
"""

from __future__ import annotations

import array
import hashlib
import os
import sys
from collections.abc import Sequence
from typing import Any

#: What a key's derivation begins with: another derivation has another label.
LABEL = b"larder-vllm-1"
#: Hash algorithms of vLLM that are the same in every process, and that nobody can find collisions of.
STABLE_ALGORITHMS = frozenset({"sha256", "sha256_cbor"})


def hashes_are_stable(algorithm: str, seed: str, default_seed: str) -> bool:
    """True if vLLM's block hashes are functions of the content alone: in every process the same."""
    return algorithm in STABLE_ALGORITHMS and seed == default_seed and "PYTHONHASHSEED" not in os.environ


class KeyChain:
    """The keys of one request, made as its tokens come.

    Args:
        request: vLLM's request: ``all_token_ids``, ``block_hashes``, ``mm_features`` are used.
        chunk_tokens: tokens of a chunk.
        block_tokens: tokens of a block of ``request.block_hashes``.
        context: what else makes the state.
        source: the algorithm of vLLM's hashes, or empty to chain the tokens here.
    """

    def __init__(self, request: Any, chunk_tokens: int, block_tokens: int, context: bytes, source: str) -> None:
        self._request = request
        self._chunk_tokens = chunk_tokens
        self._block_tokens = block_tokens
        self._own: list[bytes] | None = None if source else []
        head = source.encode() or b"tokens"
        self._head = LABEL + bytes([len(head)]) + head + hashlib.sha256(context).digest()
        self._keys: list[bytes] = []

    def up_to(self, tokens: int) -> list[bytes]:
        """Keys of the whole chunks within the first ``tokens`` tokens; all that are known already, if those are
        fewer."""
        chunks = min(tokens, len(self._request.all_token_ids)) // self._chunk_tokens
        while len(self._keys) < chunks:
            key = self._key((len(self._keys) + 1) * self._chunk_tokens)
            if key is None:
                break
            self._keys.append(key)
        return self._keys[:chunks]

    def _key(self, end: int) -> bytes | None:
        blocks, left = divmod(end, self._block_tokens)
        link = self._link(blocks)
        if link is None:
            return None
        behind = self._content(end - left, end) if left else b""
        return hashlib.sha256(self._head + end.to_bytes(8, "little") + bytes([len(link)]) + link + behind).digest()

    def _link(self, blocks: int) -> bytes | None:
        """The hash over the first ``blocks`` blocks; None if vLLM has not made it yet."""
        if not blocks:
            return b""
        if self._own is None:
            hashes = self._request.block_hashes
            return bytes(hashes[blocks - 1]) if blocks <= len(hashes) else None
        while len(self._own) < blocks:
            start = len(self._own) * self._block_tokens
            before = self._own[-1] if self._own else b""
            self._own.append(hashlib.sha256(before + self._content(start, start + self._block_tokens)).digest())
        return self._own[blocks - 1]

    def _content(self, start: int, end: int) -> bytes:
        """The tokens ``start..<end``, and all images and the like that begin before ``end``."""
        content = bytearray(_token_bytes(self._request.all_token_ids[start:end]))
        for feature in self._request.mm_features or ():
            position = feature.mm_position
            if position.offset < end:
                name = str(feature.identifier).encode()
                content += b"mm" + len(name).to_bytes(4, "little") + name
                content += position.offset.to_bytes(8, "little") + position.length.to_bytes(8, "little")
        return bytes(content)


def _token_bytes(tokens: Sequence[int]) -> bytes:
    words = array.array("I", tokens)
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()


def adapter_context(name: str, path: str, hash_files: bool) -> bytes:
    """What of a LoRA adapter goes into keys: its name and path, which vLLM tells adapters apart by, and its files'
    content, because another process may have another adapter under the same name."""
    digest = hashlib.sha256(b"lora")
    for text in (name, path):
        digest.update(len(text.encode()).to_bytes(4, "little") + text.encode())
    if hash_files:
        if not os.path.isdir(path):
            raise ValueError(f"the adapter {name!r} is no folder here: {path}")
        for folder, folders, files in os.walk(path):
            folders.sort()
            for file in sorted(files):
                if file.endswith((".safetensors", ".bin", ".pt", ".json")):
                    digest.update(file.encode() + b"\0" + _file_digest(os.path.join(folder, file)))
    return digest.digest()


def _file_digest(path: str) -> bytes:
    digest = hashlib.sha256()
    with open(path, "rb") as opened:
        while piece := opened.read(1 << 20):
            digest.update(piece)
    return digest.digest()
