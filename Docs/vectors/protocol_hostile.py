"""Frames that must be refused, and sequences of frames that show what ends a connection."""

from protocol_encoding import (
    LIMITS,
    MAGIC,
    MESSAGE_TYPES,
    chunk_name,
    flag,
    frame,
    string,
    type_of,
    u8,
    u16,
    u32,
    u64,
)

NAME = chunk_name({"session": 65, "rank": 3, "component": 1, "offset": 1024})
HELLO = MAGIC + u16(1) + u16(1) + u64(0)
COMPONENT_NUMBERS = u32(2) + u32(2) + u32(4) + u32(0)
MODEL_HEAD = string("m") + string("") + string("") + u32(1) + u32(1) + u32(0)
MODEL = MODEL_HEAD + u16(1) + string("c") + u8(1) + u8(1) + COMPONENT_NUMBERS
SUMMARY_HEAD = NAME + u32(3) + u64(48) + u64(176)
SUMMARY = SUMMARY_HEAD + u8(1) + u64(1_700_000_000)
SESSION_HEAD = u64(65) + string("agents") + string("s") + u32(1000)
BAD_TEXTS = {
    "overlong": b"\xc0\xaf",
    "surrogate": b"\xed\xa0\x80",
    "lone_continuation": b"a\x80",
    "cut_off": b"\xf0\x9f\xa6",
    "beyond_unicode": b"\xf4\x90\x80\x80",
    "latin_1": b"caf\xe9",
}


def text(raw):
    return u16(len(raw)) + raw


def put(items, count=None, acknowledgement=1, encoding=0):
    return u8(acknowledgement) + u8(encoding) + u32(len(items) if count is None else count) + b"".join(items)


def put_item(payload_bytes, place=0):
    # Without the region that an arena's payload needs.
    return NAME + u32(1) + u8(place) + u64(payload_bytes) + u8(0)


def got(payload_bytes, place=0):
    return u16(0) + u32(1) + u8(place) + u64(payload_bytes)


