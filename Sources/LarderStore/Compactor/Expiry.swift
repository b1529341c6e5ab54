import LarderLMDB
import LarderModel
import LarderSystem

// State that nobody has used for longer than its namespace, or its session, keeps it. Times are of the wall clock; one that
// goes back makes nothing expire early.

/// Takes what only an expired session sees out of the store, a part at a time; an expired session that has nothing left is
/// forgotten after ``Limits/emptySessionSeconds``.
final class ExpireMutation: AwaitedMutation<Bool>, Mutation, @unchecked Sendable {
    private let session: UInt64
    var orderedSession: UInt64? { session }
    private let namespaceTTL: UInt32
    private let seconds: UInt64
    private let counts: SessionCounts
    private var droppedFrom: UInt32?

    /// - Parameter seconds: the time, in seconds since 1970.
    init(session: UInt64, namespaceTTL: UInt32, seconds: UInt64, counts: SessionCounts) {
        self.session = session
        self.namespaceTTL = namespaceTTL
        self.seconds = seconds
        self.counts = counts
    }

    /// The outcome is true if there is more to take.
    func apply(_ context: inout WriteContext) throws {
        value = false
        droppedFrom = nil
        guard let record = try? context.session(session) else { return }
        let lines = try context.ownLines(of: record)
        guard let age = context.age(of: record, lines, at: seconds) else { return }
        if record.isExpired(age: age, namespaceTTL: namespaceTTL) {
            if lines.contains(where: { $0.record.children > 0 || $0.record.parent != 0 }) {
                // What other sessions see of it stays, as when it is dropped.
                if try context.forget(session, record) { droppedFrom = record.namespaceID }
                return
            }
            var left = Limits.evictionsPerSweep
            for line in lines where left > 0 {
                let evicted = try context.evictAll(of: line.id, limit: left, rule: .expired)
                left -= evicted
            }
            if left < Limits.evictionsPerSweep {
                value = left == 0
                return
            }
        }
        if lines.allSatisfy({ $0.record.chunks == 0 }), lines[0].record.children == 0, lines[0].record.parent == 0,
            age > Limits.emptySessionSeconds
        {
            if try context.forget(session, record) { droppedFrom = record.namespaceID }
        }
    }

    override func complete(_ failure: LarderError?) {
        if failure == nil, let droppedFrom { counts.remove(droppedFrom) }
        super.complete(failure)
    }
}

extension SessionRecord {
    /// True if a session's state is not kept any more, `age` seconds after its last use.
    func isExpired(age: UInt64, namespaceTTL: UInt32) -> Bool {
        let ttl = ttlSeconds == 0 ? namespaceTTL : ttlSeconds
        return ttl != 0 && ttl != NamespacePolicy.never && age > UInt64(ttl)
    }
}

extension WriteContext {
    /// True if a line's state is not kept any more. One that is no session's head is kept as long as its namespace says.
    func isExpired(_ id: UInt64, _ line: LineRecord, at seconds: UInt64) -> Bool {
        // What others see of it is theirs to keep or not.
        if line.children > 0 { return false }
        let namespaceTTL = shard.quotas.ttlSeconds(line.namespaceID)
        let session = line.head == 0 ? nil : (try? session(line.head)) ?? nil
        if namespaceTTL == 0 && (session?.ttlSeconds ?? 0) == 0 { return false }
        let used = max(line.changedSeconds, session?.createdSeconds ?? 0, shard.heat.lastUseSeconds(of: id))
        let age = seconds - min(seconds, used)
        guard let session else { return namespaceTTL != 0 && age > UInt64(namespaceTTL) }
        return session.isExpired(age: age, namespaceTTL: namespaceTTL)
    }

    /// The lines that only this session sees: its head, and those above that have no other child.
    fileprivate func ownLines(of session: SessionRecord) throws -> [(id: UInt64, record: LineRecord)] {
        var lines: [(UInt64, LineRecord)] = []
        var id = session.head
        while id != 0, lines.count < Limits.holeDepth, let record = try? line(id),
            id == session.head || (record.head == 0 && record.children == 1)
        {
            lines.append((id, record))
            id = record.parent
        }
        return lines
    }

    /// Seconds since a session was last used; nil if its head is damaged.
    fileprivate func age(
        of session: SessionRecord, _ lines: [(id: UInt64, record: LineRecord)], at seconds: UInt64
    ) -> UInt64? {
        guard !lines.isEmpty else { return nil }
        let used = lines.map { max($0.record.changedSeconds, shard.heat.lastUseSeconds(of: $0.id)) }.max() ?? 0
        let last = max(used, session.createdSeconds)
        return seconds > last ? seconds - last : 0
    }

    /// Evicts a line's own chunks, from the last on, at most `limit`, as long as none is under lease.
    fileprivate mutating func evictAll(of id: UInt64, limit: Int, rule: EvictionRule) throws -> Int {
        guard var line = try? line(id) else { return 0 }
        var evicted = 0
        var bound = ChunkKey(line: id, rank: .max, component: .max, offset: ChunkKey.largestOffset)
        while evicted < limit {
            let found = try bound.words.withBytes { bytes in
                try transaction.last(shard.databases.chunks, notAbove: bytes) { key, value in
                    (try ChunkKey(key), try? ChunkRecord(value, key: key))
                }
            }
            guard let (key, record) = found, key.line == id else { break }
            if let record {
                guard try evict(key, record, from: &line, rule: rule) != nil else { break }
                evicted += 1
            }
            guard let before = key.before else { break }
            bound = before
        }
        if evicted > 0 { try put(line, line: id) }
        return evicted
    }
}

extension ChunkKey {
    /// The largest key below this one in its line; nil for the first.
    fileprivate var before: ChunkKey? {
        if offset > 0 { return at(offset - 1) }
        if component > 0 {
            return ChunkKey(line: line, rank: rank, component: component - 1, offset: Self.largestOffset)
        }
        return rank > 0 ? ChunkKey(line: line, rank: rank - 1, component: .max, offset: Self.largestOffset) : nil
    }
}
