"""Shows that the harness can fail: breaks each promise itself, and requires that it is found."""

import os
import random
import shutil
import signal
import time

import content
from check import Expectation, check, probe
from context import Context, Result
from daemon import DidNotStart
from findings import Finding
from journal import DURABLE, LEVELS, Held, Journal
from larder_client import MODEL, Kind, larder
from recording import Disk
from shim import read_record
from workload import Profile, Worker

PROFILE = Profile(sessions=4, tokens=512, chunk_tokens=(16, 32), levels=(0, 2, 2))


def self_test(context: Context, result: Result) -> None:
    """Sabotage of each kind, one after another."""
    for sabotage, kind in (
        (_roll_back, "lost"), (_other_bytes, "wrong byte"), (_swap, "phantom"), (_unknown_session, "phantom"),
        (_forget_drop, "phantom"), (_reuse_id, "id"), (_crash, "crash"), (_truncate_file, "lost"),
        (_ignore_syncs, "lost"),
    ):
        try:
            sabotage(context)
        except Finding as error:
            found = error.kind
        except DidNotStart:
            found = "does not open"
        else:
            found = "nothing"
        if found != kind:
            result.find("blind", f"{sabotage.__name__[1:]} was to be found as '{kind}', and was as '{found}'")
        result.count(sabotages=1)


def _worked(context: Context, journal: Journal, record: str | None = None):
    """A daemon with some state."""
    daemon = context.daemon("self-test", "32MiB", shimmed=True, record=record)
    daemon.start()
    Worker(0, daemon.socket, journal, PROFILE, context.seed).run_for(60)
    return daemon


def _look(daemon, journal: Journal) -> None:
    """What every scenario does after a fault."""
    try:
        if not daemon.is_running:
            daemon.start()
        with larder.connect(daemon.socket) as client:
            check(client, journal, Expectation())
            probe(client, journal)
    finally:
        daemon.kill()


def _roll_back(context: Context) -> None:
    """An older copy of the store in its place."""
    journal = Journal()
    daemon = _worked(context, journal)
    daemon.stop()
    copy = daemon.data_directory + ".old"
    shutil.copytree(daemon.data_directory, copy)
    daemon.start()
    Worker(1, daemon.socket, journal, PROFILE, context.seed).run_for(20)
    daemon.kill()
    shutil.rmtree(daemon.data_directory)
    os.rename(copy, daemon.data_directory)
    _look(daemon, journal)


def _stray(daemon, journal: Journal, data: bytes, held: Held, level: str = "committed") -> None:
    """Puts bytes into a session; the journal is told of `held`."""
    with larder.connect(daemon.socket) as client:
        session = client.open_session("stray", "s", client.declare_model(MODEL))
        history = journal.new("stray", "s", 0)
        history.add("create").ack_ns = 1
        step = history.add("put", level=LEVELS.index(level), holds={(Kind.FULL, 0): held})
        session.put(0, 16, data, acknowledgement=level)
        step.ack_ns = time.monotonic_ns()


def _other_bytes(context: Context) -> None:
    """One bit of a chunk that is not what the journal says."""
    journal = Journal()
    daemon = _worked(context, journal)
    data = bytearray(content.make(7, 4_096, "f16"))
    data[4_000] ^= 1
    _stray(daemon, journal, bytes(data), Held(16, 7))
    _look(daemon, journal)


def _swap(context: Context) -> None:
    """Another chunk, whole, in the place of one."""
    journal = Journal()
    daemon = _worked(context, journal)
    _stray(daemon, journal, content.make(8, 4_096, "f16"), Held(16, 7))
    _look(daemon, journal)


def _unknown_session(context: Context) -> None:
    """A session that nobody made."""
    journal = Journal()
    daemon = _worked(context, journal)
    with larder.connect(daemon.socket) as client:
        client.open_session("stray", "s", client.declare_model(MODEL))
    _look(daemon, journal)


def _forget_drop(context: Context) -> None:
    """A session that was dropped by what the journal says."""
    journal = Journal()
    daemon = _worked(context, journal)
    history = next(one for one in journal.all() if one.exists)
    history.add("drop").ack_ns = 1
    _look(daemon, journal)


def _reuse_id(context: Context) -> None:
    """Ids that the journal has seen before."""
    journal = Journal()
    daemon = _worked(context, journal)
    for number in range(1, 10_000):
        journal.ids.setdefault(64 * number, ("another", "session"))
    _look(daemon, journal)


def _crash(context: Context) -> None:
    """A daemon that ends by a signal which stands for a fault (the backtrace of Swift's runtime catches the others)."""
    daemon = _worked(context, Journal())
    daemon.signal(signal.SIGSYS)
    daemon.process.wait(20)
    daemon.require_no_crash(daemon.kill())


def _truncate_file(context: Context) -> None:
    """A data file that is cut short."""
    journal = Journal()
    daemon = _worked(context, journal)
    daemon.kill()
    os.truncate(os.path.join(daemon.data_directory, "shard-0/data.mdb"), 20_000)
    _look(daemon, journal)


def _ignore_syncs(context: Context) -> None:
    """A disk on which syncs do nothing while a durable chunk is put."""
    journal = Journal()
    record = os.path.join(context.directory("record"), "calls")
    daemon = _worked(context, Journal(), record)
    from_ns = time.monotonic_ns()
    _stray(daemon, journal, content.make(7, 4_096, "f16"), Held(16, 7), "durable")
    daemon.kill()
    disk = Disk(os.path.realpath(daemon.data_directory), journaled=True)
    for operation in read_record(record):
        if operation.kind != "sync" or operation.start_ns < from_ns:
            disk.feed(operation)
    again = context.daemon("self-test", "32MiB")
    disk.cut(again.data_directory, "nothing", random.Random(context.seed))
    again.start()
    try:
        with larder.connect(again.socket) as client:
            check(client, journal, Expectation(DURABLE, time.monotonic_ns()), rebases=False)
    finally:
        again.kill()
