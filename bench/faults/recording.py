"""Power cuts, simulated: from the record of what a daemon wrote (shim.c) to the files that a cut could have left.

What is certain after a cut is what a file held when its last sync before the cut ended. Of what was written to it
later, the disk may have anything of the following, by the style of the cut:
  nothing   none of it                            all       all of it
  prefix    the first n calls                     pages     of each 4 KiB page any state that it went through
  sectors   the same for 512 bytes, the most that a disk promises to write whole
So may its length be any that it went through. Names are made, moved and removed in order: all of a directory's are
certain after an fsync of it; of later ones a cut leaves the first n. In half of the cuts (`journaled`) the sync of a
file also makes certain all names that were made before it, as ext4, XFS and Btrfs do; in the other half only an fsync
of the directory does, which is what fsync(2) promises.
What a sync failed to write stays uncertain even if the next one succeeds: Linux forgets that the pages are to be
written.
"""

import os
import random
from dataclasses import dataclass, field

from shim import Operation

PAGE = 4_096
STYLES = ("nothing", "prefix", "pages", "pages", "sectors", "all")


@dataclass
class File:
    """A file's bytes that are certain, and the calls since."""

    certain: bytearray = field(default_factory=bytearray)
    later: list[Operation] = field(default_factory=list)
    # Pages that a sync failed to write. The kernel takes them for written, so that a later sync does not try again;
    # only a page that is written to once more goes to the disk, whole.
    doubtful: dict[int, bytes] = field(default_factory=dict)

    def settle(self) -> None:
        """A sync has ended: all calls are certain."""
        for operation in self.later:
            for index in units(operation, len(self.certain), PAGE):
                self._recall(index)
            apply(self.certain, operation)
        self.later = []

    def fail(self) -> None:
        """A sync has failed: none of the calls since the last is certain, nor will the next sync make it so."""
        whole = bytearray(self.certain)
        for index, page in self.doubtful.items():
            whole[index * PAGE:(index + 1) * PAGE] = page
        touched: set[int] = set()
        for operation in self.later:
            touched.update(units(operation, len(whole), PAGE))
            apply(whole, operation)
        self.later = []
        # The length is no page's: it went to the journal of the file system.
        self.certain.extend(bytes(max(0, len(whole) - len(self.certain))))
        del self.certain[len(whole):]
        self.doubtful.update({index: bytes(whole[index * PAGE:(index + 1) * PAGE]) for index in touched})

    def _recall(self, index: int) -> None:
        page = self.doubtful.pop(index, None)
        if page is not None:
            self.certain[index * PAGE:index * PAGE + len(page)] = page

    def cut(self, style: str, choices: random.Random) -> bytearray:
        """The bytes that a power cut leaves."""
        data = bytearray(self.certain)
        if style == "all" or (style == "pages" and choices.random() < 0.5):
            for index, page in sorted(self.doubtful.items()):
                if style == "all" or choices.random() < 0.5:
                    data[index * PAGE:index * PAGE + len(page)] = page
        if style in ("prefix", "all"):
            count = len(self.later) if style == "all" else choices.randint(0, len(self.later))
            for operation in self.later[:count]:
                apply(data, operation)
        elif style in ("pages", "sectors"):
            self._cut_units(data, PAGE if style == "pages" else 512, choices)
        return data

    def _cut_units(self, data: bytearray, unit: int, choices: random.Random) -> None:
        lengths = [len(data)]
        for operation in self.later:
            lengths.append(length_after(lengths[-1], operation))
        length = choices.choice(lengths) if choices.random() < 0.5 else lengths[-1]
        # Each unit has its own history: the calls that touch it, of which the first n have reached the disk.
        touches: dict[int, int] = {}
        for before, operation in zip(lengths, self.later):
            for index in units(operation, before, unit):
                touches[index] = touches.get(index, 0) + 1
        luck = choices.choice((0.1, 0.5, 0.9))
        left = {
            index: choices.randint(1, count) if choices.random() < luck else 0
            for index, count in sorted(touches.items())}
        widest = max(lengths)
        data.extend(bytes(widest - len(data)))
        for before, operation in zip(lengths, self.later):
            for index in units(operation, before, unit):
                if left[index] > 0:
                    left[index] -= 1
                    apply_part(data, operation, before, index * unit, min((index + 1) * unit, widest))
        del data[length:]


def length_after(length: int, operation: Operation) -> int:
    """A file's length after a call."""
    if operation.kind == "truncate":
        return operation.length
    return max(length, operation.offset + operation.length) if operation.kind == "write" else length


