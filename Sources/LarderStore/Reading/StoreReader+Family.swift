import LarderLMDB
import LarderModel

/// A line of a session's family: a stretch of state between two forks or truncates.
public struct FamilyLine: Sendable {
    /// The line's id.
    public let id: UInt64
    /// The line that it goes on from; 0 for none.
    public let parent: UInt64
    /// How much of the parent is seen, in tokens.
    public let forkedAt: UInt64
    /// The session that writes to it; 0 for none, then it is a past that sessions share.
    public let session: UInt64
    /// That session's name; empty for none.
    public let name: String
    /// Chunks of its own, and their bytes.
    public let totals: (chunks: UInt64, rawBytes: UInt64, storedBytes: UInt64)
    /// Seconds since 1970.
    public let changedSeconds: UInt64
}

/// The lines that a session's past has in common with others', from the root down.
public struct Family: Sendable {
    /// Parents before their children.
    public let lines: [FamilyLine]
    /// False if there are more than were asked for.
    public let isWhole: Bool
}

extension StoreReader {
    /// The family of a session: its past up to the root, or as far as half of `limit` goes, and all that goes on from there,
    /// nearest first, up to `limit` lines.
    public func family(session: UInt64, limit: Int) throws(LarderError) -> Family {
        let context = try context(session)
        return try read(shard: context.shard) { transaction, shard in
            let path = context.path.segments.map(\.line)
            let kept = path.prefix(max(1, limit / 2))
            var isWhole = kept.count == path.count
            var found: [FamilyLine] = []
            var known: Set<UInt64> = []
            // From the root of what is kept, width first.
            var waiting = kept.suffix(1).map { $0 }
            var next = 0
            while next < waiting.count {
                let id = waiting[next]
                next += 1
                guard known.insert(id).inserted, let line = try familyLine(id, transaction, shard) else { continue }
                found.append(line)
                let room = limit - waiting.count
                var children = try children(of: id, limit: room + 1, transaction, shard)
                // The session's own past comes first: it must not be what is cut.
                if let index = kept.firstIndex(of: id), index > 0 {
                    children.removeAll { $0 == kept[index - 1] }
                    children.insert(kept[index - 1], at: 0)
                }
                if children.count > max(room, 1) { isWhole = false }
                waiting += children.prefix(max(room, kept.contains(id) && id != kept.first ? 1 : 0))
            }
            return Family(lines: found, isWhole: isWhole)
        }
    }

    private func familyLine(
        _ id: UInt64, _ transaction: borrowing ReadTransaction, _ shard: Shard
    ) throws -> FamilyLine? {
        let line = try WordKey(id).withBytes { key in
            try transaction.get(shard.databases.lines, key).flatMap { try? LineRecord($0, key: key) }
        }
        guard let line else { return nil }
        let session =
            try line.head == 0
            ? nil
            : WordKey(line.head).withBytes { key in
                try transaction.get(shard.databases.sessions, key).flatMap { try? SessionRecord($0, key: key) }
            }
        return FamilyLine(
            id: id, parent: line.parent, forkedAt: line.parent == 0 ? 0 : min(line.view.limit, Limits.offsetTokens),
            session: line.head, name: session?.name ?? "",
            totals: (line.chunks, line.rawBytes, line.storedBytes), changedSeconds: line.changedSeconds)
    }

    private func children(
        of line: UInt64, limit: Int, _ transaction: borrowing ReadTransaction, _ shard: Shard
    ) throws -> [UInt64] {
        var found: [UInt64] = []
        guard limit > 0 else { return [] }
        try WordKey(line, 0).withBytes { start in
            try transaction.scan(shard.databases.children, from: start) { key, _ in
                guard key.count == 16, WordKey.word(key, 0) == line else { return false }
                found.append(WordKey.word(key, 1))
                return found.count < limit
            }
        }
        return found
    }
}
