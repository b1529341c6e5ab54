#!/usr/bin/env python3
"""Writes the seeds of the corpora: what fuzzing begins from. Derived from the golden vectors in Docs/vectors, from
Docs/openapi.json, and from the formats as the documents have them.

    python3 bench/fuzz/seeds.py [--check]

Other inputs of a corpus stay as they are. With --check nothing is written, and what differs is an error.
"""

import base64
import json
import os
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import corpus  # noqa: E402

DOCUMENTS = os.path.join(corpus.HERE, "..", "..", "Docs")
# Vectors beyond this are too long to be mutated well.
CHUNK_BYTES = 3 << 10
# Element types as the targets number them: by their place in the list of all, and among those that the cascade serves.
ELEMENT_TYPES = ("bf16", "f16", "f32", "f8e4m3", "f8e5m2", "i8", "bytes")
CASCADE_TYPES = ("bf16", "f16", "f32")
CHOICES = ("auto", "raw", "lz4", "cascade")


def document(name: str) -> dict:
    """A JSON file of the documents."""
    with open(os.path.join(DOCUMENTS, name)) as file:
        return json.load(file)


def wire() -> dict[str, bytes]:
    """Every golden frame and every hostile one, and whole conversations."""
    vectors = document("vectors/protocol.json")
    seeds = {vector["name"]: bytes.fromhex(vector["frame"]) for vector in vectors["vectors"]}
    seeds |= {f"hostile-{vector['name']}": bytes.fromhex(vector["frame"]) for vector in vectors["hostile"]}
    seeds |= {
        f"connection-{index}": b"".join(map(bytes.fromhex, vector["frames"]))
        for index, vector in enumerate(vectors["connections"]) if len(vector["frames"]) > 2}
    return {name: frame for name, frame in seeds.items() if len(frame) < 4_096}


def small_chunks() -> list[tuple[dict, bytes]]:
    """The golden chunks that are short, with their bytes."""
    found = []
    for vector in document("vectors/chunks.json")["vectors"]:
        chunk = base64.b64decode(vector["chunk"].get("base64") or "")
        if 0 < len(chunk) <= CHUNK_BYTES:
            found.append((vector, chunk))
    return found


def chunk() -> dict[str, bytes]:
    """Golden chunks: as they are, and to be mended after a change."""
    seeds = {}
    for vector, stored in small_chunks():
        seeds[vector["name"]] = bytes([1, 0, 0]) + stored
    for vector, stored in small_chunks()[:6]:
        seeds[f"unmended-{vector['name']}"] = bytes([0, 1, 1]) + stored
    return seeds


