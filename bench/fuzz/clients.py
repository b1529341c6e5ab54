#!/usr/bin/env python3
"""Sends valid frames in hostile orders from several clients to a live daemon, and looks whether it minds.

    python3 bench/fuzz/clients.py [--seconds N] [--episodes N] [--seed S] [--larderd PATH] [--keep DIR] [--json -]

An episode is a new daemon and three rounds of clients. They ask for everything that the protocol has, in any order:
before the handshake, of sessions that others drop, of arenas that were closed or are of other connections, through
descriptors that are no memory, more at once than is answered; some do not read, some stop in the middle of a frame,
some go without waiting. After each round, when all are gone, the daemon must be as it was: no connection, no arena, no
pin, no lease, no descriptor and no thread more than before, and it takes and serves what is new. Every answer must be
one that was asked for, of the form of its message, in time, and never one of a fault of the daemon's; bytes that are
served are those that were put.

Episode E of seed S chooses from S + E: `--seed S+E --episodes 1` repeats it, as far as threads interleave alike. What
was done up to a finding is written to DIR.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from peer import MESSAGES, UNSENT_BYTES, Finding, Peer, larder  # noqa: E402
from asking import CHUNK_TOKENS, Asking, content, expected  # noqa: E402
from daemon import Daemon, DidNotStart  # noqa: E402
from larder_client import MODEL  # noqa: E402

BUILT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".build", "release", "larderd")
ROUNDS, STEPS, PEERS = 3, 150, 6
# Until all traces of clients that are gone must be gone, too.
SETTLE_SECONDS = 40.0
# Counters that are 0, and those that are as before, when no client is left.
EMPTY = ("arenas", "arena_bytes", "pinned_blobs", "leased_blobs", "queue_mutations")


class Episode:
    """One daemon and what is done to it."""

    def __init__(self, program: str, scratch: str, seed: int) -> None:
        self.random = random.Random(seed)
        os.makedirs(os.path.join(scratch, "data"))
        self.daemon = Daemon(
            program, os.path.join(scratch, "data"), scratch, "48MiB",
            ("--max-connections", "16", "--arena-memory", "64MiB", "--inline-memory", "64MiB",
             "--queue-wait-seconds", "1"))
        self.asking = Asking(self.random, scratch)
        self.peers: list[Peer] = []
        self.log: list[str] = []
        self.sent = self.answers = self.refusals = self.chunks = 0
        self.slowest = 0.0
        self.number = 0

    def run(self) -> None:
        """Raises Finding."""
        self.daemon.start()
        try:
            with larder.connect(self.daemon.socket, timeout=30) as control:
                self._control_round(control)
                before = self._traces(control)
                for _ in range(ROUNDS):
                    for step in range(STEPS):
                        self._step(control, step)
                    self._end_round()
                    self._require_as_before(control, before)
                    self._control_round(control)
        finally:
            for one in self.peers:
                one.close()
            was_running = self.daemon.is_running
            code = self.daemon.stop()
        self.daemon.require_no_crash(code)
        if not was_running or code != 0:
            raise Finding("ended", f"the daemon ended with {code}: {self.daemon.said()}")

    # One step.

    def _step(self, control, step: int) -> None:
        choose = self.random
        self.peers = [one for one in self.peers if one.is_open]
        if len(self.peers) < 2 or (len(self.peers) < PEERS and choose.random() < 0.1):
            return self._connect()
        one = choose.choice(self.peers)
        kind = choose.random()
        if kind < 0.03:
            self._note(one, "closes")
            self._count(one)
            one.close()
        elif kind < 0.05:
            self._note(one, "stops in a frame")
            one.excuse = "half a frame"
            one.send(b"\x40\0\0\0\x04\0\0\0\x01")
        elif kind < 0.12:
            one.reads = not one.reads
            self._note(one, "reads" if one.reads else "reads no more")
        elif kind < 0.16:
            self._stray(one)
        elif one.unsent_bytes < UNSENT_BYTES and one.excuse != "half a frame":
            for _ in range(choose.choice((1, 1, 1, 2, 8, 70))):
                self._ask(one)
        for other in self.peers:
            other.pump()
            other.require_in_time()
        if step % 25 == 0:
            start = time.monotonic()
            control.stat()
            self.slowest = max(self.slowest, time.monotonic() - start)
        if choose.random() < 0.2:
            time.sleep(0.002)

    def _connect(self) -> None:
        self.number += 1
        one = Peer(self.number, self.daemon.socket, self._answered)
        self.peers.append(one)
        self._note(one, "connects")
        if self.random.random() < 0.9:
            one.ask("hello", self.asking.hello())
        else:
            one.excuse = "no handshake"

    def _ask(self, one: Peer) -> None:
        name = self.asking.name()
        request, payload, descriptors = self.asking.make(name, one)
        if len(descriptors) != (1 if name == "register_arena" else 0):
            one.excuse = one.excuse or "stray descriptors"
        self._note(one, f"{name} {str(request)[:300]} + {len(payload)}")
        self.sent += 1
        one.ask(name, request, payload, descriptors)

    def _stray(self, one: Peer) -> None:
        """A frame of a type that there is not, or with flags, or above every bound."""
        kind = self.random.randrange(3)
        self._note(one, f"stray frame {kind}")
        one.excuse = one.excuse or "stray frame"
        head = (b"\0\0\0\0\0\x70\0\0", b"\0\0\0\0\x0c\0\1\0", b"\xff\xff\xff\xff\x04\0\0\0")[kind]
        one.send(head + bytes(7) + b"\x70")

    def _answered(self, one: Peer, name: str, request, answer, payload: bytes) -> None:
        if answer is None:
            return
        self.asking.learn(one, name, answer)
        if name != "get":
            return
        start = 0
        for item, result in zip(request.items, answer.results, strict=True):
            if result.error is not None:
                continue
            count = result.payload.payload_bytes
            served, start = payload[start : start + count], start + count
            self.chunks += 1
            if served not in expected(item, result.tokens):
                raise Finding("wrong bytes", f"{item}: {count} bytes that were never put there")
        if start != len(payload):
            raise Finding("answer", f"a page-in with {len(payload)} bytes, of which {start} belong to items")

    def _note(self, one: Peer, what: str) -> None:
        self.log.append(f"{one.number}: {what}")

    def _count(self, one: Peer) -> None:
        self.answers += one.answers
        self.refusals += one.refusals

    # The end of a round.

    def _end_round(self) -> None:
        """Half of the clients go at once, the others when they have their answers."""
        for index, one in enumerate(self.peers):
            one.reads = True
            while index % 2 == 0 and one.is_open and one.pending and not one.excuse:
                one.pump()
                one.require_in_time()
                time.sleep(0.001)
            self._count(one)
            one.close()
        self.peers = []

    def _traces(self, control) -> dict[str, int]:
        counters = control.stat().counters
        process = f"/proc/{self.daemon.process.pid}"
        with open(f"{process}/status") as file:
            threads = next(int(line.split()[1]) for line in file if line.startswith("Threads:"))
        traces = {name: counters[name] for name in (*EMPTY, "connections", "inline_memory_free_bytes")}
        return traces | {"descriptors": len(os.listdir(f"{process}/fd")), "threads": threads}

    def _require_as_before(self, control, before: dict[str, int]) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while (left := self._left(self._traces(control), before)) and time.monotonic() < deadline:
            time.sleep(0.01)
        if left:
            raise Finding("leak", f"when all clients were gone for {SETTLE_SECONDS:g} s: {left}")

    @staticmethod
    def _left(now: dict[str, int], before: dict[str, int]) -> str:
        """What differs from before; a little less is no leak."""
        return ", ".join(
            f"{name} {now[name]}, was {before[name]}" for name in now
            if (now[name] < before[name] if name == "inline_memory_free_bytes" else now[name] > before[name]))

    def _control_round(self, control) -> None:
        """Something new is taken and served."""
        with contextlib.suppress(larder.Full, larder.Declined):
            session = control.open_session("control", f"c{len(self.log)}", control.declare_model(MODEL))
            session.put(0, CHUNK_TOKENS, content(0, 0, 0))
            if bytes(session.get(0)) != content(0, 0, 0):
                raise Finding("wrong bytes", "what the control client has put is not what it gets")
            # So that the thread that it starts once is there before others are counted.
            session.prefetch()
            session.drop()


def main() -> int:
    """Runs episodes and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--episodes", type=int, default=1 << 30)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--larderd", default=BUILT)
    parser.add_argument("--keep")
    parser.add_argument("--json")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else int.from_bytes(os.urandom(3), "little")
    findings, totals, slowest, start = [], [0, 0, 0, 0, 0], 0.0, time.monotonic()
    for index in range(given.episodes):
        if time.monotonic() - start > given.seconds or len(findings) >= 5:
            break
        scratch = tempfile.mkdtemp(prefix="lc.", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        episode = Episode(os.path.abspath(given.larderd), scratch, seed + index)
        try:
            episode.run()
        except (Finding, DidNotStart, larder.LarderError) as error:
            findings.append(f"seed {seed + index}: {type(error).__name__}: {error}")
            print(f"FOUND clients, {findings[-1][:2_000]}", flush=True)
            if given.keep:
                with open(os.path.join(given.keep, f"seed-{seed + index}.txt"), "w") as file:
                    file.write("\n".join([*episode.log, str(error)]) + "\n")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        slowest = max(slowest, episode.slowest)
        for place, value in enumerate((1, episode.sent, episode.answers, episode.refusals, episode.chunks)):
            totals[place] += value
    note = (f"{totals[0]} episodes, {totals[2]:,} answers, {totals[3]:,} refusals, {totals[4]:,} chunks compared, "
            f"slowest stat {1000 * slowest:.0f} ms")
    print(f"clients: seed {seed}, {totals[1]:,} requests; {note}", flush=True)
    if given.json:
        print(json.dumps({"requests": totals[1], "findings": findings, "note": note}))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
