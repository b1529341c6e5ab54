/// Makes turns of events. A turn begins when a worker asks for a prefix, and ends when the next one of its session begins,
/// when the session is dropped, or a minute after its last event.
///
/// A resume names its session. A match does not: its turn is that of the session that its connection puts to next.
public struct TurnTracker {
    /// Milliseconds without an event after which a turn is over.
    public static let idleMilliseconds: UInt64 = 60_000
    /// Block names that are remembered for all sessions, 8 bytes each, and sessions.
    public static let blockLimit = 1 << 20
    static let sessionLimit = 1 << 16

    private var sessions: [UInt64: TracedSession] = [:]
    /// When each connection's last match was, if nothing has been put since.
    private var matches: [UInt64: UInt64] = [:]
    private var blockCount = 0
    /// Sessions that were forgotten because there were too many: their next turns know less of their past.
    public private(set) var forgotten: UInt64 = 0
    /// Turns that ended, in the order in which they did.
    private var ended: [RequestTrace.Request] = []

    /// A tracker that knows no sessions.
    public init() {}

    /// Takes the turns that ended, in the order in which they did.
    public mutating func takeEnded() -> [RequestTrace.Request] {
        defer { ended = [] }
        return ended
    }

    /// Takes in what happened.
    ///
    /// - Parameter now: milliseconds since the recording began.
    public mutating func note(_ event: TraceEvent, now: UInt64) {
        switch event {
        case .match(let connection): matches[connection] = now
        case .end(let connection): matches[connection] = nil
        case .resume(let connection, let id, let offset):
            change(id) { session, ended in
                if session.turn.map({ $0.isResumed }) ?? true {
                    Self.end(&session, &ended)
                    session.turn = TracedSession.Turn(timestamp: now, changed: now, isResumed: true)
                }
                session.turn!.isResumed = true
                session.turn!.changed = now
                session.resume(offset: offset)
            }
            matches[connection] = nil
        case .put(let connection, let id, let chunk):
            let match = matches.removeValue(forKey: connection)
            change(id) { session, ended in
                if let match {
                    Self.end(&session, &ended)
                    session.turn = TracedSession.Turn(timestamp: match, changed: now, isResumed: false)
                }
                session.turn?.changed = now
                session.put(chunk)
            }
        case .fork(let parent, let offset, let child):
            guard let known = sessions[parent] else { return }
            change(child) { session, _ in session = TracedSession(session: child, parent: known, offset: offset) }
        case .truncate(let id, let offset): change(id) { session, _ in session.truncate(to: offset) }
        case .drop(let id): forget(id)
        }
        if blockCount > Self.blockLimit || sessions.count > Self.sessionLimit { forgetOldest() }
    }

    /// Ends the turns in which nothing has happened for a while.
    public mutating func endIdle(now: UInt64) {
        for (id, session) in sessions {
            guard let turn = session.turn, turn.changed + Self.idleMilliseconds <= now else { continue }
            Self.end(&sessions[id]!, &ended)
        }
    }

    /// Ends every turn.
    public mutating func endAll() { for id in sessions.keys { Self.end(&sessions[id]!, &ended) } }

    private mutating func change(
        _ id: UInt64, _ body: (inout TracedSession, inout [RequestTrace.Request]) -> Void
    ) {
        var session = sessions.removeValue(forKey: id) ?? TracedSession(session: id)
        blockCount -= session.blocks.count
        body(&session, &ended)
        blockCount += session.blocks.count
        sessions[id] = session
    }

    private static func end(_ session: inout TracedSession, _ ended: inout [RequestTrace.Request]) {
        guard let turn = session.turn else { return }
        if let request = session.request(timestamp: turn.timestamp) { ended.append(request) }
        session.turn = nil
    }

    private mutating func forget(_ id: UInt64) {
        guard var session = sessions.removeValue(forKey: id) else { return }
        Self.end(&session, &ended)
        blockCount -= session.blocks.count
    }

    /// Forgets an eighth of the sessions: those without a turn first, then those whose turn's last event is longest ago.
    private mutating func forgetOldest() {
        let order = sessions.sorted { ($0.value.turn?.changed ?? 0) < ($1.value.turn?.changed ?? 0) }
        for (id, _) in order.prefix(sessions.count / 8 + 1) {
            forget(id)
            forgotten += 1
        }
    }
}