def bad_requests():
    """(name, message, body, code)"""
    yield "empty", "hello", b"", "malformed"
    yield "magic_reversed", "hello", MAGIC[::-1] + HELLO[4:] + string("c"), "handshake"
    yield "http", "hello", b"GET / HTTP/1.1\r\n\r\n", "handshake"
    yield "name_beyond_frame", "hello", HELLO + u16(5) + b"abcd", "malformed"
    yield "name_length_cut", "hello", HELLO + b"\x00", "malformed"
    yield "trailing_byte", "hello", HELLO + string("c") + b"\x00", "malformed"
    for name, raw in BAD_TEXTS.items():
        yield f"name_{name}", "hello", HELLO + text(raw), "invalidArgument"
    yield "empty", "declare_model", b"", "malformed"
    yield "65_components", "declare_model", MODEL_HEAD + u16(LIMITS["components"] + 1), "invalidModel"
    yield "65535_components", "declare_model", MODEL_HEAD + u16(0xFFFF), "invalidModel"
    yield "component_missing", "declare_model", MODEL_HEAD + u16(1), "malformed"
    yield "second_component_missing", "declare_model", MODEL_HEAD + u16(2) + MODEL[len(MODEL_HEAD) + 2 :], "malformed"
    for kind in (0, 4, 255):
        body = MODEL_HEAD + u16(1) + string("c") + u8(kind) + u8(1) + COMPONENT_NUMBERS
        yield f"kind_{kind}", "declare_model", body, "invalidArgument"
    for element in (0, 8, 255):
        body = MODEL_HEAD + u16(1) + string("c") + u8(1) + u8(element) + COMPONENT_NUMBERS
        yield f"element_type_{element}", "declare_model", body, "invalidArgument"
    yield "trailing_byte", "declare_model", MODEL + b"\x01", "malformed"
    yield "revision_latin_1", "declare_model", string("m") + text(b"\xe9"), "invalidArgument"
    names = string("n") + string("s") + u32(1)
    yield "create_2", "open_session", names + u8(2), "invalidArgument"
    yield "create_255", "open_session", names + u8(255), "invalidArgument"
    yield "create_missing", "open_session", names, "malformed"
    yield "trailing_byte", "open_session", names + flag(True) + b"\x00", "malformed"
    yield "namespace_of_65535", "open_session", u16(0xFFFF) + b"n" * 20, "malformed"
    yield "session_name_surrogate", "open_session", string("n") + text(BAD_TEXTS["surrogate"]) + u32(1) + u8(1), "invalidArgument"
    yield from bad_policies()
    yield from bad_puts()
    yield from bad_hints()
    get_item = NAME + u32(0) + u32(0)
    yield "empty", "get", b"", "malformed"
    yield "4097_items", "get", u32(LIMITS["batch_items"] + 1) + get_item * 4, "invalidArgument"
    yield "item_cut", "get", u32(2) + get_item + get_item[:-1], "malformed"
    yield "payload_in_a_request", "get", u32(1) + get_item + b"payload", "malformed"
    for message, length in (
        ("resume", 20), ("explain", 20), ("truncate", 16), ("prefetch", 16), ("drop", 8), ("list_models", 4), ("list_chunks", 20), ("verify", 20),
        ("open_arena", 8), ("register_arena", 8), ("close_arena", 4), ("list_namespaces", 4), ("configure_session", 12),
        ("set_prefill_rate", 8),
        ("set_cap", 8), ("tree", 8), ("repair", 20),
    ):
        yield "one_byte_short", message, bytes(length - 1), "malformed"
        yield "trailing_byte", message, bytes(length + 1), "malformed"
    yield "directory_missing", "backup", b"", "malformed"
    yield "directory_cut", "backup", u16(5) + b"/tmp", "malformed"
    yield "directory_latin_1", "backup", text(b"/caf\xe9"), "invalidArgument"
    yield "directory_trailing_byte", "backup", string("/tmp") + b"\x00", "malformed"
    yield "name_missing", "fork", u64(65) + u64(5), "malformed"
    yield "name_latin_1", "fork", u64(65) + u64(5) + text(b"\xe9"), "invalidArgument"
    yield "trailing_byte", "fork", u64(65) + u64(5) + string("f") + b"\x00", "malformed"
    yield "namespace_missing", "report", bytes(24), "malformed"
    yield "namespace_surrogate", "report", bytes(24) + text(BAD_TEXTS["surrogate"]) + bytes(12), "invalidArgument"
    yield "after_cut", "report", bytes(24) + string("n") + bytes(11), "malformed"
    yield "trailing_byte", "report", bytes(24) + string("n") + bytes(13), "malformed"
    yield "boundary_0", "plan_snapshots", bytes(36), "invalidArgument"
    yield "one_byte_short", "plan_snapshots", bytes(24) + u32(1) + bytes(7), "malformed"
    yield "trailing_byte", "plan_snapshots", bytes(24) + u32(1) + bytes(9), "malformed"
    yield "keys_missing", "match", string("n") + u32(1) + u16(0), "malformed"
    yield "4097_keys", "match", string("n") + u32(1) + u16(0) + u32(LIMITS["batch_items"] + 1), "invalidArgument"
    yield "key_cut", "match", string("n") + u32(1) + u16(0) + u32(1) + bytes(31), "malformed"
    yield "trailing_byte", "match", string("n") + u32(1) + u16(0) + u32(1) + bytes(33), "malformed"
    yield "empty", "get_into", b"", "malformed"
    yield "items_missing", "get_into", u32(1), "malformed"
    yield "4097_items", "get_into", u32(0) + u32(LIMITS["batch_items"] + 1), "invalidArgument"
    yield "item_cut", "get_into", u32(0) + u32(1) + get_item + u32(1) + u64(0) + u64(1)[:-1], "malformed"
    yield "after_missing", "list_sessions", string("n"), "malformed"
    yield "namespace_overlong", "list_sessions", text(BAD_TEXTS["overlong"]) + u64(0), "invalidArgument"
    yield "trailing_byte", "list_sessions", string("") + u64(0) + b"\x00", "malformed"
    yield "trailing_byte", "stat", b"\x00", "malformed"
    yield "trailing_byte", "sync", b"\x00", "malformed"


