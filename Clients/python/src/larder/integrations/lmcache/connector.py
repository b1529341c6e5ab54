"""A remote backend of LMCache: its ``RemoteConnector`` on Larder.

LMCache finds it by ``remote_storage_plugins`` in its configuration::

    remote_storage_plugins: ["larder"]
    extra_config:
      remote_storage_plugin.larder.module_path: larder.integrations.lmcache
      remote_storage_plugin.larder.class_name: LarderConnectorAdapter
      remote_storage_plugin.larder.socket: /run/larder/larder.sock

Its calls are coroutines on one event loop; the work is done by threads with a connection each, so that the loop never
waits, and look-ups do not stand behind loads, nor loads behind stores.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import Future
from typing import Any, List, Optional, Sequence
from urllib.parse import parse_qsl, urlsplit

import torch
from lmcache.utils import CacheEngineKey, LayerCacheEngineKey
from lmcache.v1.memory_management import BytesBufferMemoryObj, MemoryFormat, MemoryObj
from lmcache.v1.storage_backend.connector import ConnectorAdapter, ConnectorContext, extract_plugin_type
from lmcache.v1.storage_backend.connector.base_connector import RemoteConnector

from ..elements import torch_name
from .keys import cache_engine_key_digest, label_of
from .layout import OPAQUE, Layout, layout_of
from .link import Link, logger
from .memory import bytes_of
from .objects import Entry, Found, Objects, Wanted
from .prepare import prepare
from .settings import Settings
from .workers import Workers

SCHEME = "larder://"
"""Of a ``remote_url``, which LMCache's own check dials: ``larder:///run/larder/larder.sock?namespace=lmcache``."""


class LarderConnectorAdapter(ConnectorAdapter):
    """Makes the connector for LMCache, which looks for it by the virtual URL of a plugin, or by a ``remote_url``."""

    def __init__(self) -> None:
        super().__init__(SCHEME)

    def can_parse(self, url: str) -> bool:
        """True for ``plugin://larder``, ``plugin://larder.NAME`` and ``larder://...``."""
        if url.startswith(SCHEME):
            return True
        return url.startswith("plugin://") and extract_plugin_type(url[len("plugin://") :]) == "larder"

    def create_connector(self, context: ConnectorContext) -> RemoteConnector:
        """The connector. It connects at its first use, and again whenever it must: a daemon that is not there yet is no
        failure.

        Raises:
            ValueError: an option is wrong. LMCache runs on as if all were misses, so the message is logged, too.
        """
        try:
            settings = Settings.read(_options(context))
            return LarderConnector(context, settings)
        except ValueError as error:
            logger.error("Larder: %s. LMCache now runs WITHOUT its remote store until this is mended", error)
            raise


