"""Larder's data-socket protocol, version 1, written from Docs/PROTOCOL.md and not from the Swift code.

Each encoder takes the field values of a vector (see protocol.json) and returns the bytes of the message's fields.
"""

import struct

from protocol_numbers import *  # noqa: F403


def u8(value):
    return struct.pack("<B", value)


def i8(value):
    return struct.pack("<b", value)


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


def report_row(f):
    """What was counted for a model in a namespace."""
    return (
        string(f["namespace"]) + u32(f["model_id"])
        + u64(f["stored_tokens"]) + u64(f["restored_tokens"]) + u64(f["not_recomputed_tokens"])
        + u64(f["page_out_raw_bytes"]) + u64(f["page_out_stored_bytes"])
        + u64(f["page_in_raw_bytes"]) + u64(f["page_in_stored_bytes"])
        + u32(f["prefill_rate"]) + u8(RATE_ORIGINS[f["rate_origin"]]) + u64(f["prefill_avoided_ms"])
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


def hint_target(f):
    """A session's tokens, prefix keys, or a session's track with keys for its chunks."""
    keys = items(f["keys"], bytes.fromhex) if f["target"] > 0 else b""
    if f["target"] == 1:
        return u8(1) + string(f["namespace"]) + u32(f["model_id"]) + u16(f["component"]) + keys
    track = u16(f["rank"]) + u16(f["component"]) if f["target"] == 2 else b""
    return u8(f["target"]) + u64(f["session"]) + u64(f["from"]) + u64(f["to"]) + track + keys


def hint(f):
    return u8(HINT_KINDS[f["hint"]]) + i8(f["priority"]) + u32(f["seconds"]) + hint_target(f)


def hint_result(f):
    return (
        u8(HINT_OUTCOMES[f["outcome"]]) + u8(HINT_BOUNDS[f["bound"]]) + u64(f["from"]) + u64(f["to"])
        + u32(f["seconds"]) + string(f["reason"])
    )


def tree_line(f):
    """A stretch of state that one session wrote."""
    return (
        u64(f["line"]) + u64(f["parent"]) + u64(f["offset"]) + u64(f["session"]) + string(f["name"]) + u64(f["end"])
        + u64(f["chunks"]) + u64(f["raw_bytes"]) + u64(f["stored_bytes"]) + u64(f["changed_seconds"])
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
    "report": lambda f: u64(f["session"]) + u64(f["from"]) + u64(f["to"]) + string(f["namespace"])
    + u32(f["model_id"]) + u64(f["after"]),
    "set_prefill_rate": lambda f: u32(f["model_id"]) + u32(f["prefill_rate"]),
    "hint": lambda f: items(f["hints"], hint),
    "set_cap": lambda f: u64(f["cap_bytes"]),
    "tree": lambda f: u64(f["session"]),
    "repair": lambda f: chunk_name(f["chunk"]),
    "backup": lambda f: string(f["directory"]),
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
    + u32(f["prefill_rate"])
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
    "report": lambda f: u64(f["from"]) + u64(f["to"]) + u64(f["gpu_hour_price"]) + u64(f["next"])
    + items(f["rows"], report_row),
    "set_prefill_rate": lambda f: b"",
    "prefetch": lambda f: b"",
    "fork": lambda f: u64(f["session"]) + flag(f["created"]),
    "verify": verify_answer,
    "configure_namespace": policy,
    "list_namespaces": lambda f: items(f["namespaces"], namespace_summary),
    "configure_session": lambda f: b"",
    "hint": lambda f: items(f["results"], hint_result),
    "set_cap": lambda f: u64(f["cap_bytes"]) + u64(f["disk_bytes"]),
    "tree": lambda f: flag(f["complete"]) + items(f["lines"], tree_line),
    "repair": lambda f: u32(f["removed"]) + u64(f["freed_bytes"]) + string(f["reason"]),
    "backup": lambda f: u32(f["shards"]) + u64(f["bytes"]) + u64(f["created_seconds"]),
}

PROGRESS = {
    "get_into": lambda f: u32(f["layers"]),
    "backup": lambda f: u64(f["copied_bytes"]) + u64(f["total_bytes"]),
}


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
