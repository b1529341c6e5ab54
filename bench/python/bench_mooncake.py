#!/usr/bin/env python3
"""What paging from Python costs with Larder, next to Mooncake Store in the same run, with the same bytes, one worker.

    python3 -m venv .venv-mooncake
    .venv-mooncake/bin/pip install mooncake-transfer-engine-non-cuda
    .venv-mooncake/bin/python bench/python/bench_mooncake.py [--seconds 0.2] [--rounds 5] [--sizes 65536] [--json]

Mooncake's package needs libibverbs1, librdmacm1 and libnuma1, too. This starts a larderd and Mooncake's processes, and
ends them. Real attention state (bench/data/kv as bf16) and random bytes go out and in, one chunk a call and 16 MiB a
call, in rounds in which all take turns. Times are per chunk: the median of the rounds' medians, and the best round's.
A ratio is Mooncake's time over Larder's, so that above 1 Larder is faster: the median of the rounds' ratios, and that
of the best rounds. Before each get the memory is cleared, and afterwards every byte is compared; what the last puts of
each round stored is read back and compared, too. Opening, dropping and syncing is measured on neither side.

They are not the same thing. Larder keeps chunks in a file, checks a CRC of all that it returns, and with `auto`
compresses. `committed` has waited for the disk (an fdatasync; with TMPDIR in a tmpfs there is none to wait for), and
survives the daemon's end; `accepted` is a copy in the daemon's memory, on its way: of 16 MiB at a time here, which fit
into its queue, since for long nothing is accepted faster than it is committed. `arena` is memory shared with the
daemon, as Mooncake's registered memory is; `own` is not, and costs one copy more. Mooncake keeps its objects in memory,
uncompressed and unchecked. It is measured in the two ways that one host has, with memory registered, with P2PHANDSHAKE
(no metadata server to ask), and with MC_STORE_MEMCPY:

- `in worker`: its segment is memory of the very process that puts and gets, a memcpy away, and gone when that ends.
- `client process`: its segment is mooncake_client's, which shares the registered memory, and outlives the worker.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Clients/python/src"))

import bench_paging  # noqa: E402
import mooncake_rig  # noqa: E402
from mooncake_sides import Call, LarderSide, MooncakeSide, Side, checked  # noqa: E402

import larder  # noqa: E402

KIB = 1 << 10
SIZES = [64 * KIB, 256 * KIB, 1024 * KIB, 4096 * KIB, 16384 * KIB]
#: Bytes of the chunks that are put or got in turn. A connection may fill half of the daemon's queue (64 MiB): what is
#: timed at `accepted` is the acknowledgement, not the disk.
SET_BYTES = 16 << 20
#: Seed of the random bytes.
SEED = 20261125
#: Sets that fill Mooncake's segment, nearly: at 95 % it begins to evict.
WARM_SETS = mooncake_rig.SEGMENT_BYTES // SET_BYTES * 7 // 8


def timed(side: Side, calls: Sequence[Call]) -> Iterator[float]:
    """Makes the calls; the nanoseconds for each chunk."""
    for call in calls:
        start = time.perf_counter_ns()
        results = call.run()
        taken = time.perf_counter_ns() - start
        checked(side, results)
        yield taken / call.chunks


def read_back(side: Side, chunks: Sequence[bytes], body: Callable[[], object]) -> None:
    """Clears the memory, runs what gets all chunks into it, and compares every byte."""
    for view, data in zip(side.memory(), chunks, strict=True):
        view[:] = bytes(len(data))
    body()
    for view, data in zip(side.memory(), chunks, strict=True):
        if view != data:
            sys.exit(f"{side.name}: what came back is not what was put")


def put_for(side: Side, chunks: Sequence[bytes], batched: bool, seconds: float) -> float:
    """Puts sets for so long; the median of the nanoseconds a chunk."""
    taken: list[float] = []
    end = time.monotonic() + seconds
    while True:
        taken += timed(side, side.puts(batched))
        if time.monotonic() > end:
            side.settle()  # What was only accepted is there then.
            read_back(side, chunks, lambda: list(timed(side, side.gets(True))))
            side.forget()
            return statistics.median(taken)
        side.forget()


def get_for(side: Side, chunks: Sequence[bytes], batched: bool, seconds: float) -> float:
    """Puts a set, and gets it for so long; the median of the nanoseconds a chunk."""
    taken: list[float] = []
    for _ in timed(side, side.puts(True)):
        pass
    side.settle()
    end = time.monotonic() + seconds

    def passes() -> None:
        while True:
            taken.extend(timed(side, side.gets(batched)))
            if time.monotonic() > end:
                return

    read_back(side, chunks, passes)
    side.forget()
    return statistics.median(taken)


class Row(NamedTuple):
    """One operation of one side, with the median of every round, in nanoseconds a chunk."""

    content: str
    chunk_bytes: int
    operation: str
    side: Side
    rounds: list[float]

    @property
    def p50(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    def over(self, other: Row) -> tuple[float, float]:
        """How many times as fast as another: the median of the rounds' ratios, and that of the best rounds."""
        ratios = [theirs / ours for ours, theirs in zip(self.rounds, other.rounds, strict=True)]
        return statistics.median(ratios), min(other.rounds) / min(self.rounds)


#: Operations: their name, what measures them, and whether a call has all chunks of the set.
OPERATIONS: list[tuple[str, Callable[[Side, Sequence[bytes], bool, float], float], bool]] = [
    ("get_into", get_for, False),
    ("put_from", put_for, False),
    ("get_into, batch", get_for, True),
    ("put_from, batch", put_for, True),
]


