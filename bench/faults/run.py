#!/usr/bin/env python3
"""The fault harness: breaks what a daemon stands on, in every way that a machine does, and checks each of its promises.

    python3 bench/faults/run.py [SCENARIO ...] [--long] [--loops N] [--first N] [--seed S]
        [--larderd PATH] [--json FILE] [--keep DIR]

A scenario drives a real daemon under load by the Python client (Clients/python) and writes down every acknowledgement
in a journal outside the daemon (journal.py). Then something breaks. The daemon is started again, and all that it serves
is compared with the journal, every byte of it (check.py):
  - what was acknowledged as committed is there (after a power cut: as durable), unless it was evicted and `explain`
    says so;
  - no byte is wrong: contents follow from a number, so that any byte can be checked without keeping it (content.py);
  - nothing is there that was never put, or was dropped or truncated;
  - the resume point is what the journal says, no id is given twice, and the daemon takes and serves what is new.
A daemon that ends by a signal of its own making is a finding in every scenario.

Faults come from signals, limits of the process, small file systems, flipped bits, and a shim between daemon and C
library (shim.c) that fails, tears or kills at the n-th call, moves the clock, and records writes for power cuts
(recording.py). What is random follows from the seed, which is printed; threads and the kernel add chance of their own.
`self-test` breaks each promise itself and requires that it is found.

Docs/TESTING.md says what each scenario proves and what would falsify it. Exit code 0: no promise was broken.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import shim  # noqa: E402
from context import Context, Result, Skipped  # noqa: E402
from scenarios import flips, io_errors, kill, limits, power, selftest  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
BUILT = os.path.join(HERE, "..", "..", ".build", "release", "larderd")

# Name: function, loops in the short run, loops in the long run.
SCENARIOS = {
    "self-test": (selftest.self_test, 1, 1),
    "sigkill": (kill.sigkill, 50, 500),
    "sigkill-at-cap": (kill.sigkill_at_cap, 10, 100),
    "power-cuts": (power.power_cuts, 80, 1_000),
    "bit-flips": (flips.bit_flips, 300, 10_000),
    "first-start": (io_errors.first_start, 1, 1),
    "io-errors": (io_errors.io_errors, 30, 300),
    "disk-full": (io_errors.disk_full, 5, 50),
    "stops": (limits.stops, 4, 40),
    "clock": (limits.clock, 4, 40),
    "descriptors": (limits.descriptors, 3, 30),
    "memory": (limits.memory, 4, 40),
}


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; all if none is named")
    parser.add_argument("--long", action="store_true", help="as many loops as the figures in bench/RESULTS.md stand on")
    parser.add_argument("--loops", type=int, help="so many loops of each scenario")
    parser.add_argument("--first", type=int, default=0, help="begins with this loop, to repeat one of a run")
    parser.add_argument("--seed", type=int, help="repeats what was random in a run")
    parser.add_argument("--larderd", default=BUILT, help="the daemon's program")
    parser.add_argument("--json", help="file to append a line to for each scenario")
    parser.add_argument("--keep", help="directory to copy the store of each finding to")
    given = parser.parse_args()
    unknown = [name for name in given.scenarios if name not in SCENARIOS]
    if unknown:
        parser.error(f"there is no scenario {unknown[0]}; there are {', '.join(SCENARIOS)}")
    return given


def run_one(name: str, context: Context) -> Result:
    """Runs one scenario."""
    result = Result(name, context.seed)
    start = time.monotonic()
    print(f"{name}: {context.loops} loops, seed {context.seed}", flush=True)
    try:
        SCENARIOS[name][0](context, result)
    except Skipped as error:
        result.skipped = str(error)
    except KeyboardInterrupt:
        result.is_cut_short = True
    result.seconds = time.monotonic() - start
    return result


def show(results: list[Result]) -> None:
    """The table."""
    print(f"\n{'scenario':<20} {'seconds':>8}  outcome, counts")
    for result in results:
        outcome = f"skipped: {result.skipped}" if result.skipped else "held"
        if not result.is_good:
            outcome = "BROKEN " + ", ".join(f"{kind} {count}" for kind, count in sorted(result.kinds.items()))
        outcome += " (interrupted)" if result.is_cut_short else ""
        counts = ", ".join(f"{name} {count:,}" for name, count in result.counts.items() if count)
        print(f"{result.scenario:<20} {result.seconds:>8.1f}  {outcome}; {counts}")


def main() -> int:
    """Runs what was asked for and returns the exit code."""
    given = arguments()
    program = os.path.abspath(given.larderd)
    if not os.access(program, os.X_OK):
        print(f"there is no daemon at {program}; build it (make build), or name one with --larderd")
        return 64
    seed = given.seed if given.seed is not None else int.from_bytes(os.urandom(4), "little")
    disk = tempfile.mkdtemp(prefix="lf.")
    memory = tempfile.mkdtemp(prefix="lf.", dir="/dev/shm") if os.access("/dev/shm", os.W_OK) else disk
    if given.keep:
        os.makedirs(given.keep, exist_ok=True)
    results = []
    try:
        library = shim.build(disk)
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        print(f"larderd {version}, seed {seed}")
        for name in given.scenarios or SCENARIOS:
            _, short, long = SCENARIOS[name]
            loops = given.loops or (long if given.long else short)
            context = Context(program, disk, memory, library, seed, loops, given.first, given.keep)
            results.append(run_one(name, context))
            if given.json:
                with open(given.json, "a") as file:
                    file.write(json.dumps(results[-1].as_json()) + "\n")
            if results[-1].is_cut_short:
                break
    finally:
        shutil.rmtree(disk, ignore_errors=True)
        shutil.rmtree(memory, ignore_errors=True)
    show(results)
    return 0 if all(result.is_good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
