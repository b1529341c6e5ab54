#!/usr/bin/env python3
"""Writes protocol.json beside this file: golden, hostile and connection vectors of Docs/PROTOCOL.md.

Standard library only; the same bytes at every run. `--check` compares with the file instead of writing it.
"""

import hashlib
import json
import pathlib
import sys

sys.dont_write_bytecode = True

from protocol_admin import admin  # noqa: E402
from protocol_encoding import *  # noqa: E402,F403
from protocol_encoding import fields_of, type_of  # noqa: E402
from protocol_hints import hints  # noqa: E402
from protocol_hostile import connection_vectors, hostile_vectors  # noqa: E402
from protocol_namespaces import namespaces  # noqa: E402

U16, U32, U64 = 2**16 - 1, 2**32 - 1, 2**64 - 1
MODEL = {
    "name": "Qwen-é漢🦊",
    "revision": "v2",
    "weights": "sha256:00ff",
    "page_tokens": 16,
    "group_size": 4,
    "rank": 3,
    "components": [
        {"name": "global", "kind": "attention", "element_type": "bf16", "layers": 2, "planes": 2, "row_bytes": 4, "window": 0},
        {"name": "local", "kind": "sliding", "element_type": "f16", "layers": 5, "planes": 1, "row_bytes": 256, "window": 512},
        {"name": "delta", "kind": "recurrent", "element_type": "f32", "layers": 6, "planes": 3, "row_bytes": 8192, "window": 0},
    ],
}
# Every other element type, numbers at their limits, empty texts, a name that Unicode could also compose.
WIDE_MODEL = {
    "name": "e\u0301",
    "revision": "",
    "weights": "",
    "page_tokens": 1 << 20,
    "group_size": 1024,
    "rank": 1023,
    "components": [
        {"name": t, "kind": "attention", "element_type": t, "layers": 4096, "planes": 16, "row_bytes": 4096, "window": 0}
        for t in ["f8e4m3", "f8e5m2", "i8", "bytes"]
    ],
}
EMPTY_MODEL = {"name": "", "revision": "", "weights": "", "page_tokens": 0, "group_size": 0, "rank": 0, "components": []}
TOP_CHUNK = {"session": U64, "rank": U16, "component": U16, "offset": U64}


def fingerprint(model):
    return hashlib.sha256(declaration(model)).hexdigest()


def chunk(session, rank, index, offset):
    return {"session": session, "rank": rank, "component": index, "offset": offset}


def layout(layers, planes, tokens, row_bytes):
    """A chunk whose bytes say where they are: layer, plane, token, byte of the row, from the top two bits down."""
    return bytes(
        layer << 6 | plane << 5 | token << 3 | index
        for layer in range(layers)
        for plane in range(planes)
        for token in range(tokens)
        for index in range(row_bytes)
    )


def put_entry(name, tokens, payload_bytes):
    return {"chunk": name, "tokens": tokens, "payload_place": 0, "payload_bytes": payload_bytes, "prefix_key": None}


def got(tokens, payload_bytes, error=None):
    return {"error": error, "tokens": tokens, "payload_place": 0, "payload_bytes": payload_bytes}


def error(code, message):
    return {"code": code, "message": message}


def summary(name, tokens, raw, stored, encoding, created):
    return {
        "chunk": name, "tokens": tokens, "raw_bytes": raw, "stored_bytes": stored, "encoding": encoding,
        "created_seconds": created,
    }


SUMMARIES = [
    summary(chunk(65, 3, 0, 0), 3, 48, 176, "raw", 1_700_000_001),
    summary(chunk(65, 3, 1, 1024), 512, 655_360, 400_000, "cascade", 1_700_000_002),
    summary(chunk(65, 3, 2, 1536), 0, 147_456, 9_000, "lz4", 1_700_000_003),
]
TOP_SUMMARY = summary(TOP_CHUNK, U32, U64, U64 - 1, "raw", U64 - 2)


