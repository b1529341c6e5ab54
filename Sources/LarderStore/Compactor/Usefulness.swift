import LarderLMDB
import LarderModel

// What no resume point can use any more, as far as a few look-ups tell. A chunk that is wrongly called useful is evicted
// later, when it is cold; one is called useless only if nothing that is stored now needs it.
extension WriteContext {
    /// True if no resume point of any session that sees the chunk can use it.
    func isUseless(_ key: ChunkKey, _ chunk: ChunkRecord, _ line: LineRecord) throws -> Bool {
        let end = key.offset + UInt64(chunk.tokens)
        if try isBehindHole(end: end, line) { return true }
        if chunk.window > 0 { return try isBehindWindows(key, end: end, window: UInt64(chunk.window), line) }
        if chunk.tokens == 0 { return try isThinned(key, line) }
        return false
    }

    /// True if attention that was evicted from the line, or from what is seen of those above it, is missing below `end`.
    private func isBehindHole(end: UInt64, _ line: LineRecord) throws -> Bool {
        var line = line
        var view = LineView()
        // From where on younger lines have chunks: they may have filled an older one's hole.
        var filled = UInt64.max
        for _ in 0..<Limits.holeDepth {
            if line.holeAt < min(end, view.limit, filled) { return true }
            filled = min(filled, line.lowestTokens)
            view = view.through(line.view)
            guard line.parent != 0, let parent = try? self.line(line.parent) else { return false }
            line = parent
        }
        return false
    }

    /// True if a chunk of sliding attention lies before the window of all ends that can be resumed at: the line's own,
    /// where it was forked, and where recurrent states are.
    private func isBehindWindows(_ key: ChunkKey, end: UInt64, window: UInt64, _ line: LineRecord) throws -> Bool {
        // What is resumed at within the window after the chunk needs it.
        let (bound, overflows) = end.addingReportingOverflow(window)
        if overflows || line.children > Limits.childrenPerVerdict { return false }
        func needs(_ offset: UInt64) -> Bool { offset > key.offset && offset < bound }
        guard let last = try lastChunk(of: key), last.offset + UInt64(last.tokens) >= bound else { return false }
        if try childViews(of: key.line).contains(where: { needs($0.limit) }) { return false }
        return try !hasState(key.line, in: key.offset + 1..<bound)
    }

    /// True if a recurrent state is neither the line's last nor where it was forked.
    private func isThinned(_ key: ChunkKey, _ line: LineRecord) throws -> Bool {
        if line.children > Limits.childrenPerVerdict { return false }
        guard let last = try lastChunk(of: key), last.offset > key.offset else { return false }
        // A session that goes on from a fork resumes at the deepest state up to there.
        let next = try nextOffset(after: key) ?? .max
        return try !childViews(of: key.line).contains { $0.limit >= key.offset && $0.limit < next }
    }

    /// The last chunk of a chunk's track in its line: where it starts, and its tokens.
    private func lastChunk(of key: ChunkKey) throws -> (offset: UInt64, tokens: UInt32)? {
        let bound = key.at(ChunkKey.largestOffset)
        let found = try bound.words.withBytes { bytes in
            try transaction.last(shard.databases.chunks, notAbove: bytes) { key, value in
                (try ChunkKey(key), try? ChunkRecord(value, key: key))
            }
        }
        guard let (place, record) = found, place.isBeside(key), let record else { return nil }
        return (place.offset, record.tokens)
    }

    /// Where the chunk behind another starts in its line's track.
    private func nextOffset(after key: ChunkKey) throws -> UInt64? {
        guard key.offset < ChunkKey.largestOffset else { return nil }
        var found: UInt64?
        try key.at(key.offset + 1).words.withBytes { bytes in
            try transaction.scan(shard.databases.chunks, from: bytes) { bytes, _ in
                let next = try ChunkKey(bytes)
                if next.isBeside(key) { found = next.offset }
                return false
            }
        }
        return found
    }

    /// True if a recurrent state of a line lies in a range of offsets.
    private func hasState(_ line: UInt64, in range: Range<UInt64>) throws -> Bool {
        // Tracks of states are few, and are found by their first chunk: step from track to track.
        var start: ChunkKey? = ChunkKey(line: line, rank: 0, component: 0, offset: 0)
        while let from = start {
            start = nil
            var found = false
            try from.words.withBytes { bytes in
                try transaction.scan(shard.databases.chunks, from: bytes) { key, value in
                    let chunk = try ChunkKey(key)
                    guard chunk.line == line else { return false }
                    let isState = (try? ChunkRecord(value, key: key))?.tokens == 0
                    if isState, chunk.offset < range.lowerBound {
                        start = chunk.at(range.lowerBound)
                    } else if isState, range.contains(chunk.offset) {
                        found = true
                    } else {
                        start = chunk.afterTrack
                    }
                    return false
                }
            }
            if found { return true }
        }
        return false
    }
}

extension ChunkKey {
    /// The first key behind all of this one's track; nil for the last track.
    fileprivate var afterTrack: ChunkKey? {
        if component < .max { return ChunkKey(line: line, rank: rank, component: component + 1, offset: 0) }
        return rank < .max ? ChunkKey(line: line, rank: rank + 1, component: 0, offset: 0) : nil
    }
}
