"""Vectors of what an admin asks: trees of sessions, repairs, backups."""

U32, U64 = 2**32 - 1, 2**64 - 1


def admin():
    def line(number, parent, offset, session, name, end, chunks, raw, stored, changed):
        return {
            "line": number, "parent": parent, "offset": offset, "session": session, "name": name, "end": end,
            "chunks": chunks, "raw_bytes": raw, "stored_bytes": stored, "changed_seconds": changed,
        }

    chunk = {"session": 65, "rank": 3, "component": 1, "offset": 1_024}
    yield "tree", "request", 50, {"session": 65}
    yield "tree_top", "request", 50, {"session": U64}
    yield "tree", "answer", 50, {"complete": True, "lines": [
        line(7, 0, 0, 0, "", 1_600, 12, 34_567, 23_456, 1_700_000_001),
        line(9, 7, 1_536, 65, "branch é", 1_700, 3, 456, 345, 1_700_000_002),
        line(U64, U64 - 1, U64 - 2, U64 - 3, "漢", U64 - 4, U64 - 5, U64 - 6, U64 - 7, U64 - 8),
    ]}
    yield "tree_cut", "answer", 50, {"complete": False, "lines": []}
    yield "repair", "request", 51, {"chunk": chunk}
    yield "repair", "answer", 51, {"removed": 2, "freed_bytes": 4_321, "reason": "block 2: checksum"}
    yield "repair_nothing", "answer", 51, {"removed": U32, "freed_bytes": U64, "reason": ""}
    yield "backup", "request", 52, {"directory": "/var/backups/lärder"}
    yield "backup", "progress", 52, {"copied_bytes": 1 << 20, "total_bytes": 10 << 30}
    yield "backup", "answer", 52, {"shards": 4, "bytes": 10 << 30, "created_seconds": 1_700_000_003}
    yield "backup_top", "answer", 52, {"shards": U32, "bytes": U64 - 1, "created_seconds": U64}
