import LarderCodec
import LarderLMDB
import LarderModel
import LarderPolicy
import LarderSystem

/// A chunk on its way to the store.
struct PreparedChunk: Sendable {
    let session: UInt64
    let rank: UInt16
    let componentIndex: UInt8
    let offset: UInt64
    let component: Component
    let modelID: UInt32
    let namespaceID: UInt32
    let turn: UInt64?
    /// True if its tokens are counted (``ModelDeclaration/countingComponent``).
    let countsTokens: Bool
    let shape: ChunkShape
    /// The bytes, encoded or to be; nil if the same raw bytes are stored already.
    let encoded: EncodedChunk?
    /// True if they are encoded: a copy from another shard.
    let isCopy: Bool
    /// The stored blob that was found to hold the same raw bytes.
    let identicalBlobID: UInt64?
    /// Where to name it by its content.
    let prefix: PrefixPlace?

    init(_ plan: PlannedChunk) {
        session = plan.session
        rank = plan.rank
        componentIndex = plan.componentIndex
        offset = plan.offset
        component = plan.component
        modelID = plan.modelID
        namespaceID = plan.namespaceID
        turn = plan.turn
        countsTokens = plan.countsTokens
        shape = plan.shape
        prefix = plan.prefix
        switch plan.source {
        case .bytes: (encoded, identicalBlobID, isCopy) = (EncodedChunk(plan.shape), nil, false)
        case .copy(let chunk): (encoded, identicalBlobID, isCopy) = (chunk, nil, true)
        case .stored(let record): (encoded, identicalBlobID, isCopy) = (nil, record.blobID, false)
        case .shared(let record): (encoded, identicalBlobID, isCopy) = (nil, record.blobID, false)
        }
    }

    /// First token past the chunk; the offset itself for a recurrent state.
    var end: UInt64 { offset + UInt64(shape.tokens) }

    /// Adds what the sweep wants to know of it.
    func describe(_ record: inout ChunkRecord) {
        record.window = component.kind == .sliding ? component.window : 0
        record.heatKey =
            prefix?.heatKey ?? HeatKey.of(session: session, rank: rank, component: componentIndex, offset: offset)
    }

    /// Where it stands in a line.
    func key(in line: UInt64) -> ChunkKey {
        ChunkKey(line: line, rank: rank, component: componentIndex, offset: offset)
    }
}

/// Stores chunks of one page-out request that follow one another in it, of one session.
final class PutMutation: Mutation, @unchecked Sendable {
    private let chunks: [PreparedChunk]
    private let encoding: EncodingChoice
    private let completion: @Sendable ([Result<Int, LarderError>]) -> Void
    private var isEncoded = false
    /// Stored bytes of each chunk, or why it was refused.
    private var results: [Result<Int, LarderError>] = []
    /// What was newly stored, told to ``savings`` after the commit.
    private var tallies: [SessionTally] = []
    /// What was newly written, by encoding.
    private var encoded = EncodingTally()
    private let savings: Savings
    let isDurable: Bool
    let byteCount: Int
    let lane: Lane
    var orderedSession: UInt64? { chunks.first?.session }
    var incomingBytes: [UInt32: Int] {
        chunks.reduce(into: [:]) { $0[$1.namespaceID, default: 0] += $1.encoded?.byteCount ?? 0 }
    }
    var growingSessions: Set<UInt64> { Set(chunks.map(\.session)) }
    var storedByteCount: Int { chunks.reduce(0) { $0 + ($1.encoded?.byteCount ?? 256) } }

    /// Takes memory for the chunks. ``encode(_:_:)`` or ``copy(_:_:)`` follows.
    init(
        _ plans: [PlannedChunk], _ encoding: EncodingChoice, byteCount: Int, lane: Lane, isDurable: Bool,
        savings: Savings,
        completion: @escaping @Sendable ([Result<Int, LarderError>]) -> Void
    ) {
        chunks = plans.map { PreparedChunk($0) }
        self.encoding = encoding
        self.completion = completion
        self.isDurable = isDurable
        self.savings = savings
        self.byteCount = byteCount
        self.lane = lane
    }

