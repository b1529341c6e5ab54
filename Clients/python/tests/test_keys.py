"""Prefix keys: equal for equal prefixes, in every process."""

from __future__ import annotations

import array
import hashlib
import struct
import subprocess
import sys
import unittest

import larder


class KeyTests(unittest.TestCase):
    """The chain, and where it breaks off."""

    def test_by_hand(self) -> None:
        first = hashlib.sha256(b"larder-prefix-1" + struct.pack("<Q", 3) + b"ctx").digest()
        one = hashlib.sha256(first + struct.pack("<2I", 1, 2**32 - 1)).digest()
        two = hashlib.sha256(one + struct.pack("<2I", 3, 4)).digest()
        tokens = [1, 2**32 - 1, 3, 4, 5]
        self.assertEqual(larder.prefix_keys(tokens, 2, context=b"ctx"), [one, two])
        self.assertEqual(larder.prefix_keys(tokens[2:], 2, parent=one), [two])
        self.assertEqual(larder.recurrent_key(tokens[:4], 2, context=b"ctx"), two)
        self.assertEqual(
            larder.recurrent_key(tokens, 2, context=b"ctx"), hashlib.sha256(two + struct.pack("<I", 5)).digest()
        )
        self.assertEqual(larder.recurrent_key(iter(tokens[:4]), 2, context=b"ctx"), two)
        self.assertEqual(larder.recurrent_key([], 2, context=b"ctx"), first)

    def test_a_key_that_never_changes(self) -> None:
        """Stored state is found by it: another value here makes all of it unreachable."""
        self.assertEqual(
            larder.prefix_keys(range(4), 2)[1].hex(), "193d73d5b4ebf69b4a7a246cd4a646ba3b4d55d4c3fc2140f798f47fa7b9e391"
        )

    def test_tokens_of_every_kind(self) -> None:
        tokens = list(range(64))
        expected = larder.prefix_keys(tokens, 16)
        for given in (tuple(tokens), range(64), iter(tokens), array.array("i", tokens), array.array("q", tokens)):
            self.assertEqual(larder.prefix_keys(given, 16), expected)

    def test_prefixes_share_keys_and_nothing_else_does(self) -> None:
        one = larder.prefix_keys([1, 2, 3, 4, 5, 6], 2)
        other = larder.prefix_keys([1, 2, 3, 9, 5, 6], 2)
        self.assertEqual(one[0], other[0])
        self.assertNotEqual(one[1], other[1])
        self.assertNotEqual(one[2], other[2])
        self.assertNotEqual(larder.prefix_keys([1, 2], 2, context=b"a"), larder.prefix_keys([1, 2], 2))
        self.assertEqual(larder.prefix_keys([1], 2), [])

    def test_not_by_pythons_hash(self) -> None:
        """Two processes with other seeds of Python's own hash."""
        command = [sys.executable, "-c", "import larder; print(larder.prefix_keys(range(8), 4)[1].hex())"]
        path = {"PYTHONPATH": ":".join(sys.path)}
        found = {
            subprocess.run(command, env={**path, "PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
            for seed in ("1", "2")
        }
        self.assertEqual(found, {larder.prefix_keys(range(8), 4)[1].hex().encode() + b"\n"})

    def test_what_is_no_token(self) -> None:
        for tokens in ([-1], [2**32], [1.5], ["a"], 5, bytes(8), "text"):
            self.assertRaises(ValueError, larder.prefix_keys, tokens, 1)
        self.assertRaises(ValueError, larder.prefix_keys, [1], 0)
        self.assertRaises(ValueError, larder.prefix_keys, [1], 1, parent=b"short")
        self.assertRaises(ValueError, larder.prefix_keys, [1], 1, parent=bytes(32), context=b"twice")


if __name__ == "__main__":
    unittest.main()
