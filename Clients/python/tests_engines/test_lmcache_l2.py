"""LMCache's second level on a live daemon: the plugin of its server."""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import sys
import unittest
from typing import Any

os.environ.setdefault("PYTHONHASHSEED", "0")

try:
    import torch
    from lmcache.v1.distributed.api import MemoryLayoutDesc, ObjectKey
    from lmcache.v1.distributed.l2_adapters import create_l2_adapter
    from lmcache.v1.distributed.l2_adapters.config import get_l2_adapter_config_class
    from lmcache.v1.memory_management import MemoryFormat, MemoryObjMetadata, TensorMemoryObj
    from lmcache.v1.platform import consume_fd
except ImportError as error:
    raise unittest.SkipTest(f"LMCache is not here ({error}): make test-engines installs it") from None

from live_daemon import LiveDaemon

SHAPES = [torch.Size([2, 6, 32, 192])]
DTYPES = [torch.bfloat16]


class Level:
    """The adapter as LMCache's server makes and uses it."""

    def __init__(self, socket: str, **options: Any) -> None:
        specification = {
            "type": "plugin", "module_path": "larder.integrations.lmcache", "class_name": "LarderL2Adapter",
            "adapter_params": {"socket": socket, "timeout_seconds": 20, **options},
        }
        config = get_l2_adapter_config_class("plugin").from_dict(specification)
        self.adapter = create_l2_adapter(config)

    def _wait(self, descriptor: int) -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(120_000), "no event"
        consume_fd(descriptor)

    def store(self, keys: list[ObjectKey], objects: list[Any]) -> Any:
        task = self.adapter.submit_store_task(keys, objects)
        self._wait(self.adapter.get_store_event_fd())
        return self.adapter.pop_completed_store_tasks()[task]

    def look_up(self, keys: list[ObjectKey], groups: dict[int, MemoryLayoutDesc]) -> list[bool]:
        task = self.adapter.submit_lookup_and_lock_task(keys, groups)
        self._wait(self.adapter.get_lookup_and_lock_event_fd())
        bitmap = self.adapter.query_lookup_and_lock_result(task)
        self.adapter.submit_unlock(keys)
        return [bitmap.test(index) for index in range(len(keys))]

    def load(self, keys: list[ObjectKey], objects: list[Any]) -> list[bool]:
        task = self.adapter.submit_load_task(keys, objects)
        self._wait(self.adapter.get_load_event_fd())
        bitmap = self.adapter.query_load_result(task)
        assert self.adapter.query_load_result(task) is None
        return [bitmap.test(index) for index in range(len(keys))]


def key(index: int, **changes: Any) -> ObjectKey:
    fields = dict(chunk_hash=index.to_bytes(16, "big"), model_name="test/model", kv_rank=0x02010201)
    return ObjectKey(**{**fields, **changes})


def memory(seed: int | None, shapes: list[torch.Size] = SHAPES, dtypes: list[torch.dtype] = DTYPES) -> Any:
    """An object; zeros without a seed."""
    size = sum(shape.numel() * dtype.itemsize for shape, dtype in zip(shapes, dtypes))
    raw = torch.zeros(size, dtype=torch.uint8)
    if seed is not None:
        raw.copy_(torch.frombuffer(bytearray(random.Random(seed).randbytes(size)), dtype=torch.uint8))
    about = MemoryObjMetadata(
        shape=shapes[0], dtype=dtypes[0], address=0, phy_size=size, ref_count=1, fmt=MemoryFormat.KV_2LTD,
        shapes=list(shapes), dtypes=list(dtypes),
    )
    return TensorMemoryObj(raw, about, parent_allocator=None)


