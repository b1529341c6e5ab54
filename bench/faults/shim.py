"""The C shim (shim.c) from outside: builds it, arms its faults, moves its clock, reads what it recorded."""

import mmap
import os
import struct
import subprocess
from typing import Iterator, NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))

# Kinds of calls, a bit mask: CALL_* of shim.c. msync is not among them: Larder and LMDB without MDB_WRITEMAP make none.
CALLS = {
    "write": 1, "sync": 2, "truncate": 4, "fallocate": 8, "rename": 16, "open": 32, "read": 64, "unlink": 128,
    "mkdir": 256,
}
# What becomes of a call: ACT_* of shim.c. "short" does half of a write and says so; "tear-*" does half and then fails
# or dies.
ACTIONS = {
    "EIO": 1, "ENOSPC": 2, "tear-EIO": 3, "short": 4, "kill": 5, "tear-kill": 6, "tear-ENOSPC": 7,
}
FOR_EVER = -1


def build(directory: str) -> str:
    """Compiles the shim into `directory` and returns its path."""
    path = os.path.join(directory, "shim.so")
    command = [os.environ.get("CC", "cc"), "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", path, os.path.join(HERE, "shim.c"), "-ldl", "-lpthread"], check=True)
    return path


class Shim:
    """One daemon's shim: `environment` is for its process, the rest is for the harness while it runs."""

    _LAYOUT = struct.Struct("<IIIIqqQQq")

    def __init__(self, library: str, data_directory: str, scratch: str, record: str | None = None):
        control = os.path.join(scratch, "control")
        with open(control, "wb") as file:
            file.write(bytes(4096))
        with open(control, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 4096)
        self.environment = {
            "LD_PRELOAD": library, "LARDER_FAULTS_DIRECTORY": os.path.realpath(data_directory),
            "LARDER_FAULTS_CONTROL": control,
        }
        if record:
            self.environment["LARDER_FAULTS_RECORD"] = record

    def _write(self, armed: int, calls: int, action: int, skip: int, fail: int) -> None:
        offset = self._LAYOUT.unpack_from(self._map)[-1]
        # Unarmed first: the daemon never sees half of a change.
        struct.pack_into("<I", self._map, 0, 0)
        self._LAYOUT.pack_into(self._map, 0, 0, calls, action, 0, skip, fail, 0, 0, offset)
        struct.pack_into("<I", self._map, 0, armed)

    def arm(self, calls: list[str], action: str, skip: int = 0, fail: int = 1) -> None:
        """After `skip` more calls of these kinds the next `fail` suffer `action` (FOR_EVER: all that follow)."""
        self._write(1, sum(CALLS[call] for call in calls), ACTIONS[action], skip, fail)

    def disarm(self) -> None:
        """Lets all calls through again."""
        struct.pack_into("<I", self._map, 0, 0)

    @property
    def failed(self) -> int:
        """Calls that failed since the shim was last armed."""
        return self._LAYOUT.unpack_from(self._map)[7]

    @property
    def seen(self) -> int:
        """Calls of the armed kinds since the shim was last armed."""
        return self._LAYOUT.unpack_from(self._map)[6]

    def shift_wall_clock(self, seconds: int) -> None:
        """Moves CLOCK_REALTIME as the daemon sees it, from what it really is."""
        struct.pack_into("<q", self._map, 48, seconds)


class Operation(NamedTuple):
    """One recorded call that changed files, or made changes safe."""

    start_ns: int
    end_ns: int
    kind: str
    inode: int
    offset: int
    length: int
    paths: tuple[str, ...]
    payload: memoryview


_KINDS = ("", "create", "write", "truncate", "punch", "sync", "rename", "unlink", "mkdir", "rmdir", "failed sync")
_RECORD = struct.Struct("<QQIIQQQ")


def read_record(path: str) -> Iterator[Operation]:
    """The calls in the order in which they were made. One that the daemon's death has cut off is left out."""
    with open(path, "rb") as file:
        data = memoryview(file.read())
    position = 0
    while position + _RECORD.size <= len(data):
        start, end, op, path_bytes, inode, offset, length = _RECORD.unpack_from(data, position)
        position += _RECORD.size
        payload_bytes = length if _KINDS[op] == "write" else 0
        if position + path_bytes + payload_bytes > len(data):
            return
        names = bytes(data[position:position + path_bytes]).decode().split("\0")[:-1]
        position += path_bytes
        payload = data[position:position + payload_bytes]
        yield Operation(start, end, _KINDS[op], inode, offset, length, tuple(names), payload)
        position += payload_bytes
