#!/usr/bin/env python3
"""What a restored prompt saves vLLM: time to the first token, and in total, against computing it.

Each column is an engine in a fresh process, after one short prompt that warms it up:

- ``none``: without a store, every prompt computed.
- ``own cache``: the same engine again, each prompt but its last block from vLLM's own prefix cache: the least that a
  load could cost, and the tokens that a restored prompt must give.
- ``save``: with Larder, its store empty: every prompt computed, and saved.
- ``load``: with Larder in another process: every prompt restored but for its last block.
- ``example save``, ``example load``: the same with vLLM's own ExampleConnector, which writes safetensors files
(--example).

All prompts differ. Figures are medians over them; the ratios are medians of each prompt's own ratio to ``none``. All
engines compute with the same number of threads. ``same tokens``: of how many prompts all tokens are those of ``none``,
and of ``own cache``: in bfloat16 a step over the rest of a prompt rounds otherwise than one over all of it.

    LARDER_LARDERD=... python bench/python/bench_vllm.py [--prompts 5] [--prompt-tokens 1500] [--tokens 12]
    [--block-size 0]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Clients/python/tests_engines"))

import vllm_rig  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=5)
    parser.add_argument("--prompt-tokens", type=int, default=1500)
    parser.add_argument("--tokens", type=int, default=12)
    parser.add_argument("--block-size", type=int, default=0, help="vLLM's; 0 for its default")
    parser.add_argument("--dtype", default="bfloat16", help="bfloat16, float16 or float32")
    parser.add_argument("--example", action="store_true", help="measure vLLM's ExampleConnector, too")
    given = parser.parse_args()
    vllm_rig.require_vllm()
    from support import Daemon

    prompts = vllm_rig.prompts(given.prompts, given.prompt_tokens)
    arguments: dict[str, Any] = {"dtype": given.dtype}
    if given.block_size:
        arguments["block_size"] = given.block_size
    daemon = Daemon("--cap", "4GiB").start()
    results: dict[str, list[dict[str, Any]]] = {}

    def run(name: str, engine: vllm_rig.Engine) -> None:
        with engine:
            engine.generate([list(range(100, 164))], 4)
            for one in (name, "own cache") if name == "none" else (name,):
                results[one] = engine.one_by_one(prompts, given.tokens)
                show(one, results[one], results)

    print(f"{given.prompts} prompts of {given.prompt_tokens} tokens, {given.tokens} generated; seconds")
    print(f"{'':14} {'first token':>12} {'ratio':>6} {'total':>8} {'ratio':>6} {'restored':>9}  same tokens")
    try:
        run("none", vllm_rig.Engine(None, **arguments))
        run("save", vllm_rig.Engine(daemon.socket, **arguments))
        run("load", vllm_rig.Engine(daemon.socket, **arguments))
        if given.example:
            with tempfile.TemporaryDirectory() as folder:
                transfer = {
                    "kv_connector": "ExampleConnector",
                    "kv_role": "kv_both",
                    "kv_connector_extra_config": {"shared_storage_path": folder},
                }
                for name in ("example save", "example load"):
                    run(name, vllm_rig.Engine(None, kv_transfer_config=transfer, **arguments))
    finally:
        daemon.close()


def show(name: str, outputs: list[dict[str, Any]], results: dict[str, list[dict[str, Any]]]) -> None:
    """A line of the table."""
    plain = results["none"]
    first, total = ([one[field] for one in outputs] for field in ("first_token_seconds", "seconds"))
    first_ratio, total_ratio = (
        median(one[field] / other[field] for one, other in zip(outputs, plain, strict=True))
        for field in ("first_token_seconds", "seconds")
    )
    same = " / ".join(
        str(sum(one["tokens"] == other["tokens"] for one, other in zip(outputs, results[before], strict=True)))
        for before in ("none", "own cache")
        if before in results
    )
    print(
        f"{name:14} {median(first):12.3f} {first_ratio:6.2f} {median(total):8.3f} {total_ratio:6.2f} "
        f"{median(one['cached'] for one in outputs):9.0f}  {same}",
        flush=True,
    )


if __name__ == "__main__":
    main()