def handshake_and_models():
    yield "hello", "request", 1, {"oldest_version": 1, "newest_version": 1, "features": 0, "client_name": "vllm worker 0"}
    yield "hello_later_client", "request", U64, {"oldest_version": 1, "newest_version": 7, "features": U64, "client_name": "日本"}
    yield "hello_all_zero", "request", 0, {"oldest_version": 0, "newest_version": U16, "features": 1 << 63, "client_name": ""}
    yield "hello", "answer", 1, {
        "version": 1, "features": 0, "frame_bytes": 64 << 20, "batch_items": 4096, "requests_in_flight": 64,
        "store_id": "00112233445566778899aabbccddeeff", "server_name": "larderd 0.1.0",
    }
    yield "hello_top", "answer", U64, {
        "version": U16, "features": U64 - 1, "frame_bytes": U32, "batch_items": U32 - 1, "requests_in_flight": U32 - 2,
        "store_id": "f" * 31 + "0", "server_name": "",
    }
    yield "declare_model", "request", 2, {"declaration": MODEL}
    yield "declare_model_wide", "request", 3, {"declaration": WIDE_MODEL}
    yield "declare_model_well_formed_but_invalid", "request", 4, {"declaration": EMPTY_MODEL}
    yield "declare_model", "answer", 2, {"model_id": 1, "fingerprint": fingerprint(MODEL)}
    yield "declare_model_top", "answer", U64, {"model_id": U32, "fingerprint": bytes(range(32)).hex()}
    yield "list_models", "request", 5, {"after": 0}
    yield "list_models_top", "request", 5, {"after": U32}
    yield "list_models", "answer", 5, {
        "models": [
            {"model_id": 1, "fingerprint": fingerprint(MODEL), "declaration": MODEL},
            {"model_id": U32, "fingerprint": fingerprint(WIDE_MODEL), "declaration": WIDE_MODEL},
        ]
    }
    yield "list_models_empty", "answer", 5, {"models": []}