def raw_bytes(vector: dict) -> bytes:
    """The raw bytes of a golden chunk, where the vector has them."""
    if "repeat" in vector["raw"]:
        pattern = base64.b64decode(vector["raw"]["repeat"])
        return (pattern * (vector["raw"]["bytes"] // len(pattern) + 1))[: vector["raw"]["bytes"]]
    return base64.b64decode(vector["raw"].get("base64") or "")


def round_trip() -> dict[str, bytes]:
    """Shapes of each element type and choice, with bytes of the golden chunks."""
    seeds = {}
    for vector, _ in small_chunks():
        raw = raw_bytes(vector)[:1_024]
        width = vector["row_bytes"] // {"f32": 4, "bf16": 2, "f16": 2}.get(vector["element_type"], 1)
        head = bytes([
            ELEMENT_TYPES.index(vector["element_type"]), CHOICES.index(vector["choice"]), (vector["layers"] - 1) % 5,
            (vector["planes"] - 1) % 3])
        rows = struct.pack("<H", max(vector["rows"] - 1, 0) & 0xFFFF)
        seeds[vector["name"]] = head + struct.pack("<I", max(width - 1, 0))[:3] + b"\0" + rows + b"\1" + raw
    return seeds


def cascade() -> dict[str, bytes]:
    """Blocks of the golden chunks of one block, and their raw bytes to encode."""
    seeds = {}
    for vector, stored in small_chunks():
        if vector["element_type"] not in CASCADE_TYPES or stored[40:44] != struct.pack("<I", 1) or stored[76] != 3:
            continue
        kind = CASCADE_TYPES.index(vector["element_type"])
        size = 4 if vector["element_type"] == "f32" else 2
        raw_count = struct.unpack_from("<I", stored, 64)[0]
        seeds[f"block-{vector['name']}"] = bytes([0, kind]) + struct.pack("<I", raw_count // size)[:3] + stored[80:]
        raw = raw_bytes(vector)
        if raw:
            width = struct.pack("<I", vector["row_bytes"] // size)[:3]
            seeds[f"raw-{vector['name']}"] = bytes([1, kind]) + width + raw[:2_048]
    for kind in range(3):
        # Values like state: exponents near one another.
        count = 2 if kind == 2 else 1
        high = [struct.pack("<H", 0x3C00 + (index * 37 % 61) * 16 + (0x400 if index % 17 == 0 else 0))
                for index in range(512)]
        raw = b"".join((b"\x5a\xa5" if count == 2 else b"") + word for word in high)
        seeds[f"raw-state-{CASCADE_TYPES[kind]}"] = bytes([1, kind]) + struct.pack("<I", 64)[:3] + raw
    return seeds


def config() -> dict[str, bytes]:
    """Configurations: right ones, wrong ones, and TOML's own forms."""
    whole = """# A whole configuration.
socket = "/run/larder/larder.sock"
socket_mode = "0660"
socket_group = ""
admin_socket = "off"
admin_socket_mode = "0600"
admin_listen = "127.0.0.1:9465"
admin_token_file = "/etc/larder/token"
data_dir = '/var/lib/larder'
cap = "10GiB"
shards = 4
policy = "s3fifo"
high_watermark = 0.98
low_watermark = 0.96
wear_budget = "500GB"
on_corruption = "refuse"
max_connections = 1_024
queue = "64MiB"
queue_wait_seconds = 10
codec_helpers = 0
inline_memory = 0x6000000
arena_memory = "16GiB"
gpu_hour_price = 2.5
drain_seconds = 10
record_trace = "/tmp/trace"
record_trace_bytes = "64MiB"
log_level = "debug"
"""
    texts = {
        "whole": whole, "empty": "", "comment": "# nothing\n\n", "unknown": "cup = 1\n", "twice": "cap = 1\ncap = 2\n",
        "multiline": 'socket = """\n/a\\\n  b"""\ndata_dir = \'\'\'/c\'\'\'\n',
        "escapes": 'socket = "/a\\u00e9\\t\\U0001F98A"\n',
        "table": "[store]\ncap = 1\n", "inline": "cap = { a = 1 }\n", "array": "cap = [1, 2, [3, \"x\"]]\n",
        "dates": "cap = 1979-05-27T07:32:00Z\n", "dotted": "a.b.c = 1\n", "quoted": '"cap" = "1GiB"\n"" = 1\n',
        "floats": "high_watermark = 1e-1\nlow_watermark = +0.1\ngpu_hour_price = 0.000001\n",
        "special": "high_watermark = inf\nlow_watermark = nan\n", "octal": "shards = 0o2\ndrain_seconds = 0b11\n",
        "listen6": 'admin_listen = "[::1]:0"\nadmin_token_file = "/t"\n', "listen": 'admin_listen = "0.0.0.0:80"\n',
        "negative": "cap = -1\nshards = -9223372036854775808\n", "large": 'cap = "99999999999999999999TiB"\n',
        "open": 'socket = "/a', "bytes": "socket = \"\xff\"", "tables": "[[a]]\nb = 1\n[[a]]\nb = 2\n",
        "crlf": "cap = \"1GiB\"\r\nshards = 1\r\n", "bom": "\ufeffcap = \"1GiB\"\n",
        "price": 'gpu_hour_price = "1000000.5"\n',
    }
    return {name: text.encode("latin-1" if name == "bytes" else "utf-8") for name, text in texts.items()}


def string(text: str) -> bytes:
    """A string as the wire and the export have it."""
    return struct.pack("<H", len(text.encode())) + text.encode()


def record(kind: int, fields: bytes, payload: bytes = b"") -> bytes:
    """A record of an export, without its checks: the target makes them hold."""
    return struct.pack("<IIQII", kind, len(fields), len(payload), 0, 0) + fields + payload


def declaration(components: list[tuple[str, int, int, int, int, int, int]], rank: int = 0, group: int = 1) -> bytes:
    """A model declaration: components are name, kind, element type, layers, planes, bytes of a row, window."""
    start = string("plain") + string("r1") + string("w") + struct.pack("<IIIH", 1, group, rank, len(components))
    return start + b"".join(string(name) + struct.pack("<BBIIII", *rest) for name, *rest in components)


def archive() -> dict[str, bytes]:
    """Exports: none, one session, two ranks, every kind of component, and records out of order."""
    magic = b"LRDX" + struct.pack("<I", 1)
    head = record(1, struct.pack("<QQQ", 0x1122334455667788, 0x99AABBCCDDEEFF00, 1_700_000_000))
    one = declaration([("a", 1, 2, 1, 2, 4, 0), ("s", 2, 1, 1, 1, 2, 16), ("r", 3, 3, 1, 1, 8, 0)])
    model = record(2, struct.pack("<I", 1) + one)

    def session(number: int, name: str, ranks: list[tuple[int, int]]) -> bytes:
        fields = struct.pack("<Q", number) + string("agents") + string(name)
        fields += struct.pack("<QIH", 1_700_000_001, 0, len(ranks))
        return record(3, fields + b"".join(struct.pack("<HI", *rank) for rank in ranks))

    def chunk_of(rank: int, component: int, offset: int, tokens: int, payload: bytes) -> bytes:
        return record(4, struct.pack("<HHQIQ", rank, component, offset, tokens, 1_700_000_002), payload)

    def totals(kind: int, *numbers: int) -> bytes:
        return record(kind, struct.pack("<QQQQ", *numbers))

    chunks = chunk_of(0, 0, 0, 3, bytes(24)) + chunk_of(0, 1, 16, 2, b"\1\2\3\4") + chunk_of(0, 2, 5, 0, b"states!!")
    session_end, end = totals(5, 1, 3, 36, 0), totals(6, 1, 3, 36, 0)
    whole = magic + head + model + session(7, "branch", [(0, 1)]) + chunks + session_end + end
    ranks = (
        magic + head + record(2, struct.pack("<I", 1) + declaration([("a", 1, 7, 1, 1, 1, 0)], 0, 2))
        + record(2, struct.pack("<I", 2) + declaration([("a", 1, 7, 1, 1, 1, 0)], 1, 2))
        + session(9, "group", [(0, 1), (1, 2)]) + chunk_of(0, 0, 0, 4, b"abcd") + chunk_of(1, 0, 0, 4, b"efgh")
        + totals(5, 1, 2, 8, 0) + totals(6, 1, 2, 8, 0))
    files = {
        "whole": whole, "empty": magic + head + totals(6, 0, 0, 0, 0), "ranks": ranks, "cut": whole[:-40],
        "no-head": magic + model, "no-model": magic + head + session(7, "branch", [(0, 1)]),
        "left-out": magic + head + model + session(7, "b", [(0, 1)]) + totals(5, 1, 0, 0, 4) + totals(6, 1, 0, 0, 4),
        "two-sessions": magic + head + model + session(7, "b", [(0, 1)]) + totals(5, 1, 0, 0, 0)
        + session(8, "c", [(0, 1)]) + chunks + session_end + totals(6, 2, 3, 36, 0),
        "behind-the-end": whole + b"x", "magic": b"LRDY", "version": b"LRDX\2\0\0\0",
    }
    seeds = {name: b"\1" + content for name, content in files.items()}
    seeds["unmended"] = b"\0" + whole
    return seeds


def data_file() -> dict[str, bytes]:
    """The sound files as they are, and one change to each part of each."""
    seeds = {}
    for base in range(3):
        for use in (0x00, 0x30):
            seeds[f"sound-{base}-{use:02x}"] = bytes([_kind(base, use)])
        for anchor in range(8):
            patch = bytes([2 + base, 2, anchor, 1, 1]) + (3).to_bytes(6, "little") + b"\0"
            seeds[f"change-{base}-{anchor}"] = bytes([_kind(base, 0x30)]) + patch
    return seeds


def _kind(base: int, use: int) -> int:
    """The first byte that stands for a sound file and what is done with it: the file is chosen by the rest of 3."""
    return next(number for number in range(256) if number % 3 == base and number & 0x30 == use)


def admin() -> dict[str, bytes]:
    """Every request that Docs/openapi.json describes, and some in a row."""
    bodies = {
        "fork": {"offset_tokens": 64, "name": "n"}, "truncate": {"offset_tokens": 64},
        "evict": {"from_tokens": 0, "shared": True}, "retain": {"seconds": 60, "priority": 5, "from_tokens": 0},
        "pin": {"seconds": 60, "to_tokens": 128}, "demote": {}, "prefetch": {}, "ttl": {"ttl_seconds": 60},
        "policy": {"sharing": "off", "ttl_seconds": 1, "min_bytes": 0, "max_bytes": 0, "max_sessions": 9,
                   "admission": "second-touch"},
        "prefill_rate": {"tokens_per_second": 1000}, "cap": {"cap_bytes": 80 << 20}, "verify": {"session": 64},
        "compact": {"free_bytes": 1}, "backup": {"directory": "relative"}, "log_level": {"level": "debug"},
        "drain": {"draining": False},
    }
    values = {
        "limit": "2", "cursor": "0-0-64", "namespace": "agents", "name": "br%20", "model": "1", "sort": "bytes",
        "order": "desc", "at": "100", "from": "0", "to": "99", "after": "1", "kinds": "connected,evicted"}
    seeds = {}
    for path, methods in document("openapi.json")["paths"].items():
        for method, described in methods.items():
            if method == "parameters":
                continue
            place = path
            # The first session of a store of one shard is 64, the next 128.
            for name, number in (("session", 64), ("namespace", 1), ("model", 1), ("job", 1)):
                place = place.replace("{%s}" % name, str(number))
            query = [item["name"] for item in described.get("parameters", []) if item.get("in") == "query"]
            if query:
                place += "?" + "&".join(f"{name}={values[name]}" for name in query)
            body = json.dumps(bodies[path.split("/")[-1]]) if "requestBody" in described else ""
            text = f"{method.upper()} {place}\n{body}"
            seeds[f"{method}-{path.strip('/').replace('/', '-').replace('{', '').replace('}', '')}"] = text.encode()
    rows = (
        ["POST /v1/sessions/64/fork\n" + json.dumps(bodies["fork"]), "GET /v1/sessions/64/tree\n",
         "DELETE /v1/sessions/128\n", "GET /v1/sessions?sort=name&order=asc\n"],
        ["POST /v1/verify\n{}", "GET /v1/jobs/1\n", "DELETE /v1/jobs/1\n", "GET /v1/jobs\n"],
        ["PUT /v1/drain\n{\"draining\":true}", "GET /healthz\n", "PUT /v1/drain\n{\"draining\":false}"],
        ["GET /v1/sessions?cursor=MTow\n", "GET /v1/sessions?limit=1001\n", "PATCH /v1/cap\n", "GET /v2\n"],
    )
    for index, row in enumerate(rows):
        seeds[f"row-{index}"] = "\n%%\n".join(row).encode()
    return seeds


SEEDS = {
    "wire": wire, "chunk": chunk, "round-trip": round_trip, "cascade": cascade, "config": config, "archive": archive,
    "data-file": data_file, "admin": admin,
}


def main() -> int:
    """Writes or compares the seeds of each corpus."""
    os.makedirs(corpus.DIRECTORY, exist_ok=True)
    code = 0
    for target, make in SEEDS.items():
        kept = {name: content for name, content in corpus.read(target).items() if not name.startswith("seed-")}
        seeds = {f"seed-{name.replace(' ', '-')}": content for name, content in make().items()}
        if "--check" not in sys.argv:
            corpus.write(target, kept | seeds)
        elif corpus.read(target) != kept | seeds:
            print(f"the seeds of {target} are not what bench/fuzz/seeds.py makes; run it without --check")
            code = 1
        print(f"{target}: {len(seeds)} seeds, {sum(map(len, seeds.values())):,} bytes; {len(kept)} others")
    return code


if __name__ == "__main__":
    sys.exit(main())
