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
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import larder

REPOSITORY = Path(__file__).resolve().parents[2]
#: Bytes of chunks that are paged in turn, as larder-bench has it.
SET_BYTES = 32 << 20
ROW_BYTES = 512


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


def chunk_of(planes: Sequence[bytes], index: int, tokens: int) -> bytes:
    """A chunk of K and V made of the real values, begun at another row for each index."""
    parts = []
    for plane in range(2):
        source = planes[(index * 2 + plane) % len(planes)]
        first = (index * 37 + plane * 11) * ROW_BYTES % len(source)
        turned = bytearray(source[first:] + source[:first])
        while len(turned) < tokens * ROW_BYTES:
            turned *= 2
        # No two alike, even where the values repeat.
        struct.pack_into("<H", turned, 2 * index, struct.unpack_from("<H", turned, 2 * index)[0] ^ 1)
        parts.append(bytes(turned[: tokens * ROW_BYTES]))
    return b"".join(parts)


class Daemon:
    """A larderd in a directory of its own."""

    def __init__(self, executable: str) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="larder-bench-")
        self.socket = self.directory.name + "/s"
        self.process = subprocess.Popen(
            [executable, "--socket", self.socket, "--data-dir", self.directory.name + "/store", "--log-level", "error"]
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

    def __init__(self, client: larder.Client, planes: Sequence[bytes], size: int) -> None:
        self.client = client
        self.size = size
        self.tokens = size // (2 * ROW_BYTES)
        self.count = max(1, min(SET_BYTES // size, 1_024))
        kv = larder.Component("kv", kind="attention", element_type="bf16", layers=1, planes=2, row_bytes=ROW_BYTES)
        self.model = client.declare_model(larder.Model(name=f"bench-{size}", components=(kv,)))
        self.bytes = [chunk_of(planes, index, self.tokens) for index in range(self.count)]
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


def put_for(chunks: Set, memory: Sequence[object], encoding: str, seconds: float) -> list[int]:
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


def swift(executable: str, size: int, encoding: str, seconds: float) -> dict[str, float]:
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
    return {one["name"]: one["value"] * 1000 for one in json.loads(done.stdout) if one["name"].endswith("_p50")}


def measure(
    chunks: Set, encoding: str, seconds: float, rounds: int, swift_of: Callable[[int, str], dict[str, float]] | None
) -> list[dict[str, object]]:
    """The rows of one size and encoding: medians over the rounds, and of the rounds' ratios to the Swift client."""
    stored = chunks.session()
    for result in chunks.client.put_from(chunks.page_outs(stored, chunks.slices), encoding=encoding):
        if isinstance(result, larder.LarderError):
            raise result
    rows = [
        ("get_into", "arena", "page_in_p50", lambda: get_for(chunks, stored, chunks.slices, seconds)),
        ("get_into", "own", "page_in_p50", lambda: get_for(chunks, stored, chunks.own, seconds)),
        ("put_from", "arena", "page_out_p50", lambda: put_for(chunks, chunks.slices, encoding, seconds)),
        ("put_from", "own", "page_out_p50", lambda: put_for(chunks, chunks.own, encoding, seconds)),
    ]
    medians: list[list[float]] = [[] for _ in rows]
    ratios: list[list[float]] = [[] for _ in rows]
    for _ in range(rounds):
        of_swift = swift_of(chunks.size, encoding) if swift_of else {}
        for index, (_, _, name, body) in enumerate(rows):
            median = statistics.median(body())
            medians[index].append(median)
            if of_swift:
                ratios[index].append(of_swift[name] / median)
    chunks.check()
    stored.drop()
    return [
        {
            "operation": operation,
            "memory": memory,
            "chunk_bytes": chunks.size,
            "encoding": encoding,
            "p50_us": statistics.median(medians[index]) / 1000,
            "gb_per_s": chunks.size / statistics.median(medians[index]),
            "over_swift": statistics.median(ratios[index]) if ratios[index] else None,
            "over_swift_rounds": ratios[index],
        }
        for index, (operation, memory, _, _) in enumerate(rows)
    ]


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
    rows: list[dict[str, object]] = []
    swift_of = (lambda size, encoding: swift(other, size, encoding, given.seconds)) if other else None
    with Daemon(daemon) as client:
        for size in given.sizes:
            chunks = Set(client, planes, size)
            for encoding in given.encodings:
                rows += measure(chunks, encoding, given.seconds, given.rounds, swift_of)
            chunks.arena.close()
    if given.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'operation':10}{'memory':8}{'bytes':>9} {'encoding':9}{'p50 us':>9}{'GB/s':>8}{'over Swift':>12}  rounds")
    for row in rows:
        ratio = row["over_swift"]
        shown = f"{ratio:12.2f}" if ratio is not None else f"{'-':>12}"
        each = " ".join(f"{one:.2f}" for one in row["over_swift_rounds"])  # type: ignore[union-attr]
        print(
            f"{row['operation']:10}{row['memory']:8}{row['chunk_bytes']:9} {row['encoding']:9}"
            f"{row['p50_us']:9.1f}{row['gb_per_s']:8.2f}{shown}  {each}"
        )


if __name__ == "__main__":
    main()
