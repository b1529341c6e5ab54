import LarderLMDB
import LarderModel

/// A line of a tree of sessions: a stretch of state that one session wrote between two forks or truncates.
public struct StoredLine: Sendable {
    /// Its id; larger than its parent's.
    public let id: UInt64
    /// The line that it goes on from; 0 for none.
    public let parent: UInt64
    /// How far it sees its parent, in tokens.
    public let offset: UInt64
    /// The session that writes to it; 0 for none.
    public let session: UInt64
    /// That session's name; empty if there is none.
    public let name: String
    /// Where its own last chunk ends, in tokens.
    public let end: UInt64
    /// Chunks of its own, their raw bytes and their stored bytes.
    public let totals: (chunks: UInt64, rawBytes: UInt64, storedBytes: UInt64)
    /// Seconds since 1970.
    public let changedSeconds: UInt64
}

extension StoreReader {
    /// The lines of all sessions that share a past with one: its own path first, from the oldest on, then what branches off
    /// it, and off that. At most ``Limits/treeLines``; false with them if there are more.
    public func tree(session: UInt64) throws(LarderError) -> (lines: [StoredLine], complete: Bool) {
        let context = try context(session)
        let tracks = context.tracks
        let path = context.path.segments.reversed().suffix(Limits.treeLines).map(\.line)
        return try read(shard: context.shard) { transaction, shard in
            var walk = TreeWalk(isComplete: path.count == context.path.segments.count)
            for id in path where walk.meets(id) { walk.add(try Self.line(id, tracks, transaction, shard)) }
            while let line = walk.next() {
                for child in try Self.children(of: line, transaction, shard) where walk.meets(child) {
                    walk.add(try Self.line(child, tracks, transaction, shard))
                }
            }
            return (walk.lines, walk.isComplete)
        }
    }

    /// The lines of a tree so far, and which of them was asked for its children.
    private struct TreeWalk {
        private(set) var lines: [StoredLine] = []
        private(set) var isComplete: Bool
        private var seen = Set<UInt64>()
        private var asked = 0

        init(isComplete: Bool) { self.isComplete = isComplete }

        /// True for a line that was not met before, and for which there is room.
        mutating func meets(_ id: UInt64) -> Bool {
            guard seen.insert(id).inserted else { return false }
            if lines.count == Limits.treeLines { isComplete = false }
            return lines.count < Limits.treeLines
        }

        mutating func add(_ line: StoredLine?) { if let line { lines.append(line) } }

        /// The next line whose children are to be asked for; nil when the walk is over.
        mutating func next() -> UInt64? {
            guard asked < lines.count, isComplete else { return nil }
            defer { asked += 1 }
            return lines[asked].id
        }
    }

    /// A line; nil where its record is missing or damaged.
    private static func line(
        _ id: UInt64, _ tracks: [LinePath.Track], _ transaction: borrowing ReadTransaction, _ shard: Shard
    ) throws -> StoredLine? {
        let record = try WordKey(id).withBytes { key in
            try transaction.get(shard.databases.lines, key).flatMap { try? LineRecord($0, key: key) }
        }
        guard let record else { return nil }
        let head = try WordKey(record.head).withBytes { key in
            try transaction.get(shard.databases.sessions, key).flatMap { try? SessionRecord($0, key: key) }
        }
        var end: UInt64 = 0
        for track in tracks {
            end = max(
                end, try LinePath.lastEnd(id, track.rank, track.component, LineView(), transaction, shard))
        }
        return StoredLine(
            id: id, parent: record.parent, offset: record.view.limit, session: head == nil ? 0 : record.head,
            name: head?.name ?? "", end: end, totals: (record.chunks, record.rawBytes, record.storedBytes),
            changedSeconds: record.changedSeconds)
    }

    private static func children(
        of line: UInt64, _ transaction: borrowing ReadTransaction, _ shard: Shard
    ) throws -> [UInt64] {
        var found: [UInt64] = []
        try WordKey(line, 0).withBytes { start in
            try transaction.scan(shard.databases.children, from: start) { key, _ in
                guard key.count == 16, WordKey.word(key, 0) == line else { return false }
                found.append(WordKey.word(key, 1))
                return found.count <= Limits.treeLines
            }
        }
        return found
    }
}
