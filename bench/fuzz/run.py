#!/usr/bin/env python3
"""Fuzzes what reads hostile bytes (bench/fuzz/LarderFuzzTargets) with libFuzzer, and a live daemon with clients.

    python3 bench/fuzz/run.py [TARGET ...] [--seconds N] [--seed S] [--keep-new] [--json FILE] [--no-build]
    python3 bench/fuzz/run.py --add TARGET NAME FILE
    python3 bench/fuzz/run.py --repeat TARGET FILE

Each target begins with its corpus (bench/fuzz/corpus) and runs for N seconds, 20 if nothing else is said. What breaks
it is written to a file in .build-fuzz/crashes/TARGET, and the target goes on. `--repeat` runs one such file again. When
it is mended, `--add` puts it into the corpus as `fixed-NAME`, which `make test` checks from then on. `--keep-new` adds
inputs that reach code that the corpus did not, as far as there is room.

The target `clients` is bench/fuzz/clients.py: valid frames in hostile orders from several clients to a daemon
(.build/release/larderd, or --larderd).

The build has the address sanitizer, and counters of edges in all code; it is in a folder of its own, .build-fuzz.
Exit code 0: nothing was found.
"""

import argparse
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import corpus  # noqa: E402

ROOT = os.path.abspath(os.path.join(corpus.HERE, "..", ".."))
FOLDER = os.path.join(ROOT, ".build-fuzz")
PROGRAM = os.path.join(FOLDER, "release", "larder-fuzz")
CRASHES = os.path.join(FOLDER, "crashes")
# Targets, and the longest input that a fuzzer makes: longer ones reach nothing more, and are slower.
TARGETS = {
    "wire": 4_096, "chunk": 4_096, "round-trip": 2_048, "cascade": 4_096, "config": 2_048, "archive": 4_096,
    "data-file": 256, "admin": 1_024,
}
CLIENTS = "clients"
# A target that broke so often in one run is left.
ENOUGH_CRASHES = 5
INPUT_SECONDS = 20
MEMORY_MIB = 3_072
# A daemon's threads allocate while a leak is looked for: what they hold would count as lost.
THREADED = {"admin"}


def build() -> None:
    """Builds larder-fuzz. The compiler's counters are for all code, libFuzzer itself is linked by name."""
    compiler = os.path.realpath(shutil.which("swift") or "swift")
    pattern = os.path.join(
        os.path.dirname(compiler), "..", "lib", "clang", "*", "lib", "*",
        f"libclang_rt.fuzzer_no_main-{os.uname().machine}.a")
    found = glob.glob(pattern)
    if not found:
        sys.exit(f"there is no libFuzzer at {pattern}; use a toolchain of swift.org")
    command = [
        "swift", "build", "-c", "release", "--sanitize=address", "--scratch-path", FOLDER, "--product", "larder-fuzz",
        "-Xswiftc", "-Xfrontend", "-Xswiftc", "-sanitize=fuzzer", "-Xcc", "-fsanitize=fuzzer-no-link",
        "-Xlinker", found[0], "-Xlinker", "-lstdc++"]
    start = time.monotonic()
    subprocess.run(command, cwd=ROOT, env={**os.environ, "LARDER_FUZZ": "1"}, check=True)
    print(f"built in {time.monotonic() - start:.0f} s", flush=True)


def environment(scratch: str, target: str = "") -> dict[str, str]:
    """For the fuzzer: a place for its files, and sanitizers that say what they find in few words."""
    suppressions = os.path.join(ROOT, "Tests", "leaks.suppressions")
    return {
        **os.environ, "TMPDIR": scratch, "SWIFT_BACKTRACE": "enable=no",
        "LSAN_OPTIONS": f"suppressions={suppressions}:print_suppressions=0",
        "ASAN_OPTIONS": f"allocator_may_return_null=1:detect_leaks={int(target not in THREADED)}"}


