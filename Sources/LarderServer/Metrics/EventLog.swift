import LarderSystem

/// Something that happened to the daemon or the store, for people and for what watches it.
public struct DaemonEvent: Sendable {
    /// What kind of thing. The raw value is the name in answers.
    public enum Kind: String, Sendable, CaseIterable {
        /// A worker connected to the data socket, or went.
        case connected, disconnected
        /// A session was made, dropped, forked or cut.
        case sessionOpened = "session_opened"
        case sessionDropped = "session_dropped"
        case sessionForked = "session_forked"
        case sessionTruncated = "session_truncated"
        /// Chunks went in the last second, by rule.
        case evicted
        /// The compactor began to sweep, or has come down to its low watermark.
        case sweepStarted = "sweep_started"
        case sweepFinished = "sweep_finished"
        /// Puts were refused as `full`, `busy` or `declined` in the last second.
        case refused
        /// Stored bytes failed their checks in the last second.
        case damaged
        /// The cap or another value was changed while the daemon runs.
        case changed
        /// The daemon was drained for maintenance, or serves again.
        case drained, undrained
        /// Long work of an operator's began or ended.
        case jobStarted = "job_started"
        case jobFinished = "job_finished"
    }

    /// A number or a text.
    public enum Value: Sendable, Hashable {
        /// A number.
        case number(UInt64)
        /// A text.
        case text(String)
    }

    /// Ascending without gaps, from 1 at the daemon's start.
    public let id: UInt64
    /// Milliseconds since 1970.
    public let milliseconds: UInt64
    /// What happened.
    public let kind: Kind
    /// To what: names with their unit last.
    public let fields: [String: Value]
}

/// The last events, in a ring: who reads too slowly loses the oldest and is told how many.
public final class EventLog: Sendable {
    /// Events that are remembered.
    public static let capacity = 4_096

    private struct State {
        var ring: [DaemonEvent] = []
        var next: UInt64 = 1
    }

    private let state = Monitor(State())

    /// An empty log.
    public init() {}

    /// Adds an event. Never waits for a reader.
    public func note(_ kind: DaemonEvent.Kind, _ fields: [String: DaemonEvent.Value] = [:]) {
        let now = Clock.wallMilliseconds()
        state.withLock { state in
            let event = DaemonEvent(id: state.next, milliseconds: now, kind: kind, fields: fields)
            if state.ring.count < Self.capacity {
                state.ring.append(event)
            } else {
                state.ring[Int((state.next - 1) % UInt64(Self.capacity))] = event
            }
            state.next += 1
        }
    }

    /// Events after an id, the oldest first, at most `limit`; and how many were lost between that id and the first of them.
    public func events(after id: UInt64, limit: Int) -> (events: [DaemonEvent], lost: UInt64) {
        state.withLock { state in
            let last = state.next - 1
            guard id < last, limit > 0 else { return ([], 0) }
            let oldest = last - UInt64(state.ring.count) + 1
            let first = max(oldest, id + 1)
            let end = min(last, first + UInt64(limit) - 1)
            let found = (first...end).map { state.ring[Int(($0 - 1) % UInt64(Self.capacity))] }
            return (found, first - id - 1)
        }
    }

    /// The id of the last event; 0 if there was none.
    public var lastID: UInt64 { state.withLock { $0.next - 1 } }
}
