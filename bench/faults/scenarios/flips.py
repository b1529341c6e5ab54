"""Bit flips in each kind of page of a store, and in the files beside it: never served, and serving again."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from functools import partial

from check import Expectation, Seen, check, probe, read_session
from context import Context, Result
from daemon import DidNotStart
from findings import Finding
from journal import Journal
from larder_client import MODEL, larder
from lmdb_file import KINDS, LMDBFile
from workload import Profile, Worker

# Files beside data.mdb, under the store's directory.
SIDECARS = ("shard-0/heat", "larderd.lock", "shard-0/lock.mdb")
# One flip of so many is made under a daemon that runs; the others while none does.
LIVE = 4
BITS = (1, 1, 1, 2, 8, 64)
# How many contents a flip in such a page may cost, unless the store was set aside: damage stays where it is.
MOST_LOST = {"value": 1, "free": 0, "older meta": 0, **{name: 0 for name in SIDECARS}}


def bit_flips(context: Context, result: Result) -> None:
    """Damages a copy of one store again and again."""
    journal = Journal()
    original = context.daemon("original", "32MiB", in_memory=True)
    with result.attempt("the store to damage"):
        _fill(original, journal, context.seed)
    if not result.is_good:
        return
    path = os.path.join(original.data_directory, "shard-0/data.mdb")
    with open(path, "rb") as file:
        layout = LMDBFile(file.read())
    result.counts.update({f"pages_{kind.replace(' ', '_')}": len(layout.pages[kind]) for kind in KINDS})
    resets = "--on-corruption" in subprocess.run([context.program, "--help"], capture_output=True, text=True).stdout
    daemon = context.daemon("flipped", "32MiB", ("--on-corruption", "reset") if resets else (), in_memory=True)
    for loop in context.range:
        result.tick(loop - context.first, context.loops)
        choices = random.Random(f"{context.seed}/flip/{loop}")
        context.remove(daemon.data_directory)
        shutil.copytree(original.data_directory, daemon.data_directory)
        file, kind, places = _aim(choices, layout, daemon.data_directory)
        what = f"flip {context.seed}/flip/{loop} in {kind}, bytes {places[:3]}"
        before = result.kinds.copy()
        with result.attempt(what):
            try:
                flip = partial(_flip, os.path.join(daemon.data_directory, file), places, choices)
                most = MOST_LOST.get(kind, len(places) << 20)
                # A running daemon's lock.mdb is memory that processes share, and no longer what is stored.
                is_live = choices.randrange(LIVE) == 0 and not kind.endswith("lock.mdb")
                _survive(daemon, journal, flip, result, is_live, resets, most)
            except (Finding, DidNotStart):
                context.keep(daemon, f"flip {loop}")
                raise
            finally:
                daemon.kill()
        result.count(flips=1, flips_that_broke_a_promise=before != result.kinds)
        if sum(result.kinds.values()) - result.kinds.get("refuses", 0) >= 40:
            break


def _fill(daemon, journal: Journal, seed: int) -> None:
    """A store with branches, values of every size, a free list and a memory of heat, closed in order."""
    profile = Profile(sessions=8, tokens=1_024, levels=(0, 6, 2), chunk_tokens=(1, 16, 64), large_tokens=1_024)
    daemon.start()
    # One worker, so that the same seed makes the same store, as far as times and ids allow.
    Worker(0, daemon.socket, journal, profile, seed).run_for(500)
    daemon.require_no_crash(daemon.stop())
    daemon.start()
    with larder.connect(daemon.socket) as client:
        check(client, journal, Expectation())
        journal.store_id = client.store_id
    daemon.require_no_crash(daemon.stop())


def _aim(choices: random.Random, layout: LMDBFile, directory: str) -> tuple[str, str, list[int]]:
    """A file, the kind of place in it, and the offsets of the bytes to damage there."""
    kinds = [kind for kind in KINDS if layout.pages[kind]] + ["beside"]
    kind = choices.choice(kinds)
    count = choices.choice(BITS)
    if kind == "beside":
        present = [name for name in SIDECARS if os.path.getsize(os.path.join(directory, name)) > 0]
        name = choices.choice(present)
        size = os.path.getsize(os.path.join(directory, name))
        return name, name, [choices.randrange(size) for _ in range(count)]
    page = choices.choice(layout.pages[kind])
    spans = layout.used_spans(kind, page)
    start, end = choices.choice(spans)
    # Headers are few bytes, and what depends on them is much.
    if choices.random() < 0.3:
        end = min(end, start + 64)
    return "shard-0/data.mdb", kind, [choices.randrange(start, end) for _ in range(count)]


def _flip(path: str, places: list[int], choices: random.Random) -> None:
    with open(path, "r+b", buffering=0) as file:
        for place in places:
            file.seek(place)
            byte = file.read(1)
            if byte:  # A daemon that has started since may have made it shorter.
                file.seek(place)
                file.write(bytes([byte[0] ^ 1 << choices.randrange(8)]))


def _survive(
    daemon, journal: Journal, flip, result: Result, is_live: bool, is_reset: bool, most_lost: int
) -> None:
    """Damages the store and uses the daemon; it may be started once more, and must serve then."""
    if is_live:
        # LMDB trusts its map, so that it may end the daemon from within. It must not be Larder's own code that does.
        daemon.start()
        flip()
        code = _use(daemon, journal, result, must_write=False)
        result.count(**({f"deaths_by_signal_{-code}": 1} if code < 0 else {}))
        if -code in (signal.SIGILL, signal.SIGTRAP):
            result.find("trap", f"a daemon under which the file was damaged trapped: {daemon.said()}")
    else:
        flip()
        if not _starts(daemon, result, is_reset):
            return
        code = _use(daemon, journal, result, must_write=True, most_lost=most_lost)
        if code == 0:
            return
        result.find("crash", f"the store was opened, and ended the daemon by signal {-code}: {daemon.said()}")
    result.count(restarts=1)
    if _starts(daemon, result, is_reset) and _use(daemon, journal, result, must_write=True) != 0:
        raise Finding("crash loop", f"it died of the same damage again: {daemon.said()}")


def _starts(daemon, result: Result, is_reset: bool) -> bool:
    """Starts the daemon. One that refuses the store is to set it aside by itself, where it can be told to."""
    try:
        daemon.start()
        return True
    except DidNotStart as error:
        if error.is_crash:
            raise Finding("crash", f"while it opened the store: {error}") from None
        result.find("refuses", f"{error.said[-300:]}")
        if is_reset:
            raise Finding("does not open", error.said[-300:]) from None
    # What its message says: move the store aside. Then it serves.
    shutil.move(daemon.data_directory, daemon.data_directory + ".aside")
    os.mkdir(daemon.data_directory)
    daemon.start()
    with larder.connect(daemon.socket) as client:
        probe(client, Journal())
    daemon.stop()
    shutil.rmtree(daemon.data_directory + ".aside")
    return False


def _use(daemon, journal: Journal, result: Result, must_write: bool, most_lost: int = 1 << 30) -> int:
    """Reads all, writes, and reads all again; then ends the daemon. Returns its end, negative for a signal."""
    try:
        with larder.connect(daemon.socket, timeout=30) as client:
            for _ in range(2):
                lost = _read(client, journal, result)
                is_aside = client.store_id != journal.store_id
                result.count(looks_at_a_store_that_is_new=is_aside)
                if lost > most_lost and not is_aside:
                    raise Finding("spreads", f"{lost} contents are gone, where at most {most_lost} were damaged")
                _write(client, result, must_write)
    except larder.ProtocolViolation as error:
        # A list that goes back, say: the tree is damaged under the daemon's feet, and the client has noticed.
        if must_write:
            raise Finding("protocol", str(error)) from None
        result.count(protocol_violations=1)
        daemon.kill()
        return 0
    except (larder.ConnectionLost, larder.ConnectionFailed) as error:
        if daemon.is_running:
            time.sleep(0.5)
        if daemon.is_running:
            # Else it would be in the way of the next flip.
            daemon.kill()
            raise Finding("hangs", f"the connection ended, and the daemon ran on: {error}") from None
        return daemon.kill()
    code = daemon.stop()
    if code > 0 and must_write:
        raise Finding("exit", f"it ended with {code}: {daemon.said()}")
    return min(code, 0)


def _read(client: larder.Client, journal: Journal, result: Result) -> int:
    """Pages in all that is listed; whatever is served must be what was put at that place. Returns how many contents
    were not served where they should have been."""
    declared = client.declare_model(MODEL)
    known = {(history.namespace, history.name): history for history in journal.all()}
    outcomes: Counter = Counter()
    lost: set[int] = set()
    for history in known.values():
        try:
            session = client.open_session(history.namespace, history.name, declared, create=False)
            seen: Seen = read_session(client, session)
        except larder.Refusal as error:
            outcomes[f"refused_{type(error).__name__}"] += 1
            lost.update(held.content for held in history.base.values())
            continue
        lost.update(held.content for key, held in history.base.items() if key not in seen.holds)
        for key, held in seen.holds.items():
            if history.base.get(key) != held:
                raise Finding("wrong byte", f"{history.namespace}/{history.name} serves another chunk at {key}")
        outcomes["served"] += len(seen.holds)
        outcomes["damaged"] += len(seen.damaged)
        outcomes["missing"] += len(history.base) - len(seen.holds) - len(seen.damaged)
        try:
            point = session.resume().offset
            if not (session.resume(at_most=point).offset == point):
                raise Finding("resume", f"{history.name} resumes at {point}, and then not")
        except larder.Refusal:
            outcomes["refused_resume"] += 1
    result.count(**outcomes)
    return len(lost)


def _write(client: larder.Client, result: Result, must: bool) -> None:
    """Makes the daemon use its free pages. A store that was damaged under it may take nothing until a restart."""
    try:
        probe(client, Journal(), may_be_full=True)
        client.sync()
    except (Finding, larder.Refusal) as error:
        if must or (isinstance(error, Finding) and error.kind != "not serving"):
            raise
        result.count(refused_writes=1)
