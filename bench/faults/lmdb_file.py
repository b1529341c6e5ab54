"""Which page of an LMDB data file is what: enough of mdb.c 0.9's layout to aim a fault at each kind of page."""

import struct
from collections import defaultdict

PAGE = 4_096
_HEADER = 16
_BRANCH, _LEAF = 0x01, 0x02
_BIG, _DATABASE = 0x01, 0x02
_NONE = (1 << 64) - 1
_META = 16

# What a page may be.
KINDS = ("newest meta", "older meta", "branch", "leaf", "value", "free list", "free")


class LMDBFile:
    """A data file's bytes, sorted by kinds of pages."""

    def __init__(self, data: bytes):
        self.data = data
        metas = [struct.unpack_from("<Q", data, index * PAGE + _META + 128)[0] for index in (0, 1)]
        self.newest = 0 if metas[0] > metas[1] else 1
        self.pages: dict[str, list[int]] = defaultdict(list)
        self.pages["newest meta"], self.pages["older meta"] = [self.newest], [1 - self.newest]
        base = self.newest * PAGE + _META
        self.last_page = struct.unpack_from("<Q", data, base + 120)[0]
        self._walk(struct.unpack_from("<Q", data, base + 24 + 40)[0], is_free_list=True)
        self._walk(struct.unpack_from("<Q", data, base + 72 + 40)[0], is_free_list=False)
        used = {page for every in self.pages.values() for page in every}
        self.pages["free"] = [page for page in range(2, self.last_page + 1) if page not in used]

    def _nodes(self, page: int) -> list[int]:
        lower = struct.unpack_from("<H", self.data, page * PAGE + 12)[0]
        offsets = struct.unpack_from(f"<{(lower - _HEADER) // 2}H", self.data, page * PAGE + _HEADER)
        return [page * PAGE + offset for offset in offsets]

    def _walk(self, page: int, is_free_list: bool) -> None:
        if page == _NONE:
            return
        flags = struct.unpack_from("<H", self.data, page * PAGE + 10)[0]
        if flags & _BRANCH:
            self.pages["free list" if is_free_list else "branch"].append(page)
            for node in self._nodes(page):
                low, high, top = struct.unpack_from("<HHH", self.data, node)
                self._walk(low | high << 16 | top << 32, is_free_list)
            return
        self.pages["free list" if is_free_list else "leaf"].append(page)
        for node in self._nodes(page):
            low, high, node_flags, key_bytes = struct.unpack_from("<HHHH", self.data, node)
            value = node + 8 + key_bytes
            if node_flags & _DATABASE:
                self._walk(struct.unpack_from("<Q", self.data, value + 40)[0], is_free_list)
            elif node_flags & _BIG:
                first = struct.unpack_from("<Q", self.data, value)[0]
                count = (_HEADER + (low | high << 16) + PAGE - 1) // PAGE
                self.pages["free list" if is_free_list else "value"].extend(range(first, first + count))

    def used_spans(self, kind: str, page: int) -> list[tuple[int, int]]:
        """The bytes of a page that anybody ever reads: all of most kinds, not the gap in the midst of a tree's."""
        start = page * PAGE
        if kind in ("newest meta", "older meta"):
            return [(start, start + _META + 136)]
        if kind in ("branch", "leaf"):
            lower, upper = struct.unpack_from("<HH", self.data, start + 12)
            return [(start, start + lower), (start + upper, start + PAGE)]
        return [(start, start + PAGE)]
