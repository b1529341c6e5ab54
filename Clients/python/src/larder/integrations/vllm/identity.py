"""What makes state interchangeable: the model that a worker declares.

Its fingerprint covers the weights' files, the model's configuration, the element types, the KV cache's shape and order,
the attention kernels, the parallel group and vLLM's version. Where anything of it differs, the store has another model,
and nothing of one is ever served for the other.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from ...model import Component, Model
from .layout import KVCache, Unsupported

#: Files that hold weights.
WEIGHT_SUFFIXES = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".npz")
#: Weight files that are looked at; more are refused.
WEIGHT_FILES = 4096
#: Of each weight file: bytes at its begin, and so many samples of so many bytes spread over it, the last at its end.
HEAD_BYTES = 1 << 20
SAMPLES = 64
SAMPLE_BYTES = 4096
#: Fields of a model's configuration that say nothing of its state.
VOLATILE_FIELDS = frozenset({"_name_or_path", "name_or_path", "transformers_version", "_commit_hash", "use_cache"})


def weights_identity(folder: str) -> str:
    """Identity of the weights in a folder (or of one file): SHA-256 over each file's name, size, first MiB (which holds
    the names, shapes and places of a safetensors file's tensors) and 64 samples of 4 KiB spread over it.

    Reads little of large files, and so tells apart what differs in size, in tensors, or in values throughout, as other
    training, quantisation or merging do. A file edited in a few values by hand may look like the one before. Raises
    ``Unsupported`` if there are no weights, or ``OSError``.
    """
    if os.path.isfile(folder):
        files = [("", folder)]
    else:
        names = sorted(name for name in os.listdir(folder) if name.endswith(WEIGHT_SUFFIXES))
        files = [(name, os.path.join(folder, name)) for name in names]
    if not files or len(files) > WEIGHT_FILES:
        raise Unsupported(f"{len(files)} files of weights in {folder}; set weights_id")
    digest = hashlib.sha256(b"larder-weights-1")
    for name, path in files:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            digest.update(len(name.encode()).to_bytes(4, "little") + name.encode() + size.to_bytes(8, "little"))
            file.seek(0)
            digest.update(file.read(HEAD_BYTES))
            for number in range(SAMPLES):
                file.seek(max(0, size - SAMPLE_BYTES) * number // (SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    return f"sha256:{digest.hexdigest()}"


def weights_folder(model: str, revision: str | None) -> str:
    """Where the files of a model are: a path, or a name that the Hugging Face cache has. Raises ``Unsupported``."""
    if os.path.exists(model):
        return model
    try:
        from huggingface_hub import snapshot_download

        return str(snapshot_download(model, revision=revision, local_files_only=True))
    except Exception as error:  # noqa: BLE001: whatever that library raises means the same here.
        raise Unsupported(f"no files of the model {model!r} are here ({error}); set weights_id") from None


def digest_of(facts: Any) -> str:
    """A digest of plain data that does not depend on the order of names; what is no plain data counts as its text."""
    text = json.dumps(facts, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def plain_config(config: Any) -> dict[str, Any]:
    """A Hugging Face configuration without what says nothing of the state."""
    fields = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    return {name: value for name, value in fields.items() if name not in VOLATILE_FIELDS}


def length_matters(config: dict[str, Any]) -> bool:
    """True if the rotary embedding is scaled: some scalings depend on the longest length that the engine serves."""
    ropes = [config.get("rope_scaling"), config.get("rope_parameters")]
    kinds = [kind for rope in ropes if isinstance(rope, dict) for kind in _rope_types(rope)]
    return any(kind not in (None, "default") for kind in kinds)


def _rope_types(rope: dict[str, Any]) -> list[Any]:
    nested = [one for one in rope.values() if isinstance(one, dict)]
    return [rope.get("rope_type", rope.get("type"))] + [one.get("rope_type") for one in nested]


def model_of(cache: KVCache, facts: dict[str, Any], name: str, weights: str, group: tuple[int, int]) -> Model:
    """The declaration of one worker.

    Args:
        cache: its KV cache.
        facts: what else makes the state; the same for all workers of the group.
        name: the model's name.
        weights: identity of the weights.
        group: workers of the parallel group (tensor and pipeline), and this one's place in it.
    """
    geometry = cache.geometry
    shared = {
        "facts": facts,
        "kv": [geometry.block_tokens, geometry.row_tokens, geometry.content, cache.dtype, geometry.planes],
    }
    own = digest_of([cache.layer_names, geometry.heads])[:16]
    component = Component(
        f"attention-{own}",
        kind="attention",
        element_type=cache.element_type,
        layers=geometry.layers,
        planes=geometry.planes,
        row_bytes=geometry.token_bytes // geometry.planes,
    )
    return Model(
        name=_short(name),
        revision=f"vllm {facts.get('vllm', '')} {digest_of(shared)}"[:255],
        weights=weights,
        page_tokens=geometry.chunk_tokens,
        group_size=group[0],
        rank=group[1],
        components=(component,),
    )


def _short(name: str) -> str:
    """A model's name, or of a path its last part, as a name of at most 255 bytes."""
    last = os.path.basename(os.path.normpath(name)) if os.path.exists(name) else name
    clean = "".join(c for c in last if ord(c) >= 32 and ord(c) != 127) or "model"
    return clean.encode()[:255].decode(errors="ignore")