class SecondLevel(unittest.TestCase):
    def setUp(self) -> None:
        self.daemon = LiveDaemon()
        self.addCleanup(self.daemon.remove)

    def level(self, **options: Any) -> Level:
        level = Level(self.daemon.socket, **options)
        self.addCleanup(level.adapter.close)
        return level

    def test_objects_come_back_in_another_process(self) -> None:
        groups = [
            ([torch.Size([2, 6, 32, 192])], [torch.bfloat16]),
            ([torch.Size([6, 32, 576])], [torch.bfloat16]),
            ([torch.Size([2, 4, 32, 64]), torch.Size([2, 2, 32, 32])], [torch.bfloat16, torch.float32]),
            ([torch.Size([100_001])], [torch.uint8]),
        ]
        for group, (shapes, dtypes) in enumerate(groups):
            with self.subTest(shapes):
                descs = {group: MemoryLayoutDesc(shapes, dtypes)}
                keys = [key(index, object_group_id=group) for index in range(5)]
                objects = [memory(index, shapes, dtypes) for index in range(5)]
                level = self.level()
                self.assertEqual(level.look_up(keys, descs), [False] * 5)
                stored = level.store([*keys[:2], keys[4]], [*objects[:2], objects[4]])
                self.assertTrue(stored.is_successful())
                self.assertEqual(stored.bytes_transferred(), 3 * objects[0].get_size())
                other = self.level()
                self.assertEqual(other.look_up(keys, descs), [True, True, False, False, True])
                into = [memory(None, shapes, dtypes) for _ in keys]
                self.assertEqual(other.load(keys, into), [True, True, False, False, True])
                for index in (0, 1, 4):
                    self.assertTrue(torch.equal(into[index].raw_data, objects[index].raw_data))
                # What is there already is not sent again.
                self.assertEqual(level.store(keys, objects).bytes_transferred(), 2 * objects[0].get_size())
                self.assertEqual(level.adapter.get_usage().total_bytes_used, 5 * objects[0].get_size())
                self.assertTrue(level.adapter.report_status()["is_healthy"])

    def test_no_field_of_a_key_is_left_out(self) -> None:
        level = self.level()
        descs = {group: MemoryLayoutDesc(SHAPES, DTYPES) for group in (0, 1)}
        self.assertTrue(level.store([key(1)], [memory(1)]).is_successful())
        others = [
            key(2), key(1, model_name="test/other"), key(1, kv_rank=0x02000200), key(1, object_group_id=1),
            key(1, cache_salt="user"),
        ]
        self.assertEqual(level.look_up([*others, key(1)], descs), [False] * 5 + [True])
        self.assertEqual(level.load(others, [memory(None) for _ in others]), [False] * 5)
        # Another layout is another object.
        narrow = [torch.Size([2, 6, 32, 96])]
        self.assertEqual(level.look_up([key(1)], {0: MemoryLayoutDesc(narrow, DTYPES)}), [False])
        self.assertEqual(level.load([key(1)], [memory(None, narrow)]), [False])
        # So are fewer tokens.
        short = [torch.Size([2, 6, 16, 192])]
        with self.assertLogs("larder.lmcache", "ERROR"):
            self.assertEqual(level.load([key(1)], [memory(None, short)]), [False])

    def test_descriptors_are_distinct(self) -> None:
        adapters = [self.level().adapter, self.level().adapter]
        descriptors = [
            descriptor
            for adapter in adapters
            for descriptor in (
                adapter.get_store_event_fd(), adapter.get_lookup_and_lock_event_fd(), adapter.get_load_event_fd()
            )
        ]
        self.assertEqual(len(set(descriptors)), 6)

    def test_deleting(self) -> None:
        level = self.level()
        keys = [key(index) for index in range(3)]
        level.store(keys, [memory(index) for index in range(3)])
        level.adapter.delete([keys[0], key(9)])
        self.assertEqual(level.load(keys, [memory(None) for _ in keys]), [False, True, True])
        self.assertEqual(level.adapter.get_usage().total_bytes_used, 2 * memory(None).get_size())

    def test_without_a_daemon_all_is_a_miss_and_ends(self) -> None:
        level = self.level(timeout_seconds=2)
        self.assertTrue(level.store([key(1)], [memory(1)]).is_successful())
        self.daemon.kill()
        with self.assertLogs("larder.lmcache", "ERROR") as logs:
            self.assertFalse(level.store([key(2)], [memory(2)]).is_successful())
            self.assertEqual(level.look_up([key(1)], {0: MemoryLayoutDesc(SHAPES, DTYPES)}), [False])
            self.assertEqual(level.load([key(1)], [memory(None)]), [False])
        self.assertEqual(len([line for line in logs.output if "NOTHING IS LOADED" in line]), 1)
        self.assertFalse(level.adapter.report_status()["is_healthy"])

    def test_basic_check_passes(self) -> None:
        specification = {
            "type": "plugin", "module_path": "larder.integrations.lmcache", "class_name": "LarderL2Adapter",
            "adapter_params": {"socket": self.daemon.socket},
        }
        result = subprocess.run(
            [sys.executable, "-m", "lmcache.v1.basic_check", "--mode", "test_l2_adapter", "--l2-adapter",
             json.dumps(specification), "--obj-size", "65536"],
            capture_output=True, text=True, timeout=600,
        )
        rows = [line.split("|") for line in result.stdout.splitlines() if line.startswith("| ")][1:]
        self.assertEqual(
            {row[1].strip(): row[5].strip() for row in rows},
            dict.fromkeys(["LOOKUP (absent)", "STORE", "LOOKUP (exist)", "LOAD"], "5/5"), result.stdout + result.stderr,
        )


if __name__ == "__main__":
    unittest.main()