class Outcome:
    """What one target came to."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.seconds = 0.0
        self.executions = 0
        self.edges = 0
        self.features = 0
        self.inputs = 0
        self.memory_mib = 0
        self.crashes: list[str] = []
        self.note = ""

    def take(self, text: str) -> None:
        """Adds what a run of libFuzzer has said."""
        for edges, features, inputs in re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text):
            self.edges, self.features = max(self.edges, int(edges)), max(self.features, int(features))
            self.inputs = int(inputs)
        self.executions += sum(map(int, re.findall(r"stat::number_of_executed_units: (\d+)", text)))
        self.memory_mib = max([self.memory_mib, *map(int, re.findall(r"stat::peak_rss_mb: +(\d+)", text))])

    def as_json(self) -> dict:
        """For a line of JSON."""
        return {**vars(self), "seconds": round(self.seconds, 1)}


def fuzz(target: str, seconds: float, seed: int, keeps_new: bool) -> Outcome:
    """Runs one target."""
    outcome = Outcome(target)
    crashes = os.path.join(CRASHES, target)
    os.makedirs(crashes, exist_ok=True)
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    scratch = tempfile.mkdtemp(prefix="lz.", dir=base)
    try:
        grown, begun = os.path.join(scratch, "grown"), os.path.join(scratch, "begun")
        os.makedirs(grown)
        corpus.unpack(target, begun)
        start = time.monotonic()
        while (left := seconds - (time.monotonic() - start)) > 1 and len(outcome.crashes) < ENOUGH_CRASHES:
            before = set(os.listdir(crashes))
            command = [
                PROGRAM, target, f"-max_total_time={max(1, round(left))}", f"-seed={seed + len(outcome.crashes)}",
                f"-max_len={TARGETS[target]}", f"-artifact_prefix={crashes}/", f"-timeout={INPUT_SECONDS}",
                f"-rss_limit_mb={MEMORY_MIB}", "-print_final_stats=1", "-reload=0", grown, begun]
            if target in THREADED:
                command.insert(-2, "-detect_leaks=0")
            dictionary = os.path.join(corpus.HERE, "dictionaries", f"{target}.dict")
            if os.path.exists(dictionary):
                command.insert(-2, f"-dict={dictionary}")
            said = subprocess.run(
                command, env=environment(scratch, target), capture_output=True, text=True, errors="replace")
            outcome.take(said.stderr)
            if said.returncode == 0:
                continue
            new = sorted(set(os.listdir(crashes)) - before)
            outcome.crashes += new or [f"exit code {said.returncode}"]
            print(f"FOUND {target} (seed {seed}): {', '.join(new)}\n{summary(said.stderr)}", flush=True)
            # A crash that another one repeats at once says nothing new: it is no input of the next run.
            if not new:
                break
        outcome.seconds = time.monotonic() - start
        if keeps_new:
            outcome.note = keep_new(target, grown, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return outcome


def summary(text: str) -> str:
    """What a crash says of itself, the first lines of it."""
    parts = ("FINDING", "ERROR", "SUMMARY", "Fatal error", "Assertion", "    #", "mdb.c")
    return "\n".join(["  " + line[:240] for line in text.split("\n") if any(part in line for part in parts)][:24])


def keep_new(target: str, grown: str, scratch: str) -> str:
    """Adds what reaches more than the corpus does, the shortest first, while there is room."""
    known = corpus.read(target)
    begun, merged = os.path.join(scratch, "begun"), os.path.join(scratch, "merged")
    shutil.copytree(begun, merged)
    subprocess.run(
        [PROGRAM, target, "-merge=1", f"-max_len={TARGETS[target]}", "-rss_limit_mb=0", merged, grown],
        env=environment(scratch, target), capture_output=True)
    new = [name for name in os.listdir(merged) if name not in known]
    contents = sorted((open(os.path.join(merged, name), "rb").read() for name in new), key=len)
    room = corpus.CORPUS_BYTES - sum(map(len, known.values()))
    added = 0
    for content in contents:
        if len(content) > room:
            break
        known[f"found-{hashlib.sha256(content).hexdigest()[:12]}"] = content
        room -= len(content)
        added += 1
    corpus.write(target, known)
    return f"{added} of {len(new)} new inputs kept"


def clients(seconds: float, seed: int, program: str) -> Outcome:
    """Runs the clients against a daemon."""
    outcome = Outcome(CLIENTS)
    crashes = os.path.join(CRASHES, CLIENTS)
    os.makedirs(crashes, exist_ok=True)
    start = time.monotonic()
    said = subprocess.run(
        [sys.executable, os.path.join(corpus.HERE, "clients.py"), "--seconds", str(seconds), "--seed", str(seed),
         "--larderd", program, "--keep", crashes, "--json", "-"], capture_output=True, text=True)
    outcome.seconds = time.monotonic() - start
    lines = said.stdout.strip().split("\n")
    print("\n".join(lines[:-1]) + said.stderr, flush=True)
    try:
        counts = json.loads(lines[-1])
        outcome.executions, outcome.crashes = counts["requests"], counts["findings"]
        outcome.note = counts["note"]
    except (ValueError, KeyError):
        outcome.crashes = [f"exit code {said.returncode}"]
    return outcome


def show(outcomes: list[Outcome]) -> None:
    """The table."""
    print(f"\n{'target':<12}{'seconds':>8}{'executions':>13}{'per second':>12}{'edges':>8}{'features':>10}"
          f"{'inputs':>8}{'MiB':>6}{'crashes':>9}")
    for one in outcomes:
        rate = one.executions / max(one.seconds, 0.001)
        print(f"{one.target:<12}{one.seconds:>8.0f}{one.executions:>13,}{rate:>12,.0f}{one.edges:>8,}"
              f"{one.features:>10,}{one.inputs:>8,}{one.memory_mib:>6,}{len(one.crashes):>9}  {one.note}")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    names = [*TARGETS, CLIENTS]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(names)}; all if none is named")
    parser.add_argument("--seconds", type=float, default=20, help="for each target")
    parser.add_argument("--seed", type=int, help="repeats what was random in a run, as far as time allows")
    parser.add_argument("--keep-new", action="store_true", help="adds inputs that reach new code to the corpus")
    parser.add_argument("--json", help="file to append a line to for each target")
    parser.add_argument("--no-build", action="store_true", help="takes the fuzzer that was built last")
    parser.add_argument("--larderd", default=os.path.join(ROOT, ".build", "release", "larderd"), help="for clients")
    parser.add_argument("--add", nargs=3, metavar=("TARGET", "NAME", "FILE"), help="adds a mended crash to a corpus")
    parser.add_argument("--repeat", nargs=2, metavar=("TARGET", "FILE"), help="runs one input")
    given = parser.parse_args()
    unknown = [name for name in given.targets if name not in names]
    if unknown:
        parser.error(f"there is no target {unknown[0]}; there are {', '.join(names)}")
    return given


def main() -> int:
    """Does what was asked for and returns the exit code."""
    given = arguments()
    if given.add:
        target, name, file = given.add
        with open(file, "rb") as input_file:
            corpus.write(target, corpus.read(target) | {f"fixed-{name}": input_file.read()})
        return 0
    chosen = given.targets or [*TARGETS, CLIENTS]
    if not given.no_build and (given.repeat or chosen != [CLIENTS]):
        build()
    if given.repeat:
        scratch = tempfile.mkdtemp(prefix="lz.")
        try:
            return subprocess.run([PROGRAM, *given.repeat], env=environment(scratch, given.repeat[0])).returncode
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    seed = given.seed if given.seed is not None else int.from_bytes(os.urandom(3), "little")
    print(f"seed {seed}, {given.seconds:g} s each", flush=True)
    outcomes = []
    for target in chosen:
        if target == CLIENTS:
            outcomes.append(clients(given.seconds, seed, given.larderd))
        else:
            outcomes.append(fuzz(target, given.seconds, seed, given.keep_new))
        if given.json:
            with open(given.json, "a") as file:
                file.write(json.dumps(outcomes[-1].as_json()) + "\n")
    show(outcomes)
    found = sum(len(one.crashes) for one in outcomes)
    if found:
        print(f"{found} findings; the inputs are in {os.path.relpath(CRASHES)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
