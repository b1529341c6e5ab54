"""Looks at a daemon after a fault and compares all that it serves with the journal, byte for byte."""

import time
from dataclasses import dataclass, field

import content
from findings import Finding
from journal import COMMITTED, Candidate, Held, History, Journal, Key
from larder_client import ELEMENT_TYPES, MODEL, WINDOW_TOKENS, Kind, larder

PROBES = "probes"


@dataclass
class Seen:
    """What a session was found to hold."""

    session: larder.Session
    holds: dict[Key, Held] = field(default_factory=dict)
    # Chunks that are listed and were answered `damaged` or `miss`.
    damaged: list[Key] = field(default_factory=list)
    missing: list[Key] = field(default_factory=list)
    # Bytes that were compared.
    byte_count: int = 0


def resume_point(holds: dict[Key, Held]) -> int:
    """The largest offset at which every component of MODEL can be restored, by the definition in Docs/PROTOCOL.md."""
    reach = 0
    while (Kind.FULL, reach) in holds:
        reach += holds[Kind.FULL, reach].tokens
    windows = [(offset, held.tokens) for (component, offset), held in holds.items() if component == Kind.WINDOW]
    covered = sorted((offset, offset + tokens) for offset, tokens in windows)
    states = [offset for component, offset in holds if component == Kind.STATE and offset <= reach]
    for offset in sorted(states, reverse=True):
        at = max(0, offset - WINDOW_TOKENS)
        for start, end in covered:
            if start <= at < end:
                at = end
        if at >= offset:
            return offset
    return 0


def read_session(client: larder.Client, session: larder.Session) -> Seen:
    """Pages in all that a session is said to hold. Raises a Finding for a byte that is not what was put."""
    seen = Seen(session)
    listed = list(session.chunks())
    buffers = [bytearray(one.raw_bytes) for one in listed]
    items = [
        larder.PageIn(session, one.offset, into, component=one.component) for one, into in zip(listed, buffers)]
    results = client.get_into(items) if items else []
    for one, data, result in zip(listed, buffers, results):
        key = (one.component, one.offset)
        if isinstance(result, larder.Damaged):
            seen.damaged.append(key)
        elif isinstance(result, larder.Miss):
            seen.missing.append(key)
        elif isinstance(result, Exception):
            raise result
        else:
            number = content.identify(data, ELEMENT_TYPES[one.component])
            if number is None:
                raise Finding("wrong byte", f"{session.namespace}/{session.name} component {key[0]} offset {key[1]}")
            seen.holds[key] = Held(one.tokens, number)
            seen.byte_count += len(data)
    return seen


def read_all(client: larder.Client) -> dict[tuple[str, str], Seen]:
    """Every session of the store but this module's own, with all that it holds."""
    declared = client.declare_model(MODEL)
    found = {}
    for summary in client.list_sessions():
        if summary.namespace != PROBES:
            session = client.open_session(summary.namespace, summary.name, declared, create=False)
            found[summary.namespace, summary.name] = read_session(client, session)
    return found


@dataclass
class Expectation:
    """What a fault leaves: how well a step must have been acknowledged to be there, and what may have gone."""

    level: int = COMMITTED
    # The moment of the fault; None: after all that the journal has.
    at_ns: int | None = None
    # True where the store is at its cap: what is missing must then be explained as evicted.
    evicts: bool = False
    # True where stored bytes were damaged: a chunk may be a miss, or `damaged`; it may not be another.
    damages: bool = False
    # True where the clock has jumped: a session without state may be forgotten.
    forgets_empty: bool = False


def _unexplained(seen: Seen, holds: dict[Key, Held], lost: list[Key]) -> str | None:
    """What `explain` says of a chunk that is gone and was not evicted; None if it says so of none of them.

    It speaks of the first gap before an offset, and not beyond the session's end: chunks behind those go unjudged, and
    are what pins are for (workload.py).
    """
    for component, offset in sorted(lost)[:64]:
        if (component, offset) not in holds:
            continue
        at = offset + holds[component, offset].tokens
        explanation = seen.session.explain(at_most=at)
        if explanation.at < at:
            continue
        for track in explanation.tracks:
            is_inside = track.missing_start <= offset < max(track.missing_end, track.missing_start + 1)
            if track.component == component and is_inside and track.cause not in ("evicted", "none"):
                return f"component {component} offset {offset} is {track.cause}, not evicted"
    return None


def _judge(history: History, seen: Seen | None, expected: Expectation, candidate: Candidate) -> tuple[str, str] | None:
    """What is wrong with a session if it is to be this candidate: kind and words; None if nothing is."""
    lost, phantoms = candidate.differences(seen.holds if seen else None)
    if phantoms:
        return "phantom", _named(phantoms)
    if not lost or expected.damages:
        return None
    if not (expected.evicts and seen):
        return "lost", _named(lost)
    # Pins hold now, not at a moment in the past.
    pinned = history.pinned if expected.at_ns is None else {}
    if any(key in pinned and candidate.must.get(key) == pinned[key] for key in lost):
        return "lost", f"{_named(lost)}: pinned"
    told = _unexplained(seen, candidate.must, lost)
    return ("lost", f"{_named(lost)}: {told}") if told else None


