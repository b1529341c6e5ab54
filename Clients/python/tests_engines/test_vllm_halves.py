"""Both halves of the vLLM connector against a live daemon, without an engine: what is loaded is what was saved, bit for
bit, or is not loaded. Needs torch; the KV cache is a few small tensors, and requests are stand-ins."""

from __future__ import annotations

import importlib.util
import logging
import sys
import time
import unittest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("src", "tests")]

from support import Daemon  # noqa: E402

if importlib.util.find_spec("torch") is None or importlib.util.find_spec("numpy") is None:
    raise unittest.SkipTest("torch and numpy are not installed: see Docs/ENGINES.md, vLLM")

import torch  # noqa: E402

import larder  # noqa: E402
from larder.integrations.vllm.identity import model_of  # noqa: E402
from larder.integrations.vllm.layout import KVCache, Unsupported  # noqa: E402
from larder.integrations.vllm.options import Options  # noqa: E402
from larder.integrations.vllm.plan import LoadPlan, StepPlan  # noqa: E402
from larder.integrations.vllm.scheduler import SchedulerHalf, Workers  # noqa: E402
from larder.integrations.vllm.worker import WorkerHalf  # noqa: E402

LOG = logging.getLogger("larder-test")
LOG.addHandler(logging.NullHandler())
LOG.propagate = False

BLOCK, LAYERS, BLOCKS, HEADS, CONTENT = 32, 12, 64, 3, 16
#: The longest wait for something that is to happen.
SECONDS = 60.0


