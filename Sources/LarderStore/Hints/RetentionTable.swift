// What workers asked to be kept rather than other state. In memory only: a retention is worth seconds to hours, and the
// worker that wants it longer asks again. The sweep takes what is retained for in use, as long as it spares what is hot.
import LarderModel
import LarderSystem

/// The retentions of one shard.
final class RetentionTable: Sendable {
    /// Who a retention is replaced by: a later request's for the same session, or for the same keys.
    enum Owner: Hashable {
        case session(UInt64)
        case keys
    }

    /// A chunk that is to be retained.
    struct Piece {
        let line: UInt64
        let heatKey: UInt64
        /// In tokens.
        let offset: UInt64
        let end: UInt64
        let bytes: Int
    }

    /// What is asked for.
    struct Wish {
        let owner: Owner
        let namespaceID: UInt32
        /// Retentions of one request stand side by side; those of an earlier one give way.
        let request: UInt64
        let priority: Int8
        /// As ``StoreConfiguration/now`` counts.
        let deadline: UInt64
        /// In order of end.
        let pieces: [Piece]
    }

    fileprivate struct Retention {
        let owner: Owner
        let namespaceID: UInt32
        let request: UInt64
        let priority: Int8
        let deadline: UInt64
        /// Of a session: where its chunks lie, line by line.
        var lines: [UInt64: ClosedRange<UInt64>] = [:]
        /// Of prefix keys: heat keys.
        var keys: Set<UInt64> = []
        /// Stored bytes, about: chunks that two retentions name count twice.
        var bytes = 0

        var isEmpty: Bool { lines.isEmpty && keys.isEmpty }
    }

    fileprivate struct State {
        var entries: [UInt64: Retention] = [:]
        var nextID: UInt64 = 1
        /// The retentions that name a line, and those that name a heat key.
        var byLine: [UInt64: Set<UInt64>] = [:]
        var byKey: [UInt64: UInt64] = [:]
    }

    private let state = Monitor(State())
    private let now: @Sendable () -> UInt64

    init(now: @escaping @Sendable () -> UInt64) { self.now = now }

    /// Retains the first pieces of a wish that the bounds leave room for, in place of what the same owner asked for in an
    /// earlier request. Retentions of the same namespace with a lower priority give way.
    ///
    /// - Parameters:
    ///   - bytes: what all may retain of the shard.
    ///   - namespaceBytes: what this namespace may.
    /// - Returns: how many pieces are retained, and what bounds them.
    func add(_ wish: Wish, bytes: Int, namespaceBytes: Int) -> (count: Int, bound: HintBound) {
        state.withLock { state in
            state.dropExpired(now())
            state.drop { $0.owner == wish.owner && wish.owner != .keys && $0.request != wish.request }
            if wish.owner == .keys { for piece in wish.pieces { state.letGo(key: piece.heatKey) } }
            guard state.makePlace(for: wish) else { return (0, .count) }
            let needed = wish.pieces.reduce(0) { $0 + $1.bytes }
            let room = state.makeRoom(bytes: needed, for: wish, bytes, namespaceBytes)
            var retention = Retention(
                owner: wish.owner, namespaceID: wish.namespaceID, request: wish.request, priority: wish.priority,
                deadline: wish.deadline)
            for (index, piece) in wish.pieces.enumerated() {
                if retention.bytes + piece.bytes > room {
                    state.insert(retention)
                    return (index, .bytes)
                }
                guard retention.take(piece) else {
                    state.insert(retention)
                    return (index, .count)
                }
            }
            state.insert(retention)
            return (wish.pieces.count, .none)
        }
    }

    /// Ends what an owner, or prefix keys, retain.
    func end(_ owner: Owner, keys: [UInt64] = []) {
        state.withLock { state in
            if owner != .keys { state.drop { $0.owner == owner } }
            for key in keys { state.letGo(key: key) }
        }
    }

    /// Cuts what a session retains to what lies before `offset`: a later turn has left the rest behind.
    func cut(session: UInt64, at offset: UInt64) {
        state.withLock { state in
            for (id, entry) in state.entries where entry.owner == .session(session) {
                state.cut(id, at: offset)
            }
        }
    }

    /// True if one of some chunks is retained now.
    func keeps(_ chunks: some Sequence<(key: ChunkKey, record: ChunkRecord)>) -> Bool {
        state.withLock { state in
            if state.entries.isEmpty { return false }
            let now = now()
            return chunks.contains { state.keeps($0.key, $0.record, now) }
        }
    }

    /// Retentions, and the stored bytes that they name, about.
    var totals: (count: Int, bytes: Int) {
        state.withLock { state in
            state.dropExpired(now())
            return (state.entries.count, state.entries.values.reduce(0) { $0 + $1.bytes })
        }
    }
}

