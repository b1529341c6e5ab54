"""What makes a llama.cpp state interchangeable. Its bytes carry no identity at all, so all of it goes into the model
that is declared to Larder: state of another model, of other settings or of another llama.cpp is then another model's,
and is refused by name.

What a context does not tell must be named by its user (`identity`): adapters and control vectors that were set
through llama.cpp's own functions after the `Llama` was made.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .blob import FORMAT, Rows
from .context import Context, Unsupported

_READ_BYTES = 1 << 22
_SPLIT = re.compile(r"^(.*)-(\d{5})-of-(\d{5})\.gguf$")
_MAX_REVISION_BYTES = 255


def content_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal.

    Reading a large model takes seconds, so the result is kept in the user's cache directory under the file's path,
    size, inode and time of change, and taken from there while these are the same. Raises OSError.
    """
    path = os.path.realpath(path)
    status = os.stat(path)
    stamp = [path, status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
    kept = _cache_directory() / (hashlib.sha256(path.encode()).hexdigest() + ".json")
    try:
        entry = json.loads(kept.read_text())
        if entry["stamp"] == stamp and re.fullmatch(r"[0-9a-f]{64}", entry["sha256"]):
            return str(entry["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
    _keep(kept, {"stamp": stamp, "sha256": digest.hexdigest()})
    return digest.hexdigest()


def _cache_directory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "larder" / "content"


def _keep(path: Path, entry: dict[str, Any]) -> None:
    """Writes the entry whole or not at all. Without a place to write, the next process reads the file again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            json.dump(entry, file)
        os.replace(file.name, path)
    except OSError:
        pass


def weights_hash(model_path: str) -> str:
    """The content hash of a GGUF; of all its files, if it is split into several."""
    split = _SPLIT.match(os.path.basename(model_path))
    if not split:
        return content_hash(model_path)
    folder, count = os.path.dirname(model_path), int(split[3])
    names = [f"{split[1]}-{part:05d}-of-{count:05d}.gguf" for part in range(1, count + 1)]
    parts = [content_hash(os.path.join(folder, name)) for name in names]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


#: The hash of each `Llama`'s weights, as it was when it was first asked for.
_weights: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def weights_of(llama: Any) -> str:
    """The content hash of the file that a `Llama` was loaded from.

    Asked for again, it is the one of before: a file that was replaced meanwhile is not what is in memory. Raises
    `Unsupported` where that has happened before the first time, as far as the system tells."""
    known = _weights.get(llama)
    if known is None:
        path = os.path.realpath(llama.model_path)
        if _is_replaced(path):
            raise Unsupported(f"{path} was replaced since it was loaded: load it anew")
        known = _weights[llama] = weights_hash(llama.model_path)
    return known


def _is_replaced(path: str) -> bool:
    """True if this process has a file mapped that had this path, and none that has it."""
    try:
        with open("/proc/self/maps", errors="surrogateescape") as maps:
            mapped = {line.rstrip("\n").split(" ", 5)[-1].strip() for line in maps if path in line}
    except OSError:
        return False
    return f"{path} (deleted)" in mapped and path not in mapped


def facts(context: Context, version: str, identity: str) -> dict[str, Any]:
    """All that makes the state of a context what it is, by name, but for the weights.

    The size of a ring of sliding cells is in it, too: with another one, sums run in another order, and the state's last
    bits are others."""
    llama, layouts = context.llama, context.layouts
    settings = llama.context_params
    found = {
        "llama-cpp-python": version,
        "format": FORMAT,
        "flash_attn": int(settings.flash_attn_type),
        "transposed": [layout.transposed for layout in layouts],
        "rope": [settings.rope_scaling_type, settings.rope_freq_base, settings.rope_freq_scale],
        "yarn": [
            settings.yarn_ext_factor,
            settings.yarn_attn_factor,
            settings.yarn_beta_fast,
            settings.yarn_beta_slow,
            settings.yarn_orig_ctx,
        ],
        "attention": int(settings.attention_type),
        "sliding": [context.window, context.ring],
        # Keys' and values' apart: Q4_0 and IQ4_NL have rows of one size, and could change places unseen.
        "types": [[_types(layout.keys), _types(layout.values)] for layout in layouts],
    }
    if _rotation_is_off():
        found["attn_rot"] = False
    if _beyond_original_context(llama):
        found["long"] = True
    if llama.kv_overrides:
        found["kv_overrides"] = _digest(sorted((key, repr(value)) for key, value in llama.kv_overrides.items()))
    if llama.lora_path:
        found["lora"] = [content_hash(llama.lora_path), llama.lora_scale]
    if identity:
        found["identity"] = identity
    return found


def _types(sections: Sequence[Rows]) -> list[int]:
    return sorted({rows.ggml_type for rows in sections})


def _rotation_is_off() -> bool:
    """llama.cpp turns quantised keys and values by a rotation before it stores them, unless this variable is set as
    a number other than 0 (it reads it with atoi)."""
    number = re.match(r"\s*[+-]?(\d+)", os.environ.get("LLAMA_ATTN_ROT_DISABLE", ""))
    return number is not None and int(number[1]) != 0


def _beyond_original_context(llama: Any) -> bool:
    """Models with two sets of rope factors take the long one if the context is longer than what they were made for."""
    architecture = llama.metadata.get("general.architecture", "")
    original = llama.metadata.get(f"{architecture}.rope.scaling.original_context_length")
    original = llama.context_params.yarn_orig_ctx or (int(original) if original else 0)
    return 0 < original < int(llama.n_ctx())


def revision(found: dict[str, Any]) -> str:
    """The facts as a model's revision: readable, and whole where they fit in the 255 bytes that it may have. Else a
    hash of all stands for the end."""
    text = json.dumps(found, sort_keys=False, separators=(",", ":"))
    if len(text.encode()) <= _MAX_REVISION_BYTES:
        return text
    mark = " sha256:" + _digest(found)
    return text.encode()[: _MAX_REVISION_BYTES - len(mark)].decode(errors="ignore") + mark


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
