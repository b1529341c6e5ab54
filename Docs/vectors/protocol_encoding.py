"""Larder's data-socket protocol, version 1, written from Docs/PROTOCOL.md and not from the Swift code.

Each encoder takes the field values of a vector (see protocol.json) and returns the bytes of the message's fields.
"""

import struct

MESSAGE_TYPES = {
    "hello": 0x0001,
    "declare_model": 0x0002,
    "open_session": 0x0003,
    "put": 0x0004,
    "get": 0x0005,
    "resume": 0x0006,
    "truncate": 0x0007,
    "drop": 0x0008,
    "list_models": 0x0009,
    "list_sessions": 0x000A,
    "list_chunks": 0x000B,
    "stat": 0x000C,
    "sync": 0x000D,
    "verify": 0x000E,
    "open_arena": 0x000F,
    "register_arena": 0x0010,
    "close_arena": 0x0011,
    "get_into": 0x0012,
    "prefetch": 0x0013,
    "fork": 0x0014,
    "explain": 0x0015,
    "match": 0x0016,
    "plan_snapshots": 0x0017,
    "configure_namespace": 0x0018,
    "list_namespaces": 0x0019,
    "configure_session": 0x001A,
    "set_cap": 0x001E,
}
ANSWER_BIT = 0x8000
PROGRESS_BIT = 0x4000
MISS_CAUSES = {"none": 0, "noState": 1, "neverStored": 2, "evicted": 3, "damaged": 4}
EVICTION_RULES = {"cold": 1, "expired": 2, "useless": 3, "requested": 4}
REFUSAL_TYPE = 0xFFFF
MAGIC = b"LRDR"
NO_ITEM = 0xFFFF_FFFF

COMPONENT_KINDS = {"attention": 1, "sliding": 2, "recurrent": 3}
ELEMENT_TYPES = {"bf16": 1, "f16": 2, "f32": 3, "f8e4m3": 4, "f8e5m2": 5, "i8": 6, "bytes": 7}
ENCODINGS = {"raw": 1, "lz4": 2, "cascade": 3}
ENCODING_CHOICES = {"auto": 0, "raw": 1, "lz4": 2, "cascade": 3}
ACKNOWLEDGEMENTS = {"accepted": 0, "committed": 1, "durable": 2}
SHARING = {"shared": 0, "off": 1}
ADMISSIONS = {"everything": 0, "secondTouch": 1}
ERROR_CODES = {
    "malformed": 1,
    "frameTooLong": 2,
    "unknownRequest": 3,
    "handshake": 4,
    "protocolVersion": 5,
    "invalidArgument": 6,
    "invalidModel": 7,
    "unknownModel": 8,
    "modelMismatch": 9,
    "forbidden": 10,
    "unknownSession": 11,
    "unknownComponent": 12,
    "wrongLength": 13,
    "overlap": 14,
    "unaligned": 15,
    "conflict": 16,
    "miss": 17,
    "damaged": 18,
    "full": 19,
    "busy": 20,
    "tooLarge": 21,
    "shuttingDown": 22,
    "storage": 23,
    "internal": 24,
    "tooManyConnections": 25,
    "storeUnusable": 26,
    "exists": 27,
}
LIMITS = {
    "name_bytes": 255,
    "components": 64,
    "layers": 4096,
    "planes": 16,
    "row_bytes": 64 << 20,
    "group_size": 1024,
    "tokens_per_chunk": 1 << 20,
    "offset_tokens": 1 << 40,
    "chunk_bytes": 256 << 20,
    "frame_bytes": 64 << 20,
    "batch_items": 4096,
    "page_entries": 1000,
    "resume_chunks": 16384,
    "requests_in_flight": 64,
    "message_bytes": 1024,
    "salt_bytes": 32,
}


def u8(value):
    return struct.pack("<B", value)


def u16(value):
    return struct.pack("<H", value)


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def flag(value):
    return u8(1 if value else 0)


def string(text):
    raw = text.encode("utf-8")
    return u16(len(raw)) + raw


def items(values, encode):
    return u32(len(values)) + b"".join(encode(value) for value in values)


def frame(type_number, request_id, body, flags=0):
    return struct.pack("<IHHQ", len(body), type_number, flags, request_id) + body


# Structures that several messages share.


def chunk_name(f):
    return u64(f["session"]) + u16(f["rank"]) + u16(f["component"]) + u64(f["offset"])


def payload(f):
    inline = u8(f["payload_place"]) + u64(f["payload_bytes"])
    return inline if f["payload_place"] == 0 else inline + arena_region(f)


def arena_region(f):
    return u32(f["arena"]) + u64(f["arena_offset"])


def status(error):
    return u16(0) if error is None else u16(ERROR_CODES[error["code"]]) + string(error["message"])


def component(f):
    return (
        string(f["name"])
        + u8(COMPONENT_KINDS[f["kind"]])
        + u8(ELEMENT_TYPES[f["element_type"]])
        + u32(f["layers"])
        + u32(f["planes"])
        + u32(f["row_bytes"])
        + u32(f["window"])
    )


