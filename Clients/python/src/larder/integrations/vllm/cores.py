"""Which processors the connector's threads run on."""

from __future__ import annotations

import os


def leave_the_models_cores() -> None:
    """Moves the calling thread off the processors that the model's threads are bound to, if there are others.

    vLLM's workers for CPUs bind themselves, and a thread that they start is bound with them: it would take its time
    from the very thread that computes. Where others may run is what the parent process may use.
    """
    try:
        others = os.sched_getaffinity(os.getppid()) - os.sched_getaffinity(0)
        if others:
            os.sched_setaffinity(0, others)
    except (OSError, AttributeError):
        pass
