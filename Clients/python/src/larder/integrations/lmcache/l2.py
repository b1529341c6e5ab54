"""A second level of LMCache's server: its ``L2AdapterInterface`` on Larder.

The server finds it by the type ``plugin``::

    --l2-adapter '{"type": "plugin", "module_path": "larder.integrations.lmcache", "class_name": "LarderL2Adapter",
                   "adapter_params": {"socket": "/run/larder/larder.sock"}}'
"""

from __future__ import annotations

import threading
from typing import Any, Callable, Iterable

from lmcache.lmcache_native import Bitmap
from lmcache.v1.distributed.api import MemoryLayoutDesc, ObjectKey
from lmcache.v1.distributed.internal_api import L2StoreResult
from lmcache.v1.distributed.l2_adapters.base import L2AdapterInterface, L2TaskId
from lmcache.v1.distributed.l2_adapters.config import L2AdapterConfigBase
from lmcache.v1.memory_management import MemoryObj
from lmcache.v1.platform import create_event_notifier

from ..elements import torch_name
from .keys import object_key_digest
from .layout import OPAQUE, Layout, layout_of
from .link import Link
from .memory import bytes_of
from .objects import Entry, Found, Objects, Wanted
from .prepare import prepare
from .settings import Settings
from .workers import Workers


class LarderL2AdapterConfig(L2AdapterConfigBase):
    """The plugin's options, ``adapter_params`` of the server's configuration."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> "LarderL2AdapterConfig":
        """Reads the options. Raises ``ValueError`` that names the one that is wrong."""
        return cls(Settings.read(d))

    @classmethod
    def help(cls) -> str:
        return "Larder: " + (Settings.__doc__ or "")


class _Tasks:
    """Results of one kind of task, and the descriptor that tells of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: dict[L2TaskId, Any] = {}
        self._event = create_event_notifier()
        self.fileno: int = self._event.fileno()

    def done(self, task: L2TaskId, result: Any) -> None:
        with self._lock:
            self._results[task] = result
            if self._event is not None:
                self._event.notify()

    def take(self, task: L2TaskId) -> Any:
        with self._lock:
            return self._results.pop(task, None)

    def take_all(self) -> dict[L2TaskId, Any]:
        with self._lock:
            results, self._results = self._results, {}
            return results

    def close(self) -> None:
        with self._lock:
            event, self._event = self._event, None
        if event is not None:
            event.close()