def bad_policies():
    def change(mask, fields):
        return string("n") + u16(mask) + fields

    yield "mask_missing", "configure_namespace", string("n"), "malformed"
    yield "bit_7", "configure_namespace", change(1 << 7, b"\x00"), "invalidArgument"
    yield "bit_15", "configure_namespace", change(1 << 15, b""), "invalidArgument"
    yield "sharing_2", "configure_namespace", change(1, u8(2)), "invalidArgument"
    yield "sharing_missing", "configure_namespace", change(1, b""), "malformed"
    yield "salt_of_33_bytes", "configure_namespace", change(2, u8(33) + bytes(33)), "invalidArgument"
    yield "salt_cut", "configure_namespace", change(2, u8(32) + bytes(31)), "malformed"
    yield "ttl_cut", "configure_namespace", change(4, bytes(3)), "malformed"
    yield "max_bytes_missing", "configure_namespace", change(24, u64(1)), "malformed"
    yield "admission_2", "configure_namespace", change(64, u8(2)), "invalidArgument"
    yield "trailing_byte", "configure_namespace", change(0, b"\x00"), "malformed"
    yield "namespace_overlong", "configure_namespace", text(BAD_TEXTS["overlong"]) + u16(0), "invalidArgument"


def bad_hints():
    head = u32(1) + u8(1) + u8(0) + u32(40)
    track = u8(2) + u64(65) + u64(0) + u64(5) + u16(0) + u16(0)
    yield "empty", "hint", b"", "malformed"
    yield "4097_hints", "hint", u32(LIMITS["batch_items"] + 1), "invalidArgument"
    yield "hint_missing", "hint", u32(1), "malformed"
    for kind in (0, 6, 255):
        yield f"kind_{kind}", "hint", u32(1) + u8(kind) + bytes(30), "invalidArgument"
    yield "target_3", "hint", head + u8(3) + bytes(24), "invalidArgument"
    yield "range_cut", "hint", head + u8(0) + bytes(23), "malformed"
    yield "trailing_byte", "hint", head + u8(0) + bytes(25), "malformed"
    yield "namespace_latin_1", "hint", head + u8(1) + text(b"\xe9") + bytes(10), "invalidArgument"
    yield "4097_keys", "hint", head + track + u32(LIMITS["batch_items"] + 1), "invalidArgument"
    yield "key_cut", "hint", head + track + u32(1) + bytes(31), "malformed"
    yield "keys_missing", "hint", head + u8(1) + string("n") + u32(1) + u16(0), "malformed"


def bad_puts():
    yield "empty", "put", b"", "malformed"
    yield "acknowledgement_3", "put", put([], acknowledgement=3), "invalidArgument"
    yield "encoding_4", "put", put([], encoding=4), "invalidArgument"
    yield "4097_items", "put", put([], count=LIMITS["batch_items"] + 1), "invalidArgument"
    yield "4294967295_items", "put", put([], count=0xFFFF_FFFF), "invalidArgument"
    yield "4096_items_missing", "put", put([], count=LIMITS["batch_items"]), "malformed"
    yield "item_cut", "put", put([put_item(0)[:-1]]), "malformed"
    bare = put_item(0)[:-1]
    yield "naming_3", "put", put([bare + u8(3) + bytes(32)]), "invalidArgument"
    yield "key_cut", "put", put([bare + u8(1) + bytes(31)]), "malformed"
    yield "known_with_payload", "put", put([put_item(5)[:-1] + u8(2) + bytes(32)]) + b"12345", "malformed"
    yield "payload_place_2", "put", put([put_item(1, place=2)]) + b"x", "invalidArgument"
    yield "payload_region_missing", "put", put([put_item(1, place=1)]), "malformed"
    yield "payload_missing", "put", put([put_item(1)]), "malformed"
    yield "payload_one_byte_short", "put", put([put_item(9)]) + b"x" * 8, "malformed"
    yield "payload_of_2_to_the_63", "put", put([put_item(1 << 63)]) + b"x", "malformed"
    yield "payload_of_2_to_the_64", "put", put([put_item(2**64 - 1)]) + b"x", "malformed"
    yield "second_payload_too_long", "put", put([put_item(5), put_item(6)]) + b"x" * 10, "malformed"
    yield "payload_sum_wraps", "put", put([put_item(5), put_item(2**64 - 5)]) + b"x" * 5, "malformed"
    yield "trailing_byte", "put", put([put_item(4)]) + b"x" * 5, "malformed"
    yield "trailing_byte_without_items", "put", put([]) + b"x", "malformed"