def sessions():
    yield "open_session", "request", 6, {"namespace": "agents", "name": "branch 7", "model_id": 1, "create": True}
    yield "open_session_not_created", "request", 7, {"namespace": "ñ", "name": "🦊" * 63, "model_id": U32, "create": False}
    yield "open_session_empty_names", "request", 8, {"namespace": "", "name": "", "model_id": 0, "create": True}
    yield "open_session", "answer", 6, {"session": 65, "created": True}
    yield "open_session_top", "answer", 7, {"session": U64, "created": False}
    yield "resume", "request", 9, {"session": 65, "at_most": 1600, "prefill_rate": 0}
    yield "resume_unbounded", "request", 9, {"session": U64 - 1, "at_most": U64, "prefill_rate": U32 - 9}
    yield "resume", "answer", 9, {
        "offset": 1536, "complete": True, "raw_bytes": 1_310_720, "load_us": 254, "cheapest_offset": 1_024,
        "prefill_rate": 4_321,
        "reaches": [
            {"rank": 3, "component": 0, "offset": 1540},
            {"rank": 3, "component": 1, "offset": 1536},
            {"rank": 1023, "component": 63, "offset": U64},
        ],
        "chunks": SUMMARIES,
    }
    yield "resume_nothing", "answer", 9, {
        "offset": 0, "complete": False, "raw_bytes": U64 - 1, "load_us": U64 - 2, "cheapest_offset": U64 - 3,
        "prefill_rate": U32 - 4, "reaches": [], "chunks": [],
    }
    yield "truncate", "request", 10, {"session": 65, "offset": 1536}
    yield "truncate_top", "request", 10, {"session": U64, "offset": U64 - 1}
    yield "truncate", "answer", 10, {}
    yield "match", "request", 39, {
        "namespace": "agents", "model_id": 7, "component": 2, "keys": [bytes(range(32)).hex(), bytes(range(32, 64)).hex()],
    }
    yield "match_nothing", "request", 39, {"namespace": "", "model_id": 0, "component": 0, "keys": []}
    yield "match", "answer", 39, {"matched": 2}
    yield "plan_snapshots", "request", 40, {
        "session": 65, "length": U64 - 8, "resumed_at": 512, "boundary": 16, "stride": 8_192, "budget": U32 - 3,
    }
    yield "plan_snapshots", "answer", 40, {"offsets": [16, 8_192, U64]}
    yield "plan_snapshots_none", "answer", 40, {"offsets": []}
    yield "explain", "request", 37, {"session": 65, "at_most": U64, "model_id": 7}
    yield "explain", "answer", 37, {
        "at": 1600, "end": 1700, "offset": 512, "missing_ranks": [3, 1023], "model_difference": "weights",
        "tracks": [
            {"rank": 0, "component": 1, "reach": 512, "cause": "evicted", "missing_from": 512, "missing_to": 768,
             "rule": "expired", "evicted_seconds": 1_700_000_123},
            {"rank": 2, "component": 0, "reach": U64, "cause": "none", "missing_from": U64 - 1, "missing_to": U64 - 2,
             "rule": None, "evicted_seconds": 0},
            {"rank": 2, "component": 1, "reach": 0, "cause": "evicted", "missing_from": 0, "missing_to": 16,
             "rule": "quota", "evicted_seconds": 1_700_000_124},
        ],
    }
    yield "explain_nothing", "answer", 37, {
        "at": 0, "end": 0, "offset": 0, "missing_ranks": [], "model_difference": "", "tracks": [],
    }
    yield "report", "request", 41, {
        "session": 0, "from": 1_700_000_000, "to": 1_700_003_600, "namespace": "agents é", "model_id": 7, "after": 1 << 32 | 6,
    }
    yield "report_session", "request", 41, {
        "session": U64 - 9, "from": 0, "to": U64, "namespace": "", "model_id": U32, "after": U64 - 1,
    }
    yield "report", "answer", 41, {
        "from": 1_699_999_200, "to": 1_700_006_400, "gpu_hour_price": 2_500_000, "next": 1 << 32 | 7,
        "rows": [
            {"namespace": "agents é", "model_id": 7, "stored_tokens": 11, "restored_tokens": 12, "not_recomputed_tokens": 13,
             "page_out_raw_bytes": 14, "page_out_stored_bytes": 15, "page_in_raw_bytes": 16, "page_in_stored_bytes": 17,
             "prefill_rate": 1_700, "rate_origin": "learned", "prefill_avoided_ms": 18},
            {"namespace": "", "model_id": U32, "stored_tokens": U64, "restored_tokens": U64 - 1,
             "not_recomputed_tokens": U64 - 2, "page_out_raw_bytes": U64 - 3, "page_out_stored_bytes": U64 - 4,
             "page_in_raw_bytes": U64 - 5, "page_in_stored_bytes": U64 - 6, "prefill_rate": U32 - 1,
             "rate_origin": "declared", "prefill_avoided_ms": U64 - 7},
        ],
    }
    yield "report_nothing", "answer", 41, {"from": U64, "to": U64 - 1, "gpu_hour_price": 0, "next": 0, "rows": []}
    yield "set_prefill_rate", "request", 42, {"model_id": 7, "prefill_rate": 1_700}
    yield "set_prefill_rate_top", "request", 42, {"model_id": U32, "prefill_rate": U32 - 1}
    yield "set_prefill_rate", "answer", 42, {}
    yield "fork", "request", 36, {"session": U64 - 7, "offset": 1536, "name": "branch/2 é"}
    yield "fork", "answer", 36, {"session": 129, "created": True}
    yield "drop", "request", 11, {"session": 65}
    yield "drop_top", "request", 11, {"session": U64}
    yield "drop", "answer", 11, {}
    yield "list_sessions", "request", 12, {"namespace": "agents", "after": 65}
    yield "list_sessions_all", "request", 12, {"namespace": "", "after": U64}
    yield "list_sessions", "answer", 12, {
        "next": 129,
        "sessions": [
            {
                "session": 65, "namespace": "agents", "name": "branch 7", "owner_user_id": 1000,
                "models": [{"rank": 0, "model_id": 4}, {"rank": 3, "model_id": 1}], "chunks": 3, "raw_bytes": 802_864,
                "stored_bytes": 409_176, "created_seconds": 1_700_000_000, "changed_seconds": 1_700_000_003,
                "ttl_seconds": 7_200,
            },
            {
                "session": U64, "namespace": "", "name": "漢", "owner_user_id": U32, "models": [], "chunks": U64 - 1,
                "raw_bytes": U64 - 2, "stored_bytes": U64 - 3, "created_seconds": U64 - 4, "changed_seconds": U64 - 5,
                "ttl_seconds": U32 - 1,
            },
        ],
    }
    yield "list_sessions_last_page", "answer", 12, {"next": 0, "sessions": []}
    yield "sync", "request", 13, {}
    yield "sync", "answer", U64, {}