def span(operation: Operation, length: int) -> tuple[int, int]:
    """Which bytes a call changes in a file of that length. A cut zeroes all behind it."""
    if operation.kind == "truncate":
        return operation.length, max(length, operation.length)
    end = operation.offset + operation.length
    return operation.offset, min(end, length) if operation.kind == "punch" else end


def units(operation: Operation, length: int, unit: int) -> range:
    """The indices of the pages or sectors that a call changes."""
    start, end = span(operation, length)
    return range(start // unit, (end + unit - 1) // unit) if end > start else range(0)


def apply_part(data: bytearray, operation: Operation, length: int, start: int, end: int) -> None:
    """Does the part of a call that lies in start..<end; the data is long enough."""
    first, last = span(operation, length)
    start, end = max(start, first), min(end, last)
    if end > start:
        if operation.kind == "write":
            data[start:end] = operation.payload[start - first:end - first]
        else:
            data[start:end] = bytes(end - start)


def apply(data: bytearray, operation: Operation) -> None:
    """Does a call whole."""
    before = len(data)
    after = length_after(before, operation)
    if after > before:
        data.extend(bytes(after - before))
    apply_part(data, operation, before, 0, max(before, after))
    del data[after:]


class Names:
    """Which paths name which files, as far as that is certain, and the changes since."""

    def __init__(self, root: str):
        self.certain: dict[str, int] = {root: 0}
        self.later: list[Operation] = []

    def settle(self, directory: str | None) -> None:
        """All later changes in a directory are certain; None for all directories."""
        kept: list[Operation] = []
        for operation in self.later:
            if directory is None or any(os.path.dirname(path) == directory for path in operation.paths):
                if operation.kind == "rename":
                    self._carry(operation, kept)
                self._apply(self.certain, operation)
            else:
                kept.append(operation)
        self.later = kept

    def _carry(self, rename: Operation, earlier: list[Operation]) -> None:
        """A certain rename has its file, even if the name that it had before never was certain."""
        for operation in reversed(earlier):
            if operation.kind == "create" and operation.paths[0] == rename.paths[0]:
                earlier.remove(operation)
                self.certain[rename.paths[0]] = operation.inode
                return

    def cut(self, choices: random.Random) -> dict[str, int]:
        """The names that a power cut leaves."""
        names = dict(self.certain)
        for operation in self.later[:choices.randint(0, len(self.later))]:
            self._apply(names, operation)
        # What lies in a directory that is not there, is not there.
        return {path: inode for path, inode in names.items() if inode == 0 or os.path.dirname(path) in names}

    @staticmethod
    def _apply(names: dict[str, int], operation: Operation) -> None:
        if operation.kind == "rename":
            inode = names.pop(operation.paths[0], None)
            if inode is not None:
                names[operation.paths[1]] = inode
        elif operation.kind in ("unlink", "rmdir"):
            names.pop(operation.paths[0], None)
        else:
            names[operation.paths[0]] = operation.inode


class Disk:
    """What a disk holds while a record is played: feed it calls in order, and cut the power between any two."""

    def __init__(self, root: str, journaled: bool):
        self.root = root
        self.journaled = journaled
        self.names = Names(root)
        self.files: dict[int, File] = {}
        self.directories: dict[int, str] = {os.stat(root).st_ino: root}

    def feed(self, operation: Operation) -> None:
        """Takes a call in."""
        if operation.kind == "sync":
            self._sync(operation.inode)
        elif operation.kind == "failed sync":
            self._fail(operation.inode)
        elif operation.kind in ("create", "mkdir", "rename", "unlink", "rmdir"):
            if operation.kind == "create":
                self.files.setdefault(operation.inode, File())
            # The record has no number of a directory: the daemon's own are still there when it is played.
            if operation.kind == "mkdir" and os.path.isdir(operation.paths[0]):
                self.directories[os.stat(operation.paths[0]).st_ino] = operation.paths[0]
            self.names.later.append(operation)
        else:
            self.files.setdefault(operation.inode, File()).later.append(operation)

    def _fail(self, inode: int) -> None:
        if inode in self.files:
            self.files[inode].fail()

    def _sync(self, inode: int) -> None:
        if inode in self.files:
            self.files[inode].settle()
        if self.journaled:
            self.names.settle(None)
        elif inode in self.directories:
            self.names.settle(self.directories[inode])

    def cut(self, target: str, style: str, choices: random.Random) -> None:
        """Writes the files that a power cut leaves now, under `target`, an empty directory."""
        names = self.names.cut(choices)
        for path in sorted(names):
            here = target + path[len(self.root):]
            if names[path] == 0:
                os.makedirs(here, mode=0o700, exist_ok=True)
            else:
                with open(os.open(here, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                    file.write(self.files[names[path]].cut(style, choices))
