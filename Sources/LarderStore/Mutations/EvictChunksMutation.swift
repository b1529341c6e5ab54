import LarderModel
import LarderSystem

/// What evicting on request did.
public struct EvictionOutcome: Sendable, Hashable {
    /// Chunks that went.
    public var chunks = 0
    /// Stored bytes that this freed.
    public var freedBytes = 0
    /// Chunks that stay: under lease or pinned, before one that is, or seen by other sessions.
    public var kept = 0

    static func += (sum: inout EvictionOutcome, other: EvictionOutcome) {
        sum.chunks += other.chunks
        sum.freedBytes += other.freedBytes
        sum.kept += other.kept
    }
}

/// Takes chunks out of their lines, in the order in which they are named, and remembers that. One that is under lease stays,
/// and with it what is named after it of its track.
final class EvictChunksMutation: AwaitedMutation<EvictionOutcome>, Mutation, @unchecked Sendable {
    private let keys: [ChunkKey]

    init(_ keys: [ChunkKey]) { self.keys = keys }

    func apply(_ context: inout WriteContext) throws {
        var outcome = EvictionOutcome()
        var lines: [UInt64: LineRecord] = [:]
        var stopped: Set<ChunkKey> = []
        for key in keys {
            guard let chunk = try context.chunk(key), var line = try lines[key.line] ?? context.line(key.line) else {
                continue
            }
            let track = ChunkKey(line: 0, rank: key.rank, component: key.component, offset: 0)
            guard !stopped.contains(track), let freed = try context.evict(key, chunk, from: &line, rule: .requested)
            else {
                stopped.insert(track)
                outcome.kept += 1
                continue
            }
            lines[key.line] = line
            outcome.chunks += 1
            outcome.freedBytes += freed
        }
        for (id, line) in lines { try context.put(line, line: id) }
        value = outcome
    }
}

/// Frees what may go, oldest first, as the sweep does when there is no room; what is hot stays.
final class CompactMutation: AwaitedMutation<CompactMutation.Step>, Mutation, @unchecked Sendable {
    struct Step: Sendable {
        var freedBytes: Int
        var evicted: [EvictionRule: Int]
        /// Where to go on; 0 at the end.
        var next: UInt64
    }

    private let bytes: Int
    private let place: UInt64

    /// - Parameter place: where the step before ended.
    init(bytes: Int, from place: UInt64) {
        self.bytes = bytes
        self.place = place
    }

    func apply(_ context: inout WriteContext) throws {
        let outcome = try Sweep.step(&context, bytes: bytes, .urgent(from: place, sparesHot: true), growing: [])
        value = Step(
            freedBytes: outcome.freedBytes, evicted: outcome.evicted, next: outcome.isAtEnd ? 0 : outcome.next)
    }
}

extension Store {
    /// Evicts what a session has at or beyond an offset, from the end, so that what is left is a prefix.
    ///
    /// - Parameters:
    ///   - offset: in tokens; a chunk that ends beyond it goes, a recurrent state that lies beyond it.
    ///   - sharedToo: true to evict what other sessions see, too, for them as well.
    public func evict(
        session: UInt64, from offset: UInt64, sharedToo: Bool, reader: StoreReader
    ) throws(LarderError) -> EvictionOutcome {
        var (keys, kept) = try reader.evictable(session: session, from: offset, sharedToo: sharedToo)
        var outcome = EvictionOutcome(kept: kept)
        let writer = try writer(of: session)
        while !keys.isEmpty {
            let batch = Array(keys.prefix(Limits.evictionsPerSweep))
            keys.removeFirst(batch.count)
            let step = try writer.perform(EvictChunksMutation(batch))
            writer.note(evicted: [.requested: step.chunks], freedBytes: step.freedBytes)
            outcome += step
            // What could not go keeps what is before it.
            if step.kept > 0 {
                outcome.kept += keys.count
                break
            }
        }
        return outcome
    }

    /// Frees what was dropped, and then evicts what is oldest and not hot until `bytes` of stored chunks were freed, or no
    /// more may go. `progress` is told what was freed so far, and ends it by returning false.
    ///
    /// - Returns: stored bytes that were freed.
    public func compact(bytes: Int, progress: (Int) -> Bool) throws(LarderError) -> Int {
        var freed = 0
        for writer in writers {
            writer.wake()
            var place: UInt64 = 0
            while freed < bytes {
                let step = try writer.perform(
                    CompactMutation(bytes: min(bytes - freed, Limits.bytesPerCommit / 4), from: place))
                writer.note(evicted: step.evicted, freedBytes: step.freedBytes)
                freed += step.freedBytes
                guard progress(freed) else { return freed }
                if step.next == 0 { break }
                place = step.next
            }
        }
        return freed
    }
}

extension ShardWriter {
    /// Counts what a mutation evicted.
    func note(evicted: [EvictionRule: Int], freedBytes: Int) {
        totals.withLock {
            $0.sweptBytes += UInt64(freedBytes)
            for (rule, count) in evicted { $0.evicted[rule] += UInt64(count) }
        }
    }

    /// Has the writer look for what was dropped, and sweep down to the low watermark, in its idle moments.
    func wake() {
        queue.signal {
            $0.mayHaveGraves = true
            $0.isSweeping = true
        }
    }
}

extension StoreReader {
    /// The chunks of a session that end beyond an offset, the last first, and how many of them stay because other sessions
    /// see them.
    func evictable(
        session: UInt64, from offset: UInt64, sharedToo: Bool
    ) throws(LarderError) -> (keys: [ChunkKey], kept: Int) {
        let context = try context(session)
        let own = try ownLines(context)
        var keys: [(key: ChunkKey, end: UInt64)] = []
        var kept = 0
        try forEachChunk(context, from: ChunkPosition()) { key, record in
            let end = key.offset + UInt64(record.tokens)
            guard record.tokens == 0 ? key.offset > offset : end > offset else { return true }
            let isOwn = own[key.line].map { end > $0 } ?? false
            if isOwn || sharedToo { keys.append((key, end)) } else { kept += 1 }
            return true
        }
        keys.sort { ($0.end, $0.key.offset) > ($1.end, $1.key.offset) }
        return (keys.map(\.key), kept)
    }
}