def bad_progress():
    yield "one_byte_short", "get_into", bytes(3), "malformed"
    yield "trailing_byte", "get_into", bytes(5), "malformed"


def bad_answers():
    """(name, message, body, code): for requests the code is the daemon's answer; here it is what our client reports."""
    over_page = u32(LIMITS["page_entries"] + 1)
    numbers = u16(1) + u64(0) + u32(1) + u32(1) + u32(1) + u64(1) + u64(2)
    yield "server_name_missing", "hello", numbers, "malformed"
    yield "trailing_byte", "hello", numbers + string("d") + b"\x00", "malformed"
    yield "fingerprint_of_31_bytes", "declare_model", u32(1) + bytes(31), "malformed"
    yield "fingerprint_of_33_bytes", "declare_model", u32(1) + bytes(33), "malformed"
    yield "created_2", "open_session", u64(65) + u8(2), "invalidArgument"
    yield "4097_results", "put", u32(LIMITS["batch_items"] + 1), "invalidArgument"
    yield "error_message_missing", "put", u32(1) + u16(17), "malformed"
    yield "error_message_latin_1", "put", u32(1) + u16(17) + text(b"\xe9") + u64(0), "invalidArgument"
    yield "4097_results", "get", u32(LIMITS["batch_items"] + 1), "invalidArgument"
    yield "payload_place_2", "get", u32(1) + got(1, place=2) + b"x", "invalidArgument"
    yield "payload_missing", "get", u32(1) + got(1), "malformed"
    yield "payload_of_2_to_the_64", "get", u32(1) + got(2**64 - 1) + b"x", "malformed"
    yield "trailing_byte", "get", u32(1) + got(1) + b"xy", "malformed"
    yield "complete_2", "resume", u64(0) + u8(2) + bytes(28) + u32(0) + u32(0), "invalidArgument"
    yield "65537_reaches", "resume", u64(0) + u8(1) + bytes(28) + u32(65_537), "invalidArgument"
    yield "16385_chunks", "resume", u64(0) + u8(1) + bytes(28) + u32(0) + u32(LIMITS["resume_chunks"] + 1), "invalidArgument"
    yield "chunks_missing", "resume", u64(0) + u8(1) + bytes(28) + u32(0), "malformed"
    yield "complete_2", "tree", u8(2) + u32(0), "invalidArgument"
    yield "16385_lines", "tree", u8(1) + u32(LIMITS["tree_lines"] + 1), "invalidArgument"
    yield "line_cut", "tree", u8(1) + u32(1) + bytes(32) + string("s") + bytes(39), "malformed"
    yield "trailing_byte", "tree", u8(1) + u32(0) + b"\x00", "malformed"
    yield "reason_missing", "repair", bytes(12), "malformed"
    yield "reason_latin_1", "repair", bytes(12) + text(b"\xe9"), "invalidArgument"
    yield "one_byte_short", "backup", bytes(19), "malformed"
    yield "trailing_byte", "backup", bytes(21), "malformed"
    track = u16(0) + u16(0) + u64(0)
    yield "4097_offsets", "plan_snapshots", u32(4_097), "invalidArgument"
    yield "1025_ranks", "explain", bytes(24) + u32(1_025), "invalidArgument"
    yield "cause_5", "explain", bytes(24) + u32(0) + string("") + u32(1) + track + u8(5) + bytes(25), "invalidArgument"
    yield "rule_6", "explain", bytes(24) + u32(0) + string("") + u32(1) + track + bytes(17) + u8(6) + u64(0), "invalidArgument"
    yield "trailing_byte", "explain", bytes(24) + u32(0) + string("") + u32(0) + b"\x00", "malformed"
    row = string("n") + bytes(64)
    yield "1001_rows", "report", bytes(32) + over_page, "invalidArgument"
    yield "row_missing", "report", bytes(32) + u32(2) + row + bytes(9), "malformed"
    yield "origin_3", "report", bytes(32) + u32(1) + row + u8(3) + u64(0), "invalidArgument"
    yield "trailing_byte", "report", bytes(32) + u32(1) + row + bytes(10), "malformed"
    yield "trailing_byte", "set_prefill_rate", b"\x00", "malformed"
    yield "trailing_byte", "truncate", bytes(1), "malformed"
    yield "trailing_byte", "drop", b"\x00", "malformed"
    yield "trailing_byte", "sync", b"\x00", "malformed"
    yield "1001_models", "list_models", over_page, "invalidArgument"
    yield "65_components", "list_models", u32(1) + u32(1) + bytes(32) + MODEL_HEAD + u16(65), "invalidModel"
    yield "1001_sessions", "list_sessions", u64(0) + over_page, "invalidArgument"
    yield "1025_models", "list_sessions", u64(0) + u32(1) + SESSION_HEAD + u32(LIMITS["group_size"] + 1), "invalidArgument"
    yield "1001_chunks", "list_chunks", over_page, "invalidArgument"
    for encoding in (0, 4):
        yield f"encoding_{encoding}", "list_chunks", u32(1) + SUMMARY_HEAD + u8(encoding) + u64(0), "invalidArgument"
    yield "second_chunk_cut", "list_chunks", u32(2) + SUMMARY + SUMMARY[:-1], "malformed"
    policy = u8(0) + u8(0) + bytes(24)
    yield "sharing_2", "configure_namespace", u8(2) + u8(0) + bytes(24) + u8(0), "invalidArgument"
    yield "has_salt_2", "configure_namespace", u8(0) + u8(2) + bytes(24) + u8(0), "invalidArgument"
    yield "admission_2", "configure_namespace", policy + u8(2), "invalidArgument"
    yield "trailing_byte", "configure_namespace", policy + u8(0) + b"\x00", "malformed"
    yield "1001_namespaces", "list_namespaces", over_page, "invalidArgument"
    yield "policy_cut", "list_namespaces", u32(1) + u32(1) + string("n") + u32(0) + u64(0) + policy, "malformed"
    yield "trailing_byte", "configure_session", b"\x00", "malformed"
    yield "4097_results", "hint", u32(LIMITS["batch_items"] + 1), "invalidArgument"
    yield "outcome_5", "hint", u32(1) + u8(5) + bytes(23), "invalidArgument"
    yield "bound_10", "hint", u32(1) + u8(0) + u8(10) + bytes(22), "invalidArgument"
    yield "reason_missing", "hint", u32(1) + bytes(22), "malformed"
    yield "trailing_byte", "hint", u32(1) + bytes(25), "malformed"
    yield "one_byte_short", "set_cap", bytes(15), "malformed"
    yield "trailing_byte", "set_cap", bytes(17), "malformed"
    yield "1001_facts", "stat", over_page, "invalidArgument"
    yield "1001_counters", "stat", u32(0) + over_page, "invalidArgument"
    yield "1001_damaged", "verify", u64(0) + u64(0) + over_page, "invalidArgument"
    yield "more_2", "verify", u64(0) + u64(0) + u32(0) + u8(2) + NAME, "invalidArgument"
    yield "next_missing", "verify", u64(0) + u64(0) + u32(0) + flag(True), "malformed"
    yield "next_unannounced", "verify", u64(0) + u64(0) + u32(0) + flag(False) + NAME, "malformed"