class LarderConnector(RemoteConnector):
    """LMCache's chunks as Larder's. Nothing raises; what fails is a miss, and is said once.

    Every wait is bounded by the option ``timeout_seconds``.
    """

    def __init__(self, context: ConnectorContext, settings: Settings) -> None:
        super().__init__(context.config, context.metadata)
        self.settings = settings
        self._allocator = context.local_cpu_backend
        self._link = Link(settings)
        self._objects: dict[str, Objects] = {}
        self._workers = Workers(settings, self._link.complaints)
        self._candidates = self._layouts(context)
        _warn_of_hashes(context.config)
        self._workers.submit("look-up", None, prepare, self._link)

    # Look-ups

    async def exists(self, key: CacheEngineKey) -> bool:
        """True if the store has the chunk: one round trip."""
        return await self.batched_async_contains("", [key]) == 1

    def exists_sync(self, key: CacheEngineKey) -> bool:
        """As ``exists``, from any thread."""
        return self.batched_contains([key]) == 1

    def support_batched_contains(self) -> bool:
        return True

    def batched_contains(self, keys: List[CacheEngineKey]) -> int:
        """How many chunks, from the first on, the store has: hit, hit, miss, hit is 2."""
        return self._workers.answer_now(self._workers.submit("look-up", 0, self._count, keys), 0)

    async def batched_async_contains(self, lookup_id: str, keys: List[CacheEngineKey], pin: bool = False) -> int:
        """As ``batched_contains``. ``pin`` has no effect: what was looked up may be evicted, and is then a miss."""
        return await self._workers.answer(self._workers.submit("look-up", 0, self._count, keys), 0)

    # Loading

    async def get(self, key: CacheEngineKey) -> Optional[MemoryObj]:
        """The chunk, or None: not stored, damaged, of another layout, or no memory for it."""
        return (await self._get([key]))[0]

    def support_batched_get(self) -> bool:
        return True

    async def batched_get(self, keys: List[CacheEngineKey]) -> List[Optional[MemoryObj]]:
        """The chunks, each or None."""
        return await self._get(keys)

    async def batched_get_non_blocking(self, lookup_id: str, keys: List[CacheEngineKey]) -> List[MemoryObj]:
        """The chunks up to the first that is not to be had."""
        objects = await self._get(keys)
        here = next((index for index, memory in enumerate(objects) if memory is None), len(objects))
        _release(objects[here:])
        return [memory for memory in objects[:here] if memory is not None]

    # Storing

    async def put(self, key: CacheEngineKey, memory_obj: MemoryObj) -> None:
        """Stores a chunk. Done when the store has it, or has refused it, which is said once."""
        await self._put([key], [memory_obj])

    def support_batched_put(self) -> bool:
        return True

    async def batched_put(self, keys: List[CacheEngineKey], memory_objs: List[MemoryObj]) -> None:
        """Stores chunks."""
        await self._put(keys, memory_objs)

    def remove_sync(self, key: CacheEngineKey) -> bool:
        """Forgets a chunk; true if the store had it."""
        objects = self._of(key)
        layouts = self._candidates[isinstance(key, LayerCacheEngineKey)]
        digest = cache_engine_key_digest(key)
        future = self._workers.submit("look-up", 0, objects.remove, layouts, digest, key.to_string())
        return self._workers.answer_now(future, 0) > 0

    async def list(self) -> List[str]:
        """The keys of all chunks of the namespace; of those that are too long for a name, a hash."""

        def names(connection: Any) -> List[str]:
            found = connection.client.list_sessions(self.settings.namespace)
            labels = (label_of(session.name) for session in found)
            return [label for label in labels if label is not None]

        return await self._workers.answer(self._workers.submit("look-up", [], self._link.run, names, []), [])

    # State of health

    def support_ping(self) -> bool:
        return True

    async def ping(self) -> int:
        """0 if the daemon answers, else 1."""
        answers = self._workers.submit("look-up", False, self._link.run, lambda link: bool(link.client.stat()), False)
        return 0 if await self._workers.answer(answers, False) else 1

    async def close(self) -> None:
        """Closes the connections; what is under way ends as a miss."""
        self._workers.close()
        self._link.close()

    def __repr__(self) -> str:
        return f"<LarderConnector namespace={self.settings.namespace!r}>"

    # Work on the threads

    def _of(self, key: CacheEngineKey) -> Objects:
        objects = self._objects.get(key.model_name)
        if objects is None:
            objects = self._objects.setdefault(key.model_name, Objects(self._link, key.model_name))
        return objects

    def _count(self, keys: Sequence[CacheEngineKey]) -> int:
        if not keys:
            return 0
        objects = self._of(keys[0])
        digests = [cache_engine_key_digest(key) for key in keys]
        known = 0
        for layout in self._candidates[isinstance(keys[0], LayerCacheEngineKey)]:
            known += objects.leading(layout, digests[known:])
            if known == len(digests):
                break
        return known

    def _load(self, keys: Sequence[CacheEngineKey]) -> List[Optional[MemoryObj]]:
        result: List[Optional[MemoryObj]] = [None] * len(keys)
        left = list(range(len(keys)))
        for layout in self._candidates[isinstance(keys[0], LayerCacheEngineKey)]:
            if not left:
                break
            placed: dict[int, MemoryObj] = {}

            def place(index: int, found: Found) -> memoryview | None:
                _release([placed.pop(index, None)])
                memory = self._allocate(found)
                if memory is None:
                    return None
                placed[index] = memory
                return bytes_of(memory)

            wanted = [Wanted(cache_engine_key_digest(keys[index]), keys[index].to_string(), layout) for index in left]
            loaded = self._of(keys[0]).load(wanted, place)
            for index, memory in placed.items():
                if loaded[index]:
                    result[left[index]] = memory
                else:
                    _release([memory])
            left = [index for index, hit in zip(left, loaded) if not hit]
        return result

    def _allocate(self, found: Found) -> Optional[MemoryObj]:
        """Memory of LMCache's for an object; None if it has none to spare: this thread must not wait for it."""
        if found.layout.is_opaque:
            return _opaque_memory(self._allocator, found)
        shapes = [torch.Size(shape) for shape in found.layout.shapes(found.tokens)]
        dtypes = [getattr(torch, tensor.dtype) for tensor in found.layout.tensors]
        return self._allocator.allocate(shapes, dtypes, MemoryFormat[found.layout.format], busy_loop=False)

    def _store(self, keys: Sequence[CacheEngineKey], memories: Sequence[MemoryObj]) -> None:
        entries = []
        for key, memory in zip(keys, memories):
            format, shapes, dtypes = _described(memory)
            known = layout_of(format, shapes, dtypes) if format != "BINARY_BUFFER" else None
            layout, tokens = known or (OPAQUE, 0)
            text = json.dumps({"format": format, "shapes": shapes, "dtypes": dtypes}).encode()
            entries.append(
                Entry(cache_engine_key_digest(key), key.to_string(), layout, tokens, bytes_of(memory), text)
            )
        if entries:
            self._of(keys[0]).store(entries)

    def _layouts(self, context: ConnectorContext) -> dict[bool, list[Layout]]:
        """The layouts that a key's chunk may have; by whether the key is of a single layer."""
        dtypes = [torch_name(dtype) for dtype in self.meta_dtypes]
        shapes = [tuple(shape) for shape in self.meta_shapes]
        whole = layout_of(self.meta_fmt.name, shapes, dtypes)
        single = []
        if shapes and len(shapes[0]) == 4:
            kv, _, tokens, width = shapes[0]
            if self.meta_fmt is MemoryFormat.KV_MLA_FMT:
                single = [layout_of("KV_MLA_FMT", [(tokens, width)], dtypes[:1])]
            else:
                single = [
                    layout_of("KV_T2D", [(tokens, kv, width)], dtypes[:1]),
                    layout_of("KV_2TD", [(kv, tokens, width)], dtypes[:1]),
                ]
        serde = getattr(context.config, "remote_serde", "naive")
        plain = [OPAQUE] if serde != "naive" else []
        return {
            False: [known[0] for known in [whole] if known] + (plain or ([] if whole else [OPAQUE])),
            True: [known[0] for known in single if known] + (plain or ([] if single else [OPAQUE])),
        }

    async def _get(self, keys: Sequence[CacheEngineKey]) -> List[Optional[MemoryObj]]:
        nothing: List[Optional[MemoryObj]] = [None] * len(keys)
        if not keys:
            return nothing
        future = self._workers.submit("load", nothing, self._load, list(keys))
        return await self._workers.answer(future, nothing, _release_result)

    async def _put(self, keys: Sequence[CacheEngineKey], memories: Sequence[MemoryObj]) -> None:
        # LMCache takes its reference back when this returns. A store that outlives it, because it took too long, must
        # not read memory that is another chunk's by then.
        held = list(memories)
        for memory in held:
            memory.ref_count_up()
        future = self._workers.submit("store", None, self._store, list(keys), held)
        future.add_done_callback(lambda _: _release(held))
        await self._workers.answer(future, None, is_lost=False)


