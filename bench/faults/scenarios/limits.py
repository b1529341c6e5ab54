"""What a machine takes away: descriptors, memory, time that goes on as it should, peers that do their part."""

import os
import random
import socket
import time
from dataclasses import replace

from check import PROBES, Expectation, check, probe
from context import Context, Result
from crew import Crew
from findings import Finding
from journal import Journal
from larder_client import MODEL, larder
from scenarios.kill import AT_THE_CAP
from workload import Profile

DAY = 86_400
#: What Swift says where the C library has no memory for it.
NO_MEMORY = "Fatal error: failed to allocate"
QUIET = Profile(sessions=4, tokens=768, levels=(0, 6, 2), pauses_seconds=0.01)
# A session that has had no state for a week is forgotten (Docs/ARCHITECTURE.md), and a clock that jumps makes weeks.
FORGETFUL = replace(QUIET, forgets_empty=True)


def descriptors(context: Context, result: Result) -> None:
    """Fewer descriptors than peers want: they wait or are refused, others are served, and all are served in the end."""
    for loop in context.range:
        with result.attempt(f"loop {loop}"):
            # So few that connections with arenas run out of them; a daemon starts with 40 at least.
            limit = random.Random(f"{context.seed}/fd/{loop}").randrange(40, 80)
            _descriptors_once(context, result, limit, context.seed + loop)


def _descriptors_once(context: Context, result: Result, limit: int, seed: int) -> None:
    daemon = context.daemon("descriptors", "64MiB", descriptors=limit)
    journal = Journal()
    daemon.start()
    try:
        crew = Crew(2, daemon.socket, journal, QUIET, seed).start()
        time.sleep(0.2)
        idle = []
        for _ in range(limit + 20):
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            peer.settimeout(1)
            try:
                peer.connect(daemon.socket)
            except OSError:
                result.count(connections_refused=1)
            idle.append(peer)
        before = crew.operations
        time.sleep(0.6)
        if crew.operations == before:
            raise Finding("not serving", f"workers that were connected stand still with {limit} descriptors")
        arenas = _take_arenas(daemon.socket)
        result.count(loops=1, arenas_opened=arenas)
        for peer in idle:
            peer.close()
        crew.stop()
        time.sleep(0.3)
        with larder.connect(daemon.socket) as client:
            result.count(**check(client, journal, Expectation()))
            probe(client, journal)
        if not daemon.is_running:
            raise Finding("exit", daemon.said())
        result.count(**journal.counts)
    finally:
        daemon.require_no_crash(daemon.kill())


def _take_arenas(path: str) -> int:
    """Opens arenas until one is refused."""
    count = 0
    try:
        with larder.connect(path, timeout=2) as client:
            for _ in range(16):
                client.open_arena(1 << 16)
                count += 1
    except larder.LarderError:
        pass
    return count


def memory(context: Context, result: Result) -> None:
    """An address space too small for what is asked: requests are refused, or the daemon ends where Swift finds no memory;
    either way nothing that was acknowledged is lost, and it serves again after."""
    for loop in context.range:
        choices = random.Random(f"{context.seed}/memory/{loop}")
        with result.attempt(f"loop {loop}"):
            _memory_once(context, result, choices, context.seed + loop)


def _memory_once(context: Context, result: Result, choices: random.Random, seed: int) -> None:
    journal = Journal()
    daemon = context.daemon("memory", "64MiB")
    daemon.start()
    with open(f"/proc/{daemon.process.pid}/statm") as file:
        taken = int(file.read().split()[0]) * 4_096
    daemon.stop()
    # A little more than an idle daemon has: some threads and a few frames.
    daemon.address_space = taken + choices.randrange(1 << 20, 64 << 20)
    daemon.start()
    profile = Profile(
        sessions=4, tokens=8_192, large_tokens=4_096, levels=(0, 6, 2), timeout_seconds=4,
        may_refuse=(*AT_THE_CAP, larder.StorageFault, larder.InternalFault))
    try:
        crew = Crew(6, daemon.socket, journal, profile, seed).start()
        time.sleep(1.0)
        still_runs = daemon.is_running
        code = 0 if still_runs else daemon.kill()
        crew.stop(may_be_cut_off=True)
        result.count(workers_cut_off=sum(1 for worker in crew.workers if worker.cut_off))
        if not still_runs:
            # Swift ends the process where an allocation fails. What may not happen is any other end.
            result.count(deaths=1)
            if NO_MEMORY not in daemon.said():
                raise Finding("exit", f"it ended with {code}, not for want of memory: {daemon.said()}")
        result.count(loops=1)
    finally:
        daemon.kill()
        result.count(**journal.counts)
        daemon.address_space = None
        daemon.start()
        with larder.connect(daemon.socket) as client:
            result.count(**check(client, journal, Expectation()))
            probe(client, journal)
        daemon.kill()


