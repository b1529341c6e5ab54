"""What a scenario is given, and what it gives back."""

import contextlib
import os
import shutil
import tempfile
import time
import traceback
from dataclasses import dataclass, field

from daemon import Daemon, DidNotStart
from findings import Finding
from larder_client import larder
from shim import Shim

# A scenario ends early after so many findings: the first ones say what is wrong.
ENOUGH_FINDINGS = 12


class Skipped(Exception):
    """The scenario cannot be run here. The message says why."""


@dataclass
class Context:
    """Where things are, and what was asked for."""

    program: str
    # On a disk, and in memory where there is such a place.
    disk: str
    memory: str
    library: str
    seed: int
    loops: int
    first: int = 0
    kept: str | None = None

    @property
    def range(self) -> range:
        """The numbers of the loops to run."""
        return range(self.first, self.first + self.loops)

    def directory(self, name: str, in_memory: bool = False) -> str:
        """A new empty directory."""
        return tempfile.mkdtemp(prefix=f"{name}.", dir=self.memory if in_memory else self.disk)

    def daemon(
        self, name: str, cap: str, options: tuple[str, ...] = (), shimmed: bool = False, record: str | None = None,
        in_memory: bool = False, data: str | None = None, **limits,
    ) -> Daemon:
        """A daemon that is not started yet, on a new store, or on the one in `data`."""
        scratch = self.directory(name, in_memory)
        data = data or os.path.join(scratch, "data")
        os.makedirs(data, exist_ok=True)
        shim = Shim(self.library, data, scratch, record) if shimmed else None
        return Daemon(self.program, data, scratch, cap, options, shim, **limits)

    def keep(self, daemon: Daemon, name: str) -> None:
        """Keeps the store of a finding, if that was asked for."""
        if self.kept:
            target = os.path.join(self.kept, f"{os.path.basename(os.path.dirname(daemon.data_directory))} {name}")
            shutil.copytree(daemon.data_directory, target, dirs_exist_ok=True)

    @staticmethod
    def remove(path: str) -> None:
        """Removes a directory of this run."""
        shutil.rmtree(path, ignore_errors=True)


@dataclass
class Result:
    """What one scenario has counted and found."""

    scenario: str
    seed: int
    counts: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    skipped: str = ""
    # True if it was interrupted: the counts say how far it came.
    is_cut_short: bool = False
    failed_last: bool = False
    _said: float = field(default_factory=time.monotonic)

    def count(self, **amounts: int) -> None:
        """Adds to counters."""
        for name, amount in amounts.items():
            self.counts[name] = self.counts.get(name, 0) + amount

    def tick(self, done: int, loops: int) -> None:
        """Says how far a long scenario is, once a minute."""
        if time.monotonic() - self._said > 60:
            self._said = time.monotonic()
            print(f"  {done} of {loops}", flush=True)

    def find(self, kind: str, what: str) -> None:
        """Notes a broken promise, and says so at once."""
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if self.kinds[kind] <= ENOUGH_FINDINGS // (4 if kind == "refuses" else 1):
            self.findings.append(f"{kind}: {what}")
            print(f"  FOUND {self.scenario} (seed {self.seed}): {kind}: {what}", flush=True)

    @contextlib.contextmanager
    def attempt(self, what: str):
        """Turns what goes wrong inside into findings; what follows can go on."""
        self.failed_last = True
        try:
            yield
            self.failed_last = False
        except Finding as error:
            self.find(error.kind, f"{what}: {error.what}")
        except DidNotStart as error:
            self.find("crash" if error.is_crash else "does not open", f"{what}: {error}")
        except Skipped:
            raise
        except larder.Refusal as error:
            self.find("refused", f"{what}: {type(error).__name__}: {error}")
        except Exception as error:  # A fault of the harness's own, or an answer that nobody expected.
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(where.filename)}:{where.lineno}"
            self.find("unexpected", f"{what}: {type(error).__name__}: {error} ({place})")

    @property
    def has_failed_enough(self) -> bool:
        """True if going on would say nothing new."""
        return sum(self.kinds.values()) >= ENOUGH_FINDINGS

    @property
    def is_good(self) -> bool:
        """True if no promise was broken."""
        return not self.kinds

    def as_json(self) -> dict:
        """For a line of JSON."""
        return {
            "scenario": self.scenario, "seed": self.seed, "seconds": round(self.seconds, 1), "skipped": self.skipped,
            "interrupted": self.is_cut_short,
            "counts": self.counts, "broken": self.kinds, "findings": self.findings,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