def _options(context: ConnectorContext) -> dict[str, Any]:
    """The plugin's options: of its part of ``extra_config``, or of a ``remote_url``."""
    if context.plugin_name is None:
        url = urlsplit(context.url)
        options: dict[str, Any] = dict(parse_qsl(url.query))
        if url.netloc:
            raise ValueError(f"{context.url!r} names a host; a socket's path follows three slashes: larder:///path")
        return {"socket": url.path, **options} if url.path not in ("", "/") else options
    prefix = f"remote_storage_plugin.{context.plugin_name}."
    extra = context.config.extra_config or {}
    mine = {name[len(prefix) :]: value for name, value in extra.items() if name.startswith(prefix)}
    return {name: value for name, value in mine.items() if name not in ("module_path", "class_name")}


def _described(memory: MemoryObj) -> tuple[str, list[list[int]], list[str]]:
    """Format, shapes and types of an object."""
    format = memory.get_memory_format().name
    if memory.meta.dtype is None and not memory.meta.dtypes:
        return format, [], []
    shapes = memory.meta.shapes or [memory.meta.shape]
    dtypes = memory.meta.dtypes or [memory.meta.dtype]
    return format, [list(map(int, shape)) for shape in shapes], [torch_name(dtype) for dtype in dtypes]


def _opaque_memory(allocator: Any, found: Found) -> Optional[MemoryObj]:
    """Memory for an object without a known layout, as its description has it; None if that says nothing sensible."""
    try:
        about = json.loads(found.description)
        format = MemoryFormat[about["format"]]
        if not about["shapes"]:
            return BytesBufferMemoryObj(bytearray(found.byte_count))
        shapes = [torch.Size(map(int, shape)) for shape in about["shapes"]]
        dtypes = [getattr(torch, str(dtype)) for dtype in about["dtypes"]]
        sizes = [shape.numel() * dtype.itemsize for shape, dtype in zip(shapes, dtypes, strict=True)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if sum(sizes) != found.byte_count:
        return None
    return allocator.allocate(shapes, dtypes, format, busy_loop=False)


def _release(memories: Sequence[Optional[MemoryObj]]) -> None:
    for memory in memories:
        if memory is not None:
            memory.ref_count_down()


def _release_result(future: "Future[List[Optional[MemoryObj]]]") -> None:
    if not future.cancelled() and future.exception() is None:
        _release(future.result())


def _warn_of_hashes(config: Any) -> None:
    """LMCache's keys may rest on Python's hash, which differs between processes unless it is pinned: then every look-up
    is a miss, and nobody says why."""
    if os.environ.get("PYTHONHASHSEED") in (None, "random"):
        logger.error(
            "Larder: PYTHONHASHSEED is not set: keys of LMCache (%s) may differ between processes, so that NOTHING "
            "THAT WAS STORED IS FOUND AGAIN after a restart. Set it to 0 for every process that shares the store",
            getattr(config, "pre_caching_hash_algorithm", "builtin"),
        )
