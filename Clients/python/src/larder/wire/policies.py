"""Messages that say what to keep: hints, policies, and the cap."""

from __future__ import annotations

from typing import NamedTuple

from .. import answers
from .codec import STRING, U32, U64, Record
from .hints import HINT, WireHint
from .message import Message, batch_of
from .policy import POLICY_CHANGE, PolicyChange
from .structures import HINT_BOUND, HINT_OUTCOME, POLICY


class NamespaceRequest(NamedTuple):
    """Changes a namespace's policy, or asks for it."""

    namespace: str
    change: PolicyChange


CONFIGURE_NAMESPACE = Message(
    "configure_namespace", 0x18, Record(NamespaceRequest, ("namespace", STRING), ("change", POLICY_CHANGE)), POLICY
)


class HintRequest(NamedTuple):
    """What is to come of state."""

    hints: list[WireHint]


class HintAnswer(NamedTuple):
    """One result a hint."""

    results: list[answers.HintResult]


HINTS = Message(
    "hint",
    0x1D,
    Record(HintRequest, ("hints", batch_of(HINT))),
    Record(
        HintAnswer,
        (
            "results",
            batch_of(
                Record(
                    answers.HintResult,
                    ("outcome", HINT_OUTCOME),
                    ("bound", HINT_BOUND),
                    ("start", U64),
                    ("end", U64),
                    ("seconds", U32),
                    ("reason", STRING),
                )
            ),
        ),
    ),
)


class CapRequest(NamedTuple):
    """The most bytes that the store may take."""

    cap_bytes: int


SET_CAP = Message(
    "set_cap",
    0x1E,
    Record(CapRequest, ("cap_bytes", U64)),
    Record(answers.Cap, ("cap_bytes", U64), ("disk_bytes", U64)),
)
