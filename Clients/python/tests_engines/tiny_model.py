"""Writes small GGUF models with random weights: enough of a model to compute state, in milliseconds."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

VOCABULARY = 512
_EMBEDDING, _HEADS, _HEAD, _FEED_FORWARD = 64, 4, 32, 128
_ALIGNMENT = 32
_U32, _F32, _STRING = 4, 6, 8


def write_gemma(path: Path, *, window: int = 64, layers: int = 7, seed: int = 1) -> None:
    """A model of gemma3's kind: every sixth layer is global, the others have a sliding `window`."""
    norms = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
    _write(path, "gemma3", layers, norms, ("attn_q_norm", "attn_k_norm"), {"attention.sliding_window": window}, seed)


def write_llama(path: Path, *, layers: int = 3, seed: int = 2) -> None:
    """A model of llama's kind: every layer sees everything."""
    _write(path, "llama", layers, ("attn_norm", "ffn_norm"), (), {"rope.dimension_count": _HEAD}, seed)


def _write(
    path: Path, architecture: str, layers: int, norms: tuple[str, ...], head_norms: tuple[str, ...],
    more: dict[str, int], seed: int,
) -> None:
    metadata: dict[str, Any] = {
        "general.architecture": architecture,
        "general.name": f"tiny {architecture} {seed}",
        "tokenizer.ggml.model": "none",
        f"{architecture}.vocab_size": VOCABULARY,
        f"{architecture}.context_length": 8192,
        f"{architecture}.embedding_length": _EMBEDDING,
        f"{architecture}.block_count": layers,
        f"{architecture}.feed_forward_length": _FEED_FORWARD,
        f"{architecture}.attention.head_count": _HEADS,
        f"{architecture}.attention.head_count_kv": 1,
        f"{architecture}.attention.key_length": _HEAD,
        f"{architecture}.attention.value_length": _HEAD,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-6,
        f"{architecture}.rope.freq_base": 10000.0,
        **{f"{architecture}.{key}": value for key, value in more.items()},
    }
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (_EMBEDDING, VOCABULARY),
        "output_norm.weight": (_EMBEDDING,),
    }
    for layer in range(layers):
        block = {
            **{name: (_EMBEDDING,) for name in norms},
            **{name: (_HEAD,) for name in head_norms},
            "attn_q": (_EMBEDDING, _HEADS * _HEAD),
            "attn_k": (_EMBEDDING, _HEAD),
            "attn_v": (_EMBEDDING, _HEAD),
            "attn_output": (_HEADS * _HEAD, _EMBEDDING),
            "ffn_gate": (_EMBEDDING, _FEED_FORWARD),
            "ffn_up": (_EMBEDDING, _FEED_FORWARD),
            "ffn_down": (_FEED_FORWARD, _EMBEDDING),
        }
        shapes.update({f"blk.{layer}.{name}.weight": shape for name, shape in block.items()})
    path.write_bytes(_gguf(metadata, shapes, random.Random(seed)))


def _gguf(metadata: dict[str, Any], shapes: dict[str, tuple[int, ...]], numbers: random.Random) -> bytes:
    head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(metadata)))
    for key, value in metadata.items():
        head += _string(key)
        if isinstance(value, str):
            head += struct.pack("<I", _STRING) + _string(value)
        elif isinstance(value, float):
            head += struct.pack("<If", _F32, value)
        else:
            head += struct.pack("<II", _U32, value)
    data = bytearray()
    for name, shape in shapes.items():
        count = 1
        for length in shape:
            count *= length
        head += _string(name) + struct.pack("<I", len(shape))
        head += struct.pack(f"<{len(shape)}QIQ", *shape, 0, len(data))
        scale, centre = (0.3, 1.0) if len(shape) == 1 else (1.5 / shape[0] ** 0.5, 0.0)
        data += struct.pack(f"<{count}f", *(numbers.gauss(centre, scale) for _ in range(count)))
        data += bytes(-len(data) % _ALIGNMENT)
    return bytes(head) + bytes(-len(head) % _ALIGNMENT) + bytes(data)


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()
