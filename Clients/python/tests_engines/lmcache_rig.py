"""LMCache's own classes around the plugin, as an engine would have them."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from typing import Any

import torch
from lmcache.utils import CacheEngineKey
from lmcache.v1.config import LMCacheEngineConfig
from lmcache.v1.memory_management import MemoryFormat
from lmcache.v1.metadata import LMCacheMetadata
from lmcache.v1.storage_backend import RemoteBackend
from lmcache.v1.storage_backend.local_cpu_backend import LocalCPUBackend

PREFIX = "remote_storage_plugin.larder."


class Engine:
    """A process's LMCache, as far as its remote backend goes."""

    def __init__(
        self, socket: str, *, model: str = "test/model", layers: int = 6, tokens: int = 32, heads: int = 3,
        width: int = 64, dtype: torch.dtype = torch.bfloat16, use_mla: bool = False, **options: Any,
    ) -> None:
        self.model, self.dtype = model, dtype
        # Of a latent cache all ranks have the same, and LMCache has only the first one store it.
        planes, rank = (1, 0) if use_mla else (2, 1)
        plugin, extra = self._extra(socket, options)
        config = LMCacheEngineConfig.from_defaults(
            chunk_size=tokens, local_cpu=False, max_local_cpu_size=0.2, remote_storage_plugins=[plugin],
            extra_config=extra, blocking_timeout_secs=60,
        )
        metadata = LMCacheMetadata(
            model_name=model, world_size=2, local_world_size=2, worker_id=rank, local_worker_id=rank, kv_dtype=dtype,
            kv_shape=(layers, planes, tokens, heads, width), use_mla=use_mla, chunk_size=tokens,
        )
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.allocator = LocalCPUBackend(config=config, metadata=metadata, dst_device="cpu")
        self.backend = RemoteBackend(config, metadata, self.loop, self.allocator, "cpu", plugin_name=plugin)

    def _extra(self, socket: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The plugin's name and its configuration."""
        options = {"timeout_seconds": 20, "socket": socket, **options}
        return "larder", {
            PREFIX + "module_path": "larder.integrations.lmcache",
            PREFIX + "class_name": "LarderConnectorAdapter",
            **{PREFIX + name: value for name, value in options.items()},
        }

    @property
    def connector(self) -> Any:
        """Larder's connector, without what LMCache wraps around it."""
        return self.backend.connection.getWrappedConnector()

    @property
    def complaints(self) -> dict[str, int]:
        """What the plugin complained of."""
        return self.connector._link.complaints.counts

    def key(self, text: str, **changes: Any) -> CacheEngineKey:
        """A key; the same text gives the same key in every process."""
        fields = dict(
            model_name=self.model, world_size=2, worker_id=1,
            chunk_hash=int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little"), dtype=self.dtype,
        )
        return CacheEngineKey(**{**fields, **changes})

    def chunk(self, seed: int, shape: tuple[int, ...] | None = None, fmt: MemoryFormat | None = None) -> Any:
        """A chunk of state; the same seed gives the same bytes in every process."""
        connector = self.connector
        shapes = connector.meta_shapes if shape is None else torch.Size(shape)
        dtypes = connector.meta_dtypes if shape is None else self.dtype
        memory = self.allocator.allocate(shapes, dtypes, fmt or connector.meta_fmt)
        state = torch.randn(memory.tensor.shape, generator=torch.Generator().manual_seed(seed))
        memory.tensor.copy_(state)
        return memory

    def put(self, key: CacheEngineKey, memory: Any) -> None:
        """Stores, and waits for it."""
        self.backend.submit_put_task(key, memory).result(120)

    def put_many(self, keys: list[CacheEngineKey], memories: list[Any]) -> None:
        """Stores a batch, and waits for it."""
        done = threading.Semaphore(0)
        self.backend.batched_submit_put_task(keys, memories, on_complete_callback=lambda _: done.release())
        for _ in keys:
            assert done.acquire(timeout=120)

    def put_all(self, keys: list[CacheEngineKey], memories: list[Any]) -> None:
        """Stores chunks, all at once, as a batch where the connector takes one, and waits for them."""
        if self.connector.support_batched_put():
            self.put_many(keys, memories)
            return
        futures = [self.backend.submit_put_task(key, memory) for key, memory in zip(keys, memories)]
        for future in futures:
            future.result(120)

    def wait_for_hits(self, keys: list[CacheEngineKey], count: int) -> None:
        """Waits until a look-up finds so many: what was dropped is freed in the background. Fails if it never does."""
        for _ in range(1_200):
            found = self.backend.batched_contains(keys)
            if found == count:
                return
            time.sleep(0.05)
        raise AssertionError(f"{found} hits where {count} were expected")

    def close(self) -> None:
        """Ends it."""
        self.backend.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)


class FileEngine(Engine):
    """The same with LMCache's own connector to files, in a directory in place of the socket."""

    def _extra(self, socket: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return "fs", {"remote_storage_plugin.fs.base_path": socket}