    /// Encodes the chunks' raw bytes.
    func encode(_ plans: [PlannedChunk], _ team: CodecTeam) {
        forEachBlock(team) { [encoding] chunk, encoded, block, scratch in
            encoded.encode(block: block, of: plans[chunk].raw!, choice: encoding, scratch: scratch)
        }
        finish()
    }

    /// Copies the chunks' raw bytes; the writer will have them encoded.
    func copy(_ plans: [PlannedChunk], _ team: CodecTeam) {
        forEachBlock(team) { chunk, encoded, block, _ in encoded.keep(block: block, of: plans[chunk].raw!) }
    }

    func prepare(_ team: CodecTeam) {
        if isEncoded { return }
        forEachBlock(team) { [encoding] _, encoded, block, scratch in
            encoded.encode(block: block, of: nil, choice: encoding, scratch: scratch)
        }
        finish()
    }

    private func finish() {
        for chunk in chunks where !chunk.isCopy { chunk.encoded?.finish() }
        isEncoded = true
    }

    /// Calls `work` with each block of each chunk that has bytes, with the team's help.
    private func forEachBlock(
        _ team: CodecTeam, _ work: (_ chunk: Int, EncodedChunk, _ block: Int, CodecScratch) -> Void
    ) {
        var blocks: [(chunk: Int, block: Int)] = []
        var bytes = 0
        for (index, chunk) in chunks.enumerated() where chunk.encoded != nil && !chunk.isCopy {
            for block in 0..<chunk.shape.blockCount { blocks.append((index, block)) }
            bytes += chunk.shape.rawBytes
        }
        team.run(count: blocks.count, bytes: bytes) { index, scratch in
            let (chunk, block) = blocks[index]
            work(chunk, chunks[chunk].encoded!, block, scratch)
        }
    }

    func complete(_ failure: LarderError?) {
        if failure == nil {
            savings.note(tallies)
            savings.encodings.add(encoded)
        }
        completion(failure.map { failure in chunks.map { _ in .failure(failure) } } ?? results)
    }

    /// The sessions of a batch and their heads, as they stand.
    private struct Written {
        var sessions: [UInt64: SessionRecord] = [:]
        var lines: [UInt64: LineRecord] = [:]
        /// Heads that got a chunk.
        var changed: Set<UInt64> = []
    }

    func apply(_ context: inout WriteContext) throws {
        results = []
        tallies = []
        encoded = EncodingTally()
        var written = Written()
        for chunk in chunks {
            do { results.append(.success(try store(chunk, &written, &context))) } catch let error as LarderError {
                results.append(.failure(error))
            }
        }
        for id in written.changed { try context.put(written.lines[id]!, line: id) }
    }

    /// Stores one chunk and returns its stored bytes. Throws ``LarderError`` before it writes anything.
    private func store(_ chunk: PreparedChunk, _ written: inout Written, _ context: inout WriteContext) throws -> Int {
        let id = chunk.session
        guard let session = try written.sessions[id] ?? context.session(id) else {
            throw LarderError(.unknownSession, "session \(id) was dropped; open it again")
        }
        written.sessions[id] = session
        guard session.modelID(rank: chunk.rank) == chunk.modelID else {
            throw LarderError(.modelMismatch, "session \(id) was opened anew with another model; open it again")
        }
        guard var head = try written.lines[session.head] ?? context.line(session.head) else {
            throw context.damaged(line: session.head)
        }
        if let (key, record) = try neighbour(of: chunk, session.head, head, context) {
            guard key.offset == chunk.offset, record.tokens == chunk.shape.tokens else {
                throw LarderError(
                    .overlap,
                    "tokens \(chunk.offset)..<\(chunk.end) of component '\(chunk.component.name)' overlap the "
                        + "stored \(key.offset)..<\(key.offset + UInt64(record.tokens)); truncate the session at "
                        + "\(min(key.offset, chunk.offset)) first"
                )
            }
            try requireSameBytes(chunk, record, context)
            return Int(record.storedBytes)
        }
        let known = try shared(chunk, to: session.head, &context)
        let record = try known ?? write(chunk, to: session.head, namespaceID: session.namespaceID, &context)
        if known == nil { encoded.add(record) }
        if known != nil {
            context.shard.heat.refresh(record.heatKey, turn: chunk.turn)
        } else {
            context.shard.heat.use(CollectionOfOne(record.heatKey), hasTurn: chunk.turn != nil)
        }
        // Readers look for a line's chunks only from its lowest on. (Others that see the line do not see this chunk.)
        if head.add(record, at: chunk.offset) { context.changedSessions.append(id) }
        written.lines[session.head] = head
        written.changed.insert(session.head)
        tallies.add(
            SavingsTally(stored: record, countsTokens: chunk.countsTokens), session: id,
            SavingsAccount(modelID: chunk.modelID, namespaceID: session.namespaceID))
        return Int(record.storedBytes)
    }

