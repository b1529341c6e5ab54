"""What the llama.cpp tests share: small models, contexts, and runs without Larder to compare with."""

from __future__ import annotations

import logging
import os
import random
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from support import Daemon  # noqa: E402
from tiny_model import VOCABULARY, write_gemma, write_llama  # noqa: E402

try:
    import llama_cpp
    import numpy
except ImportError as error:
    raise unittest.SkipTest(f"no llama-cpp-python here ({error}): pip install llama-cpp-python==0.3.36") from None

from larder.integrations.llama_cpp import LlamaCache  # noqa: E402

# Hashes of the models are kept in a cache directory: not in the user's.
_CACHE = tempfile.TemporaryDirectory(prefix="larder-cache-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name
# What is logged is part of some tests, and noise in the others.
logging.getLogger("larder").addHandler(logging.NullHandler())

#: Tokens of a chunk; the small models' sliding window is 64.
CHUNK = 48
#: What other steps may make of the logits, which go from -4 to 4. State that is wrong makes far more: see
#: test_wrong_state_would_be_seen.
ROUNDING = 0.02
#: Kinds of context, by name: which model, and what differs in its settings.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "global": ("llama", {}),
    "sliding, whole cache": ("gemma", {"swa_full": True}),
    "sliding, ring": ("gemma", {"swa_full": False}),
}


def prompt(count: int, seed: int = 3) -> list[int]:
    """Token ids, the same in every run."""
    return random.Random(seed).choices(range(VOCABULARY), k=count)


def context(path: Path, **settings: Any) -> Any:
    """A `Llama` of one thread, without flash attention."""
    given = {"n_ctx": 2048, "n_batch": 64, "n_ubatch": 64, "flash_attn": False, "verbose": False, **settings}
    return llama_cpp.Llama(str(path), n_threads=1, n_threads_batch=1, **given)


def logits(llama: Any) -> Any:
    """The logits after the last token that was evaluated."""
    return numpy.ctypeslib.as_array(llama._ctx.get_logits(), shape=(llama.n_vocab(),)).copy()


def forget(llama: Any) -> None:
    """Empties a context, without Larder."""
    llama.n_tokens = 0
    llama._ctx.kv_cache_seq_rm(0, -1, -1)


def without_larder(llama: Any, tokens: list[int], computed: list[int] | None = None, offset: int = 0) -> Any:
    """The logits after `tokens`, computed from the first on in steps of a chunk.

    With `computed`, in the very steps of a run that computed that line, went back to `offset` and on with `tokens`:
    llama.cpp's last bits depend on how many tokens a step has.
    """
    forget(llama)
    line = tokens if computed is None else computed
    end = len(line) if computed is None else min(-(-offset // CHUNK) * CHUNK, len(line))
    for start in range(0, end, CHUNK):
        llama.eval(line[start : min(start + CHUNK, end)])
    if computed is not None:
        llama.n_tokens = offset
        llama.eval(tokens[offset:])
    return logits(llama)


class LlamaTest(unittest.TestCase):
    """Tests with a daemon and two small models for the class, and a namespace for each test."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.daemon = Daemon()
        cls.addClassCleanup(cls.daemon.close)
        cls.daemon.start()
        folder = tempfile.TemporaryDirectory(prefix="larder-models-")
        cls.addClassCleanup(folder.cleanup)
        cls.models = Path(folder.name)
        write_llama(cls.models / "llama.gguf")
        write_gemma(cls.models / "gemma.gguf")

    def setUp(self) -> None:
        self.client = self.daemon.connect(name="llama test")
        self.addCleanup(lambda: self.client.close())

    def context(self, kind: str = "global", **settings: Any) -> Any:
        """A context of one of the KINDS; its model is closed at the test's end."""
        model, own = KINDS[kind]
        llama = context(self.models / f"{model}.gguf", **{**own, **settings})
        self.addCleanup(llama.close)
        return llama

    def cache(self, llama: Any, session: str = "s", **settings: Any) -> LlamaCache:
        """A cache of this test's namespace."""
        given = {"namespace": self.id()[-200:], "chunk_tokens": CHUNK, **settings}
        return LlamaCache(llama, self.client, session=session, **given)

    def same(self, got: Any, wanted: Any, what: str = "", most: float = 0.0) -> None:
        """Every bit of the logits is the same, or they differ by no more than `most`."""
        worst = float(numpy.abs(got - wanted).max())
        self.assertTrue(worst <= most, f"{what}: logits differ by up to {worst}")

    def goes_on(
        self, cache: LlamaCache, tokens: list[int], offset: int | None, what: str = "",
        computed: list[int] | None = None,
    ) -> None:
        """A restore comes to `offset` (None for any), and the rest computed from there ends in the logits of a run
        without Larder: to the bit, if the steps of the line that was `computed` are known."""
        restored = cache.restore(tokens)
        if offset is not None:
            self.assertEqual(restored.offset, offset, f"{what}: {restored}")
        cache.llama.eval(tokens[restored.offset :])
        got = logits(cache.llama)
        wanted = without_larder(cache.llama, tokens, computed, restored.offset)
        self.same(got, wanted, what, ROUNDING if computed is None else 0.0)


class FaultTest(LlamaTest):
    """Tests each of which has a daemon of its own, to break."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.daemon.close()

    def setUp(self) -> None:
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.daemon.start()
        super().setUp()

    def stored(self, kind: str, tokens: list[int], session: str = "s") -> LlamaCache:
        """A cache that has computed and stored the tokens."""
        cache = self.cache(self.context(kind), session)
        with cache.attach():
            cache.llama.eval(tokens)
        cache.save()
        return cache
