"""The parts of the vLLM connector that need neither vLLM nor torch: keys, names, shapes, options, identity."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from larder.integrations.vllm import facts, identity, keys, layout, naming, options


def request(tokens: list[int], block: int = 8, features: tuple[Any, ...] = (), hashed: int | None = None) -> Any:
    """A request as far as keys look at it. Its block hashes name the tokens, as vLLM's do."""
    blocks = (len(tokens) if hashed is None else hashed) // block
    hashes = [repr(tokens[: (number + 1) * block]).encode() for number in range(blocks)]
    return SimpleNamespace(all_token_ids=tokens, block_hashes=hashes, mm_features=features)


def chain(
    tokens: list[int], chunk: int = 4, block: int = 8, context: bytes = b"", source: str = "sha256", **kind: Any
) -> Any:
    """All keys of a request."""
    return keys.KeyChain(request(tokens, block, **kind), chunk, block, context, source).up_to(1 << 30)


class KeyTests(unittest.TestCase):
    def test_whole_chunks_only(self) -> None:
        self.assertEqual(len(chain(list(range(31)))), 7)

    def test_a_prefix_has_the_keys_of_what_it_begins(self) -> None:
        for source in ("sha256", ""):
            self.assertEqual(chain(list(range(40)), source=source)[:5], chain(list(range(20)), source=source))

    def test_any_earlier_token_changes_a_key(self) -> None:
        for source in ("sha256", ""):
            right = chain(list(range(32)), source=source)
            for place in range(32):
                other = list(range(32))
                other[place] += 100
                changed = [one != two for one, two in zip(right, chain(other, source=source), strict=True)]
                self.assertEqual(changed, [number >= place // 4 for number in range(8)], (source, place))

    def test_context_source_and_label_are_in_every_key(self) -> None:
        tokens = list(range(32))
        kinds = [
            chain(tokens),
            chain(tokens, context=b"adapter"),
            chain(tokens, source="sha256_cbor"),
            chain(tokens, source=""),
        ]
        self.assertEqual(len({key for kind in kinds for key in kind}), 32)

    def test_chunks_within_a_block_need_no_hash_of_it(self) -> None:
        self.assertEqual(len(chain(list(range(14)), hashed=8)), 3)

    def test_a_hash_that_is_not_made_yet_ends_the_chain(self) -> None:
        self.assertEqual(len(chain(list(range(32)), hashed=8)), 3)

    def test_an_image_changes_the_keys_from_its_place_on(self) -> None:
        def image(name: str) -> Any:
            return SimpleNamespace(identifier=name, mm_position=SimpleNamespace(offset=10, length=6))

        one, two = (chain(list(range(24)), source="", features=(image(name),)) for name in ("a", "b"))
        self.assertEqual(one[:2], two[:2])
        self.assertTrue(all(first != second for first, second in zip(one[2:], two[2:], strict=True)))

    def test_keys_grow_with_the_request(self) -> None:
        growing = request(list(range(8)))
        made = keys.KeyChain(growing, 4, 8, b"", "")
        first = list(made.up_to(100))
        growing.all_token_ids.extend(range(8, 16))
        self.assertEqual(made.up_to(100)[:2], first)
        self.assertEqual(made.up_to(100), chain(list(range(16)), source=""))

    def test_every_process_makes_the_same_keys(self) -> None:
        code = (
            "import sys; sys.path[:0] = sys.argv[1:3]; from test_vllm_parts import chain; "
            "print(chain(list(range(64)), source='')[-1].hex())"
        )
        here = Path(__file__).resolve().parent
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
        made = {
            subprocess.run(
                [sys.executable, "-c", code, str(here), str(here.parent / "src")],
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            ).stdout.strip()
            for _ in range(2)
        }
        self.assertEqual(made, {chain(list(range(64)), source="")[-1].hex()})

    def test_only_hashes_that_all_processes_share_are_used(self) -> None:
        saved = os.environ.pop("PYTHONHASHSEED", None)
        try:
            self.assertTrue(keys.hashes_are_stable("sha256", "seed", "seed"))
            self.assertTrue(keys.hashes_are_stable("sha256_cbor", "seed", "seed"))
            self.assertFalse(keys.hashes_are_stable("xxhash", "seed", "seed"))
            self.assertFalse(keys.hashes_are_stable("sha256", "other", "seed"))
            os.environ["PYTHONHASHSEED"] = "0"
            self.assertFalse(keys.hashes_are_stable("sha256", "seed", "seed"))
        finally:
            os.environ.pop("PYTHONHASHSEED", None)
            if saved is not None:
                os.environ["PYTHONHASHSEED"] = saved

    def test_adapters_differ_by_content(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            weights = Path(folder) / "adapter_model.safetensors"
            weights.write_bytes(b"one")
            first = keys.adapter_context("a", folder, True)
            self.assertEqual(keys.adapter_context("a", folder, True), first)
            weights.write_bytes(b"two")
            self.assertNotEqual(keys.adapter_context("a", folder, True), first)
        with self.assertRaises(ValueError):
            keys.adapter_context("a", folder, True)


class NameTests(unittest.TestCase):
    def test_a_salt_has_a_namespace_and_a_secret_of_its_own(self) -> None:
        plain, one, two = (naming.place_of("vllm", salt) for salt in (None, "tenant-1", "tenant-2"))
        self.assertEqual((plain.namespace, plain.salt), ("vllm", b""))
        self.assertEqual(len({plain.namespace, one.namespace, two.namespace}), 3)
        self.assertNotEqual(one.salt, two.salt)
        self.assertEqual((len(one.salt), naming.place_of("vllm", "tenant-1")), (32, one))
        self.assertNotIn("tenant", one.namespace)

    def test_sessions_that_requests_name(self) -> None:
        pattern = re.compile(options.REQUEST_ID_SESSION)
        for request_id, params, name in (
            ("chatcmpl-1234", None, None),
            ("session:task-17", None, "task-17"),
            ("cmpl-session:task-17:turn 3-0-abcd", None, "task-17"),
            ("chatcmpl-1", {"larder_session": "by parameter"}, "by parameter"),
            ("session:task-17", {"larder_session": "wins"}, "wins"),
            ("chatcmpl-1", {"larder_session": 7}, None),
            ("chatcmpl-1", {"larder_session": "a\nb"}, None),
            ("chatcmpl-1", {"larder_session": "x" * 201}, None),
            ("chatcmpl-1", "no mapping", None),
            ("chatcmpl-1", {"larder_session": naming.content_session(bytes(32))}, None),
            ("session:load-1", None, None),
        ):
            self.assertEqual(naming.hinted_session(request_id, params, pattern), name, (request_id, params))


class ShapeTests(unittest.TestCase):
    def test_tokens_of_a_chunk(self) -> None:
        self.assertEqual(layout.chunk_tokens(0, 32, 128, 23_040), 32)
        self.assertEqual(layout.chunk_tokens(0, 16, 64, 1_000), 64)
        self.assertEqual(layout.chunk_tokens(64, 32, 128, 1), 64)
        for wanted in (16, 96, 256):
            with self.assertRaisesRegex(layout.Unsupported, "32, 64, 128"):
                layout.chunk_tokens(wanted, 32, 128, 1)

    def test_rows_of_chunks(self) -> None:
        geometry = layout.Geometry(2, 128, 32, 3, 128, 2, 2, 64)
        self.assertEqual(geometry.tensor_rows([5, 9], 0, 1), [20, 21])
        self.assertEqual(geometry.tensor_rows([5, 9], 1, 2), [22, 23, 36, 37])
        self.assertEqual(geometry.piece_bytes, 32 * 128)
        self.assertEqual(geometry.chunk_bytes, 2 * 64 * 3 * 128 * 2)

    def test_what_the_protocol_cannot_carry_is_refused(self) -> None:
        with self.assertRaises(layout.Unsupported):
            layout.Geometry(5_000, 16, 16, 1, 128, 2, 1, 16).check()
        with self.assertRaises(layout.Unsupported):
            layout.Geometry(100, 1 << 16, 1 << 16, 8, 128, 2, 1, 1 << 16).check()


class OptionTests(unittest.TestCase):
    def test_defaults_and_numbers_as_text(self) -> None:
        self.assertEqual(options.Options.parse(None), options.Options())
        self.assertEqual(options.Options.parse({"ttl_seconds": "60", "load_timeout_seconds": "2"}).ttl_seconds, 60)

    def test_mistakes_are_named(self) -> None:
        for given, word in (
            ({"sokcet": "/x"}, "sokcet"),
            ({"socket": 7}, "socket"),
            ({"ttl_seconds": -1}, "ttl_seconds"),
            ({"load_timeout_seconds": 0}, "load_timeout_seconds"),
            ({"load_timeout_seconds": "nan"}, "load_timeout"),
            ({"save_timeout_seconds": True}, "save_timeout"),
            ({"namespace": ""}, "namespace"),
            ({"namespace": "a\0"}, "namespace"),
            ({"session_pattern": "("}, "session_pattern"),
            ({"session_pattern": "x"}, "session_pattern"),
            ({"lora_digest": 1}, "lora_digest"),
            ({"chunk_tokens": "many"}, "chunk_tokens"),
            ({"weights_id": "x" * 201}, "weights_id"),
        ):
            with self.assertRaisesRegex(ValueError, word):
                options.Options.parse(given)


class IdentityTests(unittest.TestCase):
    def test_weights(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.safetensors"
            content = bytearray(os.urandom(3 << 20))
            file.write_bytes(content)
            first = identity.weights_identity(folder)
            self.assertEqual(identity.weights_identity(folder), first)
            for place in (0, (1 << 20) - 1, len(content) - 1):
                changed = bytearray(content)
                changed[place] ^= 1
                file.write_bytes(changed)
                self.assertNotEqual(identity.weights_identity(folder), first, place)
            file.write_bytes(content + b"\0")
            self.assertNotEqual(identity.weights_identity(folder), first)
            file.write_bytes(content)
            file.rename(Path(folder) / "other.safetensors")
            self.assertNotEqual(identity.weights_identity(folder), first)

    def test_no_weights_no_identity(self) -> None:
        with tempfile.TemporaryDirectory() as folder, self.assertRaises(layout.Unsupported):
            identity.weights_identity(folder)

    def test_length_counts_where_the_rotary_embedding_is_scaled(self) -> None:
        self.assertFalse(identity.length_matters({"rope_scaling": None, "rope_theta": 1e4}))
        self.assertFalse(identity.length_matters({"rope_parameters": {"rope_type": "default"}}))
        self.assertTrue(identity.length_matters({"rope_scaling": {"rope_type": "longrope"}}))
        self.assertTrue(identity.length_matters({"rope_scaling": {"type": "dynamic"}}))
        self.assertTrue(identity.length_matters({"rope_parameters": {"full": {"rope_type": "yarn"}}}))

    def test_every_fact_is_in_the_declaration(self) -> None:
        def cache(**changes: Any) -> Any:
            shape = {
                "layers": 2,
                "block_tokens": 32,
                "row_tokens": 32,
                "heads": 3,
                "content": 128,
                "element_bytes": 2,
                "planes": 2,
                "chunk_tokens": 32,
                **changes.pop("shape", {}),
            }
            fields = {
                "geometry": layout.Geometry(**shape),
                "layer_names": ["a", "b"],
                "dtype": "torch.bfloat16",
                "element_type": "bf16",
                **changes,
            }
            return SimpleNamespace(**fields)

        def model(kv: Any = None, facts: Any = None, name: str = "m", weights: str = "w", group: Any = (1, 0)) -> Any:
            return identity.model_of(kv or cache(), facts or {"vllm": "1"}, name, weights, group)

        base = model()
        self.assertEqual(model(), base)
        for other in (
            model(cache(dtype="torch.float16", element_type="f16")),
            model(cache(shape={"block_tokens": 64})),
            model(cache(shape={"block_tokens": 64, "chunk_tokens": 64})),
            model(cache(shape={"planes": 1})),
            model(cache(shape={"heads": 6})),
            model(cache(shape={"content": 64})),
            model(cache(layer_names=["a", "c"])),
            model(facts={"vllm": "2"}),
            model(facts={"vllm": "1", "attention": ["other"]}),
            model(name="n"),
            model(weights="x"),
            model(group=(2, 0)),
            model(group=(2, 1)),
        ):
            self.assertNotEqual(other, base)

    def test_workers_of_a_group_agree_where_the_store_compares(self) -> None:
        shape = layout.Geometry(2, 32, 32, 3, 128, 2, 2, 32)
        ranks = [
            identity.model_of(
                SimpleNamespace(geometry=shape, layer_names=names, dtype="torch.bfloat16", element_type="bf16"),
                {"vllm": "1"},
                "m",
                "w",
                (2, rank),
            )
            for rank, names in enumerate((["layers.0", "layers.1"], ["layers.2", "layers.3"]))
        ]
        self.assertEqual(*((one.name, one.revision, one.weights, one.page_tokens, one.group_size) for one in ranks))
        self.assertNotEqual(ranks[0], ranks[1])


class SupportTests(unittest.TestCase):
    def test_what_is_not_kept_is_refused_by_name(self) -> None:
        def why(*kinds: str, context: int = 1, scales: bool = False) -> str:
            groups = [SimpleNamespace(kv_cache_spec=type(kind, (), {})()) for kind in kinds]
            config = SimpleNamespace(
                parallel_config=SimpleNamespace(decode_context_parallel_size=context, prefill_context_parallel_size=1),
                cache_config=SimpleNamespace(calculate_kv_scales=scales),
            )
            return facts.unsupported(config, SimpleNamespace(kv_cache_groups=groups))

        self.assertEqual(why("FullAttentionSpec"), "")
        self.assertEqual(why("MLAAttentionSpec"), "")
        self.assertIn("recurrent", why("FullAttentionSpec", "MambaSpec"))
        self.assertIn("--disable-hybrid-kv-cache-manager", why("FullAttentionSpec", "SlidingWindowSpec"))
        self.assertIn("ChunkedLocalAttentionSpec", why("ChunkedLocalAttentionSpec"))
        self.assertIn("context", why("FullAttentionSpec", context=2))
        self.assertIn("scales", why("FullAttentionSpec", scales=True))

    def test_layers_that_look_at_anothers_cache_are_left_out(self) -> None:
        one, two = (SimpleNamespace(data_ptr=lambda place=place: place) for place in (64, 128))
        self.assertEqual(list(facts.own_tensors({"a": one, "b": two, "c": one})), ["a", "b"])


if __name__ == "__main__":
    unittest.main()
