"""What the scheduler's half tells the workers' in each step. Plain data: it is pickled where workers are other
processes."""

from __future__ import annotations

from dataclasses import dataclass, field

from .naming import Place


@dataclass(frozen=True)
class LoadPlan:
    """Chunks of a request to page in.

    Attributes:
        request_id: vLLM's.
        place: namespace and salt.
        session: the session that holds chunks of this very content, if it exists.
        first: the number of the first chunk.
        keys: a key for each chunk from ``first`` on.
        block_ids: all blocks of the request, from its first token on.
    """

    request_id: str
    place: Place
    session: str
    first: int
    keys: tuple[bytes, ...]
    block_ids: tuple[int, ...]

    @property
    def end(self) -> int:
        """The number of the first chunk behind."""
        return self.first + len(self.keys)


@dataclass(frozen=True)
class SavePlan:
    """Chunks of a request that this step completes, to page out.

    Attributes:
        request_id: vLLM's.
        place: namespace and salt.
        session: the session that they go to.
        named: True if the request named the session: then it is the request's line of tokens, and what it held from
            where the request differs is forgotten. Else another session is used from there on.
        keys: a key for each chunk from the request's first token on.
        first: the number of the first chunk that the worker has; those before are named by their keys alone.
        block_ids: all blocks of the request, from its first token on.
    """

    request_id: str
    place: Place
    session: str
    named: bool
    keys: tuple[bytes, ...]
    first: int
    block_ids: tuple[int, ...]

    @property
    def count(self) -> int:
        """Chunks to copy."""
        return len(self.keys) - self.first


@dataclass
class StepPlan:
    """All that a step asks of a worker."""

    loads: list[LoadPlan] = field(default_factory=list)
    saves: list[SavePlan] = field(default_factory=list)