class Side:
    """An engine's connector with its KV cache: a scheduler's half, and a worker's for each rank."""

    def __init__(self, socket: str, *, ranks: int = 1, facts: str = "1", block: int = BLOCK, **options: Any) -> None:
        given = Options.parse({"socket": socket, "chunk_tokens": block, **options})
        self.block = block
        self.caches: list[dict[str, torch.Tensor]] = []
        self.workers: list[WorkerHalf] = []
        for rank in range(ranks):
            tensors = {
                f"layer.{number}": torch.zeros(BLOCKS, HEADS, block, CONTENT, dtype=torch.bfloat16)
                for number in range(LAYERS)
            }
            cache = KVCache(tensors, block, True, block)
            worker = WorkerHalf(given, 512, LOG)
            worker.register(cache, model_of(cache, {"vllm": facts}, "tiny", "weights", (ranks, rank)))
            self.caches.append(tensors)
            self.workers.append(worker)
        self.scheduler = SchedulerHalf(given, block, block, lambda: "", (True, True), LOG)
        self.scheduler.serve(
            Workers([worker.introduction.model for worker in self.workers if worker.introduction.model])
        )
        self.free = list(range(BLOCKS))

    def close(self) -> None:
        self.scheduler.close()
        for worker in self.workers:
            worker.close()

    def request(self, name: str, tokens: list[int], salt: str | None = None, hint: str | None = None) -> Any:
        return SimpleNamespace(
            request_id=name,
            all_token_ids=list(tokens),
            num_tokens=len(tokens),
            num_prompt_tokens=len(tokens),
            num_computed_tokens=0,
            block_hashes=[],
            mm_features=(),
            cache_salt=salt,
            lora_request=None,
            prompt_embeds=None,
            kv_transfer_params={"larder_session": hint} if hint else None,
        )

    def _state(self, rank: int, layer: int, tokens: list[int], number: int) -> torch.Tensor:
        """What "computing" a block gives: a function of all tokens up to its end."""
        generator = torch.Generator().manual_seed(
            hash((rank, layer, tuple(tokens[: (number + 1) * self.block]))) & 0x7FFFFFFF
        )
        return torch.randn(HEADS, self.block, CONTENT, generator=generator).to(torch.bfloat16)

    def run(self, request: Any, *, wait: bool = True) -> int:
        """A request's prompt, as the engine does it: match, load, compute the rest, save. Tokens that were loaded; the
        KV cache is compared with what computing all of it gives."""
        blocks = [self.free.pop() for _ in range(-(-request.num_tokens // self.block))]
        loaded = self._load(request, blocks)
        request.num_computed_tokens = loaded
        self._compute(request, blocks, loaded)
        if wait:
            self.saved()
        self.scheduler.ended(request.request_id)
        self.free[:0] = blocks
        return loaded

    def _load(self, request: Any, blocks: list[int]) -> int:
        deadline = time.monotonic() + SECONDS
        while True:
            tokens, asynchronous = self.scheduler.matched(request, 0)
            if tokens is not None or time.monotonic() > deadline:
                break
        if not tokens:
            return 0
        assert asynchronous
        self.scheduler.allocated(request, blocks, tokens)
        plan = self.scheduler.step({}, lambda _: blocks)
        request.num_computed_tokens = tokens
        return min(self._load_rank(worker, plan, request, blocks, tokens) for worker in self.workers)

    def _load_rank(self, worker: WorkerHalf, plan: StepPlan, request: Any, blocks: list[int], tokens: int) -> int:
        worker.begin_loads(plan)
        deadline = time.monotonic() + SECONDS
        over: set[str] = set()
        while not over and time.monotonic() < deadline:
            over, _ = worker.loads_over()
            time.sleep(0.001)
        assert over == {request.request_id}, over
        bad = worker.bad_blocks()
        there = next((number * self.block for number, block in enumerate(blocks) if block in bad), tokens)
        request.num_computed_tokens = min(there, request.num_computed_tokens)
        self.scheduler.loaded(over)
        return there

    def _compute(self, request: Any, blocks: list[int], loaded: int) -> None:
        plan = self.scheduler.step({request.request_id: request.num_tokens - loaded}, lambda _: blocks)
        for rank, worker in enumerate(self.workers):
            worker.begin_saves(plan)
            for layer in range(LAYERS):
                tensor = self.caches[rank][f"layer.{layer}"]
                for number in range(request.num_tokens // self.block):
                    right = self._state(rank, layer, request.all_token_ids, number)
                    if number * self.block >= loaded:
                        tensor[blocks[number]] = right
                    elif not torch.equal(tensor[blocks[number]], right):
                        raise AssertionError(f"rank {rank}, layer {layer}, block {number}: wrong state was loaded")
                worker.copy_layer(f"layer.{layer}")
            worker.end_saves()

    def saved(self) -> None:
        """Waits until all saves were tried."""
        deadline = time.monotonic() + SECONDS
        for worker in self.workers:
            while time.monotonic() < deadline:
                saver = worker._saver  # noqa: SLF001: the tests look inside.
                assert saver is not None
                with saver._lock:  # noqa: SLF001
                    if len(saver._free) * worker._cache.geometry.chunk_bytes == saver.pool.byte_count:  # noqa: SLF001
                        break
                time.sleep(0.001)


class HalvesTests(unittest.TestCase):
    def setUp(self) -> None:
        self.daemon = Daemon("--cap", "256MiB").start()
        self.addCleanup(self.daemon.close)

    def side(self, **options: Any) -> Side:
        side = Side(self.daemon.socket, **options)
        self.addCleanup(side.close)
        return side

    def test_what_one_engine_saves_another_loads(self) -> None:
        one, two = self.side(), self.side()
        tokens = list(range(10 * BLOCK + 7))
        self.assertEqual(one.run(one.request("a", tokens)), 0)
        self.assertEqual(two.run(two.request("b", tokens)), 10 * BLOCK)
        longer = tokens + list(range(5 * BLOCK))
        self.assertEqual(two.run(two.request("c", longer)), 10 * BLOCK)
        self.assertEqual(one.run(one.request("d", longer)), len(longer) // BLOCK * BLOCK)
        branch = tokens[: 4 * BLOCK] + list(range(1_000, 1_000 + 6 * BLOCK))
        self.assertEqual(one.run(one.request("e", branch)), 4 * BLOCK)

    def test_the_last_token_is_left_to_compute(self) -> None:
        one = self.side()
        tokens = list(range(4 * BLOCK))
        one.run(one.request("a", tokens))
        self.assertEqual(one.run(one.request("b", tokens)), 3 * BLOCK)

    def test_sessions_that_only_served_a_load_are_dropped(self) -> None:
        one = self.side()
        tokens = list(range(6 * BLOCK))
        one.run(one.request("a", tokens + [1]))
        for number in range(5):
            self.assertEqual(one.run(one.request(f"b{number}", tokens + [number, 2])), 6 * BLOCK)
            self.assertEqual(one.run(one.request(f"c{number}", tokens[: 3 * BLOCK] + [number, 2])), 3 * BLOCK)
        with self.daemon.connect() as client:
            names = [session.name for session in client.list_sessions("vllm")]
            self.assertEqual(len(names), 1, names)
            self.assertGreater(client.namespace_policy("vllm").ttl_seconds, 0)

    def test_salts_see_nothing_of_each_other(self) -> None:
        one = self.side()
        tokens = list(range(5 * BLOCK + 1))
        for salt in (None, "red", "blue"):
            self.assertEqual(one.run(one.request(f"a{salt}", tokens, salt)), 0)
            self.assertEqual(one.run(one.request(f"b{salt}", tokens, salt)), 5 * BLOCK)
        with self.daemon.connect() as client:
            spaces = {space.name: space.policy.has_salt for space in client.list_namespaces()}
        self.assertEqual(sorted(spaces.values()), [False, True, True])

    def test_salts_beyond_the_bound_go_without(self) -> None:
        one = self.side(salted_namespaces=1)
        tokens = list(range(3 * BLOCK + 1))
        for salt, loaded in (("red", 3 * BLOCK), ("blue", 0)):
            one.run(one.request(f"a{salt}", tokens, salt))
            self.assertEqual(one.run(one.request(f"b{salt}", tokens, salt)), loaded)

    def test_other_state_is_never_served(self) -> None:
        one = self.side()
        tokens = list(range(128 * 2 + 1))
        one.run(one.request("a", tokens))
        for other in (self.side(facts="2"), self.side(block=64), self.side(ranks=2)):
            self.assertEqual(other.run(other.request("b", tokens)), 0)

    def test_ranks_have_parts_of_their_own(self) -> None:
        one, two = self.side(ranks=2), self.side(ranks=2)
        tokens = list(range(6 * BLOCK + 1))
        one.run(one.request("a", tokens))
        self.assertEqual(two.run(two.request("b", tokens)), 6 * BLOCK)

    def test_a_rank_without_its_part_ends_the_hit(self) -> None:
        one, two = self.side(ranks=2), self.side(ranks=2)
        tokens = list(range(6 * BLOCK + 1))
        saver = one.workers[1]
        saver.begin_saves = lambda plan: None  # type: ignore[method-assign]
        one.run(one.request("a", tokens))
        self.assertEqual(two.run(two.request("b", tokens)), 0)

    def test_a_session_that_is_named_holds_its_requests_line(self) -> None:
        one = self.side()
        first = list(range(6 * BLOCK + 1))
        back = first[: 2 * BLOCK] + list(range(500, 500 + 3 * BLOCK))
        for name, tokens in (("a", first), ("b", back)):
            one.run(one.request(name, tokens, hint="task 17"))
            with self.daemon.connect() as client:
                model = client.declare_model(one.workers[0].introduction.model)
                session = client.open_session("vllm", "task 17", model, create=False)
                self.assertEqual(session.resume().offset, len(tokens) // BLOCK * BLOCK)

    def test_two_engines_on_one_session(self) -> None:
        sides = [self.side(), self.side()]
        for turn in range(4):
            for number, side in enumerate(sides):
                tokens = list(range(3 * BLOCK)) + [number * 1_000 + turn] * (turn + 1) * BLOCK + [1]
                side.run(side.request(f"{turn} {number}", tokens, hint="shared"), wait=False)
        for side in sides:
            side.saved()
        for number, side in enumerate(sides):
            tokens = list(range(3 * BLOCK)) + [number * 1_000 + 3] * 4 * BLOCK + [1]
            self.assertGreaterEqual(side.run(side.request(f"again {number}", tokens, hint="shared")), 3 * BLOCK)

    def test_a_session_of_another_model_is_left_alone(self) -> None:
        one, two = self.side(), self.side(facts="2")
        tokens = list(range(4 * BLOCK + 1))
        one.run(one.request("a", tokens, hint="task"))
        self.assertEqual(two.run(two.request("b", tokens, hint="task")), 0)
        self.assertIn("chunks not saved: ModelMismatch", two.workers[0].tally.counts())
        self.assertEqual(one.run(one.request("c", tokens, hint="task")), 4 * BLOCK)

    def test_state_that_half_of_the_layers_have_is_another_models(self) -> None:
        """A chunk is all layers or is refused; and a worker that sees other layers declares another model."""
        one = self.side()
        model = one.workers[0].introduction.model
        assert model is not None
        with self.daemon.connect() as client:
            session = client.open_session("vllm", "half", client.declare_model(model))
            half = bytes(model.components[0].byte_count(BLOCK, LAYERS // 2))
            with self.assertRaises(larder.WrongLength):
                session.put(0, BLOCK, half, prefix_key=bytes(32))
            self.assertEqual(client.match("vllm", session.model, [bytes(32)]), 0)

    def test_a_gap_ends_a_load_and_the_rest_is_computed(self) -> None:
        one = self.side()
        tokens = list(range(8 * BLOCK + 1))
        request = one.request("a", tokens)
        one.run(request)
        chain = one.scheduler._track(one.request("k", tokens))  # noqa: SLF001
        assert chain is not None
        keys = list(chain.chain.up_to(8 * BLOCK))
        keys[5] = bytes(32)
        blocks = [one.free.pop() for _ in range(8)]
        place, worker = chain.place, one.workers[0]
        worker.begin_loads(StepPlan([LoadPlan("x", place, "no such session", 0, tuple(keys), tuple(blocks))]))
        deadline, over = time.monotonic() + SECONDS, set()
        while not over and time.monotonic() < deadline:
            over, failed = worker.loads_over()
        self.assertEqual((over, failed), ({"x"}, {"x"}))
        self.assertEqual(worker.bad_blocks(), set(blocks[5:]))

    def test_no_daemon_no_hit_no_harm(self) -> None:
        one = self.side()
        tokens = list(range(4 * BLOCK + 1))
        one.run(one.request("a", tokens))
        self.daemon.kill()
        self.assertEqual(one.run(one.request("b", tokens)), 0)
        self.daemon.start()
        deadline, loaded, number = time.monotonic() + SECONDS, 0, 0
        while not loaded and time.monotonic() < deadline:
            number += 1
            loaded = one.run(one.request(f"c{number}", tokens))
        self.assertEqual(loaded, 4 * BLOCK)

    def test_a_daemon_that_stands_still_ends_a_load(self) -> None:
        one = self.side(load_timeout_seconds=1, lookup_timeout_seconds=1)
        tokens = list(range(4 * BLOCK + 1))
        one.run(one.request("a", tokens))
        request = one.request("b", tokens)
        blocks = [one.free.pop() for _ in range(5)]
        while one.scheduler.matched(request, 0)[0] is None:
            pass
        one.scheduler.allocated(request, blocks, 4 * BLOCK)
        self.daemon.stand_still()
        plan = one.scheduler.step({}, lambda _: blocks)
        self.assertEqual(one._load_rank(one.workers[0], plan, request, blocks, 4 * BLOCK), 0)  # noqa: SLF001
        self.assertEqual(one.run(one.request("c", tokens), wait=False), 0)
        self.daemon.go_on()

    def test_damaged_bytes_are_computed_and_stored_anew(self) -> None:
        one = self.side()
        tokens = list(range(8 * BLOCK + 1))
        one.run(one.request("a", tokens))
        self.daemon.kill()
        _damage(self.daemon.directory / "store")
        self.daemon.start()
        two = self.side()
        loaded = two.run(two.request("b", tokens))
        self.assertLess(loaded, 8 * BLOCK)
        three = self.side()
        self.assertEqual(three.run(three.request("c", tokens)), 8 * BLOCK)

    def test_a_full_pool_keeps_what_fits(self) -> None:
        one = self.side(save_buffer_bytes=3 * LAYERS * HEADS * BLOCK * CONTENT * 2)
        tokens = list(range(8 * BLOCK + 1))
        self.assertEqual(one.run(one.request("a", tokens)), 0)
        self.assertEqual(one.workers[0].tally.counts()["chunks not saved: no room"], 5)
        self.assertEqual(one.run(one.request("b", tokens)), 3 * BLOCK)
        self.assertEqual(one.run(one.request("c", tokens)), 6 * BLOCK)

    def test_large_loads_go_in_waves(self) -> None:
        one = self.side(load_buffer_bytes=3 * LAYERS * HEADS * BLOCK * CONTENT * 2)
        tokens = list(range(16 * BLOCK + 1))
        one.run(one.request("a", tokens))
        self.assertEqual(one.run(one.request("b", tokens)), 16 * BLOCK)
        shorter = tokens[: 11 * BLOCK] + [5]
        self.assertEqual(one.run(one.request("c", shorter)), 11 * BLOCK)

    def test_layers_that_no_step_told_of_are_copied_at_its_end(self) -> None:
        one, two = self.side(), self.side()
        one.workers[0].copy_layer = lambda name: None  # type: ignore[method-assign]
        tokens = list(range(4 * BLOCK + 1))
        one.run(one.request("a", tokens))
        self.assertEqual(two.run(two.request("b", tokens)), 4 * BLOCK)

    def test_caches_that_are_not_kept(self) -> None:
        for tensors in (
            {},
            {"a": torch.zeros(4, 2, 16, 8), "b": torch.zeros(4, 2, 16, 4)},
            {"a": torch.zeros(4, 2, 16)},
            {"a": torch.zeros(4, 16, 2, 8).transpose(1, 2)},
            {"a": torch.zeros(4, 2, 16, 8, device="meta")},
        ):
            with self.assertRaises(Unsupported):
                KVCache(tensors, 16, False, 0)


def _damage(store: Path) -> None:
    """Overwrites bytes in the middle of stored chunks, found by their magic."""
    import mmap

    done = 0
    for file in store.glob("**/data.mdb"):
        with open(file, "r+b") as opened, mmap.mmap(opened.fileno(), 0) as memory:
            place = memory.find(b"LCK1")
            while place >= 0:
                target = place + 64 + 16 * 2 * LAYERS + 300
                if done % 3 == 1 and target + 8 < len(memory):
                    memory[target : target + 8] = bytes(byte ^ 0xFF for byte in memory[target : target + 8])
                done += 1
                place = memory.find(b"LCK1", place + 4)
    assert done, "no chunk was found in the store"


if __name__ == "__main__":
    unittest.main()
