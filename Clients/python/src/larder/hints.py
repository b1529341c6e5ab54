"""What is to come of state: what a worker knows and the store cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .wire import numbers
from .wire.hints import KeysTarget, Target, TokensTarget, TrackTarget, WireHint
from .wire.numbers import HintKind

if TYPE_CHECKING:
    from .model import DeclaredModel
    from .session import Session


@dataclass(frozen=True)
class Hint:
    """One hint; ``Hint.of_tokens``, ``Hint.of_keys`` and ``Hint.of_track`` make them.

    Attributes:
        kind: ``retain`` (keep it rather than other state: a bias), ``pin`` (keep it whatever else goes: a lease that
            ends with the connection), ``prefetch`` (bring it into memory), ``demote`` (let it go first), ``share``
            (name chunks by prefix keys, so that other sessions find them).
        target: what it is about.
        priority: of ``retain``, from -100 to 100.
        seconds: of ``retain`` (at most 86,400) and ``pin`` (at most 3,600); 0 ends what an earlier hint began.
    """

    kind: HintKind
    target: Target
    priority: int = 0
    seconds: int = 0

    @staticmethod
    def of_tokens(
        kind: HintKind, session: Session, start: int = 0, end: int | None = None, *, priority: int = 0, seconds: int = 0
    ) -> Hint:
        """About a session's tokens ``start..<end`` of all ranks and components; None for the session's end."""
        target = TokensTarget(session.id, start, numbers.NO_BOUND if end is None else end)
        return Hint(kind, target, priority, seconds)

    @staticmethod
    def of_keys(
        kind: HintKind,
        namespace: str,
        declared: DeclaredModel,
        keys: Sequence[bytes],
        *,
        component: int = 0,
        priority: int = 0,
        seconds: int = 0,
    ) -> Hint:
        """About what prefix keys name, from the first on to the first that is not known."""
        return Hint(kind, KeysTarget(namespace, declared.id, component, list(keys)), priority, seconds)

    @staticmethod
    def of_track(
        session: Session,
        keys: Sequence[bytes],
        start: int = 0,
        end: int | None = None,
        *,
        component: int = 0,
        rank: int | None = None,
    ) -> Hint:
        """Shares the chunks of one component, one after another from ``start`` on, under a key each."""
        stop = numbers.NO_BOUND if end is None else end
        target = TrackTarget(session.id, start, stop, session.rank if rank is None else rank, component, list(keys))
        return Hint("share", target)

    def on_wire(self) -> WireHint:
        """As it is sent."""
        return WireHint(self.kind, self.priority, self.seconds, self.target)
