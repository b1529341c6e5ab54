"""Power cuts: one recording of a daemon at work, and the files that a cut at any moment of it could have left."""

import os
import random
import time
from dataclasses import dataclass

from check import Expectation, check, probe
from context import Context, Result
from crew import Crew
from daemon import DidNotStart
from findings import Finding
from journal import DURABLE, Journal
from larder_client import larder
from recording import STYLES, Disk
from scenarios.io_errors import BY_A_BAD_DISK
from scenarios.kill import AT_THE_CAP
from shim import read_record
from workload import Profile

CUTS_A_RECORDING = 125
RECORD_SECONDS = 5.0
CONTENT = Profile(sessions=4, tokens=768, chunk_tokens=(16, 32), levels=(1, 4, 4), pauses_seconds=0.05)


@dataclass
class Kind:
    """A kind of recording: how large the store may grow, and how it begins."""

    name: str
    cap: str
    shards: int
    profile: Profile
    # True if the cap is lowered and raised while it works, which punches holes.
    moves_cap: bool = False
    # True if the daemon is stopped and started on the way, with less than the file's length: the file is rewritten.
    restarts: bool = False
    # True if syncs fail now and then. What is acknowledged after that must be true all the same.
    fails_syncs: bool = False


KINDS = (
    Kind("roomy", "64MiB", 1, CONTENT),
    Kind("roomy, 3 shards", "64MiB", 3, CONTENT),
    Kind("at the cap", "5MiB", 1, Profile(
        sessions=12, tokens=1_024, levels=(0, 4, 4), pauses_seconds=0.02, may_refuse=AT_THE_CAP, evicts=True)),
    Kind("cap lowered", "24MiB", 1, Profile(
        sessions=12, tokens=1_024, levels=(0, 4, 4), pauses_seconds=0.02, may_refuse=AT_THE_CAP, evicts=True),
        moves_cap=True, restarts=True),
    Kind("failed syncs", "64MiB", 1, Profile(
        sessions=4, tokens=768, chunk_tokens=(16, 32), levels=(0, 4, 4), pauses_seconds=0.05, may_refuse=BY_A_BAD_DISK,
        syncs=60),
        fails_syncs=True),
)


def power_cuts(context: Context, result: Result) -> None:
    """Many cuts from each of a few recordings."""
    done = 0
    number = 0
    while done < context.loops:
        cuts = min(CUTS_A_RECORDING, context.loops - done)
        if context.loops < CUTS_A_RECORDING * len(KINDS):
            cuts = min(cuts, max(1, context.loops // len(KINDS)))
        kind = KINDS[number % len(KINDS)]
        with result.attempt(f"recording {number} ({kind.name})"):
            _recording(context, result, kind, number, cuts)
        done += cuts
        number += 1


def _recording(context: Context, result: Result, kind: Kind, number: int, cuts: int) -> None:
    record = os.path.join(context.directory("record", in_memory=True), "calls")
    options = ("--shards", str(kind.shards))
    daemon = context.daemon("recorded", kind.cap, options, shimmed=True, record=record, in_memory=True)
    journal = Journal()
    try:
        _work(daemon, journal, kind, context.seed + number)
        # What is wrong without a cut is not the cut's doing.
        with larder.connect(daemon.socket) as client:
            check(client, journal, Expectation(evicts=kind.profile.evicts), rebases=False)
    finally:
        daemon.kill()
    operations = list(read_record(record))
    os.unlink(record)
    result.count(recordings=1, recorded_calls=len(operations), recorded_durable=journal.counts["acknowledged_durable"])
    choices = random.Random(f"{context.seed}/power/{number}")
    moments = _moments(operations, cuts, choices)
    for journaled in (True, False):
        disk = Disk(os.path.realpath(daemon.data_directory), journaled)
        fed = 0
        for index, moment in enumerate(moments):
            for operation in operations[fed:moment]:
                disk.feed(operation)
            fed = moment
            if index % 2 == journaled:
                result.tick(result.counts.get("cuts", 0) + result.counts.get("cuts_strict", 0), context.loops)
                _cut(context, result, kind, journal, disk, operations, moment, f"{context.seed}/power/{number}/{index}")
    context.remove(os.path.dirname(daemon.data_directory))


def _moments(operations, cuts: int, choices: random.Random) -> list[int]:
    """Before which calls to cut: any of them, a tenth of the first hundred, and half soon after syncs that failed."""
    failed = [index for index, operation in enumerate(operations) if operation.kind == "failed sync"]
    moments = []
    for _ in range(cuts):
        if failed and choices.random() < 0.5:
            moments.append(min(choices.choice(failed) + choices.randint(1, 16), len(operations)))
        else:
            moments.append(choices.randrange(100 if choices.random() < 0.1 else len(operations) + 1))
    return sorted(min(moment, len(operations)) for moment in moments)


def _work(daemon, journal: Journal, kind: Kind, seed: int) -> None:
    """Fills the record: from a store's very first start on."""
    daemon.start()
    for part in range(3 if kind.restarts else 1):
        crew = Crew(3, daemon.socket, journal, kind.profile, seed + 1_000 * part).start()
        deadline = time.monotonic() + RECORD_SECONDS / (3 if kind.restarts else 1)
        while time.monotonic() < deadline and daemon.is_running:
            if kind.moves_cap:
                with larder.connect(daemon.socket) as client:
                    client.set_cap(random.Random(seed).choice((5, 6, 8)) << 20)
                    time.sleep(0.5)
                    client.set_cap(24 << 20)
            if kind.fails_syncs:
                daemon.shim.arm(["sync"], "EIO", random.Random(deadline).randrange(20), 1)
            time.sleep(0.1)
        daemon.shim.disarm()
        crew.stop()
        if kind.restarts:
            daemon.require_no_crash(daemon.stop())
            daemon.cap = ("24MiB", "8MiB", "16MiB")[part]
            daemon.start()


def _cut(
    context: Context, result: Result, kind: Kind, journal: Journal, disk: Disk, operations, moment: int, seed: str
) -> None:
    """Cuts the power before call number `moment`, opens what is left with a real daemon, and checks it."""
    choices = random.Random(seed)
    style = choices.choice(STYLES)
    # Between the end of the last call that happened and the start of the next.
    at_ns = operations[moment - 1].end_ns if moment else 0
    names = "journaled names" if disk.journaled else "strict names"
    what = f"cut {seed} before call {moment} of {len(operations)} ({kind.name}, {style}, {names})"
    daemon = context.daemon("cut", kind.cap, ("--shards", str(kind.shards)), in_memory=True)
    before = result.kinds.copy()
    with result.attempt(what):
        try:
            disk.cut(daemon.data_directory, style, choices)
            daemon.start()
            expected = Expectation(DURABLE, at_ns, evicts=kind.profile.evicts)
            # Later cuts are checked against the same journal.
            with larder.connect(daemon.socket) as client:
                result.count(**check(client, journal, expected, rebases=False))
                probe(client, Journal(), may_be_full=kind.profile.evicts)
            code = daemon.stop()
            daemon.require_no_crash(code)
            if code:
                raise Finding("exit", f"the daemon ended with {code}: {daemon.said()}")
        except (Finding, DidNotStart):
            context.keep(daemon, seed.replace("/", " "))
            raise
        finally:
            daemon.kill()
            context.remove(os.path.dirname(daemon.data_directory))
    broke = before != result.kinds
    if disk.journaled:
        result.count(cuts=1, broke_a_promise=broke)
    else:
        result.count(cuts_strict=1, broke_a_promise_strict=broke)
