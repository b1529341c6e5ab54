"""Vectors of namespaces, of their policies, and of the cap."""

U32, U64 = 2**32 - 1, 2**64 - 1


def namespaces():
    nothing = {
        "sharing": None, "salt": None, "ttl_seconds": None, "min_bytes": None, "max_bytes": None, "max_sessions": None,
        "admission": None,
    }
    policy = {
        "sharing": "off", "has_salt": True, "ttl_seconds": 86_400, "min_bytes": 10 << 30, "max_bytes": 100 << 30,
        "max_sessions": 1_000, "admission": "secondTouch",
    }
    top = {
        "sharing": "shared", "has_salt": False, "ttl_seconds": U32, "min_bytes": U64 - 1, "max_bytes": U64 - 2,
        "max_sessions": U32 - 3, "admission": "everything",
    }
    yield "configure_namespace", "request", 41, {"namespace": "agents", "change": {
        "sharing": "off", "salt": bytes(range(200, 232)).hex(), "ttl_seconds": 86_400, "min_bytes": 10 << 30,
        "max_bytes": 100 << 30, "max_sessions": 1_000, "admission": "secondTouch",
    }}
    yield "configure_namespace_nothing", "request", 41, {"namespace": "", "change": nothing}
    yield "configure_namespace_salt_removed", "request", 41, {"namespace": "ñ", "change": {**nothing, "salt": ""}}
    yield "configure_namespace_top", "request", 41, {"namespace": "n", "change": {
        **nothing, "ttl_seconds": U32, "max_bytes": U64 - 2, "max_sessions": U32 - 3,
    }}
    yield "configure_namespace", "answer", 41, policy
    yield "configure_namespace_top", "answer", 41, top
    yield "list_namespaces", "request", 43, {"after": 7}
    yield "list_namespaces_top", "request", 43, {"after": U32}
    yield "list_namespaces", "answer", 43, {"namespaces": [
        {"namespace_id": 8, "name": "agents", "owner_user_id": 1000, "sessions": 12, "policy": policy},
        {"namespace_id": U32, "name": "漢", "owner_user_id": U32 - 1, "sessions": U64, "policy": top},
    ]}
    yield "list_namespaces_empty", "answer", 43, {"namespaces": []}
    yield "configure_session", "request", 44, {"session": 65, "ttl_seconds": 7_200}
    yield "configure_session_top", "request", 44, {"session": U64, "ttl_seconds": U32 - 1}
    yield "configure_session", "answer", 44, {}
    yield "set_cap", "request", 48, {"cap_bytes": 10 << 30}
    yield "set_cap_top", "request", 48, {"cap_bytes": U64}
    yield "set_cap", "answer", 48, {"cap_bytes": 10 << 30, "disk_bytes": 12_345_344}
    yield "set_cap_top", "answer", 48, {"cap_bytes": U64, "disk_bytes": U64 - 1}
