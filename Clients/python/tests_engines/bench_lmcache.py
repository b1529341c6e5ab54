"""LMCache's remote backend on Larder and on its own file connector, in one run, turn by turn.

Chunks of 4 MiB: real attention state from ``bench/data``, as bf16. Prints medians and ranges in GB/s. Run it on a quiet
machine: ``python bench_lmcache.py [rounds]``.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("PYTHONHASHSEED", "0")

import torch

from live_daemon import LiveDaemon
from lmcache_rig import Engine, FileEngine

STATE = Path(__file__).resolve().parents[3] / "bench/data/kv"
LAYERS, TOKENS, WIDTH = 16, 256, 256
CHUNKS = 8


def real_state() -> list[torch.Tensor]:
    """Layers of real state, each ``[tokens, 256]``."""
    files = sorted(STATE.glob("*.bin"))
    return [torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.float16).view(-1, WIDTH) for file in files]


def fill(chunk: Any, state: list[torch.Tensor], turn: int) -> None:
    """Makes a chunk of real rows; other ones each turn."""
    tensor = chunk.tensor
    for plane in range(2):
        for layer in range(LAYERS):
            rows = state[(2 * layer + plane + turn) % len(state)]
            start = (turn * 37 + layer * 11) % (len(rows) - TOKENS)
            tensor[plane, layer] = rows[start : start + TOKENS].to(torch.bfloat16)


def measure(engine: Engine, state: list[torch.Tensor], turn: int, batched: bool) -> tuple[float, float]:
    """Seconds to put and to get ``CHUNKS`` chunks; what came is compared."""
    keys = [engine.key(f"{turn} {batched} {index}") for index in range(CHUNKS)]
    chunks = [engine.chunk(0) for _ in keys]
    for index, chunk in enumerate(chunks):
        fill(chunk, state, turn * CHUNKS + index)
    began = time.perf_counter()
    if batched:
        engine.put_all(keys, chunks)
    else:
        for key, chunk in zip(keys, chunks):
            engine.put(key, chunk)
    put = time.perf_counter() - began
    # What was only accepted is found a moment later.
    engine.wait_for_hits(keys, len(keys))
    began = time.perf_counter()
    got = engine.backend.batched_get_blocking(keys) if batched else [engine.backend.get_blocking(key) for key in keys]
    get = time.perf_counter() - began
    for memory, chunk in zip(got, chunks):
        assert memory is not None, "a chunk that was stored is gone"
        assert torch.equal(memory.tensor, chunk.tensor), "a chunk came back with other bytes"
        memory.ref_count_down()
        chunk.ref_count_down()
    return put, get


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    state = real_state()
    shape = dict(layers=LAYERS, tokens=TOKENS, heads=1, width=WIDTH)
    daemon = LiveDaemon(cap="8GiB")
    with tempfile.TemporaryDirectory(dir=daemon.directory) as files:
        engines = {
            "LMCache's files": FileEngine(files, **shape),
            "Larder": Engine(daemon.socket, **shape),
            "Larder, raw": Engine(daemon.socket, namespace="raw", encoding="raw", **shape),
            "Larder, accepted": Engine(daemon.socket, namespace="accepted", acknowledgement="accepted", **shape),
        }
        seconds: dict[tuple[str, bool], list[tuple[float, float]]] = {}
        for turn in range(rounds + 1):
            for batched in (False, True):
                for name, engine in engines.items():
                    measured = measure(engine, state, turn, batched)
                    if turn > 0:
                        seconds.setdefault((name, batched), []).append(measured)
        gigabytes = CHUNKS * 2 * LAYERS * TOKENS * WIDTH * 2 / 1e9
        load = os.getloadavg()[0]
        print(f"{CHUNKS} chunks of 4 MiB, {rounds} rounds; load {load:.1f}; GB/s, median (slowest to fastest)")
        for (name, batched), values in seconds.items():
            cells = []
            for column, what in enumerate(("put", "get")):
                rates = sorted(gigabytes / value[column] for value in values)
                cells.append(f"{what} {statistics.median(rates):5.2f} ({rates[0]:.2f} to {rates[-1]:.2f})")
            print(f"{name:18s} {'batch ' if batched else 'single'}  {'   '.join(cells)}")
        for engine in engines.values():
            engine.close()
    daemon.remove()


if __name__ == "__main__":
    main()