def compare(history: History, seen: Seen | None, expected: Expectation, syncs) -> None:
    """Raises a Finding unless a session is what the journal allows: its first n steps, for one n of those possible."""
    where = f"{history.namespace}/{history.name}"
    if seen and (seen.damaged or seen.missing) and not expected.damages:
        raise Finding("damaged", f"{where}: damaged {_named(seen.damaged)}, listed but missing {_named(seen.missing)}")
    if seen is None and expected.forgets_empty and not history.now(at_most=True):
        return
    first = history.required(expected.level, expected.at_ns, syncs)
    wrong = []
    for certain in range(max(first, history.sent(expected.at_ns)), first - 1, -1):
        judgement = _judge(history, seen, expected, history.candidate(certain))
        if judgement is None:
            return
        wrong.append(judgement)
    # What is lost compared with one state may be a phantom compared with another: the milder word is the truer.
    kind, what = min(wrong)
    raise Finding(kind, f"{where}: {what} {_recent(history)}")


def _named(keys: list[Key]) -> str:
    if (-1, -1) in keys:
        return "the session"
    return ", ".join(f"component {component} offset {offset}" for component, offset in sorted(keys)[:4]) or "none"


def _recent(history: History) -> str:
    origin = history.steps[0].start_ns if history.steps else 0
    steps = [
        f"{step.kind} {step.offset or ''} {sorted(offset for component, offset in step.holds if component == 0)} level "
        f"{step.level} sent {(step.start_ns - origin) // 1_000} us acknowledged "
        f"{step.ack_ns and (step.ack_ns - origin) // 1_000}" for step in history.steps[-8:]]
    return f"(root {history.root}; last steps: {'; '.join(steps)})"


def check(client: larder.Client, journal: Journal, expected: Expectation, rebases: bool = True) -> dict[str, int]:
    """Compares a store with the journal and returns what was counted. Raises a Finding.

    With `rebases` the journal goes on from what was found.
    """
    counts = {"sessions": 0, "chunks": 0, "bytes": 0}
    found = read_all(client)
    syncs = tuple(journal.syncs)
    for history in journal.all():
        seen = found.pop((history.namespace, history.name), None)
        compare(history, seen, expected, syncs)
        if seen:
            if history.id is not None and history.id != seen.session.id and expected.at_ns is None:
                raise Finding("id", f"{history.namespace}/{history.name} was {history.id} and is {seen.session.id}")
            if not expected.damages:
                _verify(client, seen)
            counts["sessions"] += 1
            counts["chunks"] += len(seen.holds)
            counts["bytes"] += seen.byte_count
            point = seen.session.resume().offset
            if point != resume_point(seen.holds) and not expected.damages and not expected.evicts:
                raise Finding(
                    "resume", f"{history.namespace}/{history.name} resumes at {point}, not {resume_point(seen.holds)}")
            if rebases:
                _learn(journal, history, seen.session.id)
        if rebases:
            history.rebase(seen.holds if seen else None)
            if seen is None:
                journal.forget(history)
    if found:
        raise Finding("phantom", f"sessions that were never made, or dropped: {sorted(found)[:4]}")
    return counts


def _verify(client: larder.Client, seen: Seen) -> None:
    checked = 0
    for step in client.verify(seen.session):
        checked += step.checked
        if step.damaged:
            raise Finding("damaged", f"verify finds {step.damaged[0]}")
    if checked != len(seen.holds):
        raise Finding("verify", f"{seen.session} has {len(seen.holds)} chunks, and verify read {checked}")


def _learn(journal: Journal, history: History, identifier: int) -> None:
    wrong = journal.learn_id(history, identifier)
    if wrong:
        raise Finding("id", wrong)


def probe(client: larder.Client, journal: Journal, may_be_full: bool = False) -> None:
    """Shows that the daemon serves: a new session with a new id takes a chunk and gives it back."""
    declared = client.declare_model(MODEL)
    name = f"probe {time.monotonic_ns()}"
    try:
        session = client.open_session(PROBES, name, declared)
        _learn(journal, History(PROBES, name, 0), session.id)
        data = content.make(content.number_of(name), 4_096, "f16")
        session.put(0, 16, data, acknowledgement="durable")
        if session.get(0) != data:
            raise Finding("wrong byte", "a chunk that was put just now comes back as another")
        session.drop()
    except larder.Full:
        if not may_be_full:
            raise Finding("not serving", "a probe was refused as full")
    except larder.Refusal as error:
        raise Finding("not serving", f"a probe was refused: {error}")
