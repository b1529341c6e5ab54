"""An implementation of chunks in plain Python, written from Docs/FORMAT.md and sharing nothing with the Swift one.

Slow and plain on purpose: it is what the golden vectors are made with and checked by (generate_chunks.py)."""

import struct

ELEMENTS = {"bf16": 1, "f16": 2, "f32": 3, "f8e4m3": 4, "f8e5m2": 5, "i8": 6, "bytes": 7}
ELEMENT_BYTES = {1: 2, 2: 2, 3: 4, 4: 1, 5: 1, 6: 1, 7: 1}
RAW, LZ4, CASCADE = 1, 2, 3
BLOCK_BYTES = 262_144
HEADER = struct.Struct("<4sHBBQQIIIIII12sI")
ENTRY = struct.Struct("<IIIBBBB")
CASCADE_HEADER = struct.Struct("<BBHIIIII6sBB")


class Damage(Exception):
    """The bytes are no chunk, or not a whole one."""


def require(condition, what):
    if not condition:
        raise Damage(what)


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def ceil_div(a, b):
    return -(-a // b)


# ---- geometry


def block_sizes(layers, planes, rows, row_bytes):
    size = BLOCK_BYTES // row_bytes * row_bytes if row_bytes <= BLOCK_BYTES else BLOCK_BYTES
    plane = rows * row_bytes
    cut = [min(size, plane - start) for start in range(0, plane, size)]
    return cut * (layers * planes)


# ---- cascade


def exponent_and_rest(values, f16):
    """Of each value: exponent, low byte, and f16's three further bits."""
    turned = [(u << 1 | u >> 15) & 0xFFFF for u in values]
    low = bytes(t & 255 for t in turned)
    if f16:
        return [t >> 11 for t in turned], low, [t >> 8 & 7 for t in turned]
    return [t >> 8 for t in turned], low, None


def choose_model(exponents, width):
    """Bases and ranked x, as FORMAT.md recommends."""
    n = len(exponents)
    rows = n // width
    bases = []
    for channel in range(width):
        total = 2
        for g in range(4):
            sample = sorted(exponents[(16 * g + j) * rows // 64 * width + channel] for j in range(16))
            total += sample[8]
        bases.append(total // 4)
    groups = n // 256
    pieces = min(32, groups)
    seen = [0] * 256
    for q in range(pieces):
        first = q * groups // pieces * 256
        for i in range(first, first + 256):
            seen[(exponents[i] - bases[i % width]) & 255] += 1
    best, start = -1, 0
    for candidate in range(-128, 128):
        held = sum(seen[(candidate + k) & 255] for k in range(15))
        if held > best:
            best, start = held, candidate
    bases = [(b + start) & 255 for b in bases]
    order = sorted(range(15), key=lambda x: (-seen[(x + start) & 255], x))
    return bases, order[:12]


def pack_codes(codes):
    out = bytearray(32 * ceil_div(len(codes), 128))
    for i, code in enumerate(codes):
        out[32 * (i // 128) + i % 32] |= code << 2 * (i % 128 // 32)
    return bytes(out)


def unpack_codes(data, count):
    return [data[32 * (i // 128) + i % 32] >> 2 * (i % 128 // 32) & 3 for i in range(count)]


def pack_high(bits):
    out = bytearray(96 * (len(bits) // 256))
    for i, m in enumerate(bits):
        group, r, k = 96 * (i // 256), i % 256 // 32, i % 32
        if r < 3:
            out[group + 32 * r + k] |= m
        elif r < 6:
            out[group + 32 * (r - 3) + k] |= m << 3
        else:
            out[group + 32 * (r - 6) + k] |= (m & 3) << 6
            out[group + 64 + k] |= (m >> 2) << r
    return bytes(out)


def unpack_high(data, count):
    bits = []
    for i in range(count):
        group, r, k = 96 * (i // 256), i % 256 // 32, i % 32
        if r < 3:
            bits.append(data[group + 32 * r + k] & 7)
        elif r < 6:
            bits.append(data[group + 32 * (r - 3) + k] >> 3 & 7)
        else:
            bits.append(data[group + 32 * (r - 6) + k] >> 6 | (data[group + 64 + k] >> r & 1) << 2)
    return bits


def cascade16(raw, f16, row_elements):
    """The cascade of a block of 16-bit values; None where it would not save bytes."""
    n = len(raw) // 2 // 256 * 256
    if n == 0:
        return None
    width = row_elements if row_elements <= 8192 and row_elements <= n else 1
    exponents, low, high = exponent_and_rest(struct.unpack_from(f"<{n}H", raw), f16)
    bases, ranked = choose_model(exponents, width)
    x = [(e - bases[i % width]) & 255 for i, e in enumerate(exponents)]
    parts, counts = [], []
    for level in range(4):
        code_of = {ranked[3 * level + code]: code for code in range(3)}
        codes = [code_of.get(value, 3) for value in x]
        parts.append(pack_codes(codes))
        x = [value for value, code in zip(x, codes) if code == 3]
        counts.append(len(x))
    nibbles = bytes(ranked[2 * j] | ranked[2 * j + 1] << 4 for j in range(6))
    header = CASCADE_HEADER.pack(2 if f16 else 1, 4, width, n, *counts, nibbles, 0, 0)
    planes = [low, pack_high(high)] if f16 else [low]
    block = b"".join([header, bytes(bases), *planes, *parts, bytes(x), raw[2 * n :]])
    return block if len(block) < len(raw) else None


def uncascade16(block, f16, raw_bytes):
    require(len(block) >= 32, "a cascade shorter than its header")
    form, levels, width, n, c0, c1, c2, c3, nibbles, z0, z1 = CASCADE_HEADER.unpack_from(block)
    require(form == (2 if f16 else 1) and levels == 4 and z0 == 0 and z1 == 0, "a cascade of another form")
    require(1 <= width <= 8192 and 0 < n <= 131_072 and n == raw_bytes // 2 // 256 * 256, "sizes of a cascade")
    require(n >= c0 >= c1 >= c2 >= c3, "escapes of a cascade")
    sizes = [width, n, 96 * (n // 256) if f16 else 0, n // 4]
    sizes += [32 * ceil_div(c, 128) for c in (c0, c1, c2)] + [c3, raw_bytes - 2 * n]
    require(32 + sum(sizes) == len(block), "length of a cascade")
    parts, at = [], 32
    for size in sizes:
        parts.append(block[at : at + size])
        at += size
    bases, low, high, codes0, codes1, codes2, codes3, last, tail = parts
    ranked = [half for byte in nibbles for half in (byte & 15, byte >> 4)]
    x = list(last)
    for level, data, count in ((3, codes3, c2), (2, codes2, c1), (1, codes1, c0), (0, codes0, n)):
        codes = unpack_codes(data, count)
        require(codes.count(3) == len(x), "escapes eaten by a cascade")
        escapes = iter(x)
        x = [next(escapes) if code == 3 else ranked[3 * level + code] for code in codes]
    m = unpack_high(high, n) if f16 else None
    values = []
    for i in range(n):
        e = (x[i] + bases[i % width]) & 255
        t = (e << 11 | m[i] << 8 | low[i]) & 0xFFFF if f16 else e << 8 | low[i]
        values.append(t >> 1 | (t & 1) << 15)
    return struct.pack(f"<{n}H", *values) + tail


def cascade(raw, element, row_elements):
    if element != ELEMENTS["f32"]:
        return cascade16(raw, element == ELEMENTS["f16"], row_elements)
    halves = struct.unpack(f"<{len(raw) // 2}H", raw)
    v = len(raw) // 4
    high = cascade16(struct.pack(f"<{v}H", *halves[1::2]), False, row_elements)
    return struct.pack(f"<{v}H", *halves[0::2]) + high if high else None


def uncascade(block, element, raw_bytes):
    if element in (ELEMENTS["bf16"], ELEMENTS["f16"]):
        return uncascade16(block, element == ELEMENTS["f16"], raw_bytes)
    require(element == ELEMENTS["f32"], "a cascade of 8-bit elements")
    v = raw_bytes // 4
    require(len(block) >= 2 * v, "low halves")
    low = struct.unpack_from(f"<{v}H", block)
    high = struct.unpack(f"<{v}H", uncascade16(block[2 * v :], False, 2 * v))
    return struct.pack(f"<{v}I", *(h << 16 | l for h, l in zip(high, low)))


# ---- LZ4 block format


def lz4_length(value):
    """The bytes after a token whose four bits are full."""
    return b"\xff" * (value // 255) + bytes([value % 255])


def lz4_sequence(literals, match=None):
    offset, length = match if match else (0, 4)
    token = min(len(literals), 15) << 4 | (min(length - 4, 15) if match else 0)
    out = bytes([token]) + (lz4_length(len(literals) - 15) if len(literals) >= 15 else b"") + literals
    if match:
        out += struct.pack("<H", offset) + (lz4_length(length - 19) if length >= 19 else b"")
    return out


def lz4(raw):
    """A greedy compressor: the last match found of four bytes; the last 12 bytes begin none, the last 5 are literals."""
    out, places, start, at = [], {}, 0, 0
    while at + 12 <= len(raw):
        key = raw[at : at + 4]
        place = places.get(key)
        places[key] = at
        if place is None or at - place > 65_535:
            at += 1
            continue
        length = 4
        while at + length < len(raw) - 5 and raw[place + length] == raw[at + length]:
            length += 1
        out.append(lz4_sequence(raw[start:at], (at - place, length)))
        at += length
        start = at
    out.append(lz4_sequence(raw[start:]))
    block = b"".join(out)
    return block if len(block) < len(raw) else None


def unlz4(block, raw_bytes):
    out, at = bytearray(), 0

    def extended(length):
        nonlocal at
        while length >= 15:
            require(at < len(block), "an LZ4 length")
            at += 1
            length += block[at - 1]
            if block[at - 1] < 255:
                break
        return length

    while True:
        require(at < len(block), "an LZ4 token")
        token = block[at]
        at += 1
        literals = extended(token >> 4)
        require(at + literals <= len(block) and len(out) + literals <= raw_bytes, "LZ4 literals")
        out += block[at : at + literals]
        at += literals
        if at == len(block):
            break
        require(at + 2 <= len(block), "an LZ4 offset")
        offset = block[at] | block[at + 1] << 8
        at += 2
        length = extended(token & 15) + 4
        require(0 < offset <= len(out) and len(out) + length <= raw_bytes, "an LZ4 match")
        for _ in range(length):
            out.append(out[-offset])
    require(len(out) == raw_bytes, "LZ4 raw bytes")
    return bytes(out)


# ---- chunks


def write_chunk(raw, element, tokens, layers, planes, rows, row_bytes, blob_id, choice):
    """A chunk whose blocks are `choice` where that saves bytes and raw elsewhere, and the encodings that they got."""
    sizes = block_sizes(layers, planes, rows, row_bytes)
    entries, blocks, encodings, at = [], [], [], 0
    for size in sizes:
        piece = raw[at : at + size]
        at += size
        block = None
        if choice == "cascade":
            block = cascade(piece, element, row_bytes // ELEMENT_BYTES[element])
        elif choice == "lz4":
            block = lz4(piece)
        encoding = RAW if block is None else {"cascade": CASCADE, "lz4": LZ4}[choice]
        block = piece if block is None else block
        entries.append(ENTRY.pack(size, len(block), crc32c(block), encoding, 0, 0, 0))
        blocks.append(block)
        encodings.append(encoding)
    assert at == len(raw)
    fields = (b"LCK1", 1, element, 0, blob_id, len(raw), tokens, layers, planes, row_bytes, len(sizes), rows, bytes(12))
    table = b"".join(entries)
    header = HEADER.pack(*fields, 0)[:60]
    checksum = struct.pack("<I", crc32c(header + table))
    return header + checksum + table + b"".join(blocks), encodings


def read_chunk(chunk, blob_id):
    """The raw bytes of a chunk, after every check of FORMAT.md."""
    require(len(chunk) >= 64, "length")
    (magic, version, element, _, identity, raw_bytes, tokens, layers, planes, row_bytes, blocks, rows, _, checksum) = (
        HEADER.unpack_from(chunk)
    )
    require(magic == b"LCK1" and version == 1, "magic or version")
    table_end = 64 + 16 * blocks
    require(blocks <= 131_072 and len(chunk) >= table_end, "block count")
    require(crc32c(chunk[:60] + chunk[64:table_end]) == checksum, "header checksum")
    require(identity == blob_id, "identity")
    require(element in ELEMENT_BYTES and 1 <= layers <= 4096 and 1 <= planes <= 16, "element, layers or planes")
    require(1 <= row_bytes <= 64 << 20 and row_bytes % ELEMENT_BYTES[element] == 0, "row bytes")
    require(1 <= rows <= 1 << 20 and rows == (tokens or 1), "rows")
    require(layers * planes * rows * row_bytes == raw_bytes <= 256 << 20, "raw bytes")
    sizes = block_sizes(layers, planes, rows, row_bytes)
    require(len(sizes) == blocks, "blocks")
    at, out = table_end, []
    for index, size in enumerate(sizes):
        raw, stored, block_checksum, encoding, _, _, _ = ENTRY.unpack_from(chunk, 64 + 16 * index)
        require(raw == size and encoding in (RAW, LZ4, CASCADE), "block entry")
        block = chunk[at : at + stored]
        at += stored
        require(len(block) == stored and crc32c(block) == block_checksum, "block checksum")
        if encoding == LZ4:
            block = unlz4(block, size)
        elif encoding == CASCADE:
            block = uncascade(block, element, size)
        require(len(block) == size, "block content")
        out.append(block)
    require(at == len(chunk), "length")
    return b"".join(out)
