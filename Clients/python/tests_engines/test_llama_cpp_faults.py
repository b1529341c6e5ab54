"""What goes wrong around llama.cpp's state: it costs tokens, and never the answer."""

from __future__ import annotations

import functools
import random
import threading
import time
import unittest
import unittest.mock

import llama_rig
import larder
from larder.integrations.llama_cpp import LlamaCache, UnknownState, Unsupported
from larder.integrations.llama_cpp.line import Keys, as_tokens
from llama_rig import CHUNK, KINDS, FaultTest, LlamaTest, forget, prompt

class Faults(FaultTest):
    """What breaks under a cache, or is taken from under it."""

    def damage(self, needle: bytes) -> None:
        """Kills the daemon, flips a bit wherever the bytes lie in its store, and starts it again."""
        self.client.close()
        self.daemon.kill()
        found = 0
        for path in (self.daemon.directory / "store").glob("shard-*/data.mdb"):
            content = path.read_bytes()
            at = content.find(needle)
            with open(path, "r+b") as file:
                while at >= 0:
                    found += 1
                    file.seek(at)
                    file.write(bytes([content[at] ^ 1]))
                    at = content.find(needle, at + 1)
        self.assertGreater(found, 0, "what was to be damaged was not found")
        self.daemon.start()
        self.client = self.daemon.connect()

    def test_damaged_bytes_are_never_used_and_are_mended(self) -> None:
        tokens = prompt(500)
        # Stored as they are, so that the bytes to damage can be found in the store.
        self.client.put_from = functools.partial(self.client.put_from, encoding="raw")
        chunks = {}
        for kind in ("global", "sliding, ring"):
            cache = self.stored(kind, tokens, kind)
            for component in range(len(cache.model.components)):
                session = cache.fork(500, f"{kind} {component}").session
                data = cache.session.get(432, component=component)
                chunks[kind, component] = session.name, data[len(data) // 2 :][:64]
        for (kind, component), (session, needle) in chunks.items():
            with self.subTest(kind=kind, component=component):
                self.damage(needle)
                fresh = self.cache(self.context(kind), session)
                self.assertEqual(fresh.restore(tokens).offset, 432)
                self.goes_on(fresh, tokens, 432, "computed from the damage on")
                fresh.llama.eval(tokens[fresh.llama.n_tokens :])
                saved = fresh.save()
                self.assertEqual((saved.offset, saved.errors), (500, []))
                self.goes_on(self.cache(self.context(kind), session), tokens, 499, "mended")

    def test_state_of_other_tokens_in_the_session(self) -> None:
        """Another worker's chunk lies where this line's should: its tokens say one thing, its bytes are another's."""
        tokens = prompt(300)
        for kind in KINDS:
            with self.subTest(kind=kind):
                wrong = self.stored(kind, prompt(300, 8), kind + " wrong")
                cache = self.stored(kind, tokens, kind)
                last = len(cache.model.components) - 1
                ids = cache.session.get(240, component=last)
                data = [cache.session.get(240, component=index) for index in range(last)]
                data[0] = wrong.session.get(240, component=0)
                cache.session.truncate(240)
                key = Keys(as_tokens(tokens), CHUNK).of(240, 288)
                # What was just cut off is freed meanwhile: a key that names it has to be put again.
                for _ in range(100):
                    try:
                        cache.session.put(240, CHUNK, ids, component=last, prefix_key=key)
                        break
                    except larder.Busy:
                        time.sleep(0.01)
                for index, one in enumerate(data):
                    cache.session.put(240, CHUNK, one, component=index)
                fresh = self.cache(self.context(kind), kind)
                restored = fresh.restore(tokens)
                self.assertEqual(restored.offset, 240)
                self.assertIn("not what its tokens name", restored.reason)
                self.goes_on(fresh, tokens, None, "its state is not served")

    def test_half_of_the_components(self) -> None:
        tokens = prompt(400)
        cache = self.stored("sliding, ring", tokens)
        half = self.cache(self.context("sliding, ring"), "half", namespace="half")
        chunks = [one for one in cache.session.chunks() if not (one.component == 1 and one.offset >= 192)]
        for one in chunks:
            data = cache.session.get(one.offset, component=one.component)
            half.session.put(one.offset, one.tokens, data, component=one.component)
        keys = Keys(as_tokens(tokens), CHUNK)
        for component in range(3):
            stretches = [one for one in chunks if one.component == component]
            half.session.share([keys.of(one.offset, one.offset + one.tokens) for one in stretches], component=component)
        self.goes_on(half, tokens, 192, "as far as every component reaches")

    def test_a_truncated_session(self) -> None:
        tokens = prompt(400)
        for kind in KINDS:
            cache = self.cache(self.context(kind), kind)
            # Else the keys may still find what was cut off, until it is freed.
            self.client.configure_namespace(cache.session.namespace, sharing="off")
            cache = self.stored(kind, tokens, kind)
            cache.session.truncate(200)
            self.goes_on(self.cache(self.context(kind), kind), tokens, 192, kind)

    def test_daemon_killed_between_and_during(self) -> None:
        tokens = prompt(500)
        cache = self.cache(self.context("sliding, ring"))
        plain = self.context("sliding, ring")
        wanted = [token for token, _ in zip(plain.generate(tokens, temp=0.0), range(120))]
        with self.assertLogs("larder", "WARNING") as logged, cache.attach() as attached:
            generation = cache.llama.generate(tokens, temp=0.0)
            got = []
            for token in generation:
                got.append(token)
                if len(got) == 20:
                    self.daemon.kill()
                if len(got) == 120:
                    break
            generation.close()
            self.assertEqual(got, wanted)
            again = [token for token, _ in zip(cache.llama.generate(tokens, temp=0.0), range(120))]
            self.assertEqual(again, wanted)
            self.assertEqual(attached.last.offset, attached.last.from_context)
        self.assertEqual(len(logged.output), 1, "said once")
        with self.assertRaises(larder.ConnectionLost):
            cache.restore(prompt(100, 77))
        self.assertEqual((cache.llama.n_tokens, cache._store.context.end), (0, 0))
        self.daemon.start()
        self.client = self.daemon.connect()
        self.goes_on(self.cache(self.context("sliding, ring")), tokens, 480, "what was committed before is there")

    def test_connects_anew_after_a_restart(self) -> None:
        tokens = prompt(300)
        cache = LlamaCache(self.context("global"), self.daemon.socket, session="s", chunk_tokens=CHUNK)
        self.at_once()
        with cache.attach() as attached:
            self.addCleanup(cache.close)
            next(cache.llama.generate(tokens, temp=0.0))
            self.daemon.kill()
            for _ in range(2):
                forget(cache.llama)
                next(cache.llama.generate(tokens, temp=0.0))
                self.assertIsNone(attached.last)
            self.daemon.start()
            forget(cache.llama)
            next(cache.llama.generate(tokens, temp=0.0))
            self.assertGreaterEqual(attached.last.from_larder, 288)

    def at_once(self) -> None:
        """What is attached tries to connect anew each time."""
        for name in ("RETRY_SECONDS", "RETRY_FACTOR"):
            patch = unittest.mock.patch(f"larder.integrations.llama_cpp.attach.{name}", 0.0)
            patch.start()
            self.addCleanup(patch.stop)

    def test_opens_a_session_anew_that_was_dropped(self) -> None:
        tokens = prompt(300)
        cache = self.cache(self.context("global"))
        with cache.attach() as attached:
            next(cache.llama.generate(tokens, temp=0.0))
            cache.session.drop()
            forget(cache.llama)
            next(cache.llama.generate(tokens, temp=0.0))
            self.assertIsNone(attached.last)
            for found in (0, 288):
                forget(cache.llama)
                next(cache.llama.generate(tokens, temp=0.0))
                self.assertGreaterEqual(attached.last.from_larder, found)

    def test_a_daemon_that_hangs_is_not_tried_at_every_prompt(self) -> None:
        cache = LlamaCache(self.context("global"), self.daemon.socket, session="s", chunk_tokens=CHUNK)
        self.addCleanup(cache.close)
        cache._store.client.close()
        with cache.attach() as attached, unittest.mock.patch("time.monotonic", lambda: self.seconds):
            self.seconds = 1000.0

            def hang() -> None:
                self.seconds += 10.0
                raise larder.ConnectionLost("it did not answer")

            with unittest.mock.patch.object(cache, "reconnect", side_effect=hang) as reconnect:
                for _ in range(100):
                    attached._connect_anew()
                    self.seconds += 10.0
            self.assertLessEqual(reconnect.call_count, 4)

    def test_a_closed_llama(self) -> None:
        """Its context's memory is freed: nothing may look at it."""
        cache = self.stored("global", prompt(60))
        cache.llama.close()
        for call in (cache.save, lambda: cache.restore(prompt(70)), lambda: cache.rewind(10)):
            with self.assertRaisesRegex(Unsupported, "closed"):
                call()

    def test_daemon_killed_while_it_serves(self) -> None:
        tokens = prompt(1500)
        cache = self.stored("sliding, whole cache", tokens)
        numbers = random.Random(5)
        for _ in range(6):
            killer = threading.Timer(numbers.random() * 0.01, self.daemon.kill)
            forget(cache.llama)
            killer.start()
            try:
                restored = cache.restore(tokens).offset
            except larder.LarderError:
                restored = None
            killer.join()
            self.assertIn(restored, (None, 1499))
            self.assertEqual(cache.llama.n_tokens, cache._store.context.end)
            cache.llama.eval(tokens[cache.llama.n_tokens : 600])
            self.goes_on_alone(cache, tokens)
            self.client.close()
            self.daemon.start()
            self.client = self.daemon.connect()
            cache = self.cache(cache.llama)

    def goes_on_alone(self, cache: LlamaCache, tokens: list[int]) -> None:
        """What is in the context is right, whatever became of the daemon."""
        held = cache.llama.n_tokens
        self.assertEqual(cache.llama.input_ids[:held].tolist(), tokens[:held])
        cache.llama.eval(tokens[held : held + 1])
        got = llama_rig.logits(cache.llama)
        self.same(got, llama_rig.without_larder(cache.llama, tokens[: held + 1]), "the context", llama_rig.ROUNDING)

    def test_a_full_store(self) -> None:
        daemon = llama_rig.Daemon("--cap", "16MiB")
        self.addCleanup(daemon.close)
        daemon.start()
        with daemon.connect() as client:
            cache = LlamaCache(self.context("global"), client, session="s", chunk_tokens=CHUNK)
            for seed in range(12):
                forget(cache.llama)
                with cache.attach():
                    cache.llama.eval(prompt(1900, 100 + seed))
                self.goes_on(cache, prompt(1900, 100 + seed), None, f"line {seed}")


class Unkept(LlamaTest):
    def test_a_cache_for_each_sequence(self) -> None:
        llama = self.context("global")
        llama.context_params.n_seq_max, llama.context_params.kv_unified = 2, False
        llama._ctx = type(llama._ctx)(model=llama._model, params=llama.context_params, verbose=False)
        with self.assertRaisesRegex(Unsupported, "kv_unified"):
            self.cache(llama)

    def test_images(self) -> None:
        """llama-cpp-python does not say where in the context they are."""
        llama = self.context("global")
        cache = self.cache(llama)
        llama.chat_handler = type("Handler", (), {"_mtmd_cpp": None})()
        for call in (cache.save, lambda: cache.restore(prompt(10)), lambda: self.cache(llama)):
            with self.assertRaisesRegex(Unsupported, "images"):
                call()

    def test_another_layout_than_before(self) -> None:
        cache = self.cache(self.context("global"))
        cache.llama.eval(prompt(60))
        cache._store.context.layouts = self.cache(self.context("sliding, ring"), "other")._store.context.layouts[:1]
        with self.assertRaises(UnknownState):
            cache.save()


if __name__ == "__main__":
    unittest.main()
