"""Signals and forks in the middle of things."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import larder

from support import REPOSITORY, DaemonTest, attention, noise

#: How long calls may take, by far, that are bounded by a timeout of seconds.
BOUND = 120.0


class InterruptTests(DaemonTest):
    def test_a_child_does_not_keep_its_parents_connection(self) -> None:
        """It ends with the parent, and with it what hangs on it, however long a forked child lives."""
        program = (
            "import larder, os, sys, time\n"
            "client = larder.connect(sys.argv[1])\n"
            "if os.fork() == 0:\n"
            "    paths = [f'/proc/self/fd/{one}' for one in os.listdir('/proc/self/fd') if int(one) > 2]\n"
            "    ends = [os.readlink(one) for one in paths if os.path.lexists(one)]\n"
            "    os._exit(any(end.startswith('socket:') for end in ends))\n"
            "sys.exit(os.waitstatus_to_exitcode(os.wait()[1]) or client.stat() is None)\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "Clients/python/src")}
        ended = subprocess.run(
            [sys.executable, "-c", program, self.daemon.socket], env=environment, timeout=BOUND, check=False
        )
        self.assertEqual(ended.returncode, 0)

    def test_an_interrupted_call_ends_the_client(self) -> None:
        """Whatever comes out of the middle of an exchange, its answer can never be taken for another's."""
        session = self.session()
        arena = self.client.open_arena(4_096)

        class Stop(Exception):
            pass

        def handler(*_: object) -> None:
            raise Stop

        self.daemon.stand_still()
        try:
            old = signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            self.assertRaises(Stop, session.get_into, 0, arena[:])
        finally:
            signal.signal(signal.SIGALRM, old)
            self.daemon.go_on()
        self.assertFalse(self.client.is_open)
        self.assertRaises(larder.ConnectionLost, session.resume)

    def test_a_timer_does_not_make_a_wait_endless(self) -> None:
        """The interpreter begins an interrupted receive anew: a signal now and then must not put the end off."""
        began = time.monotonic()

        def tick(*_: object) -> None:
            self.assertLess(time.monotonic() - began, BOUND, "a wait of a second goes on")

        client = larder.connect(self.daemon.socket, timeout=1.0)
        self.daemon.stand_still()
        old = signal.signal(signal.SIGALRM, tick)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
            self.assertRaises(larder.ConnectionLost, client.stat)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, old)
            self.daemon.go_on()

    def test_an_interrupt_at_any_moment_leaves_the_client_to_others(self) -> None:
        """A signal that raises between two steps of a call may end the client, but no thread waits for it then."""

        class Stop(Exception):
            pass

        left = 0

        def trace(frame: Any, event: str, _: object) -> Any:
            nonlocal left
            if frame.f_code.co_filename.endswith("transport.py"):
                left -= 1
                if left == 0:
                    raise Stop
            return trace

        def use(client: larder.Client, outcome: list[object]) -> None:
            try:
                outcome.append(client.stat())
            except larder.ConnectionLost as error:
                outcome.append(error)

        for steps in range(1, 60):
            client = self.daemon.connect()
            left = steps
            sys.settrace(trace)
            try:
                client.stat()
            except Stop:
                pass
            finally:
                sys.settrace(None)
            outcome: list[object] = []
            other = threading.Thread(target=use, args=(client, outcome), daemon=True)
            other.start()
            other.join(BOUND)
            self.assertEqual(len(outcome), 1, f"interrupted at step {steps}")
            client.close()

    def test_a_forked_child(self) -> None:
        """The child is told; what it does with its copy takes nothing from the parent."""
        session = self.session()
        arena = self.client.open_arena(4_096)
        data = noise(attention().components[0].byte_count(1))
        session.put(0, 1, data)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                said = []
                for body in (session.resume, lambda: session.get_into(0, arena[:]), lambda: session.put(1, 1, data)):
                    try:
                        body()
                    except larder.ConnectionLost as error:
                        said.append("forked" in str(error))
                arena.close()
                self.client.close()
                with larder.connect(self.daemon.socket) as own:
                    mine = own.open_session(self.namespace, "session", own.declare_model(attention()))
                    said.append(mine.get(0) == data)
                os.write(writing, repr(said).encode())
            finally:
                os._exit(0)
        os.close(writing)
        os.waitpid(child, 0)
        self.assertEqual(os.read(reading, 1_000), b"[True, True, True, True]")
        os.close(reading)
        self.assertEqual(session.get(0), data)
        self.assertEqual(session.get_into(0, arena[:]), len(data))
