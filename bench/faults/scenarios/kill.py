"""SIGKILL at random moments: of the work, of a write, of a start, of a shutdown."""

import random
import time

from check import Expectation, check, probe
from context import Context, Result
from crew import Crew
from findings import Finding
from journal import Journal
from larder_client import larder
from workload import Profile

# What a store that is full of others' state may answer.
AT_THE_CAP = (
    larder.Full, larder.Overlap, larder.Conflict, larder.Miss, larder.Declined, larder.Busy, larder.InvalidArgument)


def sigkill(context: Context, result: Result) -> None:
    """Far below the cap, so that every acknowledged chunk must be there. Half of it with three shards."""
    profile = Profile(large_tokens=4_096)
    half = context.first + context.loops // 2
    _kills(context, result, range(context.first, half), "512MiB", 1, profile, Expectation())
    _kills(context, result, range(half, context.range.stop), "512MiB", 3, profile, Expectation())


def sigkill_at_cap(context: Context, result: Result) -> None:
    """A store that evicts all the time: what is missing must be explained, and what was pinned may not be."""
    profile = Profile(sessions=10, may_refuse=AT_THE_CAP, evicts=True, levels=(0, 6, 2))
    _kills(context, result, context.range, "6MiB", 1, profile, Expectation(evicts=True))


def _kills(
    context: Context, result: Result, loops: range, cap: str, shards: int, profile: Profile, expected: Expectation
) -> None:
    journal = Journal()
    daemon = context.daemon(f"kill-{shards}", cap=cap, options=("--shards", str(shards)), shimmed=True)
    native = daemon.shim
    try:
        for loop in loops:
            result.tick(loop - context.first, context.loops)
            choices = random.Random(f"{context.seed}/{loop}")
            with result.attempt(f"loop {loop}"):
                # Every other daemon runs without the shim between it and the kernel.
                daemon.shim = native if loop % 2 else None
                if not daemon.is_running:
                    daemon.start()
                _kill_once(daemon, journal, profile, choices, context.seed + loop)
                result.count(kills=1)
                _start_again(daemon, choices, result)
                with larder.connect(daemon.socket) as client:
                    result.count(**check(client, journal, expected))
                    probe(client, journal, may_be_full=expected.evicts)
                if loop % 2 == 0:
                    daemon.kill()  # For the next one to be started with the shim.
            if result.has_failed_enough:
                break
            if result.failed_last:
                # What follows from a broken promise is not another one.
                daemon.kill()
                context.keep(daemon, f"loop {loop}")
                journal = Journal()
                daemon = context.daemon(f"kill-{shards}", cap=cap, options=("--shards", str(shards)), shimmed=True)
                native = daemon.shim
        result.count(**journal.counts)
    finally:
        daemon.kill()


def _kill_once(daemon, journal: Journal, profile: Profile, choices: random.Random, seed: int) -> None:
    """Has workers work, and kills the daemon in the midst of it."""
    if daemon.shim:
        daemon.shim.disarm()
    crew = Crew(3, daemon.socket, journal, profile, seed).start()
    way = choices.random()
    if daemon.shim and way < 0.7:
        # At the n-th write or sync from now on: before it, or after half of it.
        daemon.shim.arm(
            choices.choice((["write"], ["sync"], ["write", "sync"])), choices.choice(("kill", "tear-kill")),
            skip=choices.randrange(400))
        deadline = time.monotonic() + 3.0
        while daemon.is_running and time.monotonic() < deadline:
            time.sleep(0.002)
    elif way < 0.9:
        time.sleep(choices.random() * 0.5)
    else:
        # In the midst of an orderly shutdown.
        time.sleep(choices.random() * 0.2)
        daemon.signal(15)
        time.sleep(choices.random() * 0.03)
    code = daemon.kill()
    crew.stop(may_be_cut_off=True)
    daemon.require_no_crash(code)
    if code not in (-9, 0):
        raise Finding("exit", f"the daemon ended with {code}: {daemon.said()}")


def _start_again(daemon, choices: random.Random, result: Result) -> None:
    """Starts the daemon, at times after killing it while it starts."""
    while choices.random() < 0.15:
        daemon.spawn()
        time.sleep(choices.random() * 0.09)
        daemon.require_no_crash(daemon.kill())
        result.count(kills_of_a_start=1)
    daemon.start()