def arenas():
    def at(arena, offset):
        return {"arena": arena, "arena_offset": offset}

    yield "open_arena", "request", 30, {"arena_bytes": 64 << 20}
    yield "open_arena", "answer", 30, {"arena": 1}
    yield "register_arena", "request", 31, {"arena_bytes": U64}
    yield "register_arena", "answer", 31, {"arena": U32}
    yield "close_arena", "request", 32, {"arena": 2}
    yield "close_arena", "answer", 32, {}
    yield "put_from_arena", "request", 33, {
        "acknowledgement": "committed", "encoding": "auto",
        "items": [
            {"chunk": chunk(65, 3, 0, 0), "tokens": 3, "payload_place": 1, "payload_bytes": 48, **at(7, 4096), "prefix_key": None},
            put_entry(chunk(65, 3, 1, 0), 1, 2),
            {"chunk": TOP_CHUNK, "tokens": U32, "payload_place": 1, "payload_bytes": U64, **at(U32, U64 - 1), "prefix_key": None},
        ],
    }, b"\x01\x02"
    yield "get_into", "request", 34, {
        "layer_group": 3,
        "items": [
            {"chunk": chunk(65, 3, 0, 0), "first_layer": 2, "layers": 1, "region_bytes": 48, **at(7, 8192)},
            {"chunk": TOP_CHUNK, "first_layer": U32, "layers": U32 - 1, "region_bytes": U64, **at(U32, U64 - 2)},
        ]
    }
    yield "get_into", "answer", 34, {
        "results": [
            {"error": None, "tokens": 3, "payload_place": 1, "payload_bytes": 48, **at(7, 8192)},
            got(0, 0, error("miss", "")),
        ]
    }
    yield "get_into", "progress", 34, {"layers": U32 - 5}
    yield "prefetch", "request", 35, {"session": 65, "at_most": U64 - 6}
    yield "prefetch", "answer", 35, {}


def chunks():
    whole = layout(2, 2, 3, 4)
    yield "put", "request", 14, {
        "acknowledgement": "committed", "encoding": "auto", "items": [put_entry(chunk(65, 3, 0, 0), 3, len(whole))],
    }, whole
    state, row = bytes(range(100, 112)), layout(1, 1, 1, 4)
    yield "put_two_items", "request", 15, {
        "acknowledgement": "durable", "encoding": "cascade",
        "items": [put_entry(chunk(65, 2, 1, 1024), 7, 4), put_entry(chunk(66, 1, 2, 1536), 0, 12)],
    }, row + state
    yield "put_empty_payload", "request", 16, {
        "acknowledgement": "accepted", "encoding": "raw",
        "items": [put_entry(TOP_CHUNK, U32, 0), put_entry(chunk(1, 2, 3, 4), 5, 1)],
    }, b"\xff"
    keyed = {"prefix_key": bytes(range(32)).hex(), "known": False}
    known = {"prefix_key": bytes(range(255, 223, -1)).hex(), "known": True}
    yield "put_keyed", "request", 38, {
        "acknowledgement": "committed", "encoding": "auto",
        "items": [{**put_entry(chunk(65, 3, 0, 0), 3, 4), **keyed}, {**put_entry(chunk(65, 3, 0, 3), 3, 0), **known}],
    }, row
    yield "put_nothing", "request", 17, {"acknowledgement": "accepted", "encoding": "lz4", "items": []}
    yield "put", "answer", 14, {"results": [{"error": None, "stored_bytes": 176}]}
    yield "put_mixed", "answer", 15, {
        "results": [
            {"error": error("conflict", "stored with other bytes"), "stored_bytes": 0},
            {"error": None, "stored_bytes": U64},
            {"error": error("storeUnusable", ""), "stored_bytes": 7},
        ]
    }
    yield "put_nothing", "answer", 17, {"results": []}
    yield "get", "request", 18, {"items": [{"chunk": chunk(65, 3, 0, 0), "first_layer": 0, "layers": 0}]}
    yield "get_layers", "request", 19, {
        "items": [
            {"chunk": chunk(65, 3, 1, 1024), "first_layer": 2, "layers": 1},
            {"chunk": TOP_CHUNK, "first_layer": U32, "layers": U32 - 1},
        ]
    }
    yield "get_nothing", "request", 20, {"items": []}
    yield "get", "answer", 18, {"results": [got(3, len(whole))]}, whole
    yield "get_mixed", "answer", 19, {
        "results": [
            got(1, 4), got(0, 0, error("miss", "no chunk of component 'é' starts at 1024")), got(U32, 0),
            got(0, 0, error("damaged", "")), got(2, 12),
        ]
    }, row + state
    yield "get_nothing", "answer", 20, {"results": []}
    yield from arenas()
    yield "list_chunks", "request", 21, {"from": chunk(65, 3, 1, 1025)}
    yield "list_chunks_top", "request", 21, {"from": TOP_CHUNK}
    yield "list_chunks", "answer", 21, {"chunks": SUMMARIES + [TOP_SUMMARY]}
    yield "list_chunks_empty", "answer", 21, {"chunks": []}
    yield "verify", "request", 22, {"from": chunk(65, 0, 0, 0)}
    yield "verify", "answer", 22, {
        "checked": 12, "raw_bytes": 34_567, "damaged": [{"chunk": chunk(65, 3, 1, 1024), "reason": "block 2: checksum"}],
        "next": chunk(65, 3, 2, 1536),
    }
    yield "verify_last_page", "answer", 22, {"checked": U64, "raw_bytes": U64 - 1, "damaged": [], "next": None}


