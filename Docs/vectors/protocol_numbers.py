"""The numbers and limits of Docs/PROTOCOL.md."""

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
    "report": 0x001B,
    "set_prefill_rate": 0x001C,
    "hint": 0x001D,
    "set_cap": 0x001E,
    "tree": 0x0021,
    "repair": 0x0022,
    "backup": 0x0023,
}
ANSWER_BIT = 0x8000
PROGRESS_BIT = 0x4000
MISS_CAUSES = {"none": 0, "noState": 1, "neverStored": 2, "evicted": 3, "damaged": 4}
EVICTION_RULES = {"cold": 1, "expired": 2, "useless": 3, "requested": 4, "quota": 5}
RATE_ORIGINS = {"none": 0, "declared": 1, "learned": 2}
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
HINT_KINDS = {"retain": 1, "pin": 2, "prefetch": 3, "demote": 4, "share": 5}
HINT_OUTCOMES = {"accepted": 0, "clipped": 1, "deferred": 2, "rejected": 3, "missing": 4}
HINT_BOUNDS = {
    "none": 0, "limit": 1, "bytes": 2, "count": 3, "stored": 4, "shared": 5, "queue": 6, "policy": 7, "conflict": 8,
    "argument": 9,
}
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
    "declined": 28,
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
    "tree_lines": 16384,
}
