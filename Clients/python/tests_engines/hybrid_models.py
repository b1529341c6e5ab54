"""Small models with random weights, the same in every process, and runs of them that stop at given places."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()

STEP = 16
LENGTH = 100

_COMMON = dict(
    vocab_size=256, hidden_size=64, intermediate_size=128, num_attention_heads=4, num_key_value_heads=2, head_dim=16
)
_QWEN = dict(
    **_COMMON, num_hidden_layers=4, linear_num_value_heads=4, linear_num_key_heads=2, linear_key_head_dim=16,
    linear_value_head_dim=16, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32,
    shared_expert_intermediate_size=32,
)
_JAMBA = {
    **{key: value for key, value in _COMMON.items() if key != "head_dim"},
    "num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2,
    "expert_layer_offset": 1, "num_experts": 2, "num_experts_per_tok": 1,
}
_GEMMA = dict(**_COMMON, num_hidden_layers=6)

CONFIGURATIONS: dict[str, tuple[str, dict[str, Any], torch.dtype]] = {
    "qwen3_next": ("Qwen3NextConfig", _QWEN, torch.float32),
    "qwen3_next bf16": ("Qwen3NextConfig", _QWEN, torch.bfloat16),
    "falcon_h1": (
        "FalconH1Config",
        dict(**_COMMON, num_hidden_layers=3, mamba_d_ssm=64, mamba_n_heads=4, mamba_d_head=16, mamba_d_state=16,
             mamba_n_groups=1),
        torch.float32,
    ),
    "jamba": ("JambaConfig", _JAMBA, torch.float32),
    "lfm2": (
        "Lfm2Config",
        dict(vocab_size=256, hidden_size=64, intermediate_size=128, num_attention_heads=4, num_key_value_heads=2,
             num_hidden_layers=4, layer_types=["conv", "full_attention"] * 2),
        torch.float32,
    ),
    "mamba2": (
        "Mamba2Config",
        dict(vocab_size=256, hidden_size=64, num_hidden_layers=3, state_size=16, num_heads=8, head_dim=16, n_groups=1,
             expand=2, chunk_size=16),
        torch.float32,
    ),
    "gemma3, a short window": ("Gemma3TextConfig", dict(**_GEMMA, sliding_window=12), torch.float32),
    "gemma3, a long window": ("Gemma3TextConfig", dict(**_GEMMA, sliding_window=40), torch.float32),
    "llama": ("LlamaConfig", dict(**_COMMON, num_hidden_layers=3), torch.bfloat16),
}


def make(kind: str, *, seed: int = 0, attention: str | None = None, **changes: Any) -> Any:
    """A model."""
    name, options, dtype = CONFIGURATIONS[kind]
    config = getattr(transformers, name)(**{**options, **changes}, attn_implementation=attention)
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def tokens(seed: int = 0, length: int = LENGTH) -> list[int]:
    """Token ids; the same seed gives the same."""
    return torch.randint(0, 256, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def stops(start: int, end: int) -> list[int]:
    """Where a run from ``start`` to ``end`` stops: at multiples of the step, and at the end."""
    return [at for at in range(start + 1, end + 1) if at % STEP == 0 or at == end]


def step(model: Any, cache: Any, ids: list[int], start: int, end: int) -> str:
    """Computes tokens ``start..<end``; a hash over the bits of all their logits."""
    name = "cache_params" if type(model).__name__.startswith("Mamba") else "past_key_values"
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids[start:end]]), **{name: cache}, use_cache=True).logits
    return hashlib.sha256(logits.contiguous().view(torch.uint8).numpy()).hexdigest()


def run(model: Any, cache: Any, ids: list[int], start: int, end: int) -> dict[int, str]:
    """Computes tokens ``start..<end`` from stop to stop; the hashes by stop."""
    hashes = {}
    for stop in stops(start, end):
        hashes[stop] = step(model, cache, ids, start, stop)
        start = stop
    return hashes


def save(keeper: Any, kind: str) -> dict[int, str]:
    """Computes a line of tokens and saves it at every stop; the hashes."""
    line, cache, ids = keeper.line(kind), DynamicCache(config=keeper.model.config), tokens()
    hashes = {}
    at = 0
    for stop in stops(0, LENGTH):
        hashes[stop] = step(keeper.model, cache, ids, at, stop)
        at = stop
        line.save(cache, ids[:stop])
    return hashes


def restore(keeper: Any, kind: str) -> list[Any]:
    """Restores the line at every offset, and goes on from each stop; the resume points, and the hashes from each."""
    line, ids = keeper.line(kind), tokens()
    offsets: dict[int, int] = {}
    hashes: dict[int, dict[int, str]] = {}
    for at_most in range(LENGTH + 1):
        restored = line.restore(ids, at_most)
        offsets[at_most] = restored.offset
        if restored.offset not in hashes and restored.offset in stops(0, LENGTH):
            hashes[restored.offset] = run(keeper.model, restored.cache, ids, restored.offset, LENGTH)
    return [offsets, hashes]


def main() -> None:
    """In a process of its own: ``save`` or ``restore`` lines of all models, or ``prefill`` one for ever; prints what
    came of it."""
    import larder
    from larder.integrations.transformers import CacheKeeper

    command, socket = sys.argv[1:3]
    client = larder.connect(socket)
    if command == "prefill":
        keeper = CacheKeeper(client, make("qwen3_next"), chunk_tokens=STEP)
        print("ready", flush=True)
        while True:
            for seed in range(100):
                keeper.line(f"killed {seed}").prefill(tokens(seed), stride=STEP)
    work = save if command == "save" else restore
    print(json.dumps({kind: work(CacheKeeper(client, make(kind), chunk_tokens=STEP), kind) for kind in CONFIGURATIONS}))


if __name__ == "__main__":
    main()