def facts_and_refusals():
    yield "stat", "request", 23, {}
    yield "stat", "answer", 23, {
        "facts": [{"name": "version", "value": "0.1.0"}, {"name": "data_dir", "value": "/var/lib/lärder"}],
        "counters": [{"name": "file_bytes", "value": 40_960}, {"name": "", "value": U64}],
    }
    yield "stat_empty", "answer", 23, {"facts": [], "counters": []}
    yield "refusal", "refusal", 24, {"code": "modelMismatch", "item": None, "message": "it differs in weights (a → b)"}
    yield "refusal_of_item", "refusal", 25, {"code": "wrongLength", "item": 7, "message": "item 7"}
    yield "refusal_top_item", "refusal", U64, {"code": "malformed", "item": U32 - 1, "message": ""}
    yield "refusal_without_request", "refusal", 0, {"code": "tooManyConnections", "item": None, "message": "at the limit"}


def golden_vectors():
    for group in (handshake_and_models(), sessions(), namespaces(), hints(), chunks(), admin(), facts_and_refusals()):
        for name, kind, request_id, fields, *rest in group:
            content = rest[0] if rest else b""
            message = "refusal" if kind == "refusal" else max(
                (m for m in MESSAGE_TYPES if name == m or name.startswith(m + "_")), key=len)
            body = fields_of(message, kind, fields) + content
            yield {
                "name": name if kind == "refusal" else f"{name}_{kind}", "message": message, "kind": kind,
                "requestID": request_id, "fields": fields, "payload": content.hex(),
                "frame": frame(type_of(message, kind), request_id, body).hex(),
            }


def lines(values):
    return "[\n" + ",\n".join("  " + json.dumps(v, ensure_ascii=False) for v in values) + "\n ]"


def document():
    tables = {
        "message_types": MESSAGE_TYPES, "component_kinds": COMPONENT_KINDS, "element_types": ELEMENT_TYPES,
        "encodings": ENCODINGS, "encoding_choices": ENCODING_CHOICES, "acknowledgements": ACKNOWLEDGEMENTS,
        "sharing": SHARING, "admissions": ADMISSIONS, "hint_kinds": HINT_KINDS, "hint_outcomes": HINT_OUTCOMES,
        "hint_bounds": HINT_BOUNDS, "error_codes": ERROR_CODES, "limits": LIMITS,
    }
    vectors, hostile, connections = list(golden_vectors()), list(hostile_vectors()), list(connection_vectors())
    for group in (vectors, hostile, connections):
        names = [entry["name"] for entry in group]
        assert len(set(names)) == len(names), "two vectors have one name"
    about = "Written by generate_protocol.py; see Docs/PROTOCOL.md. Integers reach 2^64 - 1: read them exactly."
    head = [f' "about": {json.dumps(about)}', ' "version": 1']
    head += [f" {json.dumps(name)}: {json.dumps(table)}" for name, table in tables.items()]
    head += [f' "vectors": {lines(vectors)}', f' "hostile": {lines(hostile)}', f' "connections": {lines(connections)}']
    return "{\n" + ",\n".join(head) + "\n}\n"


def main():
    path = pathlib.Path(__file__).with_name("protocol.json")
    text = document()
    json.loads(text)
    if "--check" in sys.argv[1:]:
        sys.exit(0 if path.read_text(encoding="utf-8") == text else f"{path} is not what this script writes; run it")
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
