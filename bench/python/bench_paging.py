#!/usr/bin/env python3
"""What paging costs from Python, next to the Swift client in the same run.

Starts a daemon of its own and pages real attention state (bench/data/kv as bf16), one chunk a call, from and to an
arena and from and to memory of the caller's own. Where larder-bench is built, it pages as much through the Swift
client, which uses an arena, in turns with this one: what the machine does meanwhile falls on both alike.

    PYTHONPATH=Clients/python/src python3 bench/python/bench_paging.py [--seconds 1] [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import array
import ctypes
import json
import os
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import larder
from larder.wire.numbers import EncodingChoice

REPOSITORY = Path(__file__).resolve().parents[2]
#: Bytes of chunks that are paged in turn, as larder-bench has it.
SET_BYTES = 32 << 20
ROW_BYTES = 512
#: Seconds between a run of larder-bench and the next figure of this side.
SETTLE_SECONDS = 0.3
WORD = 2**64 - 1
#: From <linux/prctl.h>.
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)
#: What a page-in of 1 MiB to an arena is to reach of the Swift client's throughput.
GOAL = 0.8


def sample_planes() -> list[bytes]:
    """The planes of the real state as bfloat16, rounded to the nearest, ties to even."""
    planes = []
    for path in sorted((REPOSITORY / "bench/data/kv").glob("*.bin")):
        raw = path.read_bytes()
        count = len(raw) // 2
        singles = array.array("I", struct.pack(f"<{count}f", *struct.unpack(f"<{count}e", raw)))
        planes.append(array.array("H", [(one + 0x7FFF + (one >> 16 & 1)) >> 16 for one in singles]).tobytes())
    if not planes:
        sys.exit(f"no state in {REPOSITORY / 'bench/data/kv'}")
    return planes


def split_mix(state: int) -> Iterator[int]:
    """SplitMix64 (Steele, Lea, Flood 2014), as larder-bench has it."""
    while True:
        state = state + 0x9E37_79B9_7F4A_7C15 & WORD
        mixed = (state ^ state >> 30) * 0xBF58_476D_1CE4_E5B9 & WORD
        mixed = (mixed ^ mixed >> 27) * 0x94D0_49BB_1331_11EB & WORD
        yield mixed ^ mixed >> 31


def chunk_of(planes: Sequence[bytes], index: int, tokens: int) -> bytes:
    """The very chunk that larder-bench pages: K and V of the real values, begun at another row for each index, with the
    lowest bit of one value in 64 flipped, so that no two are equal."""
    chunk = bytearray()
    for plane in range(2):
        source = planes[(index * 2 + plane) % len(planes)]
        first = (index * 37 + plane * 11) * ROW_BYTES % len(source)
        turned = bytearray(source[first:] + source[:first])
        while len(turned) < tokens * ROW_BYTES:
            turned *= 2
        del turned[tokens * ROW_BYTES :]
        for start, number in zip(range(0, len(turned), 128), split_mix(index * 2 + plane), strict=False):
            turned[start + number % 64 * 2] ^= 1
        chunk += turned
    return bytes(chunk)


def state_chunks(planes: Sequence[bytes], size: int, set_bytes: int = SET_BYTES) -> list[bytes]:
    """A set of different chunks of one size, of the real state."""
    count = max(1, min(set_bytes // size, 1_024))
    return [chunk_of(planes, index, size // (2 * ROW_BYTES)) for index in range(count)]


def die_with_parent() -> None:
    """Between fork and exec: has the kernel kill this child when its parent ends, in whatever way."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Daemon:
    """A larderd in a directory of its own. It is gone when this process is."""

    def __init__(self, executable: str) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="larder-bench-")
        self.socket = self.directory.name + "/s"
        # In a session of its own: an interrupt from the keyboard is for this process, which then ends it.
        self.process = subprocess.Popen(
            [executable, "--socket", self.socket, "--data-dir", self.directory.name + "/store", "--log-level", "error"],
            start_new_session=True,
            preexec_fn=die_with_parent,
        )

    def __enter__(self) -> larder.Client:
        deadline = time.monotonic() + 60
        while True:
            try:
                return larder.connect(self.socket, name="bench_paging")
            except larder.ConnectionFailed:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.directory.cleanup()


