"""What vLLM's configuration says of the state."""

from __future__ import annotations

import logging
import platform
from typing import Any

from .identity import digest_of, length_matters, plain_config, weights_folder, weights_identity
from .keys import hashes_are_stable

#: vLLM's KV cache specifications that this connector keeps: one state a token, in every block.
KNOWN_SPECS = frozenset({"FullAttentionSpec", "MLAAttentionSpec"})


def block_tokens(vllm_config: Any, kv_cache_config: Any) -> int:
    """Tokens of vLLM's blocks."""
    groups = getattr(kv_cache_config, "kv_cache_groups", None) or ()
    return int(groups[0].kv_cache_spec.block_size if groups else vllm_config.cache_config.block_size)


def hash_tokens(vllm_config: Any, kv_cache_config: Any) -> int:
    """Tokens of the blocks that vLLM hashes."""
    given = getattr(kv_cache_config, "hash_block_size", None)
    return int(given or block_tokens(vllm_config, kv_cache_config))


def step_tokens(vllm_config: Any) -> int:
    """The most tokens that a step computes."""
    return int(vllm_config.scheduler_config.max_num_batched_tokens)


def stable_hashes(vllm_config: Any, log: logging.Logger) -> str:
    """The algorithm of vLLM's block hashes if they are the same in every process; else empty, and why is logged."""
    from vllm.v1.core import kv_cache_utils

    algorithm = str(vllm_config.cache_config.prefix_caching_hash_algo)
    if hashes_are_stable(algorithm, kv_cache_utils.get_none_hash_seed(), kv_cache_utils.DEFAULT_NONE_HASH_SEED):
        return algorithm
    log.warning(
        "Larder: vLLM's block hashes (%s) differ from process to process here, or from engines without PYTHONHASHSEED; "
        "keys are made of the tokens instead. State that was stored under vLLM's hashes is not found by them",
        algorithm,
    )
    return ""


def unsupported(vllm_config: Any, kv_cache_config: Any) -> str:
    """Why this configuration's state cannot be kept; empty if it can."""
    groups = kv_cache_config.kv_cache_groups
    kinds = sorted({type(group.kv_cache_spec).__name__ for group in groups})
    if any("Mamba" in kind for kind in kinds):
        return f"recurrent layers ({', '.join(kinds)}) are not kept by this connector"
    if len(groups) != 1:
        return (
            f"{len(groups)} groups of KV cache blocks ({', '.join(kinds)}); one is kept. "
            "--disable-hybrid-kv-cache-manager makes one of full and sliding-window layers"
        )
    if not set(kinds) <= KNOWN_SPECS:
        return f"a KV cache of kind {', '.join(kinds)}"
    parallel = vllm_config.parallel_config
    if parallel.decode_context_parallel_size > 1 or parallel.prefill_context_parallel_size > 1:
        return "context parallelism"
    if getattr(vllm_config.cache_config, "calculate_kv_scales", False):
        return "scales of the KV cache that depend on the first prompt (calculate_kv_scales)"
    return ""


def own_tensors(kv_caches: dict[str, Any]) -> dict[str, Any]:
    """Layers that have a KV cache of their own, without those that look at another layer's."""
    own: dict[int, str] = {}
    for name, tensor in kv_caches.items():
        own.setdefault(tensor.data_ptr(), name)
    return {name: kv_caches[name] for name in own.values()}


def _layers(vllm_config: Any, kv_caches: dict[str, Any]) -> list[Any]:
    known = vllm_config.compilation_config.static_forward_context
    return [known[name] for name in kv_caches if name in known]


def _backends(vllm_config: Any, kv_caches: dict[str, Any]) -> list[str]:
    names = set()
    for layer in _layers(vllm_config, kv_caches):
        backend = getattr(layer, "attn_backend", None)
        name = backend.get_name() if backend is not None else type(layer).__name__
        names.add(f"{name} {getattr(layer, 'isa', '')} {getattr(layer, 'kv_cache_dtype', '')}".strip())
    return sorted(names)


def halves_are_split(vllm_config: Any, kv_caches: dict[str, Any]) -> bool:
    """True if the attention kernels hold a head's K and V of a row one after the other, as those for CPUs do."""
    backends = _backends(vllm_config, kv_caches)
    return bool(backends) and all(name.startswith("CPU_ATTN") for name in backends)


def gathered(vllm_config: Any, kv_caches: dict[str, Any]) -> dict[str, Any]:
    """All that makes state interchangeable beside the weights and the KV cache's shape; the same for all workers of a
    group.

    The kernels' order of K depends on the processor's instructions: ``isa`` of the layers, or all of the processor.
    """
    import vllm

    model, cache, parallel = vllm_config.model_config, vllm_config.cache_config, vllm_config.parallel_config
    config = plain_config(model.hf_text_config)
    backends = _backends(vllm_config, kv_caches)
    isa_known = all(getattr(layer, "isa", None) for layer in _layers(vllm_config, kv_caches))
    return {
        "vllm": vllm.__version__,
        "architectures": getattr(model.hf_config, "architectures", None),
        "config": digest_of(config),
        "longest": model.max_model_len if length_matters(config) else 0,
        "revision": model.revision,
        "quantization": model.quantization,
        "dtype": str(model.dtype),
        "kv_dtype": str(cache.cache_dtype),
        "sliding_window": getattr(model, "disable_sliding_window", False),
        "attention": backends,
        "processor": "" if isa_known else _processor(),
        "layout": str(getattr(cache, "kv_cache_layout", "")),
        "tensor_parallel": parallel.tensor_parallel_size,
        "pipeline_parallel": parallel.pipeline_parallel_size,
        "draft": _draft(vllm_config),
    }


def _draft(vllm_config: Any) -> Any:
    draft = vllm_config.speculative_config
    return None if draft is None else [str(draft.method), str(getattr(draft, "model", ""))]


def _processor() -> str:
    """The processor's architecture and instruction sets."""
    flags = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = next((line for line in file if line.lower().startswith(("flags", "features"))), "")
    except OSError:
        pass
    return f"{platform.machine()} {digest_of(sorted(flags.split()))}"


def weights(vllm_config: Any) -> str:
    """Identity of the weights, from their files. Raises ``Unsupported``."""
    model, load = vllm_config.model_config, vllm_config.load_config
    if str(load.load_format) == "dummy":
        return f"dummy {model.seed}"
    return weights_identity(weights_folder(model.model, model.revision))


def group() -> tuple[int, int]:
    """Workers of the parallel group (pipeline by tensor), and this one's place in it."""
    from vllm.distributed.parallel_state import get_pp_group, get_tp_group

    tensor, pipeline = get_tp_group(), get_pp_group()
    return tensor.world_size * pipeline.world_size, pipeline.rank_in_group * tensor.world_size + tensor.rank_in_group
