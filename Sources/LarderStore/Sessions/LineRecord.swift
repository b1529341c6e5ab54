import LarderModel

/// How much of a line is seen from below: chunks that end at `limit` at most (states: lie there at most), and that were put
/// before `asOf`.
struct LineView: Equatable {
    /// In tokens.
    var limit = UInt64.max
    /// A blob id (``ChunkRecord/sequence``).
    var asOf = UInt64.max

    /// What is seen through both.
    func through(_ other: LineView) -> LineView {
        LineView(limit: min(limit, other.limit), asOf: min(asOf, other.asOf))
    }
}

/// What the store says of a line: a stretch of state that one session wrote between two forks or truncates.
///
/// A session writes to one line, its head. What it sees is the head, then the head's parent up to an offset and as of the
/// moment of the fork (``view``), then that one's parent, and so on. A fork gives the new session a line whose parent is
/// the old session's head; a truncate gives the session a new head, likewise. So both take the same time whatever the
/// length, and what is seen of a parent never changes. Chunks are kept by line (``ChunkKey``).
struct LineRecord {
    /// The line that this one goes on from; 0 for none.
    var parent: UInt64
    /// How much of the parent is seen.
    var view: LineView
    /// Lines above it.
    var depth: UInt32
    /// The session that writes to it; 0 for none.
    var head: UInt64
    /// The namespace that its session is or was in.
    var namespaceID: UInt32
    /// Lines whose parent it is.
    var children: UInt32 = 0
    /// The largest limit that any child ever had.
    var largestLimit: UInt64 = 0
    /// True if it got a chunk below that when it had a child already: one that only its own head sees.
    var hasLateChunks = false
    /// No chunk of tokens of its own starts below this, and no recurrent state lies below that; `.max` for none.
    var lowestTokens = UInt64.max
    /// See ``lowestTokens``.
    var lowestState = UInt64.max
    /// Where the lowest chunk of attention lay that was evicted from the line and not put again; `.max` for none. What
    /// reaches beyond cannot be restored.
    var holeAt = UInt64.max
    /// Chunks of its own, their raw and their stored bytes.
    var chunks: UInt64 = 0
    var rawBytes: UInt64 = 0
    var storedBytes: UInt64 = 0
    /// Seconds since 1970.
    var changedSeconds: UInt64

    init(
        parent: (line: UInt64, depth: UInt32, view: LineView)?, head: UInt64, namespaceID: UInt32,
        changedSeconds: UInt64
    ) {
        self.namespaceID = namespaceID
        self.parent = parent?.line ?? 0
        view = parent?.view ?? LineView(limit: 0, asOf: 0)
        depth = parent.map { $0.depth + 1 } ?? 0
        self.head = head
        self.changedSeconds = changedSeconds
    }

    /// No chunk of its own starts below this.
    var lowest: UInt64 { chunks == 0 ? .max : min(lowestTokens, lowestState) }

    /// True if a view up to `limit` shows nothing of the line's own.
    func isEmpty(upTo limit: UInt64) -> Bool { chunks == 0 || (lowestTokens >= limit && lowestState > limit) }

    /// Counts a chunk in. Returns true if it lies below all that were there.
    mutating func add(_ record: ChunkRecord, at offset: UInt64) -> Bool {
        let before = lowest
        if children > 0 && offset + UInt64(record.tokens) <= largestLimit { hasLateChunks = true }
        count(record, sign: 1)
        if record.tokens == 0 {
            lowestState = min(lowestState, offset)
        } else {
            lowestTokens = min(lowestTokens, offset)
        }
        changedSeconds = record.createdSeconds
        // Whether another hole is behind is not known: then it is as if there were none.
        if record.isLink && offset == holeAt { holeAt = .max }
        return lowest < before
    }

    /// Counts a chunk out.
    mutating func remove(_ record: ChunkRecord) { count(record, sign: -1) }

    /// Counts out a chunk that was evicted.
    mutating func evict(_ record: ChunkRecord, at offset: UInt64) {
        remove(record)
        if record.isLink { holeAt = min(holeAt, offset) }
    }

    private mutating func count(_ record: ChunkRecord, sign: Int) {
        chunks = chunks &+ UInt64(bitPattern: Int64(sign))
        rawBytes = rawBytes &+ UInt64(bitPattern: Int64(sign * Int(record.rawBytes)))
        storedBytes = storedBytes &+ UInt64(bitPattern: Int64(sign * Int(record.storedBytes)))
    }

    func sealed(key: UnsafeRawBufferPointer) -> [UInt8] {
        var writer = ByteWriter(capacity: 128)
        writer.write(parent)
        writer.write(view.limit)
        writer.write(view.asOf)
        writer.write(depth)
        writer.write(head)
        writer.write(namespaceID)
        writer.write(children)
        writer.write(largestLimit)
        writer.write(UInt8(hasLateChunks ? 1 : 0))
        for value in [lowestTokens, lowestState, holeAt, chunks, rawBytes, storedBytes, changedSeconds] {
            writer.write(value)
        }
        return Record.seal(writer, key: key)
    }

    init(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(LarderError) {
        var reader = try Record.open(value, key: key, "line")
        parent = try reader.read(UInt64.self, "parent")
        view = LineView(
            limit: try reader.read(UInt64.self, "limit"), asOf: try reader.read(UInt64.self, "as of"))
        depth = try reader.read(UInt32.self, "depth")
        head = try reader.read(UInt64.self, "head")
        namespaceID = try reader.read(UInt32.self, "namespace id")
        children = try reader.read(UInt32.self, "children")
        largestLimit = try reader.read(UInt64.self, "largest limit")
        hasLateChunks = try reader.read(UInt8.self, "late chunks") != 0
        lowestTokens = try reader.read(UInt64.self, "lowest tokens")
        lowestState = try reader.read(UInt64.self, "lowest state")
        holeAt = try reader.read(UInt64.self, "hole")
        chunks = try reader.read(UInt64.self, "chunks")
        rawBytes = try reader.read(UInt64.self, "raw bytes")
        storedBytes = try reader.read(UInt64.self, "stored bytes")
        changedSeconds = try reader.read(UInt64.self, "changed")
        try reader.finish("a line record")
    }
}

/// That a line is another's child, and how much it sees of it: the index by parent.
enum LineChild {
    static func key(parent: UInt64, child: UInt64) -> WordKey { WordKey(parent, child) }

    static func sealed(_ view: LineView, key: UnsafeRawBufferPointer) -> [UInt8] {
        var writer = ByteWriter(capacity: 20)
        writer.write(view.limit)
        writer.write(view.asOf)
        return Record.seal(writer, key: key)
    }

    static func view(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(LarderError) -> LineView {
        var reader = try Record.open(value, key: key, "child line")
        return LineView(
            limit: try reader.read(UInt64.self, "limit"), asOf: try reader.read(UInt64.self, "as of"))
    }
}
