#!/usr/bin/env python3
"""Prints SHA-256 digests and prefix keys as the C tests' --print-keys does, computed by hashlib: both must be equal."""

import hashlib
import struct

TOKENS = [i * 2654435761 % 2**32 for i in range(1000)]
BYTES = bytes(i * 7 % 256 for i in range(300))
FIRST = hashlib.sha256(b"larder-prefix-1" + bytes(8)).digest()


def prefix_keys(tokens, chunk_tokens, context=b""):
    key = hashlib.sha256(b"larder-prefix-1" + struct.pack("<Q", len(context)) + context).digest()
    keys = []
    for start in range(0, len(tokens) - chunk_tokens + 1, chunk_tokens):
        chunk = tokens[start : start + chunk_tokens]
        key = hashlib.sha256(key + struct.pack(f"<{chunk_tokens}I", *chunk)).digest()
        keys.append(key)
    return keys


def recurrent_key(tokens, chunk_tokens):
    left = tokens[len(tokens) // chunk_tokens * chunk_tokens :]
    key = (prefix_keys(tokens, chunk_tokens) or [FIRST])[-1]
    return hashlib.sha256(key + struct.pack(f"<{len(left)}I", *left)).digest() if left else key


def main():
    for count in range(len(BYTES)):
        print("sha256", hashlib.sha256(BYTES[:count]).hexdigest())
    for size in (1, 2, 7, 15, 16, 64, 256, 999, 1000, 1001):
        for key in prefix_keys(TOKENS, size):
            print("plain", key.hex())
        for key in prefix_keys(TOKENS, size, "lora é".encode()):
            print("context", key.hex())
        print("state", recurrent_key(TOKENS, size).hex())


if __name__ == "__main__":
    main()
