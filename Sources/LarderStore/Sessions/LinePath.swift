import LarderLMDB
import LarderModel

/// What a session sees: its head line, then the parent up to a limit, and so on to the root.
struct LinePath {
    struct Segment {
        let line: UInt64
        /// No chunk of the line's own starts below this.
        let lowest: UInt64
        /// How much of the line is seen: never more than of the one before it.
        let view: LineView
    }

    /// From the head to the root.
    private(set) var segments: [Segment] = []
    /// The smallest `lowest` of each segment and those before it.
    private var lowestSoFar: [UInt64] = []
    /// A line of the path whose record is missing or damaged: what lies beyond is not seen.
    private(set) var damagedLine: UInt64?

    init(head: UInt64, _ transaction: borrowing some Transaction & ~Copyable, _ shard: Shard) throws {
        var line = head
        var view = LineView()
        var depth = UInt32.max
        while line != 0 {
            guard let record = try? Self.record(line, transaction, shard), record.depth < depth else {
                damagedLine = line
                return
            }
            lowestSoFar.append(min(lowestSoFar.last ?? .max, record.lowest))
            segments.append(Segment(line: line, lowest: record.lowest, view: view))
            view = view.through(record.view)
            depth = record.depth
            line = record.parent
        }
    }

    private static func record(
        _ line: UInt64, _ transaction: borrowing some Transaction & ~Copyable, _ shard: Shard
    ) throws -> LineRecord? {
        try WordKey(line).withBytes { key in
            try transaction.get(shard.databases.lines, key).map { try LineRecord($0, key: key) }
        }
    }

    /// A component of a rank, and whether its chunks are states or tokens.
    struct Track {
        let rank: UInt16
        let component: UInt8
        let isState: Bool
    }

    /// The chunk that starts at `offset`, if the session sees one.
    func find(
        _ track: Track, _ offset: UInt64, _ transaction: borrowing some Transaction & ~Copyable, _ shard: Shard
    ) throws -> (key: ChunkKey, record: ChunkRecord)? {
        for (index, segment) in segments.enumerated() {
            if !reaches(index, offset, track) { return nil }
            if segment.lowest > offset { continue }
            let key = ChunkKey(line: segment.line, rank: track.rank, component: track.component, offset: offset)
            let found = try key.words.withBytes { bytes in
                try transaction.get(shard.databases.chunks, bytes).map { try ChunkRecord($0, key: bytes) }
            }
            if let found, found.isVisible(at: offset, in: segment.view) { return (key, found) }
        }
        return nil
    }

    /// True if a segment is seen beyond `offset`.
    private func reaches(_ index: Int, _ offset: UInt64, _ track: Track) -> Bool {
        track.isState ? segments[index].view.limit >= offset : segments[index].view.limit > offset
    }

    /// Where the last chunk of a line's own track ends that a view shows; 0 if there is none.
    static func lastEnd(
        _ line: UInt64, _ rank: UInt16, _ component: UInt8, _ view: LineView,
        _ transaction: borrowing some Transaction & ~Copyable, _ shard: Shard
    ) throws -> UInt64 {
        var bound = ChunkKey(
            line: line, rank: rank, component: component, offset: min(view.limit, ChunkKey.largestOffset))
        while true {
            let found = try bound.words.withBytes { bytes in
                try transaction.last(shard.databases.chunks, notAbove: bytes) { key, value in
                    (try ChunkKey(key), try? ChunkRecord(value, key: key))
                }
            }
            guard let (key, record) = found, key.isBeside(bound) else { return 0 }
            if let record, record.isVisible(at: key.offset, in: view) { return key.offset + UInt64(record.tokens) }
            if key.offset == 0 { return 0 }
            bound = key.at(key.offset - 1)
        }
    }

    // MARK: walking

