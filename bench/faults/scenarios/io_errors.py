"""Calls that fail: EIO and ENOSPC from each kind of call, for a moment or for good, torn writes, full file systems."""

import os
import random
import subprocess
import time

from check import Expectation, check, probe
from context import Context, Result, Skipped
from crew import Crew
from daemon import Daemon, DidNotStart
from findings import Finding
from journal import COMMITTED, Journal
from larder_client import larder
from shim import FOR_EVER
from workload import Profile

# What a worker may hear while the disk fails.
BY_A_BAD_DISK = (
    larder.StorageFault, larder.Full, larder.Busy, larder.Miss, larder.Conflict, larder.Overlap, larder.InternalFault,
    larder.InvalidArgument, larder.UnknownSession)
PROFILE = Profile(sessions=4, tokens=768, levels=(0, 6, 2), may_refuse=BY_A_BAD_DISK)

# Calls, and what becomes of them.
FAULTS = tuple(
    (calls, action)
    for calls in (
        ["write"], ["sync"], ["write", "sync"], ["truncate", "fallocate"], ["rename", "unlink"], ["open", "read"])
    for action in ("EIO", "ENOSPC")
) + tuple((["write"], action) for action in ("tear-EIO", "tear-ENOSPC", "short"))


def io_errors(context: Context, result: Result) -> None:
    """A store on a disk that fails at the n-th call while workers work, recovers, and is killed and opened again."""
    journal = Journal()
    daemon = context.daemon("io", "64MiB", ("--queue-wait-seconds", "1"), shimmed=True)
    try:
        for loop in context.range:
            result.tick(loop - context.first, context.loops)
            choices = random.Random(f"{context.seed}/io/{loop}")
            calls, action = FAULTS[loop % len(FAULTS)]
            fail = choices.choice((1, 1, 3, 20, FOR_EVER))
            skip = choices.randrange(150)
            with result.attempt(f"loop {loop} ({'+'.join(calls)} {action}, from call {skip} on {fail} times)"):
                _fail_once(daemon, journal, choices, (calls, action, skip, fail), context.seed + loop, result)
            if result.has_failed_enough:
                break
            if result.failed_last:
                daemon.kill()
                context.keep(daemon, f"io {loop}")
                journal = Journal()
                daemon = context.daemon("io", "64MiB", ("--queue-wait-seconds", "1"), shimmed=True)
        result.count(**journal.counts)
    finally:
        daemon.kill()


def _fail_once(daemon: Daemon, journal: Journal, choices: random.Random, fault, seed: int, result: Result) -> None:
    calls, action, skip, fail = fault
    if not daemon.is_running:
        daemon.shim.disarm()
        daemon.start()
    crew = Crew(2, daemon.socket, journal, PROFILE, seed).start()
    daemon.shim.arm(calls, action, skip, fail)
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline and (not daemon.shim.failed or choices.random() < 0.9):
        time.sleep(0.02)
    failed = daemon.shim.failed
    daemon.shim.disarm()
    # The disk is well again, and so must the daemon be.
    time.sleep(0.1)
    crew.stop()
    result.count(loops=1, calls_that_failed=failed)
    if not daemon.is_running:
        daemon.require_no_crash(daemon.kill())
        raise Finding("exit", f"the daemon ended: {daemon.said()}")
    with larder.connect(daemon.socket) as client:
        result.count(**check(client, journal, Expectation(COMMITTED)))
        probe(client, journal)
    # What it served from memory must be what it finds on the disk.
    if choices.random() < 0.5:
        daemon.require_no_crash(daemon.kill() if choices.random() < 0.5 else daemon.stop())
        daemon.start()
        with larder.connect(daemon.socket) as client:
            check(client, journal, Expectation(COMMITTED))
            probe(client, journal)
        result.count(restarts=1)


def first_start(context: Context, result: Result) -> None:
    """A store's very first start, with each of its calls failing, tearing or killing; the next start must serve."""
    number = 0
    for calls in (["write"], ["sync"], ["open"], ["truncate", "fallocate"], ["mkdir"], ["rename"], ["read"]):
        for action in ("kill", "tear-kill", "EIO", "ENOSPC", "short"):
            for skip in range(200):
                daemon = context.daemon("first", "8MiB", shimmed=True)
                daemon.shim.arm(calls, action, skip)
                number += 1
                failed = False
                with result.attempt(f"{calls} {action} at call {skip}"):
                    failed = _first_start_once(daemon, result)
                context.remove(os.path.dirname(daemon.data_directory))
                if not failed and not result.failed_last:
                    break
    result.count(first_starts=number)


def _first_start_once(daemon: Daemon, result: Result) -> bool:
    """True if a call failed."""
    try:
        daemon.start()
    except DidNotStart as error:
        if error.is_crash:
            raise
        result.count(refused_to_start=1)
    failed = daemon.shim.failed > 0
    code = daemon.kill()
    daemon.require_no_crash(code)
    daemon.shim.disarm()
    try:
        daemon.start()
        with larder.connect(daemon.socket) as client:
            probe(client, Journal())
    finally:
        daemon.kill()
    return failed


def disk_full(context: Context, result: Result) -> None:
    """A file system that is filled by others while workers work, and emptied again."""
    place = context.directory("small")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "larder-faults", place], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        raise Skipped(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    ballast = os.path.join(place, "ballast")
    journal = Journal()
    daemon = context.daemon("full", "64MiB", ("--queue-wait-seconds", "1"), data=os.path.join(place, "data"))
    try:
        for loop in context.range:
            choices = random.Random(f"{context.seed}/full/{loop}")
            with result.attempt(f"loop {loop}"):
                _fill_once(daemon, journal, choices, ballast, context.seed + loop, result)
            if result.has_failed_enough or result.failed_last:
                break
        result.count(**journal.counts)
    finally:
        daemon.kill()
        subprocess.run(["umount", place], check=True)


def _fill_once(
    daemon: Daemon, journal: Journal, choices: random.Random, ballast: str, seed: int, result: Result
) -> None:
    if not daemon.is_running:
        daemon.start()
    crew = Crew(2, daemon.socket, journal, PROFILE, seed).start()
    time.sleep(choices.random() * 0.3)
    with open(ballast, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(choices.choice((4_096, 65_536))))
        except OSError:
            pass
    time.sleep(0.4)
    if choices.random() < 0.4:
        # Full, and killed, and started on a full disk.
        daemon.require_no_crash(daemon.kill())
        crew.stop(may_be_cut_off=True)
        try:
            daemon.start()
            with larder.connect(daemon.socket) as client:
                check(client, journal, Expectation(COMMITTED))
        except DidNotStart as error:
            if error.is_crash or "free some of the disk" not in error.said:
                raise
            result.count(refused_to_start_on_a_full_disk=1)
        os.unlink(ballast)
        if not daemon.is_running:
            daemon.start()
    else:
        os.unlink(ballast)
        time.sleep(0.1)
        crew.stop()
    result.count(fills=1)
    with larder.connect(daemon.socket) as client:
        result.count(**check(client, journal, Expectation(COMMITTED)))
        probe(client, journal)
