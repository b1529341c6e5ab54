"""vLLM with Larder, end to end: engines in fresh processes, a real model, a live daemon.

Slow: each engine takes its time to start. A step that computes only the rest of a prompt rounds otherwise than one that
    computes
all of it, in vLLM's own prefix cache as well. So the tests of faults compute in float32, where that changes no token,
and the one in bfloat16 also compares with what vLLM's own prefix cache gives, bit for bit the same steps.
"""

from __future__ import annotations

import time
import unittest
from typing import Any

import vllm_rig

vllm_rig.require_vllm()

from support import Daemon  # noqa: E402

BLOCK = 32
#: The longest wait for what an engine stores in the background.
SECONDS = 300.0
SHORT = {"block_size": BLOCK, "max_model_len": 1024, "dtype": "float32"}
BFLOAT = {**SHORT, "dtype": "bfloat16"}


def tokens_of(outputs: list[dict[str, Any]]) -> list[list[int]]:
    return [one["tokens"] for one in outputs]


def cached_of(outputs: list[dict[str, Any]]) -> list[int]:
    return [one["cached"] for one in outputs]


class VLLMTests(unittest.TestCase):
    def setUp(self) -> None:
        self.daemon = Daemon("--cap", "2GiB").start()
        self.addCleanup(self.daemon.close)

    def engine(self, **given: Any) -> vllm_rig.Engine:
        engine = vllm_rig.Engine(self.daemon.socket, **{**SHORT, **given})
        self.addCleanup(engine.close)
        return engine

    def chunks(self, namespace: str = "vllm") -> int:
        """Chunks of a namespace."""
        with self.daemon.connect() as client:
            return sum(session.chunks for session in client.list_sessions(namespace))

    def wait_for_chunks(self, count: int, engine: vllm_rig.Engine) -> None:
        """Waits for what an engine saves behind its answers. vLLM gives its processes seconds to end, then kills them;
        so what has to be there afterwards is waited for before."""
        deadline = time.monotonic() + SECONDS
        while self.chunks() < count:
            self.assertLess(
                time.monotonic(), deadline, f"{self.chunks()} of {count} chunks were stored\n{engine.log()[-3_000:]}"
            )
            time.sleep(0.02)

    def test_twenty_prompts_in_a_fresh_process(self) -> None:
        """No PYTHONHASHSEED, no option but the socket: all of a prompt but its last block is restored, the tokens
        stay."""
        prompts = vllm_rig.prompts(20, 400)
        without = vllm_rig.Engine(None, **BFLOAT)
        try:
            plain = without.one_by_one(prompts)
            local = without.one_by_one(prompts)
        finally:
            without.close()
        with vllm_rig.Engine(self.daemon.socket, **BFLOAT) as first:
            filled = first.one_by_one(prompts)
            self.wait_for_chunks(20 * 12, first)
        self.assertEqual(tokens_of(filled), tokens_of(plain))
        self.assertEqual(cached_of(filled), [0] * 20)
        with vllm_rig.Engine(self.daemon.socket, **BFLOAT) as fresh:
            restored = fresh.one_by_one(prompts)
        self.assertEqual(cached_of(restored), [384] * 20)
        self.assertEqual(cached_of(local), [384] * 20)
        self.assertEqual(tokens_of(restored), tokens_of(local))
        self.assertEqual(tokens_of(restored), tokens_of(plain))

    def test_many_at_once_salts_and_hints(self) -> None:
        prompts = vllm_rig.prompts(6, 300)
        engine = self.engine()
        alone = engine.one_by_one(prompts)
        self.wait_for_chunks(6 * 9, engine)
        fresh = self.engine()
        together = fresh.generate(prompts)
        self.assertEqual(cached_of(together), [288] * 6)
        self.assertEqual(tokens_of(together), tokens_of(alone))
        salted = fresh.one_by_one(prompts[:2], salts=["red"])
        self.assertEqual(cached_of(salted), [0, 0])
        self.assertEqual(tokens_of(salted), tokens_of(alone[:2]))
        fresh.generate(prompts[:1], hints=["task 17"], reset=True)
        again = fresh.generate([prompts[0] + alone[0]["tokens"] + prompts[1][:40]], hints=["task 17"], reset=True)
        self.assertGreaterEqual(again[0]["cached"], 288)
        fresh.close()
        with self.daemon.connect() as client:
            names = {session.name for session in client.list_sessions("vllm")}
            spaces = [space.name for space in client.list_namespaces()]
        self.assertIn("task 17", names)
        self.assertEqual(len(spaces), 2, spaces)

    def test_a_killed_daemon_and_damaged_bytes(self) -> None:
        prompts = vllm_rig.prompts(3, 600)
        engine = self.engine()
        plain = engine.one_by_one(prompts)
        self.wait_for_chunks(3 * 18, engine)
        # Killed while the engine loads.
        engine.ask(prompts, reset=True)
        self.daemon.kill()
        self.assertEqual(tokens_of(engine.answer()), tokens_of(plain))
        # Gone: the engine goes on.
        self.assertEqual(tokens_of(engine.one_by_one(prompts, reset=True)), tokens_of(plain))
        damage(self.daemon)
        self.daemon.start()
        fresh = self.engine()
        after = fresh.one_by_one(prompts)
        self.assertLess(min(cached_of(after)), 576)
        self.assertEqual(tokens_of(after), tokens_of(plain))
        with self.daemon.connect() as client:
            self.assertGreater(client.stat().counters["damaged_chunks"], 0)

    def test_an_engine_killed_while_it_saves(self) -> None:
        prompts = vllm_rig.prompts(4, 600)
        engine = self.engine()
        plain = engine.one_by_one(prompts[:1])
        engine.ask(prompts, reset=True)
        deadline = time.monotonic() + SECONDS
        while self.chunks() <= 18 and time.monotonic() < deadline:
            time.sleep(0.001)
        engine.kill()
        stored = self.chunks()
        self.assertLess(stored, 4 * 18)
        fresh = self.engine()
        after = fresh.one_by_one(prompts)
        self.assertEqual(after[0]["cached"], 576)
        self.assertEqual(after[0]["tokens"], plain[0]["tokens"])
        without = vllm_rig.Engine(None, **SHORT)
        self.addCleanup(without.close)
        self.assertEqual(tokens_of(after), tokens_of(without.one_by_one(prompts)))

    def test_another_model_finds_nothing(self) -> None:
        prompts = vllm_rig.prompts(1, 300)
        engine = self.engine()
        plain = engine.generate(prompts, hints=["task"])
        self.wait_for_chunks(9, engine)
        engine.close()
        for change in ({"dtype": "bfloat16"}, {"block_size": 64}, {"options": {"weights_id": "other weights"}}):
            other = self.engine(**change)
            outputs = other.generate(prompts, hints=["task"])
            self.assertEqual(cached_of(outputs), [0], change)
            other.close()
        fresh = self.engine()
        restored = fresh.generate(prompts, hints=["task"])
        self.assertEqual(cached_of(restored), [288])
        self.assertEqual(tokens_of(restored), tokens_of(plain))

    def test_no_daemon_at_the_start(self) -> None:
        prompts = vllm_rig.prompts(1, 300)
        self.daemon.kill()
        engine = self.engine()
        plain = engine.generate(prompts)
        self.assertIn("no daemon", engine.log())
        self.daemon.start()
        deadline = time.monotonic() + SECONDS
        while not self.chunks() and time.monotonic() < deadline:
            again = engine.generate(prompts, reset=True)
            self.assertEqual(tokens_of(again), tokens_of(plain))
        self.wait_for_chunks(9, engine)
        self.assertIn("is back", engine.log())

    def test_hashes_that_other_processes_do_not_share(self) -> None:
        """With a seed of its own in each process vLLM's hashes differ; keys are made of the tokens then."""
        prompts = vllm_rig.prompts(1, 300)
        for number, seed in enumerate(("1", "2")):
            engine = self.engine(environment={"PYTHONHASHSEED": seed})
            self.assertEqual(cached_of(engine.generate(prompts)), [288 if number else 0])
            self.wait_for_chunks(9, engine)
            engine.close()

    def test_options_that_are_wrong_leave_the_engine_running(self) -> None:
        engine = self.engine(options={"sokcet": "/x"})
        outputs = engine.one_by_one(vllm_rig.prompts(1, 100))
        self.assertEqual(len(outputs[0]["tokens"]), 12)
        self.assertIn("sokcet", engine.log())

    def test_two_workers(self) -> None:
        """A tensor-parallel group of two: each has its part, and both are restored."""
        prompts = [[(7 * place + 31 * number) % 500 for place in range(300)] for number in range(2)]
        arguments = {
            "model": vllm_rig.tiny_model(),
            "skip_tokenizer_init": True,
            "tensor_parallel_size": 2,
            "environment": {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"},
        }
        first = self.engine(**arguments)
        plain = first.one_by_one(prompts)
        # Each part of the group counts its own.
        self.wait_for_chunks(2 * 2 * 9, first)
        first.close()
        fresh = self.engine(**arguments)
        restored = fresh.one_by_one(prompts)
        self.assertEqual(cached_of(restored), [288] * 2)
        self.assertEqual(tokens_of(restored), tokens_of(plain))


def damage(daemon: Daemon) -> None:
    """Overwrites some bytes of every third stored chunk."""
    import mmap

    number = 0
    for file in (daemon.directory / "store").glob("**/data.mdb"):
        with open(file, "r+b") as opened, mmap.mmap(opened.fileno(), 0) as memory:
            place = memory.find(b"LCK1")
            while place >= 0:
                target = place + 64 + 16 * 60 + 10_000
                if number % 3 == 1 and target + 8 < len(memory):
                    memory[target : target + 8] = bytes(byte ^ 0xFF for byte in memory[target : target + 8])
                number += 1
                place = memory.find(b"LCK1", place + 4)
    if not number:
        raise AssertionError("no chunk was found in the store")


if __name__ == "__main__":
    unittest.main()