class Set:
    """Chunks of one size: in an arena, in memory of this process, and stored in a session."""

    def __init__(self, client: larder.Client, chunks: list[bytes]) -> None:
        self.client = client
        self.size = size = len(chunks[0])
        self.tokens = size // (2 * ROW_BYTES)
        self.count = len(chunks)
        kv = larder.Component("kv", kind="attention", element_type="bf16", layers=1, planes=2, row_bytes=ROW_BYTES)
        self.model = client.declare_model(larder.Model(name=f"bench-{size}", components=(kv,)))
        self.bytes = chunks
        self.own = [bytearray(one) for one in self.bytes]
        self.arena = client.open_arena(size * self.count)
        self.slices = [self.arena[size * index : size * (index + 1)] for index in range(self.count)]
        for one, data in zip(self.slices, self.bytes, strict=True):
            one.view[:] = data
        self.sessions = 0

    def session(self) -> larder.Session:
        self.sessions += 1
        return self.client.open_session("bench", f"{self.size}-{self.sessions}", self.model)

    def page_outs(self, session: larder.Session, memory: Sequence[object]) -> list[larder.PageOut]:
        return [larder.PageOut(session, index * self.tokens, self.tokens, one) for index, one in enumerate(memory)]

    def page_ins(self, session: larder.Session, memory: Sequence[object]) -> list[larder.PageIn]:
        return [larder.PageIn(session, index * self.tokens, one) for index, one in enumerate(memory)]

    def check(self) -> None:
        """Every byte that was paged in is the one that was paged out."""
        for data, one, own in zip(self.bytes, self.slices, self.own, strict=True):
            if one.view != data or own != data:
                sys.exit("what was paged in is not what was paged out")


def put_for(chunks: Set, memory: Sequence[object], encoding: EncodingChoice, seconds: float) -> list[int]:
    """Latencies in nanoseconds of put_from, one chunk a call, to sessions that are dropped when they are full."""
    taken: list[int] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        session = chunks.session()
        for one in chunks.page_outs(session, memory):
            start = time.perf_counter_ns()
            (result,) = chunks.client.put_from([one], encoding=encoding)
            taken.append(time.perf_counter_ns() - start)
            if isinstance(result, (larder.Busy, larder.Full)):
                taken.pop()
            elif isinstance(result, larder.LarderError):
                raise result
            if time.monotonic() > end:
                break
        session.drop()
    # What comes next is not to wait for this: larder-bench does so, too.
    chunks.client.sync()
    return taken


def get_for(chunks: Set, session: larder.Session, memory: Sequence[object], seconds: float) -> list[int]:
    """Latencies in nanoseconds of get_into, one chunk a call."""
    taken: list[int] = []
    end = time.monotonic() + seconds
    items = chunks.page_ins(session, memory)
    while time.monotonic() < end:
        for one in items:
            start = time.perf_counter_ns()
            (result,) = chunks.client.get_into([one])
            taken.append(time.perf_counter_ns() - start)
            if isinstance(result, larder.LarderError):
                raise result
    return taken