def declaration(f):
    return (
        string(f["name"])
        + string(f["revision"])
        + string(f["weights"])
        + u32(f["page_tokens"])
        + u32(f["group_size"])
        + u32(f["rank"])
        + u16(len(f["components"]))
        + b"".join(component(c) for c in f["components"])
    )


def chunk_summary(f):
    return (
        chunk_name(f["chunk"])
        + u32(f["tokens"])
        + u64(f["raw_bytes"])
        + u64(f["stored_bytes"])
        + u8(ENCODINGS[f["encoding"]])
        + u64(f["created_seconds"])
    )


def session_summary(f):
    return (
        u64(f["session"])
        + string(f["namespace"])
        + string(f["name"])
        + u32(f["owner_user_id"])
        + items(f["models"], lambda m: u16(m["rank"]) + u32(m["model_id"]))
        + u64(f["chunks"])
        + u64(f["raw_bytes"])
        + u64(f["stored_bytes"])
        + u64(f["created_seconds"])
        + u64(f["changed_seconds"])
        + u32(f["ttl_seconds"])
    )


# The fields of a change to a namespace's policy, in the order of their bits.
POLICY_FIELDS = [
    ("sharing", lambda v: u8(SHARING[v])),
    ("salt", lambda v: u8(len(bytes.fromhex(v))) + bytes.fromhex(v)),
    ("ttl_seconds", u32),
    ("min_bytes", u64),
    ("max_bytes", u64),
    ("max_sessions", u32),
    ("admission", lambda v: u8(ADMISSIONS[v])),
]


def policy_change(f):
    """A mask of the fields that are not null, then these."""
    mask = sum(1 << bit for bit, (name, _) in enumerate(POLICY_FIELDS) if f[name] is not None)
    return u16(mask) + b"".join(encode(f[name]) for name, encode in POLICY_FIELDS if f[name] is not None)


def policy(f):
    return (
        u8(SHARING[f["sharing"]]) + flag(f["has_salt"]) + u32(f["ttl_seconds"]) + u64(f["min_bytes"])
        + u64(f["max_bytes"]) + u32(f["max_sessions"]) + u8(ADMISSIONS[f["admission"]])
    )


def namespace_summary(f):
    return (
        u32(f["namespace_id"]) + string(f["name"]) + u32(f["owner_user_id"]) + u64(f["sessions"]) + policy(f["policy"])
    )


def model_id_and_fingerprint(f):
    fingerprint = bytes.fromhex(f["fingerprint"])
    assert len(fingerprint) == 32
    return u32(f["model_id"]) + fingerprint


def welcome(f):
    high, low = int(f["store_id"][:16], 16), int(f["store_id"][16:], 16)
    return (
        u16(f["version"])
        + u64(f["features"])
        + u32(f["frame_bytes"])
        + u32(f["batch_items"])
        + u32(f["requests_in_flight"])
        + u64(high)
        + u64(low)
        + string(f["server_name"])
    )


def put_item(f):
    return chunk_name(f["chunk"]) + u32(f["tokens"]) + payload(f) + naming(f)


def naming(f):
    """A prefix key with the bytes, without them, or none."""
    if f["prefix_key"] is None:
        return u8(0)
    return u8(2 if f["known"] else 1) + bytes.fromhex(f["prefix_key"])


def get_item(f):
    return chunk_name(f["chunk"]) + u32(f["first_layer"]) + u32(f["layers"])


def track_explanation(f):
    """What keeps one component from the offset in question."""
    return (
        u16(f["rank"]) + u16(f["component"]) + u64(f["reach"]) + u8(MISS_CAUSES[f["cause"]])
        + u64(f["missing_from"]) + u64(f["missing_to"])
        + u8(0 if f["rule"] is None else EVICTION_RULES[f["rule"]]) + u64(f["evicted_seconds"])
    )


def get_into_item(f):
    return get_item(f) + arena_region(f) + u64(f["region_bytes"])


def get_results(f):
    return items(f["results"], lambda r: status(r["error"]) + u32(r["tokens"]) + payload(r))


def verify_answer(f):
    following = f["next"]
    return (
        u64(f["checked"])
        + u64(f["raw_bytes"])
        + items(f["damaged"], lambda d: chunk_name(d["chunk"]) + string(d["reason"]))
        + flag(following is not None)
        + (chunk_name(following) if following is not None else b"")
    )


def refusal(f):
    return u16(ERROR_CODES[f["code"]]) + u32(NO_ITEM if f["item"] is None else f["item"]) + string(f["message"])


