"""State of llama.cpp through Larder, on small models: bit for bit what a run without it computes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import unittest
import unittest.mock
from pathlib import Path

import llama_rig
import larder
from larder.integrations.llama_cpp import Unsupported
from larder.integrations.llama_cpp.fingerprint import content_hash
from llama_rig import CHUNK, KINDS, ROUNDING, LlamaTest, forget, llama_cpp, logits, prompt, without_larder

_FRESH_PROCESS = """
import sys
sys.path[:0] = sys.argv[1:2]
import llama_rig, larder
from larder.integrations.llama_cpp import LlamaCache
_, _, socket, model, namespace, count = sys.argv
llama = llama_rig.context(model, swa_full=False)
tokens = llama_rig.prompt(int(count))
cache = LlamaCache(llama, larder.connect(socket), session="s", namespace=namespace, chunk_tokens=llama_rig.CHUNK)
restored = cache.restore(tokens)
llama.eval(tokens[restored.offset:])
print(restored.offset, llama_rig.logits(llama).tobytes().hex())
"""


class Restoring(LlamaTest):
    def test_every_offset_goes_on_as_without(self) -> None:
        tokens = prompt(700)
        for kind in KINDS:
            cache = self.cache(self.context(kind), kind)
            with cache.attach():
                cache.llama.eval(tokens)
            fresh = self.cache(self.context(kind), kind)
            # At boundaries, inside chunks, within the first window, and after a ring of 256 cells has begun anew.
            for offset in (1, 47, 48, 63, 64, 65, 100, 240, 288, 300, 513, 576, 671, 672):
                with self.subTest(kind=kind, offset=offset):
                    forget(fresh.llama)
                    self.goes_on(fresh, tokens[: offset + 1], offset, kind, tokens)

    def test_state_saved_again_is_the_same(self) -> None:
        tokens = prompt(600)
        for kind in KINDS:
            with self.subTest(kind=kind):
                first = self.cache(self.context(kind), kind)
                with first.attach():
                    first.llama.eval(tokens)
                first.save()
                second = self.cache(self.context(kind), kind)
                self.assertEqual(second.restore(tokens, at_most=600).offset, 600)
                size = llama_cpp.llama_state_seq_get_size(first.llama.ctx, 0)
                states = []
                for llama in (first.llama, second.llama):
                    state = (llama_cpp.ctypes.c_uint8 * size)()
                    self.assertEqual(llama_cpp.llama_state_seq_get_data(llama.ctx, state, size, 0), size)
                    states.append(bytes(state))
                self.assertEqual(states[0], states[1])
                again = self.cache(second.llama, kind + " again")
                saved = again.save()
                self.assertEqual((saved.offset, saved.errors), (600, []))
                self.assertGreaterEqual(saved.shared, 13, "the attention chunks are there already")

    def test_a_fresh_process_goes_on(self) -> None:
        tokens = prompt(500)
        cache = self.cache(self.context("sliding, ring"))
        with cache.attach():
            cache.llama.eval(tokens)
        cache.save()
        here = str(Path(llama_rig.__file__).parent)
        arguments = [here, self.daemon.socket, str(self.models / "gemma.gguf"), self.id()[-200:], "500"]
        ran = subprocess.run([sys.executable, "-c", _FRESH_PROCESS, *arguments], capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stderr[-2000:])
        offset, numbers = ran.stdout.split()
        self.assertEqual(offset, "499")
        self.assertEqual(numbers, without_larder(cache.llama, tokens, tokens, 499).tobytes().hex())

    def test_wrong_state_would_be_seen(self) -> None:
        """The comparison of these tests can fail: without one chunk of the window the logits are others."""
        tokens = prompt(300)
        cache = self.cache(self.context("sliding, ring"))
        with cache.attach():
            cache.llama.eval(tokens)
        cache.restore(tokens)
        cache.llama._ctx.kv_cache_seq_rm(0, 250, 260)
        cache.llama.eval(tokens[299:])
        got, wanted = logits(cache.llama), without_larder(cache.llama, tokens)
        self.assertGreater(abs(got - wanted).max(), 5 * ROUNDING)

    def test_flash_attention(self) -> None:
        """Other state, with values as rows; the same bits where the steps are the same."""
        tokens = prompt(300)
        for kind in KINDS:
            with self.subTest(kind=kind):
                cache = self.cache(self.context(kind, flash_attn=True), kind)
                with cache.attach():
                    cache.llama.eval(tokens)
                fresh = self.cache(self.context(kind, flash_attn=True), kind)
                self.goes_on(fresh, tokens[:241], 240, kind, tokens)

    def test_quantised_cache(self) -> None:
        tokens = prompt(300)
        settings = {"flash_attn": True, "type_k": llama_cpp.GGML_TYPE_Q8_0, "type_v": llama_cpp.GGML_TYPE_Q4_0}
        cache = self.cache(self.context("sliding, ring", **settings))
        kinds = [(one.kind, one.element_type, one.planes) for one in cache.model.components]
        self.assertEqual(kinds[:2], [("attention", "bytes", 1), ("attention", "bytes", 1)])
        with cache.attach():
            cache.llama.eval(tokens)
        self.goes_on(self.cache(self.context("sliding, ring", **settings)), tokens[:241], 240, "", tokens)


class Lines(LlamaTest):
    def test_fork_and_rewind(self) -> None:
        for kind in KINDS:
            with self.subTest(kind=kind):
                trunk, first, second = prompt(400), prompt(200, 4), prompt(200, 5)
                cache = self.cache(self.context(kind), kind)
                with cache.attach():
                    cache.llama.eval(trunk)
                cache.save()
                other = cache.fork(395, kind + " fork")
                with cache.attach():
                    cache.llama.eval(first)
                cache.save()
                self.goes_on(other, trunk[:395] + second, 395, "a fork inside a chunk")
                other.save()
                self.goes_on(cache, trunk + first, 599, "the line that was forked from")
                back = cache.rewind(301)
                self.assertEqual((back.offset, cache.llama.n_tokens), (301, 301))
                fresh = self.cache(self.context(kind), kind)
                self.assertEqual(fresh.session.resume().offset, 301)
                self.goes_on(fresh, trunk[:301] + second, 301, "after a rewind")
                self.goes_on(self.cache(self.context(kind), kind + " fork"), trunk[:395] + second, 594, "the fork")

    def test_the_same_again_after_a_rewind(self) -> None:
        """What a rewind forgot is stored anew, though the context had it all the time."""
        tokens = prompt(300)
        cache = self.cache(self.context("global"))
        cache.llama.eval(tokens)
        cache.save()
        self.assertEqual(cache.rewind(100).from_larder, 0)
        cache.llama.eval(tokens[100:])
        cache.save()
        self.assertEqual(cache.session.resume().offset, 300)

    def test_an_edited_prompt(self) -> None:
        tokens = prompt(500)
        edited = tokens[:310] + prompt(190, 9)
        for kind in KINDS:
            with self.subTest(kind=kind):
                cache = self.cache(self.context(kind), kind)
                with cache.attach():
                    cache.llama.eval(tokens)
                self.goes_on(cache, edited, 310, "what was stored serves up to the edit, inside a chunk")
                forget(cache.llama)
                cache.llama.eval(edited)
                self.assertEqual(cache.save().offset, 500)
                self.goes_on(self.cache(self.context(kind), kind), edited, 499, "the session follows its line")

    def test_the_context_alone_serves_only_what_it_has(self) -> None:
        """A ring that is past a token can't go on there, though the tokens before are in the context."""
        tokens = prompt(600)
        cache = self.cache(self.context("sliding, ring"))
        cache.llama.eval(tokens)
        self.goes_on(cache, tokens[:200], 0, "nothing stored: from the first token on")
        cache.llama.eval(tokens[200:])
        self.goes_on(cache, tokens[:590], 589, "the ring still has its window")

    def test_saved_at_the_end_only(self) -> None:
        tokens = prompt(600)
        for kind, shorter in (("sliding, ring", 0), ("sliding, whole cache", 399), ("global", 399)):
            with self.subTest(kind=kind):
                cache = self.cache(self.context(kind), kind)
                cache.llama.eval(tokens)
                self.assertEqual(cache.save().offset, 600)
                self.goes_on(self.cache(self.context(kind), kind), tokens, 599, "at the end")
                self.goes_on(self.cache(self.context(kind), kind), tokens[:400], shorter, "before it")

    def test_tails_become_chunks(self) -> None:
        tokens = prompt(400)
        cache = self.cache(self.context("sliding, ring"))
        with cache.attach():
            for end in (30, 47, 100, 110, 144, 200, 390, 400):
                cache.llama.eval(tokens[cache.llama.n_tokens : end])
                self.assertEqual(cache.save().offset, end)
        chunks = [(one.offset, one.tokens) for one in cache.session.chunks() if one.component == 0]
        self.assertEqual(chunks[:8], [(start, CHUNK) for start in range(0, 384, CHUNK)])
        self.goes_on(self.cache(self.context("sliding, ring"), "other session"), tokens, 384, "shared by whole chunks")
        self.goes_on(self.cache(self.context("sliding, ring")), tokens, 399, "the session's own tail")

    def test_equal_prefixes_are_stored_once(self) -> None:
        shared, tokens = prompt(8 * CHUNK), prompt(100, 8)
        first, second = self.cache(self.context(), "a"), self.cache(self.context(), "b")
        with first.attach():
            first.llama.eval(shared)
        self.goes_on(second, shared + tokens, 8 * CHUNK, "another session's prefix")
        again = self.cache(self.context(), "c")
        again.llama.eval(shared)
        saved = again.save()
        self.assertEqual((saved.shared, saved.offset), (8, 8 * CHUNK))

    def test_admission_at_the_second_time(self) -> None:
        """What is computed once is not taken in, however often it is saved; what is computed again is."""
        tokens = prompt(300)
        cache = self.cache(self.context("sliding, ring"))
        self.client.configure_namespace(cache.session.namespace, admission="secondTouch")
        for held in (0, 300):
            cache.restore(tokens)
            forget(cache.llama)
            with cache.attach():
                cache.llama.eval(tokens)
            for _ in range(2):
                self.assertEqual(cache.save().offset, held)
        self.goes_on(self.cache(self.context("sliding, ring")), tokens, 299, "computed twice", tokens)

    def test_without_sharing(self) -> None:
        tokens = prompt(300)
        first = self.cache(self.context("sliding, ring"))
        self.client.configure_namespace(first.session.namespace, sharing="off")
        with first.attach():
            first.llama.eval(tokens)
        self.goes_on(self.cache(self.context("sliding, ring")), tokens, 288, "its own session")
        self.goes_on(self.cache(self.context("sliding, ring"), "b"), tokens, 0, "another one")