def swift(executable: str, size: int, encoding: EncodingChoice, seconds: float) -> dict[str, float]:
    """Medians in nanoseconds of the Swift client, by direction."""
    command = [
        executable,
        "page",
        "--workers",
        "1",
        "--size",
        str(size),
        "--encoding",
        encoding,
        "--seconds",
        str(seconds),
        "--json",
        "--data",
        str(REPOSITORY / "bench/data/kv"),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    # Its store was deleted at its end: the kernel frees gigabytes, and what is measured next would pay for it.
    time.sleep(SETTLE_SECONDS)
    return {one["name"]: one["value"] * 1000 for one in json.loads(done.stdout) if one["name"].endswith("_p50")}


#: Of a chunk's size and an encoding, the Swift client's medians.
SwiftFigures = Callable[[int, str], dict[str, float]]


class Row(NamedTuple):
    """One figure of this client, and the Swift client's, each with a median (in nanoseconds) for every round."""

    operation: str
    memory: str
    chunk_bytes: int
    encoding: str
    ours: list[float]
    swift: list[float]

    @property
    def p50(self) -> float:
        """The median of the rounds, in nanoseconds."""
        return statistics.median(self.ours)

    @property
    def over_swift(self) -> float | None:
        """The median of the rounds' ratios of throughput."""
        ratios = [swift / ours for ours, swift in zip(self.ours, self.swift, strict=bool(self.swift))]
        return statistics.median(ratios) if ratios else None

    @property
    def best_over_swift(self) -> float | None:
        """The ratio of the best rounds: what is left where others took the processors in most of them."""
        return min(self.swift) / min(self.ours) if self.swift else None

    def as_json(self) -> dict[str, object]:
        """In the form of larder-bench's measurements."""
        name = f"python_{self.operation}_{self.memory}_{self.encoding}_{self.chunk_bytes}"
        detail = {
            "p50_us": f"{self.p50 / 1000:.1f}",
            "gb_per_s": f"{self.chunk_bytes / self.p50:.2f}",
            "best_over_swift": f"{self.best_over_swift or 0:.2f}",
        }
        goal = GOAL if self.has_goal else None
        value = {"value": self.over_swift, "unit": "ratio", "goal": goal, "better": "higher"}
        return {"name": f"{name}_over_swift", **value, "detail": detail}

    @property
    def has_goal(self) -> bool:
        """True of what the client is measured by."""
        return (self.operation, self.memory, self.chunk_bytes) == ("get_into", "arena", 1 << 20)

    def __str__(self) -> str:
        ratios = [self.over_swift, self.best_over_swift]
        shown = "".join(f"{'-':>12}" if one is None else f"{one:12.2f}" for one in ratios)
        goal = f"  >= {GOAL}" if self.has_goal else ""
        name = f"{self.operation:10}{self.memory:8}{self.chunk_bytes:9} {self.encoding:9}"
        return f"{name}{self.p50 / 1000:9.1f}{self.chunk_bytes / self.p50:8.2f}{shown}{goal}"


def measure(
    chunks: Set,
    encoding: EncodingChoice,
    seconds: float,
    rounds: int,
    swift_of: Callable[[int, str], dict[str, float]] | None,
) -> list[Row]:
    """The rows of one size and encoding."""
    stored = chunks.session()
    for result in chunks.client.put_from(chunks.page_outs(stored, chunks.slices), encoding=encoding):
        if isinstance(result, larder.LarderError):
            raise result
    chunks.client.sync()
    bodies: list[tuple[str, str, str, Callable[[], list[int]]]] = [
        ("get_into", "arena", "page_in_p50", lambda: get_for(chunks, stored, chunks.slices, seconds)),
        ("get_into", "own", "page_in_p50", lambda: get_for(chunks, stored, chunks.own, seconds)),
        ("put_from", "arena", "page_out_p50", lambda: put_for(chunks, chunks.slices, encoding, seconds)),
        ("put_from", "own", "page_out_p50", lambda: put_for(chunks, chunks.own, encoding, seconds)),
    ]
    rows = [Row(operation, memory, chunks.size, encoding, [], []) for operation, memory, _, _ in bodies]
    for _ in range(rounds):
        of_swift = swift_of(chunks.size, encoding) if swift_of else {}
        for row, (_, _, name, body) in zip(rows, bodies, strict=True):
            row.ours.append(statistics.median(body()))
            if of_swift:
                row.swift.append(of_swift[name])
    chunks.check()
    stored.drop()
    return rows


def executable(name: str) -> str | None:
    """An executable of the package: from LARDER_LARDERD's folder, else of the release build."""
    given = os.environ.get("LARDER_LARDERD")
    folders = ([Path(given).parent] if given else []) + [REPOSITORY / ".build/release"]
    return next((str(folder / name) for folder in folders if (folder / name).exists()), None)


def main() -> None:
    parser = argparse.ArgumentParser(description="What paging costs from Python.")
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds of each row in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64 << 10, 1 << 20, 4 << 20])
    parser.add_argument("--encodings", nargs="+", default=["raw", "auto"])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    daemon = executable("larderd")
    if daemon is None:
        sys.exit("no larderd: build it (make build), or name one with LARDER_LARDERD")
    other = executable("larder-bench")
    planes = sample_planes()
    rows: list[Row] = []
    swift_of = (lambda size, encoding: swift(other, size, encoding, given.seconds)) if other else None
    with Daemon(daemon) as client:
        for size in given.sizes:
            chunks = Set(client, state_chunks(planes, size))
            for encoding in given.encodings:
                rows += measure(chunks, encoding, given.seconds, given.rounds, swift_of)
            chunks.arena.close()
    if given.json:
        print(json.dumps([row.as_json() for row in rows], indent=1))
        return
    head = f"{'operation':10}{'memory':8}{'bytes':>9} {'encoding':9}{'p50 us':>9}{'GB/s':>8}"
    print(f"{head}{'over Swift':>12}{'best rounds':>12}")
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
