#!/usr/bin/env python3
"""Makes chunks.json and the files beside it: stored chunks with the raw bytes that they decode to (Docs/FORMAT.md).

    python3 Docs/vectors/generate_chunks.py            writes them
    python3 Docs/vectors/generate_chunks.py --check    says whether what is there is what would be written

Deterministic; the standard library only. Each chunk is read back by larder_chunk.py before it is written.

In chunks.json `raw` is one of {"base64"}, {"file"}, {"repeat": base64, "bytes"} (cut to that length) and {"state": [[file,
offset, bytes]...], "convert"?}: slices of bench/data/kv joined, converted from f16 to bf16 where it says so (nearest, ties
to even). `chunk` is {"base64"}, {"file"} or, for large ones, only {"bytes", "crc32c"}. `exact` says that an encoder with
FORMAT.md's model step makes these very bytes; LZ4 may choose other matches, so its chunks are for decoding."""

import base64
import json
import os
import struct
import sys

import larder_chunk as chunks

HERE = os.path.dirname(os.path.abspath(__file__))
STATE = os.path.join(HERE, "..", "..", "bench", "data", "kv")
INLINE_BYTES = 20_000


class Random:
    """SplitMix64."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        return z ^ z >> 31

    def bytes(self, count):
        return bytes(self.next() & 255 for _ in range(count))


def trailing_zeros(value, most):
    return min((value & -value).bit_length() - 1 if value else most, most)


def floats(kind, rows, width, seed, spread=None):
    """Values like attention state: each channel has an exponent of its own, and half of the values one less, and so on.

    With `spread` the exponents below it are equally likely instead."""
    random = Random(seed)
    mantissa, top, size = {"bf16": (7, 255, "H"), "f16": (10, 31, "H"), "f32": (23, 255, "I")}[kind]
    center = [(top // 2 + random.next() % 5) for _ in range(width)]
    values = []
    for _ in range(rows):
        for channel in range(width):
            word = random.next()
            down = word % spread if spread else trailing_zeros(word & 0xFFFF, 12)
            sign, low = word >> 40 & 1, word >> 41 & ((1 << mantissa) - 1)
            values.append((sign << (8 if top == 255 else 5) | center[channel] - down) << mantissa | low)
    return struct.pack(f"<{len(values)}{size}", *values)


def state_bytes(slices):
    parts = []
    for name, offset, count in slices:
        with open(os.path.join(STATE, name), "rb") as file:
            file.seek(offset)
            parts.append(file.read(count))
        assert len(parts[-1]) == count
    return b"".join(parts)


def bfloat16(half_bytes):
    out = []
    for (value,) in struct.iter_unpack("<e", half_bytes):
        bits = struct.unpack("<I", struct.pack("<f", value))[0]
        out.append((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
    return struct.pack(f"<{len(out)}H", *out)


class Vectors:
    def __init__(self):
        self.list, self.files = [], {}

    def place(self, data, name):
        if len(data) <= INLINE_BYTES:
            return {"base64": base64.b64encode(data).decode()}
        self.files[name] = data
        return {"file": name}

    def add(self, name, about, kind, choice, raw, layers=1, planes=1, rows=1, width=1, recurrent=False, source=None,
            digest=False):
        element = chunks.ELEMENTS[kind]
        shape = {
            "tokens": 0 if recurrent else rows, "layers": layers, "planes": planes, "rows": rows,
            "row_bytes": width * chunks.ELEMENT_BYTES[element],
        }
        blob_id = 1_000 + len(self.list)
        chunk, encodings = chunks.write_chunk(raw, element, blob_id=blob_id, choice=choice, **shape)
        assert chunks.read_chunk(chunk, blob_id) == raw, name
        exact = choice != "lz4" or set(encodings) == {chunks.RAW}
        stored = {"bytes": len(chunk), "crc32c": f"{chunks.crc32c(chunk):08x}"} if digest else self.place(
            chunk, f"chunk-{name}.bin")
        self.list.append({
            "name": name, "about": about, "element_type": kind, **shape, "blob_id": blob_id, "choice": choice,
            "encodings": [["raw", "lz4", "cascade"][e - 1] for e in encodings], "exact": exact,
            "raw": source or self.place(raw, f"raw-{name}.bin"), "chunk": stored,
        })

    def floats(self, name, about, kind, seed, layers=1, planes=1, rows=1, width=1, spread=None, **more):
        raw = floats(kind, layers * planes * rows, width, seed, spread)
        self.add(name, about, kind, "cascade", raw, layers, planes, rows, width, **more)


def add_cascades(v):
    for kind in ("bf16", "f16", "f32"):
        v.floats(f"tiny-{kind}", "fewer than 256 values: raw", kind, 1, rows=25, width=4)
        v.floats(f"256-values-{kind}", "exactly one group", kind, 2, rows=256, width=1, spread=3)
        v.floats(f"width-1-{kind}", "width 1 and an odd tail", kind, 3, rows=557, width=1)
        v.floats(f"width-64-{kind}", "width 64 and a tail of 64 values", kind, 4, rows=13, width=64)
        v.floats(f"width-192-{kind}", "width 192: groups begin within rows", kind, 5, rows=11, width=192)
        v.floats(f"width-256-{kind}", "width 256", kind, 6, rows=9, width=256)
        v.floats(f"layers-{kind}", "several layers and planes, each a block", kind, 7, 3, 2, 41, 16)
    v.floats("width-3", "a width that divides nothing", "bf16", 8, rows=171, width=3)
    v.floats("width-100", "a width that is no multiple of 64", "f16", 9, rows=17, width=100)
    v.floats("width-over-values", "rows that straddle groups, tail longer than a row", "bf16", 10, rows=3, width=250)
    v.floats("recurrent-wide", "a recurrent state of over 8,192 elements: no channels", "bf16", 11, width=8_200,
             recurrent=True)
    v.floats("all-levels", "14 exponents equally often: every level and the last escapes in use", "bf16", 12, rows=64,
             width=16, spread=14)
    v.floats("incompressible-rows", "exponents too many to save bytes: raw", "f16", 13, rows=64, width=16, spread=15)
    v.add("constant-bf16", "one value", "bf16", "cascade", b"\x80\x3f" * 1_030, rows=1_030)
    v.add("constant-f16", "one value, width 64", "f16", "cascade", b"\x01\xb8" * 640, rows=10, width=64)
    v.add("zeros-f32", "zeros", "f32", "cascade", bytes(4 * 600), rows=600)
    specials = [0x0000, 0x8000, 0x7F80, 0xFF80, 0x7FC1, 0xFFFF, 0x0001, 0x807F, 0x7F7F, 0x0080]
    v.add("specials-bf16", "zeros, infinities, NaNs, denormals: the window wraps around", "bf16", "cascade",
          struct.pack("<600H", *(specials[i * 7 % 10] for i in range(600))), rows=600)
    specials = [0x0000, 0x8000, 0x0001, 0x83FF, 0x8400] * 4 + [0x7C00, 0xFE01, 0x7BFF]
    v.add("specials-f16", "the same for f16, whose window ends where the exponents do", "f16", "cascade",
          struct.pack("<1200H", *(specials[i * 7 % 23] for i in range(1_200))), rows=1_200)
    v.add("random-bf16", "random bytes: raw", "bf16", "cascade", Random(14).bytes(1_000), rows=5, width=100)


def add_state(v):
    rows = 512
    slices = [[f"sec1_layer0{layer}_{plane}.bin", 100 * rows, 40 * rows] for layer in (0, 2) for plane in "KV"]
    v.add("state-f16", "real state, 40 tokens", "f16", "cascade", state_bytes(slices), 2, 2, 40, 256,
          source={"state": slices})
    v.add("state-bf16", "the same as bf16", "bf16", "cascade", bfloat16(state_bytes(slices)), 2, 2, 40, 256,
          source={"state": slices, "convert": "bf16"})
    whole = [[f"sec0_layer00_{plane}.bin", 0, 1_599 * rows] for plane in "KV"]
    v.add("state-f16-whole", "real state, 1,599 tokens: several blocks a plane", "f16", "cascade", state_bytes(whole), 1,
          2, 1_599, 256, source={"state": whole}, digest=True)
    v.add("state-bf16-whole", "the same as bf16", "bf16", "cascade", bfloat16(state_bytes(whole)), 1, 2, 1_599, 256,
          source={"state": whole, "convert": "bf16"}, digest=True)


def add_others(v):
    random = Random(15).bytes
    v.add("raw-bytes", "odd sizes", "bytes", "raw", random(2 * 3 * 5 * 7), 2, 3, 5, 7)
    v.add("raw-one", "the smallest chunk", "bytes", "raw", b"\x2a", recurrent=True)
    for kind in ("bf16", "f16", "f32", "f8e4m3", "f8e5m2", "i8"):
        size = chunks.ELEMENT_BYTES[chunks.ELEMENTS[kind]]
        v.add(f"raw-{kind}", "raw", kind, "raw", random(2 * 9 * 4 * size), 1, 2, 9, 4)
    text = b"".join(b"layer %d plane %d row %d; " % (i, i % 2, i * i) for i in range(90)) + bytes(700)
    v.add("lz4-text", "matches of many lengths and offsets", "bytes", "lz4", text, width=len(text), recurrent=True)
    v.add("lz4-runs", "a match that overlaps itself, literals and matches of over 270 bytes", "i8", "lz4",
          random(300) + b"\x07" * 900 + random(290) + b"\x01\x02\x03" * 300, rows=2_390 // 10, width=10)
    v.add("lz4-and-raw", "a layer of zeros, a layer of random bytes", "f8e4m3", "lz4", bytes(900) + random(900), 2, 1,
          9, 100)
    v.add("lz4-random", "random bytes: raw", "f16", "lz4", random(600), rows=3, width=100)
    pattern = bytes(range(250, 256)) + b"larder"
    repeat = base64.b64encode(pattern).decode()
    v.add("lz4-blocks", "three blocks of 262 rows at most in each of two planes", "bytes", "lz4",
          (pattern * 100_001)[: 2 * 600_000], 1, 2, 600, 1_000, source={"repeat": repeat, "bytes": 1_200_000})
    v.add("lz4-long-row", "a row longer than a block", "bytes", "lz4", (pattern * 30_000)[:300_001], width=300_001,
          recurrent=True, source={"repeat": repeat, "bytes": 300_001})


def main():
    v = Vectors()
    add_cascades(v)
    add_state(v)
    add_others(v)
    lines = ",\n".join(json.dumps(vector) for vector in v.list)
    files = {"chunks.json": f'{{"chunk_format": 1, "vectors": [\n{lines}\n]}}\n'.encode(), **v.files}
    if "--check" in sys.argv[1:]:
        stale = [name for name, data in files.items() if not same(name, data)]
        print("\n".join(f"{name} differs" for name in stale) or "all files are what this program writes")
        sys.exit(1 if stale else 0)
    for name, data in files.items():
        with open(os.path.join(HERE, name), "wb") as file:
            file.write(data)
    print(f"{len(v.list)} chunks, {len(files)} files, {sum(map(len, files.values()))} bytes")


def same(name, data):
    path = os.path.join(HERE, name)
    if not os.path.exists(path):
        return False
    with open(path, "rb") as file:
        return file.read() == data


if __name__ == "__main__":
    main()
