"""The golden vectors of the protocol, both ways; and what is left of them when they are bent."""

from __future__ import annotations

import random
import struct
import unittest

from larder.errors import REFUSALS, ProtocolViolation
from larder.wire import codec, numbers, structures
from larder.wire.messages import MESSAGES

from support import protocol_vectors, random_seed
from vectors import codec_of, decode_frame, same, type_of, value_of


class VectorTests(unittest.TestCase):
    """Every vector of the file."""

    def test_fields_become_the_frame(self) -> None:
        for vector in protocol_vectors()["vectors"]:
            with self.subTest(vector["name"]):
                of = codec_of(vector)
                body = bytes(of.encode(value_of(of, vector["fields"]))) + bytes.fromhex(vector["payload"])
                header = struct.pack("<IHHQ", len(body), type_of(vector), 0, vector["requestID"])
                self.assertEqual((header + body).hex(), vector["frame"])

    def test_the_frame_becomes_the_fields(self) -> None:
        for vector in protocol_vectors()["vectors"]:
            with self.subTest(vector["name"]):
                value, payload = decode_frame(vector)
                expected = value_of(codec_of(vector), vector["fields"])
                self.assertTrue(same(value, expected), f"{value} is not {expected}")
                self.assertEqual(payload.hex(), vector["payload"])

    def test_every_message_has_vectors(self) -> None:
        seen = {(vector["message"], vector["kind"]) for vector in protocol_vectors()["vectors"]}
        for name in MESSAGES:
            self.assertIn((name, "request"), seen)
            self.assertIn((name, "answer"), seen)

    def test_numbers(self) -> None:
        tables = protocol_vectors()
        self.assertEqual({name: one.number for name, one in MESSAGES.items()}, tables["message_types"])
        for table in (
            "component_kinds",
            "element_types",
            "encodings",
            "encoding_choices",
            "acknowledgements",
            "sharing",
            "admissions",
            "hint_kinds",
            "hint_outcomes",
            "hint_bounds",
        ):
            self.assertEqual(getattr(numbers, table.upper()), tables[table], table)
        self.assertEqual(set(REFUSALS), set(tables["error_codes"].values()))
        others = {"internal": "InternalFault", "storage": "StorageFault"}
        for name, number in tables["error_codes"].items():
            self.assertEqual(REFUSALS[number].__name__, others.get(name, name[0].upper() + name[1:]))
        limits = tables["limits"]
        for ours, theirs in (
            ("NAME_BYTES", "name_bytes"),
            ("COMPONENTS", "components"),
            ("LAYERS", "layers"),
            ("ROW_BYTES", "row_bytes"),
            ("GROUP_SIZE", "group_size"),
            ("CHUNK_TOKENS", "tokens_per_chunk"),
            ("CHUNK_BYTES", "chunk_bytes"),
            ("FRAME_BYTES", "frame_bytes"),
            ("BATCH_ITEMS", "batch_items"),
            ("PAGE_ENTRIES", "page_entries"),
            ("RESUME_CHUNKS", "resume_chunks"),
            ("SALT_BYTES", "salt_bytes"),
            ("TREE_LINES", "tree_lines"),
        ):
            self.assertEqual(getattr(numbers, ours), limits[theirs])


#: Hostile requests whose fault is not in how they are encoded: what the daemon checks beyond that.
ONLY_FOR_A_DAEMON = {"put_request_known_with_payload", "plan_snapshots_request_boundary_0"}


class HostileTests(unittest.TestCase):
    """Bytes that must be refused: by ``ProtocolViolation``, and by nothing else."""

    def test_hostile_frames(self) -> None:
        taken = set()
        for vector in protocol_vectors()["hostile"]:
            with self.subTest(vector["name"]):
                try:
                    decode_frame(vector)
                except ProtocolViolation:
                    continue
                taken.add(vector["name"])
        self.assertEqual(taken, ONLY_FOR_A_DAEMON)

    def test_every_cut_and_every_byte_more(self) -> None:
        for vector in protocol_vectors()["vectors"]:
            frame = vector["frame"]
            with self.subTest(vector["name"]):
                for end in range(32, len(frame), 2):
                    self.assertRaises(ProtocolViolation, decode_frame, {**vector, "frame": frame[:end]})
                self.assertRaises(ProtocolViolation, decode_frame, {**vector, "frame": frame + "00"})

    def test_flipped_bits_give_a_value_or_a_violation(self) -> None:
        seed = random_seed()
        generator = random.Random(seed)
        for vector in protocol_vectors()["vectors"]:
            frame = bytearray.fromhex(vector["frame"])
            if len(frame) == 16:
                continue
            with self.subTest(vector["name"], LARDER_SEED=seed):
                for _ in range(100):
                    bent = bytearray(frame)
                    for _ in range(generator.randint(1, 4)):
                        bent[generator.randrange(16, len(bent))] ^= 1 << generator.randrange(8)
                    try:
                        decode_frame({**vector, "frame": bent.hex()})
                    except ProtocolViolation:
                        pass

    def test_a_count_makes_nothing(self) -> None:
        """A list that claims its limit and brings nothing is refused for want of bytes."""
        for of in (codec.ListOf(structures.CHUNK_SUMMARY, 2**32 - 1), codec.ListOf(codec.U64, 2**32 - 1)):
            self.assertRaises(ProtocolViolation, of.decode, b"\xff\xff\xff\xff")


class WritingTests(unittest.TestCase):
    """What cannot be said on the wire is a ``ValueError`` that names it."""

    def test_values_out_of_bounds(self) -> None:
        for of, value in (
            (codec.U8, 256),
            (codec.U64, -1),
            (codec.U64, 2**64),
            (codec.I8, 128),
            (codec.HASH, b"31 bytes"),
            (codec.STRING, "x" * 65_536),
            (structures.SHARING, "some"),
            (structures.SHARING, 0),
            (codec.ListOf(codec.U8, 2), [1, 2, 3]),
        ):
            self.assertRaises(ValueError, of.encode, value)
        with self.assertRaisesRegex(ValueError, "window -1"):
            fields = ("n", "sliding", "bf16", 1, 2, 64, -1)
            structures.COMPONENT.encode(structures.COMPONENT.make(*fields))


if __name__ == "__main__":
    unittest.main()
