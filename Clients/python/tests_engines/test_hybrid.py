"""Caches of transformers' models in Larder: what is restored goes on as if there had been no break, to the bit."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import threading
import unittest
import unittest.mock
from pathlib import Path
from typing import Any

try:
    import torch
    import transformers
    from transformers import DynamicCache, StaticCache
except ImportError as error:
    raise unittest.SkipTest(f"transformers is not here ({error}): make test-engines installs it") from None

import larder
from larder.integrations.transformers import CacheKeeper, UnknownCache
from larder.integrations.transformers.fingerprint import CHAIN_BYTES, chain, matching_links
from live_daemon import LiveDaemon
from hybrid_models import CONFIGURATIONS, LENGTH, STEP, make, run, step, stops, tokens

HERE = Path(__file__).parent


class Chain(unittest.TestCase):
    def test_links_tell_where_lines_part(self) -> None:
        ids = tokens()
        links = chain(ids)
        self.assertEqual(len(links), LENGTH * CHAIN_BYTES)
        self.assertEqual(chain(ids[:40]), links[: 40 * CHAIN_BYTES])
        for at in range(LENGTH):
            other = chain([*ids[:at], ids[at] + 1, *ids[at + 1 :]])
            self.assertEqual(matching_links(memoryview(links), memoryview(other)), at)
        self.assertEqual(matching_links(memoryview(links), memoryview(links)[: 30 * CHAIN_BYTES]), 30)


class FreshProcess(unittest.TestCase):
    """A run that is saved in one process, and restored at every offset in another."""

    def test_every_offset_of_every_model(self) -> None:
        daemon = LiveDaemon()
        self.addCleanup(daemon.remove)
        saved, restored = _process("save", daemon), _process("restore", daemon)
        for kind in CONFIGURATIONS:
            with self.subTest(kind):
                whole = {int(stop): here for stop, here in saved[kind].items()}
                offsets, hashes = restored[kind]
                # Attention can be restored anywhere; a short window, where its last tokens were still there.
                anywhere = {"llama": 0, "gemma3, a long window": 0, "gemma3, a short window": 96}.get(kind, LENGTH)
                for at_most, offset in offsets.items():
                    at_most = int(at_most)
                    expected = at_most if at_most >= anywhere else at_most // STEP * STEP
                    self.assertEqual(offset, expected, f"at most {at_most}")
                self.assertEqual(sorted(map(int, hashes)), stops(0, LENGTH))
                for offset, here in hashes.items():
                    expected = {stop: what for stop, what in whole.items() if stop > int(offset)}
                    self.assertEqual({int(stop): what for stop, what in here.items()}, expected, f"from {offset}")

    def test_a_process_killed_while_it_saves(self) -> None:
        daemon = LiveDaemon()
        self.addCleanup(daemon.remove)
        for seconds in (0.1, 0.35):
            writer = subprocess.Popen(
                [sys.executable, str(HERE / "hybrid_models.py"), "prefill", daemon.socket],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )
            assert writer.stdout is not None
            writer.stdout.readline()
            threading.Event().wait(seconds)
            writer.kill()
            writer.wait()
            writer.stdout.close()
        model = make("qwen3_next")
        with larder.connect(daemon.socket) as client:
            keeper = CacheKeeper(client, model, chunk_tokens=STEP)
            names = [session.name for session in client.list_sessions("transformers")]
            restored = 0
            for seed in range(len([name for name in names if name.startswith("killed")])):
                ids = tokens(seed)
                here = keeper.line(f"killed {seed}").restore(ids)
                whole = run(model, DynamicCache(config=model.config), ids, 0, LENGTH)
                for stop, what in run(model, here.cache, ids, here.offset, LENGTH).items():
                    self.assertEqual(what, whole[stop])
                restored += here.offset
            self.assertGreater(restored, 0)


class Lines(unittest.TestCase):
    model: Any

    @classmethod
    def setUpClass(cls) -> None:
        cls.model = make("qwen3_next")

    def setUp(self) -> None:
        self.daemon = LiveDaemon()
        self.addCleanup(self.daemon.remove)
        self.client = larder.connect(self.daemon.socket)
        self.addCleanup(lambda: self.client.close())
        self.keeper = self.keeper_of(self.model)

    def keeper_of(self, model: Any, **options: Any) -> CacheKeeper:
        keeper = CacheKeeper(self.client, model, chunk_tokens=STEP, **options)
        # So that tests find what they damage.
        self.client.put_from = functools.partial(type(self.client).put_from, self.client, encoding="raw")
        return keeper

    def whole(self, ids: list[int]) -> dict[int, str]:
        return run(self.model, DynamicCache(config=self.model.config), ids, 0, len(ids))

    def save(self, line: Any, ids: list[int], start: int = 0, cache: Any = None) -> None:
        cache = cache or DynamicCache(config=self.model.config)
        for stop in stops(start, len(ids)):
            step(self.model, cache, ids, start, stop)
            line.save(cache, ids[:stop])
            start = stop

    def assert_goes_on(self, line: Any, ids: list[int], offset: int, at_most: int | None = None) -> None:
        restored = line.restore(ids, at_most)
        self.assertEqual(restored.offset, offset)
        whole = self.whole(ids)
        for stop, what in run(self.model, restored.cache, ids, offset, len(ids)).items():
            self.assertEqual(what, whole[stop], f"from {offset} to {stop}")

    # Snapshots

    def test_snapshots_are_where_the_planner_says_and_a_resume_between_falls_back(self) -> None:
        line = self.keeper.line("planned")
        ids = tokens()
        done = line.prefill(ids, stride=32)
        self.assertEqual((done.restored, done.snapshots, done.fault), (0, [32, 64, 96], ""))
        states = {chunk.offset for chunk in line.session.chunks() if chunk.tokens == 0}
        self.assertEqual(states, {32, 64, 96})
        for at_most, offset in [(100, 96), (96, 96), (95, 64), (65, 64), (64, 64), (63, 32), (32, 32), (31, 0), (1, 0)]:
            self.assertEqual(line.session.resume(at_most).offset, offset)
            self.assert_goes_on(line, ids, offset, at_most)

    def test_without_a_stride_the_last_boundary_is_kept(self) -> None:
        line = self.keeper.line("last")
        ids = tokens()
        self.assertEqual(line.prefill(ids).snapshots, [96])
        again = line.prefill(ids)
        self.assertEqual((again.restored, again.snapshots), (96, []))
        longer = [*ids, *tokens(7, 40)]
        more = line.prefill(longer)
        self.assertEqual((more.restored, more.snapshots), (96, [128]))
        reference = DynamicCache(config=self.model.config)
        with torch.no_grad():
            at = 0
            for stop in stops(0, len(longer)):
                part = torch.tensor([longer[at:stop]])
                logits = self.model(
                    input_ids=part, past_key_values=reference, use_cache=True, logits_to_keep=1
                ).logits[0, -1]
                at = stop
        self.assertTrue(torch.equal(more.logits, logits))

    def test_generation_goes_on_from_a_prefill_and_its_end_is_saved(self) -> None:
        ids = torch.tensor([tokens()])
        options = dict(do_sample=False, pad_token_id=0)
        plain = self.model.generate(ids, max_new_tokens=12, **options)
        for restored in (0, 96):
            line = self.keeper.line("answer")
            done = line.prefill(ids)
            self.assertEqual(done.restored, restored)
            seen = torch.cat([ids, done.logits.argmax().view(1, 1)], dim=1)
            answer = self.model.generate(seen, past_key_values=done.cache, max_new_tokens=11, **options)
            self.assertEqual(answer.tolist(), plain.tolist())
        end = done.cache.get_seq_length()
        line.save(done.cache, answer[0, :end])
        self.assertEqual(self.keeper.line("answer").restore(answer).offset, end)

    def test_a_branch(self) -> None:
        line = self.keeper.line("trunk")
        ids = tokens()
        self.save(line, ids)
        branch = line.fork(64, "branch")
        other = [*ids[:64], *tokens(9, 36)]
        self.assert_goes_on(branch, other, 64)
        self.save(branch, other, 64, branch.restore(other).cache)
        self.assert_goes_on(branch, other, 100)
        self.assert_goes_on(line, ids, 100)

    # Other tokens, other models

    def test_other_tokens_get_what_comes_before_them(self) -> None:
        line = self.keeper.line("parts")
        ids = tokens()
        self.save(line, ids)
        other = [*ids[:70], *tokens(3, 30)]
        restored = line.restore(other)
        self.assertEqual((restored.offset, restored.matching), (64, 70))
        self.save(line, other, 64, restored.cache)
        self.assert_goes_on(line, other, 100)
        self.assert_goes_on(line, ids, 64)
        self.assertEqual(line.restore(tokens(4)).offset, 0)
        self.assertEqual(line.restore([]).offset, 0)

    def test_another_model_is_refused_by_name(self) -> None:
        line = self.keeper.line("mine")
        self.save(line, tokens())
        for name, model, field in [
            ("weights", make("qwen3_next", seed=1), "weights"),
            ("attention", make("qwen3_next", attention="eager"), "revision"),
            ("configuration", make("qwen3_next", rms_norm_eps=1e-5), "revision"),
            ("dtype", make("qwen3_next bf16"), "revision"),
            ("class", make("falcon_h1"), "name"),
        ]:
            with self.subTest(name), self.assertRaisesRegex(larder.ModelMismatch, field):
                self.keeper_of(model).line("mine")
        self.assert_goes_on(line, tokens(), 100)

    def test_a_cache_that_is_not_known_is_refused(self) -> None:
        line = self.keeper.line("strange")
        ids = tokens(0, STEP)
        llama = make("llama")
        with self.assertRaisesRegex(UnknownCache, "StaticCache"):
            line.save(StaticCache(config=llama.config, max_cache_len=32), ids)
        with self.assertRaisesRegex(UnknownCache, "offloaded"):
            line.save(DynamicCache(config=self.model.config, offloading=True), ids)
        two = DynamicCache(config=self.model.config)
        with torch.no_grad():
            self.model(input_ids=torch.tensor([ids, ids]), past_key_values=two, use_cache=True)
        with self.assertRaisesRegex(UnknownCache, "2 sequences"):
            line.save(two, ids)
        other = DynamicCache(config=llama.config)
        step(llama, other, ids, 0, STEP)
        with self.assertRaises(UnknownCache):
            line.save(other, ids)
        mine = DynamicCache(config=self.model.config)
        step(self.model, mine, ids, 0, STEP)
        with self.assertRaisesRegex(ValueError, "has seen 16 tokens"):
            line.save(mine, ids[:-1])

        class Novel(transformers.cache_utils.DynamicLayer):
            pass

        mine.layers[3].__class__ = Novel
        with self.assertRaisesRegex(UnknownCache, "layer 3 of the cache is a Novel"):
            line.save(mine, ids)
        self.assertEqual(list(line.session.chunks()), [])
        with self.assertRaisesRegex(ValueError, "training"):
            CacheKeeper(self.client, make("llama").train())

    # What is missing, and what is damaged

    def test_half_of_the_components_is_nothing(self) -> None:
        ids = tokens()
        line = self.keeper.line("whole")
        self.save(line, ids)
        components = self.keeper.layout.components
        for left_out in range(len(components)):
            half = self.keeper.line(f"without {components[left_out].name}")
            for chunk in line.session.chunks():
                if chunk.component != left_out:
                    data = line.session.get(chunk.offset, component=chunk.component)
                    half.session.put(chunk.offset, chunk.tokens, data, component=chunk.component)
            self.assert_goes_on(half, ids, 0)

    def test_state_that_lost_its_links_is_not_mixed_with_another_lines(self) -> None:
        ids, other = tokens(), tokens(5)
        line = self.keeper.line("whole")
        self.save(line, ids)
        # As if the links had been evicted, and the rest not yet.
        rest = self.keeper.line("rest")
        for chunk in line.session.chunks():
            if chunk.component != 0:
                data = line.session.get(chunk.offset, component=chunk.component)
                rest.session.put(chunk.offset, chunk.tokens, data, component=chunk.component)
        self.save(rest, other[:48], 0, rest.restore(other).cache)
        self.assert_goes_on(rest, other, 48)
        self.assert_goes_on(rest, ids, 0)

    def test_damage_is_passed_by(self) -> None:
        ids = tokens()
        line = self.keeper.line("damaged")
        self.save(line, ids)
        last = line.session.get(96, component=len(self.keeper.layout.components) - 1)
        middle = line.session.get(48, component=1)
        links = line.session.get(16, component=0)
        for damage, offset in [(last, 100), (last, 80), (middle, 48), (links, 16)]:
            if offset != 100:
                self.client.close()
                self.daemon.stop()
                # Those at 96 and 100 are both to be damaged: the state's first bytes differ.
                self.assertGreater(self.daemon.damage(damage[100:164]), 0)
                if offset == 80:
                    self.assertGreater(self.daemon.damage(self.at_100[100:164]), 0)
                self.daemon.start()
                self.client = larder.connect(self.daemon.socket)
                self.keeper = self.keeper_of(self.model)
                line = self.keeper.line("damaged")
            else:
                self.at_100 = line.session.get(100, component=len(self.keeper.layout.components) - 1)
            self.assert_goes_on(line, ids, offset)
        # What is computed anew can be saved in place of it.
        restored = line.restore(ids)
        self.save(line, ids, restored.offset, restored.cache)
        self.assert_goes_on(line, ids, 100)

    # The daemon's end, and other processes

    def test_a_daemon_killed_while_it_loads_or_saves(self) -> None:
        ids = tokens()
        expected = self.keeper.line("unbroken").prefill(ids, stride=STEP).logits
        for call in ("resume", "get_into", "plan_snapshots", "put_from"):
            with self.subTest(call):
                self.keeper.line(f"killed at {call}").prefill(ids[:50], stride=STEP)
                line = self.keeper.line(f"killed at {call}")
                target = line.session if call in ("resume", "plan_snapshots") else self.client
                original = getattr(type(target), call)

                def killing(self_: Any, *arguments: Any, **options: Any) -> Any:
                    self.daemon.kill()
                    return original(self_, *arguments, **options)

                with unittest.mock.patch.object(type(target), call, killing):
                    self.client.__dict__.pop("put_from", None)
                    with self.assertLogs("larder.transformers", "ERROR"):
                        done = line.prefill(ids, stride=STEP)
                self.assertIn("Connection", done.fault)
                self.assertTrue(torch.equal(done.logits, expected))
                self.daemon.start()
                self.client = larder.connect(self.daemon.socket)
                self.keeper = self.keeper_of(self.model)
                again = self.keeper.line(f"killed at {call}")
                self.assertGreaterEqual(again.restore(ids).offset, 48)
                self.assertTrue(torch.equal(again.prefill(ids, stride=STEP).logits, expected))

    def test_two_writers_of_one_line_are_told_apart(self) -> None:
        mine, yours = tokens(1), tokens(2)
        first, second = self.keeper.line("both"), self.keeper.line("both")
        caches = [DynamicCache(config=self.model.config) for _ in range(2)]
        refused = 0
        at = 0
        for stop in stops(0, LENGTH):
            for line, ids, cache in [(first, mine, caches[0]), (second, yours, caches[1])]:
                step(self.model, cache, ids, at, stop)
                try:
                    line.save(cache, ids[:stop])
                except larder.Conflict:
                    refused += 1
            at = stop
            for ids in (mine, yours):
                reader = self.keeper.line("both")
                restored = reader.restore(ids)
                whole = self.whole(ids)
                for later, what in run(self.model, restored.cache, ids, restored.offset, LENGTH).items():
                    self.assertEqual(what, whole[later])
        self.assertGreater(refused, 0)


def _process(command: str, daemon: LiveDaemon) -> Any:
    result = subprocess.run(
        [sys.executable, str(HERE / "hybrid_models.py"), command, daemon.socket],
        capture_output=True, text=True, env=os.environ, timeout=900,
    )
    if result.returncode:
        raise AssertionError(f"{command}:\n{result.stdout[-2000:]}{result.stderr[-4000:]}")
    return json.loads(result.stdout.splitlines()[-1])


if __name__ == "__main__":
    unittest.main()
