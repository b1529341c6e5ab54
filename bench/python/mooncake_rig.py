"""Mooncake Store on one host: its processes, started and ended here, and a store to put into and get from."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import mmap
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench_paging import die_with_parent

HOST = "127.0.0.1"
#: Seconds that a process has until it listens.
START_SECONDS = 30.0
#: Bytes of the segment, which holds what is put.
SEGMENT_BYTES = 256 << 20
#: Bytes of the store's own buffer. What is registered does not pass through it.
LOCAL_BUFFER_BYTES = 64 << 20
#: Bytes of a log that are shown of a process that failed.
LOG_BYTES = 2_000
#: What is best for it on one host, and what keeps it quiet. Its documentation has them under "Client & Engine Tuning":
#: copies within the process instead of TCP to itself, and no metrics.
ENVIRONMENT = {"MC_STORE_MEMCPY": "1", "MC_STORE_CLIENT_METRIC": "0", "MC_LOG_LEVEL": "ERROR"}


class Unavailable(Exception):
    """Why Mooncake Store cannot be measured here."""


class Memory(NamedTuple):
    """Memory that is registered with a store."""

    address: int
    view: memoryview


def executables() -> Path:
    """The folder with Mooncake's executables. Raises ``Unavailable``."""
    found = importlib.util.find_spec("mooncake")
    if found is None or not found.submodule_search_locations:
        raise Unavailable("mooncake is not installed: pip install mooncake-transfer-engine-non-cuda")
    folder = Path(next(iter(found.submodule_search_locations)))
    os.environ.update(ENVIRONMENT)
    try:
        importlib.import_module("mooncake.store")
    except ImportError as error:
        raise Unavailable(f"mooncake does not load ({error}): apt install libibverbs1 librdmacm1 libnuma1") from error
    for name in ("mooncake_master", "mooncake_client"):
        if not os.access(folder / name, os.X_OK):
            raise Unavailable(f"{folder / name} is no executable")
    return folder


def free_port() -> int:
    """A port that nobody listens at, a moment ago."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[None]:
    """A process, from when it listens at ``port``. Raises ``Unavailable`` if it does not."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=log.parent,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_bytes()[-LOG_BYTES:].decode(errors="replace")
                raise Unavailable(f"{Path(command[0]).name} does not listen at port {port}:\n{said}")
            time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    """True if somebody does."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def in_worker(folder: Path, byte_count: int) -> Iterator[tuple[Any, Memory]]:
    """A store whose segment is this process's own memory, and ``byte_count`` bytes that are registered with it.

    The shortest way that Mooncake has: what it holds is a copy away, and gone when this process ends.
    """
    with master(folder, "in_worker") as address:
        store = new_store()
        must(store.setup(HOST, "P2PHANDSHAKE", SEGMENT_BYTES, LOCAL_BUFFER_BYTES, "tcp", "", address), "setup")
        try:
            memory = mmap.mmap(-1, byte_count)
            start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            must(store.register_buffer(start, byte_count), "register_buffer")
            yield store, Memory(start, memoryview(memory))
            must(store.unregister_buffer(start), "unregister_buffer")
        finally:
            store.close()


@contextlib.contextmanager
def client_process(folder: Path, byte_count: int) -> Iterator[tuple[Any, Memory]]:
    """A store whose segment is held by Mooncake's client process, and ``byte_count`` bytes that are shared with it.

    What it holds outlives this process, as Larder's does.
    """
    with master(folder, "client_process") as address:
        port = free_port()
        command = [
            str(executables() / "mooncake_client"), f"--host={HOST}", f"--port={port}",
            "--metadata_server=P2PHANDSHAKE", f"--global_segment_size={SEGMENT_BYTES >> 20}MB",
            f"--local_buffer_size={LOCAL_BUFFER_BYTES >> 20}MB",
            f"--master_server_address={address}", "--protocol=tcp", "--logtostderr=true",
        ]  # fmt: skip
        with running(command, port, folder / "client.log"):
            store = new_store()
            must(store.setup_dummy(byte_count, LOCAL_BUFFER_BYTES, f"{HOST}:{port}"), "setup_dummy")
            try:
                start = store.alloc_from_mem_pool(byte_count)
                if not start:
                    raise Unavailable(f"alloc_from_mem_pool({byte_count}) returned nothing")
                must(store.register_buffer(start, byte_count), "register_buffer")
                view = memoryview((ctypes.c_char * byte_count).from_address(start)).cast("B")
                yield store, Memory(start, view)
            finally:
                store.close()


@contextlib.contextmanager
def master(folder: Path, name: str) -> Iterator[str]:
    """A master of its own: with one for all, a put would land in the segment of any. Its address."""
    port = free_port()
    command = [
        str(executables() / "mooncake_master"), f"--rpc_address={HOST}", f"--rpc_port={port}", "--logtostderr=true",
        f"--metrics_host={HOST}", f"--metrics_port={free_port()}", "--enable_metric_reporting=false",
    ]  # fmt: skip
    with running(command, port, folder / f"{name}.log"):
        yield f"{HOST}:{port}"


def new_store() -> Any:
    """A store that is not set up."""
    from mooncake.store import MooncakeDistributedStore

    return MooncakeDistributedStore()


def must(code: int, what: str) -> None:
    """Raises ``Unavailable`` for what failed."""
    if code != 0:
        raise Unavailable(f"Mooncake's {what} failed with {code}")