REQUESTS = {
    "hello": lambda f: MAGIC
    + u16(f["oldest_version"])
    + u16(f["newest_version"])
    + u64(f["features"])
    + string(f["client_name"]),
    "declare_model": lambda f: declaration(f["declaration"]),
    "open_session": lambda f: string(f["namespace"]) + string(f["name"]) + u32(f["model_id"]) + flag(f["create"]),
    "put": lambda f: u8(ACKNOWLEDGEMENTS[f["acknowledgement"]])
    + u8(ENCODING_CHOICES[f["encoding"]])
    + items(f["items"], put_item),
    "get": lambda f: items(f["items"], get_item),
    "resume": lambda f: u64(f["session"]) + u64(f["at_most"]) + u32(f["prefill_rate"]),
    "truncate": lambda f: u64(f["session"]) + u64(f["offset"]),
    "drop": lambda f: u64(f["session"]),
    "list_models": lambda f: u32(f["after"]),
    "list_sessions": lambda f: string(f["namespace"]) + u64(f["after"]),
    "list_chunks": lambda f: chunk_name(f["from"]),
    "stat": lambda f: b"",
    "sync": lambda f: b"",
    "verify": lambda f: chunk_name(f["from"]),
    "open_arena": lambda f: u64(f["arena_bytes"]),
    "register_arena": lambda f: u64(f["arena_bytes"]),
    "close_arena": lambda f: u32(f["arena"]),
    "get_into": lambda f: u32(f["layer_group"]) + items(f["items"], get_into_item),
    "prefetch": lambda f: u64(f["session"]) + u64(f["at_most"]),
    "fork": lambda f: u64(f["session"]) + u64(f["offset"]) + string(f["name"]),
    "plan_snapshots": lambda f: u64(f["session"]) + u64(f["length"]) + u64(f["resumed_at"])
    + u32(f["boundary"]) + u32(f["stride"]) + u32(f["budget"]),
    "match": lambda f: string(f["namespace"]) + u32(f["model_id"]) + u16(f["component"])
    + items(f["keys"], bytes.fromhex),
    "explain": lambda f: u64(f["session"]) + u64(f["at_most"]) + u32(f["model_id"]),
    "configure_namespace": lambda f: string(f["namespace"]) + policy_change(f["change"]),
    "list_namespaces": lambda f: u32(f["after"]),
    "configure_session": lambda f: u64(f["session"]) + u32(f["ttl_seconds"]),
    "set_cap": lambda f: u64(f["cap_bytes"]),
}

ANSWERS = {
    "hello": welcome,
    "declare_model": model_id_and_fingerprint,
    "open_session": lambda f: u64(f["session"]) + flag(f["created"]),
    "put": lambda f: items(f["results"], lambda r: status(r["error"]) + u64(r["stored_bytes"])),
    "get": get_results,
    "get_into": get_results,
    "open_arena": lambda f: u32(f["arena"]),
    "register_arena": lambda f: u32(f["arena"]),
    "close_arena": lambda f: b"",
    "resume": lambda f: u64(f["offset"])
    + flag(f["complete"])
    + u64(f["raw_bytes"])
    + u64(f["load_us"])
    + u64(f["cheapest_offset"])
    + items(f["reaches"], lambda r: u16(r["rank"]) + u16(r["component"]) + u64(r["offset"]))
    + items(f["chunks"], chunk_summary),
    "truncate": lambda f: b"",
    "drop": lambda f: b"",
    "list_models": lambda f: items(
        f["models"], lambda m: model_id_and_fingerprint(m) + declaration(m["declaration"])
    ),
    "list_sessions": lambda f: u64(f["next"]) + items(f["sessions"], session_summary),
    "list_chunks": lambda f: items(f["chunks"], chunk_summary),
    "stat": lambda f: items(f["facts"], lambda x: string(x["name"]) + string(x["value"]))
    + items(f["counters"], lambda x: string(x["name"]) + u64(x["value"])),
    "sync": lambda f: b"",
    "plan_snapshots": lambda f: items(f["offsets"], u64),
    "match": lambda f: u32(f["matched"]),
    "explain": lambda f: u64(f["at"]) + u64(f["end"]) + u64(f["offset"])
    + items(f["missing_ranks"], u16)
    + string(f["model_difference"])
    + items(f["tracks"], track_explanation),
    "prefetch": lambda f: b"",
    "fork": lambda f: u64(f["session"]) + flag(f["created"]),
    "verify": verify_answer,
    "configure_namespace": policy,
    "list_namespaces": lambda f: items(f["namespaces"], namespace_summary),
    "configure_session": lambda f: b"",
    "set_cap": lambda f: u64(f["cap_bytes"]) + u64(f["disk_bytes"]),
}

PROGRESS = {"get_into": lambda f: u32(f["layers"])}


def fields_of(message, kind, fields):
    """The bytes of a message's fields."""
    if kind == "refusal":
        return refusal(fields)
    return {"request": REQUESTS, "answer": ANSWERS, "progress": PROGRESS}[kind][message](fields)


def type_of(message, kind):
    """The number in the header's type."""
    if kind == "refusal":
        return REFUSAL_TYPE
    return MESSAGE_TYPES[message] | {"request": 0, "answer": ANSWER_BIT, "progress": ANSWER_BIT | PROGRESS_BIT}[kind]