class LarderL2Adapter(L2AdapterInterface):
    """LMCache's objects in Larder. Larder bounds and evicts its store by itself, so that this level declares no
    capacity and LMCache evicts nothing from it.

    Nothing raises; what fails is a miss, and is said once. A task is done when the daemon has answered or the option
    ``timeout_seconds`` has passed.
    """

    def __init__(self, config: LarderL2AdapterConfig, l1_memory_desc: Any = None) -> None:
        super().__init__()
        self.settings = config.settings
        self._link = Link(self.settings)
        self._workers = Workers(self.settings, self._link.complaints)
        self._stores, self._looks, self._loads = _Tasks(), _Tasks(), _Tasks()
        self._lock = threading.Lock()
        self._next = 0
        self._objects: dict[str, Objects] = {}
        self._workers.submit("look-up", None, prepare, self._link)

    # Descriptors

    def get_store_event_fd(self) -> int:
        return self._stores.fileno

    def get_lookup_and_lock_event_fd(self) -> int:
        return self._looks.fileno

    def get_load_event_fd(self) -> int:
        return self._loads.fileno

    # Storing

    def submit_store_task(self, keys: list[ObjectKey], objects: list[MemoryObj]) -> L2TaskId:
        """Has objects stored. What the store has already is not sent again."""
        return self._begin("store", self._stores, L2StoreResult(False, 0), self._store, list(keys), list(objects))

    def pop_completed_store_tasks(self) -> dict[L2TaskId, L2StoreResult]:
        return self._stores.take_all()

    def _store(self, keys: list[ObjectKey], memories: list[MemoryObj]) -> L2StoreResult:
        new: list[tuple[ObjectKey, int]] = []
        is_whole = True
        for (model, layout), indices in _grouped(keys, [_layout(memory) for memory in memories]):
            objects = self._of(model)
            there = objects.present(layout[0], [object_key_digest(keys[index]) for index in indices])
            missing = [index for index, hit in zip(indices, there) if not hit]
            entries = [
                Entry(
                    object_key_digest(keys[index]),
                    _label(keys[index]),
                    layout[0],
                    layout[1],
                    bytes_of(memories[index]),
                )
                for index in missing
            ]
            stored = objects.store(entries) if entries else []
            new += [
                (keys[index], entry.data.nbytes) for index, entry, done in zip(missing, entries, stored) if done
            ]
            is_whole = is_whole and all(stored)
        if new:
            self._notify_keys_stored([key for key, _ in new], [size for _, size in new])
        return L2StoreResult(is_whole, sum(size for _, size in new))

    # Looking up

    def submit_lookup_and_lock_task(
        self, keys: list[ObjectKey], group_layout_descs: dict[int, MemoryLayoutDesc]
    ) -> L2TaskId:
        """Has objects looked up. Nothing is locked: one that is evicted before it is loaded is a miss."""
        layouts = {group: _known("OBJECT", desc.shapes, desc.dtypes)[0] for group, desc in group_layout_descs.items()}
        return self._begin("look-up", self._looks, Bitmap(len(keys)), self._look, list(keys), layouts)

    def query_lookup_and_lock_result(self, task_id: L2TaskId) -> Bitmap | None:
        return self._looks.take(task_id)

    def submit_unlock(self, keys: list[ObjectKey]) -> None:
        """Does nothing: nothing is locked."""

    def _look(self, keys: list[ObjectKey], layouts: dict[int, Layout]) -> Bitmap:
        bitmap = Bitmap(len(keys))
        wanted = [layouts.get(key.object_group_id, OPAQUE) for key in keys]
        for (model, layout), indices in _grouped(keys, wanted):
            there = self._of(model).present(layout, [object_key_digest(keys[index]) for index in indices])
            for index, hit in zip(indices, there):
                if hit:
                    bitmap.set(index)
        return bitmap

    # Loading

    def submit_load_task(self, keys: list[ObjectKey], objects: list[MemoryObj]) -> L2TaskId:
        """Has objects loaded into memory of LMCache's."""
        return self._begin("load", self._loads, Bitmap(len(keys)), self._load, list(keys), list(objects))

    def query_load_result(self, task_id: L2TaskId) -> Bitmap | None:
        return self._loads.take(task_id)

    def _load(self, keys: list[ObjectKey], memories: list[MemoryObj]) -> Bitmap:
        bitmap = Bitmap(len(keys))
        for (model, layout), indices in _grouped(keys, [_layout(memory)[0] for memory in memories]):
            wanted = [Wanted(object_key_digest(keys[index]), _label(keys[index]), layout) for index in indices]

            def place(position: int, found: Found, indices: list[int] = indices) -> memoryview:
                return bytes_of(memories[indices[position]])

            for index, hit in zip(indices, self._of(model).load(wanted, place)):
                if hit:
                    bitmap.set(index)
        loaded = [keys[index] for index in bitmap.get_indices_list()]
        if loaded:
            self._notify_keys_accessed(loaded)
        return bitmap

    # Housekeeping

    def delete(self, keys: list[ObjectKey]) -> None:
        """Forgets objects, of whatever layout this adapter has seen."""
        future = self._workers.submit("look-up", [], self._forget, list(keys))
        gone = self._workers.answer_now(future, [])
        if gone:
            self._notify_keys_deleted([key for key, _ in gone], [size for _, size in gone])

    def _forget(self, keys: list[ObjectKey]) -> list[tuple[ObjectKey, int]]:
        gone = []
        for key in keys:
            objects = self._of(key.model_name)
            size = objects.remove(objects.layouts(), object_key_digest(key), _label(key))
            if size:
                gone.append((key, size))
        return gone

    def report_status(self) -> dict[str, Any]:
        """Whether the daemon was there when it was last needed, and what there was to complain of."""
        return {
            "is_healthy": not self._link.is_down,
            "type": "LarderL2Adapter",
            "namespace": self.settings.namespace,
            "complaints": self._link.complaints.counts,
        }

    def close(self) -> None:
        """Ends all: tasks under way are done as misses."""
        self._workers.close()
        self._link.close()
        for tasks in (self._stores, self._looks, self._loads):
            tasks.close()

    def _of(self, model_name: str) -> Objects:
        with self._lock:
            return self._objects.setdefault(model_name, Objects(self._link, model_name))

    def _begin(
        self, kind: Any, tasks: _Tasks, otherwise: Any, work: Callable[..., Any], *arguments: Any
    ) -> L2TaskId:
        with self._lock:
            task = self._next
            self._next += 1
        future = self._workers.submit(kind, otherwise, work, *arguments)
        future.add_done_callback(
            lambda done: tasks.done(task, otherwise if done.cancelled() else done.result())
        )
        return task


def _known(format: str, shapes: Iterable[Any], dtypes: Iterable[Any]) -> tuple[Layout, int]:
    """Layout and tokens of an object; opaque if its shapes say nothing."""
    sizes = [tuple(map(int, shape)) for shape in shapes]
    return layout_of(format, sizes, [torch_name(dtype) for dtype in dtypes]) or (OPAQUE, 0)


def _layout(memory: MemoryObj) -> tuple[Layout, int]:
    shapes = memory.meta.shapes or [memory.meta.shape]
    dtypes = memory.meta.dtypes or [memory.meta.dtype]
    layout, tokens = _known("OBJECT", shapes, dtypes)
    # One that was narrowed is no longer what its shape says.
    return (layout, tokens) if sum(layout.byte_counts(tokens)) == bytes_of(memory).nbytes else (OPAQUE, 0)


def _label(key: ObjectKey) -> str:
    """A key as LMCache's other adapters write it."""
    label = f"{key.model_name}@{key.kv_rank:#010x}@{key.object_group_id:x}@{key.chunk_hash.hex()}"
    return f"{label}@{key.cache_salt}" if key.cache_salt else label


def _grouped(keys: list[ObjectKey], layouts: list[Any]) -> Iterable[tuple[tuple[str, Any], list[int]]]:
    """The indices of keys, by model and layout, in order."""
    groups: dict[tuple[str, Any], list[int]] = {}
    for index, (key, layout) in enumerate(zip(keys, layouts)):
        groups.setdefault((key.model_name, layout), []).append(index)
    return groups.items()