def measure(content: str, chunks: list[bytes], sides: list[Side], seconds: float, rounds: int) -> list[Row]:
    """The rows of one set of chunks. A first round is not counted."""
    rows = [
        Row(content, len(chunks[0]), operation, side, [])
        for operation, body, batched in OPERATIONS
        for side in sides
        if (body is put_for or side.has_gets) and (not batched or len(chunks) > 1)
    ]
    bodies = {operation: (body, batched) for operation, body, batched in OPERATIONS}
    for number in range(rounds + 1):
        # Each round begins with another row, so that none always follows the same one.
        first = number * len(rows) // (rounds + 1)
        for row in rows[first:] + rows[:first]:
            body, batched = bodies[row.operation]
            taken = body(row.side, chunks, batched, seconds)
            if number:
                row.rounds.append(taken)
    return rows


def sides_of(chunks: list[bytes], client: larder.Client, rivals: dict[str, Any]) -> tuple[list[Side], larder.Arena]:
    """Mooncake's two, Larder's between them, and the arena to close afterwards."""
    larders = bench_paging.Set(client, chunks)
    ours: list[Side] = [
        LarderSide(larders, encoding, memory, acknowledgement)
        for acknowledgement in ("committed", "accepted")
        for encoding in ("raw", "auto")
        for memory in ("arena", "own")
    ]
    theirs = [MooncakeSide(name, store, memory, chunks) for name, (store, memory) in rivals.items()]
    for one in theirs:
        one.warm(WARM_SETS)
    return [theirs[0], *ours, *theirs[1:]], larders.arena


def show(rows: list[Row]) -> None:
    """The table of one set of chunks."""
    for operation, _, _ in OPERATIONS:
        mine = [row for row in rows if row.operation == operation]
        if not mine:
            continue
        rivals = [row for row in mine if row.side.is_rival]
        print(f"\n{operation}, {rows[0].content}, {rows[0].chunk_bytes // KIB} KiB")
        heads = "".join(f"{'over ' + row.side.name:>22}" for row in rivals)
        print(f"{'':32}{'p50 us':>9}{'best us':>9}{'GB/s':>7}{heads}")
        for row in rivals + [row for row in mine if not row.side.is_rival]:
            name = f"{'Mooncake' if row.side.is_rival else 'Larder':9}{row.side.name}"
            ratios = "".join(f"{'{:.2f}, best {:.2f}'.format(*row.over(other)):>22}" for other in rivals)
            print(
                f"{name:32}{row.p50 / 1000:9.1f}{min(row.rounds) / 1000:9.1f}{row.chunk_bytes / row.p50:7.2f}"
                f"{'' if row.side.is_rival else ratios}",
                flush=True,
            )


def as_json(rows: list[Row]) -> list[dict[str, object]]:
    """All figures."""
    return [
        {
            "content": row.content,
            "chunk_bytes": row.chunk_bytes,
            "operation": row.operation,
            "store": "mooncake" if row.side.is_rival else "larder",
            "configuration": row.side.name.split("  ")[0] if row.side.is_rival else row.side.name.split(),
            "rounds_us": [round(one / 1000, 2) for one in row.rounds],
        }
        for row in rows
    ]


def contents(size: int, planes: Sequence[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """What is put and got: a set of the real state, and one of bytes that nothing shrinks."""
    yield "state", bench_paging.state_chunks(planes, size, SET_BYTES)
    generator = random.Random(SEED)
    yield "random", [generator.randbytes(size) for _ in range(SET_BYTES // size)]


def load() -> str:
    """How busy the machine is."""
    return "load average " + ", ".join(f"{one:.2f}" for one in os.getloadavg())


def main() -> None:
    parser = argparse.ArgumentParser(description="Larder and Mooncake Store from Python, in one run.")
    parser.add_argument("--seconds", type=float, default=0.2, help="seconds of each row in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="bytes of a chunk, multiples of 1,024")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # So that all that was begun is ended, too.
        signal.signal(number, lambda number, _: sys.exit(f"ended by {signal.Signals(number).name}"))
    daemon = bench_paging.executable("larderd")
    if daemon is None:
        sys.exit("no larderd: build it (make build), or name one with LARDER_LARDERD")
    try:
        mooncake_rig.executables()
        rows = compare(daemon, given)
    except mooncake_rig.Unavailable as why:
        print(f"skipped: {why}")
        return
    if given.json:
        print(json.dumps(as_json(rows), indent=1))


def compare(daemon: str, given: argparse.Namespace) -> list[Row]:
    """Starts everything, measures, and ends everything."""
    rows: list[Row] = []
    planes = bench_paging.sample_planes()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="larder-bench-")))
        client = stack.enter_context(bench_paging.Daemon(daemon))
        starters = {"client process": mooncake_rig.client_process, "in worker": mooncake_rig.in_worker}
        rivals = {name: stack.enter_context(start(folder, SET_BYTES)) for name, start in starters.items()}
        print(f"{os.cpu_count()} processors, {load()}", file=sys.stderr if given.json else sys.stdout)
        for size in given.sizes:
            for content, chunks in contents(size, planes):
                sides, arena = sides_of(chunks, client, rivals)
                measured = measure(content, chunks, sides, given.seconds, given.rounds)
                arena.close()
                rows += measured
                if not given.json:
                    show(measured)
        print(f"\n{load()} at the end", file=sys.stderr if given.json else sys.stdout)
    return rows


if __name__ == "__main__":
    main()
