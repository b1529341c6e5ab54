"""Workers at work side by side."""

import threading

from findings import Finding
from journal import Journal
from workload import Profile, Worker


class Crew:
    """Workers at work on one daemon, in threads of their own."""

    def __init__(self, count: int, socket: str, journal: Journal, profile: Profile, seed: int):
        self.workers = [Worker(number, socket, journal, profile, seed) for number in range(count)]
        self.threads = [threading.Thread(target=worker.run, daemon=True) for worker in self.workers]

    def start(self) -> "Crew":
        """Sets them to work."""
        for thread in self.threads:
            thread.start()
        return self

    def stop(self, seconds: float = 90.0, may_be_cut_off: bool = False) -> None:
        """Lets them finish what they do. Raises what one of them found; a connection that ended is a Finding, too."""
        for worker in self.workers:
            worker.stopping.set()
        for worker, thread in zip(self.workers, self.threads):
            thread.join(seconds)
            if thread.is_alive():
                raise Finding("hangs", f"worker {worker.number} did not get an answer within {seconds} s")
            if worker.failure:
                raise worker.failure
            if worker.cut_off and not may_be_cut_off:
                raise Finding("cut off", f"worker {worker.number} lost its connection: {worker.cut_off}")

    @property
    def operations(self) -> int:
        """What they have done so far."""
        return sum(worker.operations for worker in self.workers)
