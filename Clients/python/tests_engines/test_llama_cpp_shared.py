"""Two workers of llama.cpp on one session: neither ever sees the other's state, even if one is killed as it saves."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import unittest
import unittest.mock
from pathlib import Path
from typing import Any

import llama_rig
from larder.integrations.llama_cpp import restore as restore_module
from llama_rig import CHUNK, FaultTest, forget, prompt

_SAVER = """
import sys
sys.path[:0] = sys.argv[1:2]
import llama_rig, larder
from larder.integrations.llama_cpp import LlamaCache
_, _, socket, model, namespace, seed = sys.argv
cache = LlamaCache(llama_rig.context(model, swa_full=False), larder.connect(socket), session="s", namespace=namespace,
                   chunk_tokens=llama_rig.CHUNK)
print("ready", flush=True)
for seed in range(int(seed), 1 << 30):
    llama_rig.forget(cache.llama)
    with cache.attach():
        cache.llama.eval(llama_rig.prompt(400, seed))
        cache.save()
"""


class SharedSessions(FaultTest):
    """Two contexts, or two processes, and one session."""

    def test_two_contexts_on_one_session(self) -> None:
        """They take the session from each other, line by line; neither ever sees the other's state."""
        lines = [prompt(400, 21), prompt(100, 21) + prompt(300, 22)]
        caches = [self.cache(self.context("sliding, ring"))]
        self.client = self.daemon.connect()
        caches.append(self.cache(self.context("sliding, ring")))
        self.addCleanup(caches[0].session.client.close)
        for turn in range(6):
            cache, line = caches[turn % 2], lines[turn % 2]
            with cache.attach():
                self.goes_on(cache, line[: 150 + 50 * (turn // 2)], None, f"turn {turn}")
                cache.llama.eval(line[cache.llama.n_tokens : 200 + 50 * (turn // 2)])
        self.assertGreaterEqual(self.cache(self.context("sliding, ring")).restore(lines[1]).offset, 96)

    def test_two_contexts_on_one_session_without_sharing(self) -> None:
        """Without keys, too, state of one line is never taken for that of another that goes on with the same tokens."""
        self.client.configure_namespace(self.cache(self.context("global")).session.namespace, sharing="off")
        end = prompt(100, 23)
        lines = [prompt(CHUNK, 21) + end, prompt(CHUNK, 22) + end]
        caches = [self.cache(self.context("global")) for _ in lines]
        for cache, line in zip(caches, lines, strict=True):
            cache.restore(line[:CHUNK])
            cache.llama.eval(line[cache.llama.n_tokens : CHUNK])
            cache.save()
        caches[0].llama.eval(lines[0][CHUNK:])
        caches[0].save()
        for line in lines:
            self.goes_on(self.cache(self.context("global")), line, None, "", line)

    def test_a_session_that_is_taken_while_it_is_loaded(self) -> None:
        """Between the check of the chunks and their page-in another worker stores its own line in their place."""
        for sharing in ("shared", "off"):
            mine, others = prompt(300, 31), prompt(300, 32)
            thief = self.stored("global", mine)
            self.client.configure_namespace(thief.session.namespace, sharing=sharing)
            thief._store.ask_policy()
            thief.llama.eval([])
            forget(thief.llama)
            thief.llama.eval(others)
            cache = self.cache(self.context("global"))
            real = restore_module._page_in

            def page_in(store: Any, window: Any) -> None:
                thief.save()
                real(store, window)

            with unittest.mock.patch.object(restore_module, "_page_in", page_in):
                self.goes_on(cache, mine, 0, sharing, mine)
            cache.session.truncate(0)

    def test_killed_while_saving(self) -> None:
        numbers = random.Random(int(os.environ.get("LARDER_TEST_SEED", "11")))
        here = str(Path(llama_rig.__file__).parent)
        arguments = [here, self.daemon.socket, str(self.models / "gemma.gguf"), self.id()[-200:]]
        cache = self.cache(self.context("sliding, ring"))
        for turn in range(8):
            child = subprocess.Popen(
                [sys.executable, "-c", _SAVER, *arguments, "30"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            self.assertEqual(child.stdout.readline(), b"ready\n")
            time.sleep(numbers.random() * 0.4)
            child.send_signal(signal.SIGKILL)
            child.wait()
            child.stdout.close()
            for seed in (30, 31, 32):
                forget(cache.llama)
                self.goes_on(cache, prompt(400, seed), None, f"turn {turn}, line {seed}")

    def test_two_processes_at_once(self) -> None:
        """Another process saves line after line in the same session, while this one restores and saves its own."""
        here = str(Path(llama_rig.__file__).parent)
        arguments = [here, self.daemon.socket, str(self.models / "gemma.gguf"), self.id()[-200:], "30"]
        child = subprocess.Popen(
            [sys.executable, "-c", _SAVER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            self.assertEqual(child.stdout.readline(), b"ready\n")
            cache = self.cache(self.context("sliding, ring"))
            for turn in range(24):
                # The same beginning as the other's lines of now and then, and an end of its own.
                line = prompt(400, 30 + turn)[:150] + prompt(250, 1000 + turn % 3)
                forget(cache.llama)
                with cache.attach():
                    cache.restore(line[:200])
                    cache.llama.eval(line[cache.llama.n_tokens :])
                    cache.save()
                forget(cache.llama)
                self.goes_on(cache, line, None, f"turn {turn}")
            self.assertIsNone(child.poll(), "the other process goes on")
        finally:
            child.kill()
            child.wait()
            child.stdout.close()


if __name__ == "__main__":
    unittest.main()