    /// Calls `body` with each chunk of a track that the session sees, from `start` on, in order, until it returns false.
    /// No two overlap: what is seen of a line was there before anything younger was put. Keys with damaged records go to
    /// `damaged`.
    ///
    /// - Returns: false if `body` did.
    func walk(
        _ track: Track, from start: UInt64, _ transaction: borrowing some Transaction & ~Copyable, _ shard: Shard,
        damaged: (ChunkKey) -> Void, _ body: (ChunkKey, ChunkRecord) throws -> Bool
    ) throws -> Bool {
        var next = start
        var top = segments.count - 1
        while true {
            while top >= 0, !reaches(top, next, track) { top -= 1 }
            guard top >= 0, next <= ChunkKey.largestOffset else { return true }
            guard let best = try candidate(track, next, &top, transaction, shard, damaged: damaged) else { return true }
            if try !body(best.key, best.record) { return false }
            next = best.key.offset + max(1, UInt64(best.record.tokens))
            if best.index == top {
                let run = try walkRun(track, top, from: next, transaction, shard, damaged: damaged, body)
                if run.isOver { return false }
                next = run.next
            }
        }
    }

    /// The chunk that starts first at or after `next`. Lowers `top` where it has no more.
    private func candidate(
        _ track: Track, _ next: UInt64, _ top: inout Int, _ transaction: borrowing some Transaction & ~Copyable,
        _ shard: Shard, damaged: (ChunkKey) -> Void
    ) throws -> (index: Int, key: ChunkKey, record: ChunkRecord)? {
        var best: (index: Int, key: ChunkKey, record: ChunkRecord)?
        var index = top
        while index >= 0 {
            defer { index -= 1 }
            let bound = best?.key.offset ?? .max - 1
            if lowestSoFar[index] > bound { break }
            if segments[index].lowest > bound { continue }
            if let found = try first(track, index, next, transaction, shard, damaged: damaged) {
                if found.key.offset <= bound { best = (index, found.key, found.record) }
            } else if index == top {
                top -= 1
            }
        }
        return best
    }

    /// The first chunk of a segment's own at or after `offset` that is seen.
    private func first(
        _ track: Track, _ index: Int, _ offset: UInt64, _ transaction: borrowing some Transaction & ~Copyable,
        _ shard: Shard, damaged: (ChunkKey) -> Void
    ) throws -> (key: ChunkKey, record: ChunkRecord)? {
        let segment = segments[index]
        let start = ChunkKey(
            line: segment.line, rank: track.rank, component: track.component, offset: max(offset, segment.lowest))
        var found: (ChunkKey, ChunkRecord)?
        try start.words.withBytes { bytes in
            try transaction.scan(shard.databases.chunks, from: bytes) { key, value in
                let chunk = try ChunkKey(key)
                guard chunk.isBeside(start), reaches(index, chunk.offset, track) else { return false }
                guard let record = try? ChunkRecord(value, key: key) else {
                    damaged(chunk)
                    return true
                }
                // One that came after the fork is stepped over.
                guard record.isVisible(at: chunk.offset, in: segment.view) else { return true }
                found = (chunk, record)
                return false
            }
        }
        return found
    }

    /// Walks on in the topmost segment as long as no younger one can have a say.
    private func walkRun(
        _ track: Track, _ top: Int, from start: UInt64, _ transaction: borrowing some Transaction & ~Copyable,
        _ shard: Shard, damaged: (ChunkKey) -> Void, _ body: (ChunkKey, ChunkRecord) throws -> Bool
    ) throws -> (next: UInt64, isOver: Bool) {
        let segment = segments[top]
        let youngest = top == 0 ? .max : lowestSoFar[top - 1]
        guard start <= ChunkKey.largestOffset else { return (start, false) }
        let first = ChunkKey(line: segment.line, rank: track.rank, component: track.component, offset: start)
        var next = start
        var isOver = false
        try first.words.withBytes { bytes in
            try transaction.scan(shard.databases.chunks, from: bytes) { key, value in
                let chunk = try ChunkKey(key)
                guard chunk.isBeside(first), reaches(top, chunk.offset, track) else { return false }
                guard let record = try? ChunkRecord(value, key: key) else {
                    damaged(chunk)
                    next = chunk.offset + 1
                    return true
                }
                let end = chunk.offset + max(1, UInt64(record.tokens))
                guard end <= youngest else { return false }
                next = end
                guard record.isVisible(at: chunk.offset, in: segment.view) else { return true }
                isOver = try !body(chunk, record)
                return !isOver
            }
        }
        return (next, isOver)
    }
}