def clock(context: Context, result: Result) -> None:
    """A wall clock that jumps by days, forward and back, under load and over restarts: nothing expires that has no time
    to live, no deadline of a request hangs on it, and what has one expires once its time has passed."""
    journal = Journal()
    daemon = context.daemon("clock", "64MiB", shimmed=True)
    offset = 0
    try:
        for loop in context.range:
            choices = random.Random(f"{context.seed}/clock/{loop}")
            with result.attempt(f"loop {loop}"):
                if not daemon.is_running:
                    daemon.start()
                crew = Crew(2, daemon.socket, journal, FORGETFUL, context.seed + loop).start()
                for _ in range(4):
                    time.sleep(0.1)
                    offset = choices.choice((-1, 1)) * choices.choice((1, 3_600, DAY, 30 * DAY, 3_650 * DAY))
                    before = crew.operations
                    daemon.shim.shift_wall_clock(offset)
                    result.count(jumps=1)
                    time.sleep(0.25)
                    if crew.operations == before:
                        raise Finding("hangs", f"workers stand still after the clock was moved by {offset} s")
                crew.stop()
                with larder.connect(daemon.socket) as client:
                    result.count(**check(client, journal, Expectation(forgets_empty=True)))
                    daemon.shim.shift_wall_clock(0)
                    probe(client, journal)
                if choices.random() < 0.5:
                    daemon.require_no_crash(daemon.kill() if choices.random() < 0.5 else daemon.stop())
            if result.failed_last:
                break
        with result.attempt("time to live"):
            _expires(context, result)
    finally:
        daemon.kill()


def _expires(context: Context, result: Result) -> None:
    """State with a time to live of a day: kept an hour later and when the clock goes back, gone after two days."""
    daemon = context.daemon("ttl", "64MiB", shimmed=True)
    daemon.start()
    try:
        with larder.connect(daemon.socket) as client:
            session = client.open_session("ttl", "day", client.declare_model(MODEL))
            session.configure(ttl_seconds=DAY)
            session.put(0, 16, bytes(4_096))
            for offset, is_kept in ((3_600, True), (-30 * DAY, True), (0, True), (2 * DAY, False)):
                daemon.shim.shift_wall_clock(offset)
                deadline = time.monotonic() + (2.5 if is_kept else 20)
                while time.monotonic() < deadline and (is_kept or list(session.chunks())):
                    time.sleep(0.1)
                if bool(list(session.chunks())) != is_kept:
                    what = "is gone" if is_kept else "is there"
                    raise Finding("expiry", f"state with a day to live {what} {offset} s later")
                result.count(expiry_checks=1)
    finally:
        daemon.require_no_crash(daemon.kill())


def stops(context: Context, result: Result) -> None:
    """Workers and a daemon that are stopped (SIGSTOP), and peers that send or read a byte at a time or not at all: the
    others are served meanwhile, and what was acknowledged is there."""
    journal = Journal()
    daemon = context.daemon("stops", "64MiB")
    daemon.start()
    try:
        for loop in context.range:
            choices = random.Random(f"{context.seed}/stop/{loop}")
            with result.attempt(f"loop {loop}"):
                _stop_once(daemon, journal, choices, context.seed + loop, result)
            if result.failed_last:
                break
    finally:
        daemon.signal(18)
        daemon.require_no_crash(daemon.kill())


def _stop_once(daemon, journal: Journal, choices: random.Random, seed: int, result: Result) -> None:
    peers = [_slow_peer(daemon.socket, choices) for _ in range(choices.randint(1, 6))]
    stopped = _stopped_worker(daemon.socket, seed)
    crew = Crew(2, daemon.socket, journal, QUIET, seed).start()
    try:
        time.sleep(0.2)
        before = crew.operations
        time.sleep(0.5)
        if crew.operations == before:
            raise Finding("not serving", f"workers stand still beside {len(peers)} slow peers and a stopped one")
        # All of the daemon stands still, and goes on.
        daemon.signal(19)
        time.sleep(choices.random())
        daemon.signal(18)
        crew.stop()
    finally:
        os.kill(stopped, 18)
        os.kill(stopped, 9)
        os.waitpid(stopped, 0)
        for peer in peers:
            peer.close()
    result.count(loops=1, slow_peers=len(peers), stopped_workers=1, stopped_daemons=1)
    with larder.connect(daemon.socket) as client:
        result.count(**check(client, journal, Expectation()))
        probe(client, journal)


def _slow_peer(path: str, choices: random.Random) -> socket.socket:
    """A peer that has sent a part of a frame, or asks and asks and reads nothing."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(2)
    peer.connect(path)
    hello = bytes.fromhex("1700000001000000010000000000000044") if choices.random() < 0.3 else None
    if hello is None:
        body = b"LRDR" + bytes.fromhex("01000100") + bytes(8) + b"\x04\x00slow"
        hello = len(body).to_bytes(4, "little") + b"\x01\x00\x00\x00" + (1).to_bytes(8, "little") + body
    peer.sendall(hello[:choices.randint(1, len(hello))] if choices.random() < 0.5 else hello)
    peer.setblocking(False)
    stat = bytes(4) + b"\x0c\x00\x00\x00" + (2).to_bytes(8, "little")
    try:
        for _ in range(choices.choice((0, 1, 4_000))):
            peer.send(stat)
    except OSError:
        pass
    return peer


def _stopped_worker(path: str, seed: int) -> int:
    """The pid of a process that works, and was stopped in the midst of it."""
    pid = os.fork()
    if pid == 0:
        try:
            worker = Crew(1, path, Journal(), QUIET, -1 - seed).workers[0]
            worker.namespace = PROBES
            worker.run()
        finally:
            os._exit(0)
    time.sleep(0.15)
    os.kill(pid, 19)
    return pid