    /// Refers to the chunk that is stored under the prefix key; nil if there is none.
    private func shared(
        _ chunk: PreparedChunk, to line: UInt64, _ context: inout WriteContext
    ) throws -> ChunkRecord? {
        guard let place = chunk.prefix,
            var prefix = try PrefixRecord.find(place, context.transaction, context.shard)
        else { return nil }
        guard prefix.tokens == chunk.shape.tokens, prefix.references < .max else { throw chunk.collision }
        if prefix.blobID != chunk.identicalBlobID { try requireEqual(chunk, blob: prefix.blobID, context) }
        guard context.takeRoom(bytes: 64) else { throw LarderError.capReached }
        prefix.references += 1
        try context.put(prefix, place)
        var record = ChunkRecord(
            blobID: prefix.blobID, tokens: prefix.tokens, rawBytes: prefix.rawBytes, storedBytes: prefix.storedBytes,
            encoding: prefix.encoding, createdSeconds: Clock.wallSeconds())
        record.sequence = context.takeBlobID()
        record.isShared = true
        chunk.describe(&record)
        try context.own(record.blobID, by: chunk.key(in: line))
        try context.put(record, chunk.key(in: line))
        return record
    }

    private func write(
        _ chunk: PreparedChunk, to line: UInt64, namespaceID: UInt32, _ context: inout WriteContext
    ) throws -> ChunkRecord {
        guard let encoded = chunk.encoded else {
            throw LarderError(
                .busy,
                "what is stored of the chunk at \(chunk.offset) went while it was put; put it again, with its bytes")
        }
        let quota = context.shard.quotas.excess(
            namespaceID, with: encoded.byteCount + (context.usage.changes[namespaceID]?.bytes ?? 0),
            changes: context.usage.changes)
        guard quota.bytes == 0 else { throw quota.refusal }
        guard context.takeRoom(bytes: encoded.byteCount) else { throw LarderError.capReached }
        let blobID = context.takeBlobID()
        var record = ChunkRecord(
            blobID: blobID, tokens: chunk.shape.tokens, rawBytes: UInt32(chunk.shape.rawBytes),
            storedBytes: UInt32(encoded.byteCount), encoding: encoded.encoding, createdSeconds: Clock.wallSeconds())
        chunk.describe(&record)
        let room = try context.append(blob: blobID, byteCount: encoded.byteCount, namespaceID: namespaceID)
        encoded.write(to: room.baseAddress!, blobID: blobID)
        if let place = chunk.prefix {
            record.isShared = true
            try context.share(record, as: place)
        }
        try context.own(blobID, by: chunk.key(in: line))
        try context.put(record, chunk.key(in: line))
        return record
    }