class Models(LlamaTest):
    def test_another_model_is_refused_by_name(self) -> None:
        self.cache(self.context("global"))
        llama_rig.write_llama(self.models / "other.gguf", seed=7)
        other = llama_rig.context(self.models / "other.gguf")
        self.addCleanup(other.close)
        for what, llama, settings in (
            ("weights", other, {}),
            ("kind", self.context("sliding, ring"), {}),
            ("flash attention", self.context("global", flash_attn=True), {}),
            ("rope", self.context("global", rope_freq_base=5000.0), {}),
            ("cache type", self.context("global", type_k=llama_cpp.GGML_TYPE_F32), {}),
            ("identity", self.context("global"), {"identity": "adapter 3"}),
        ):
            with self.subTest(what), self.assertRaises(larder.ModelMismatch):
                self.cache(llama, **settings)

    def test_types_of_the_cache_that_change_places(self) -> None:
        """Rows of Q4_0 and of IQ4_NL have one size: only the types tell which are the keys."""
        types = [llama_cpp.GGML_TYPE_Q4_0, llama_cpp.GGML_TYPE_IQ4_NL]
        for session, (keys, values) in (("a", types), ("b", types[::-1])):
            self.cache(self.context("global", flash_attn=True, type_k=keys, type_v=values), session)
        models = [one.model for one in self.client.list_models() if "[[[2],[20]]]" in one.model.revision]
        models += [one.model for one in self.client.list_models() if "[[[20],[2]]]" in one.model.revision]
        self.assertEqual(len(models), 2)
        self.assertEqual(models[0].components, models[1].components)

    def test_names_of_models(self) -> None:
        llama = self.context("global")
        for given, name in (("a\nb", "a b"), ("\u00e4" * 200, "\u00e4" * 127), ("\0", "gguf"), ("a\u0308", "\u00e4")):
            llama.metadata = {**llama.metadata, "general.name": given}
            self.assertEqual(self.cache(llama, name).model.name, name)

    def test_quantised_caches_that_are_not_rotated(self) -> None:
        self.cache(self.context("global"))
        for value, is_other in (("0", False), ("", False), ("1", True)):
            with self.subTest(value), unittest.mock.patch.dict(os.environ, {"LLAMA_ATTN_ROT_DISABLE": value}):
                try:
                    self.cache(self.context("global"))
                    self.assertFalse(is_other)
                except larder.ModelMismatch:
                    self.assertTrue(is_other)

    def test_a_file_that_was_replaced_since_it_was_loaded(self) -> None:
        """The weights in memory are those of the file that was there."""
        path = self.models / "replaced.gguf"
        llama_rig.write_llama(path)
        old, unasked = (llama_rig.context(path) for _ in range(2))
        self.addCleanup(old.close)
        self.addCleanup(unasked.close)
        before = self.cache(old).model
        llama_rig.write_llama(self.models / "new.gguf", seed=7)
        os.replace(self.models / "new.gguf", path)
        self.assertEqual(self.cache(old).model, before)
        with self.assertRaisesRegex(Unsupported, "replaced"):
            self.cache(unasked)
        new = llama_rig.context(path)
        self.addCleanup(new.close)
        with self.assertRaises(larder.ModelMismatch):
            self.cache(new)

    def test_what_does_not_change_the_state(self) -> None:
        tokens = prompt(200)
        cache = self.cache(self.context("global"))
        with cache.attach():
            cache.llama.eval(tokens)
        for settings in ({"n_ctx": 1024}, {"n_batch": 32}):
            self.goes_on(self.cache(self.context("global", **settings)), tokens, 192, str(settings))


    def test_a_file_that_changed_has_another_hash(self) -> None:
        path = self.models / "weights"
        path.write_bytes(b"one")
        first, stamp = content_hash(path), path.stat()
        self.assertEqual(content_hash(path), first)
        path.write_bytes(b"two")
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        self.assertEqual(content_hash(path), hashlib.sha256(b"two").hexdigest())
        self.assertEqual(first, hashlib.sha256(b"one").hexdigest())


class Attached(LlamaTest):
    def test_generation_is_the_same(self) -> None:
        tokens = prompt(333)
        for kind in KINDS:
            with self.subTest(kind=kind):
                plain = self.context(kind)
                wanted = [token for token, _ in zip(plain.generate(tokens, temp=0.0), range(100))]
                for expected in (0, 332):
                    cache = self.cache(self.context(kind), kind)
                    with cache.attach() as attached:
                        generation = cache.llama.generate(tokens, temp=0.0)
                        got = [token for token, _ in zip(generation, range(100))]
                        generation.close()
                        self.assertEqual(attached.last.offset, expected)
                    self.assertEqual(got, wanted)
                self.goes_on(self.cache(self.context(kind), kind), tokens + wanted[:90], 422, "what was generated")

    def test_detached_it_is_what_it_was(self) -> None:
        llama = self.context()
        attached = self.cache(llama).attach()
        with self.assertRaises(ValueError):
            self.cache(llama).attach()
        attached.detach()
        attached.detach()
        self.assertNotIn("eval", vars(llama))
        llama.eval(prompt(10))


if __name__ == "__main__":
    unittest.main()