extension RetentionTable.Retention {
    /// Adds a piece; false if it lies in a line more than one retention may name.
    fileprivate mutating func take(_ piece: RetentionTable.Piece) -> Bool {
        if owner == .keys {
            keys.insert(piece.heatKey)
        } else if let known = lines[piece.line] {
            lines[piece.line] = min(known.lowerBound, piece.offset)...max(known.upperBound, piece.end)
        } else {
            guard lines.count < Limits.linesPerRetention else { return false }
            lines[piece.line] = piece.offset...piece.end
        }
        bytes += piece.bytes
        return true
    }
}

extension RetentionTable.State {
    func keeps(_ key: ChunkKey, _ record: ChunkRecord, _ now: UInt64) -> Bool {
        if let id = byKey[record.heatKey], let entry = entries[id], entry.deadline > now { return true }
        let end = key.offset + UInt64(record.tokens)
        return byLine[key.line, default: []].contains { id in
            guard let entry = entries[id], entry.deadline > now, let range = entry.lines[key.line] else { return false }
            return range.lowerBound <= key.offset && end <= range.upperBound
        }
    }

    fileprivate mutating func insert(_ entry: RetentionTable.Retention) {
        guard !entry.isEmpty else { return }
        entries[nextID] = entry
        for line in entry.lines.keys { byLine[line, default: []].insert(nextID) }
        for key in entry.keys { byKey[key] = nextID }
        nextID += 1
    }

    private mutating func remove(_ id: UInt64) {
        guard let entry = entries.removeValue(forKey: id) else { return }
        for line in entry.lines.keys { leave(line, id) }
        for key in entry.keys where byKey[key] == id { byKey[key] = nil }
    }

    private mutating func leave(_ line: UInt64, _ id: UInt64) {
        byLine[line]?.remove(id)
        if byLine[line]?.isEmpty == true { byLine[line] = nil }
    }

    mutating func dropExpired(_ now: UInt64) { drop { $0.deadline <= now } }

    fileprivate mutating func drop(where isDropped: (RetentionTable.Retention) -> Bool) {
        for (id, entry) in entries where isDropped(entry) { remove(id) }
    }

    /// Takes a heat key from the retention that names it, with its part of the bytes.
    mutating func letGo(key: UInt64) {
        guard let id = byKey.removeValue(forKey: key), var entry = entries[id] else { return }
        entry.bytes -= entry.bytes / entry.keys.count
        entry.keys.remove(key)
        entries[id] = entry.isEmpty ? nil : entry
    }

    /// Cuts a session's retention at an offset, with its part of the bytes.
    mutating func cut(_ id: UInt64, at offset: UInt64) {
        guard var entry = entries[id] else { return }
        func tokens() -> Double { entry.lines.values.reduce(1) { $0 + Double($1.upperBound - $1.lowerBound) } }
        let before = tokens()
        for (line, range) in entry.lines where range.upperBound > offset {
            if range.lowerBound < offset {
                entry.lines[line] = range.lowerBound...offset
            } else {
                entry.lines[line] = nil
                leave(line, id)
            }
        }
        entry.bytes = Int(Double(entry.bytes) * tokens() / before)
        entries[id] = entry.isEmpty ? nil : entry
    }

    /// Makes a place in the table, at the cost of a lower priority if there is none; false if there is none to be had.
    fileprivate mutating func makePlace(for wish: RetentionTable.Wish) -> Bool {
        let own = entries.values.count { $0.namespaceID == wish.namespaceID }
        if own < Limits.retentionsPerNamespace && entries.count < Limits.retentions { return true }
        guard let least = lesser(than: wish).first else { return false }
        remove(least)
        return true
    }

    /// Drops retentions of lower priority until there is room for so many bytes, or no more of them. Returns the room.
    fileprivate mutating func makeRoom(
        bytes: Int, for wish: RetentionTable.Wish, _ most: Int, _ mostOfNamespace: Int
    ) -> Int {
        func room() -> Int {
            var all = 0
            var own = 0
            for entry in entries.values {
                all += entry.bytes
                if entry.namespaceID == wish.namespaceID { own += entry.bytes }
            }
            return min(most - all, mostOfNamespace - own)
        }
        for id in lesser(than: wish) where room() < bytes { remove(id) }
        return max(0, room())
    }

    /// What gives way to a wish: of its own namespace alone, the least first.
    private func lesser(than wish: RetentionTable.Wish) -> [UInt64] {
        entries.filter { $0.value.namespaceID == wish.namespaceID && $0.value.priority < wish.priority }
            .sorted { ($0.value.priority, $0.value.deadline) < ($1.value.priority, $1.value.deadline) }.map(\.key)
    }
}