    /// The stored chunk that the session sees over any of this one's tokens, if there is one.
    private func neighbour(
        of chunk: PreparedChunk, _ line: UInt64, _ head: LineRecord, _ context: borrowing WriteContext
    ) throws -> (ChunkKey, ChunkRecord)? {
        var line = line
        var segment = head
        var view = LineView()
        while true {
            if let found = try neighbour(of: chunk, in: line, view, context) { return found }
            view = view.through(segment.view)
            // Above, nothing is seen from the view's limit on.
            let isSeen = chunk.shape.tokens == 0 ? view.limit >= chunk.offset : view.limit > chunk.offset
            guard segment.parent != 0, isSeen else { return nil }
            line = segment.parent
            guard let next = try context.line(line) else { throw context.damaged(line: line) }
            segment = next
        }
    }

    private func neighbour(
        of chunk: PreparedChunk, in line: UInt64, _ view: LineView, _ context: borrowing WriteContext
    ) throws -> (ChunkKey, ChunkRecord)? {
        let place = chunk.key(in: line)
        var bound = place.at(chunk.shape.tokens == 0 ? chunk.offset : chunk.end - 1)
        while true {
            let found = try bound.words.withBytes { bound in
                try context.transaction.last(context.shard.databases.chunks, notAbove: bound) { key, value in
                    (try ChunkKey(key), try? ChunkRecord(value, key: key))
                }
            }
            guard let (key, record) = found, key.isBeside(place) else { return nil }
            guard let record else {
                // What it covers is not known; beyond the view it hides nothing.
                guard key.offset >= view.limit, key.offset > 0 else {
                    throw LarderError(
                        .damaged,
                        "the record of the chunk at \(key.offset) of component '\(chunk.component.name)' is damaged; "
                            + "truncate the session at \(key.offset) first")
                }
                bound = key.at(key.offset - 1)
                continue
            }
            let overlaps =
                chunk.shape.tokens == 0 ? key == place : key.offset + UInt64(record.tokens) > chunk.offset
            guard overlaps else { return nil }
            if record.isVisible(at: key.offset, in: view) { return (key, record) }
            // One that is not seen hides nothing; the one before it may be seen.
            guard key.offset > 0 else { return nil }
            bound = key.at(key.offset - 1)
        }
    }

    private func requireSameBytes(
        _ chunk: PreparedChunk, _ record: ChunkRecord, _ context: borrowing WriteContext
    ) throws {
        if chunk.identicalBlobID != record.blobID { try requireEqual(chunk, blob: record.blobID, context) }
    }

    /// Throws `conflict` unless a stored blob holds the chunk's raw bytes.
    private func requireEqual(_ chunk: PreparedChunk, blob: UInt64, _ context: borrowing WriteContext) throws {
        func bytes(_ blob: UInt64) throws -> UnsafeRawBufferPointer {
            guard let found = try BlobLog.find(blob, context.transaction, context.shard) else {
                throw chunk.damaged("its bytes are gone")
            }
            return found
        }
        let stored = try bytes(blob)
        var candidate = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        defer { candidate.deallocate() }
        var other: ChunkComparison.Stored
        if let encoded = chunk.encoded {
            candidate = .allocate(byteCount: encoded.byteCount, alignment: 16)
            encoded.write(to: candidate.baseAddress!, blobID: 0)
            other = (UnsafeRawBufferPointer(candidate), 0)
        } else {
            guard let known = chunk.identicalBlobID else { throw chunk.conflict }
            other = (try bytes(known), known)
        }
        do throws(ChunkDamage) {
            if try ChunkComparison.areEqual((stored, blob), other, scratch: context.scratch) { return }
        } catch { throw chunk.damaged("\(error)") }
        throw chunk.conflict
    }
}

extension PreparedChunk {
    private var label: String { "the chunk at \(offset) of component '\(component.name)'" }

    var conflict: LarderError {
        LarderError(
            .conflict, "\(label) is stored with other bytes; truncate the session at \(offset) to replace it")
    }

    var collision: LarderError {
        LarderError(
            .conflict, "\(label) has the prefix key of a stored chunk with other bytes; put it without a key")
    }

    func damaged(_ reason: String) -> LarderError {
        LarderError(.damaged, "\(label) is damaged (\(reason)); truncate the session at \(offset) to replace it")
    }
}
