"""One vLLM engine in a process of its own, told by lines of JSON what to do. Run by ``vllm_rig.Engine``.

The first line holds the arguments of ``vllm.LLM``. Each further line is a batch: ``prompts`` (lists of token ids),
``tokens`` to generate, and optionally ``salts`` and ``hints``, one for each prompt, and ``reset`` to have vLLM forget
its own prefix cache before. The answer is a line with what each prompt gave.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    # Only answers may go to standard output; vLLM and its children log there, too.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from vllm import LLM, SamplingParams

    llm = LLM(**json.loads(sys.stdin.readline()))

    def generate(batch: dict) -> list[dict]:
        prompts, params = [], []
        for number, tokens in enumerate(batch["prompts"]):
            prompt = {"prompt_token_ids": tokens}
            if batch.get("salts"):
                prompt["cache_salt"] = batch["salts"][number]
            hint = batch["hints"][number] if batch.get("hints") else None
            extra = {"kv_transfer_params": {"larder_session": hint}} if hint else None
            prompts.append(prompt)
            params.append(
                SamplingParams(max_tokens=batch.get("tokens", 12), temperature=0, ignore_eos=True, extra_args=extra)
            )
        begin = time.perf_counter()
        outputs = llm.generate(prompts, params, use_tqdm=False)
        seconds = time.perf_counter() - begin
        return [
            {
                "tokens": list(one.outputs[0].token_ids),
                "cached": one.num_cached_tokens,
                "seconds": seconds,
                "first_token_seconds": one.metrics.first_token_latency if one.metrics else None,
            }
            for one in outputs
        ]

    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        batch = json.loads(line)
        if batch.get("reset"):
            llm.reset_prefix_cache()
        print(json.dumps(generate(batch)), file=answers, flush=True)


if __name__ == "__main__":
    main()
