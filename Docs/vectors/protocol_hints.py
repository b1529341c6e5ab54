"""Vectors of hints: every kind, target, outcome and bound."""

from protocol_numbers import HINT_BOUNDS

U16, U32, U64 = 2**16 - 1, 2**32 - 1, 2**64 - 1


def hints():
    keys = [bytes(range(32)).hex(), bytes(range(64, 96)).hex()]

    def hint(kind, priority, seconds, **target):
        return {"hint": kind, "priority": priority, "seconds": seconds, **target}

    def result(outcome, bound, first, to, seconds, reason):
        return {"outcome": outcome, "bound": bound, "from": first, "to": to, "seconds": seconds, "reason": reason}

    yield "hint", "request", 45, {"hints": [
        hint("retain", 100, 40, target=0, session=65, **{"from": 1_536, "to": U64}),
        hint("pin", 0, 600, target=1, namespace="agents", model_id=7, component=2, keys=keys),
        hint("prefetch", -1, 0, target=0, session=U64 - 1, **{"from": U64 - 3, "to": U64 - 2}),
        hint("demote", -128, U32, target=1, namespace="", model_id=U32, component=U16, keys=[]),
        hint("share", 127, 1, target=2, session=66, rank=3, component=1, keys=keys, **{"from": 0, "to": 1_024}),
    ]}
    yield "hint_nothing", "request", 45, {"hints": []}
    yield "hint", "answer", 45, {"results": [
        result("accepted", "none", 1_536, 1_700, 40, ""),
        result("clipped", "bytes", 0, 1, 600, "a namespace pins at most 9 bytes"),
        result("deferred", "queue", U64 - 3, U64 - 2, 0, "others are prefetched before it"),
        result("rejected", "policy", 0, 0, 0, "ñ shares nothing"),
        result("missing", "stored", U64, U64 - 1, U32, "é"),
    ]}
    yield "hint_every_bound", "answer", 45, {"results": [
        result("clipped", bound, number, number + 1, number + 2, "") for bound, number in HINT_BOUNDS.items()
    ]}