def hostile_vectors():
    """Frames whose body must be refused, with the documented code."""
    groups = (("request", bad_requests()), ("answer", bad_answers()), ("progress", bad_progress()))
    for kind, group in groups:
        for name, message, body, code in group:
            yield {
                "name": f"{message}_{kind}_{name}", "message": message, "kind": kind, "code": code,
                "frame": frame(type_of(message, kind), 42, body).hex(),
            }
    for name, body, code in (
        ("message_missing", u16(1) + u32(0xFFFF_FFFF), "malformed"),
        ("message_latin_1", u16(1) + u32(0) + text(b"\xe9"), "invalidArgument"),
        ("trailing_byte", u16(1) + u32(0) + string("x") + b"\x00", "malformed"),
    ):
        yield {
            "name": f"refusal_{name}", "message": "refusal", "kind": "refusal", "code": code,
            "frame": frame(0xFFFF, 42, body).hex(),
        }


def connection_vectors():
    """Frames that a client sends on a new connection; the last is refused, and the connection then ends or goes on."""
    stat, hello_type = MESSAGE_TYPES["stat"], MESSAGE_TYPES["hello"]
    hello = frame(hello_type, 1, HELLO + string("vectors"))

    def case(name, code, ends, *frames):
        return {"name": name, "frames": [f.hex() for f in frames], "code": code, "ends": ends}

    def greeting(oldest, newest, name="vectors"):
        return frame(hello_type, 42, MAGIC + u16(oldest) + u16(newest) + u64(0) + string(name))

    over_long = u32(LIMITS["frame_bytes"] + 1) + u16(stat) + u16(0) + u64(42)
    yield case("request_before_handshake", "handshake", True, frame(stat, 42, b""))
    yield case("unknown_request_before_handshake", "handshake", True, frame(0x7FFF, 42, b""))
    yield case("wrong_magic", "handshake", True, frame(hello_type, 42, b"XXXX" + HELLO[4:] + string("vectors")))
    yield case("malformed_handshake", "malformed", True, frame(hello_type, 42, HELLO))
    yield case("later_versions_only", "protocolVersion", True, greeting(2, 3))
    yield case("earlier_versions_only", "protocolVersion", True, greeting(0, 0))
    yield case("versions_reversed", "protocolVersion", True, greeting(1, 0))
    yield case("client_name_empty", "invalidArgument", True, greeting(1, 1, ""))
    yield case("client_name_of_256_bytes", "invalidArgument", True, greeting(1, 1, "x" * 256))
    yield case("client_name_with_control_character", "invalidArgument", True, greeting(1, 1, "a\nb"))
    yield case("flags_before_handshake", "malformed", True, frame(hello_type, 42, HELLO + string("vectors"), flags=1))
    yield case("flags", "malformed", True, hello, frame(stat, 42, b"", flags=0x8000))
    yield case("frame_too_long_before_handshake", "frameTooLong", True, over_long)
    yield case("frame_too_long", "frameTooLong", True, hello, over_long)
    yield case("second_handshake", "handshake", False, hello, greeting(1, 1))
    for type_number in (0x0000, 0x00FF, 0x7FFF, 0x8001, 0x800C, 0xFFFF):
        yield case(f"unknown_request_{type_number:04x}", "unknownRequest", False, hello, frame(type_number, 42, b""))
    for entry in bad_requests():
        if entry[1] != "hello":
            name, message, body, code = entry
            yield case(f"{message}_{name}", code, False, hello, frame(MESSAGE_TYPES[message], 42, body))
