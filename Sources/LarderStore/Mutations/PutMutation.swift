import LarderCodec
import LarderLMDB
import LarderModel
import LarderSystem

/// A chunk on its way to the store.
struct PreparedChunk: Sendable {
    let key: ChunkKey
    let component: Component
    let modelID: UInt32
    let shape: ChunkShape
    /// The bytes, encoded or to be; nil if the same raw bytes are stored already.
    let encoded: EncodedChunk?
    /// The stored blob that was found to hold the same raw bytes.
    let identicalBlobID: UInt64?

    init(_ plan: PlannedChunk) {
        key = plan.key
        component = plan.component
        modelID = plan.modelID
        shape = plan.shape
        encoded = plan.stored == nil ? EncodedChunk(plan.shape) : nil
        identicalBlobID = plan.stored?.blobID
    }

    /// First token past the chunk; the offset itself for a recurrent state.
    var end: UInt64 { key.offset + UInt64(shape.tokens) }
}

/// Stores the chunks of one page-out request that fall to one shard.
final class PutMutation: Mutation, @unchecked Sendable {
    private let chunks: [PreparedChunk]
    private let encoding: EncodingChoice
    private let completion: @Sendable ([Result<Int, LarderError>]) -> Void
    private var isEncoded = false
    /// Stored bytes of each chunk, or why it was refused.
    private var results: [Result<Int, LarderError>] = []
    let isDurable: Bool
    let byteCount: Int

    /// Takes memory for the chunks. ``encode(_:_:)`` or ``copy(_:_:)`` follows.
    init(
        _ plans: [PlannedChunk], _ encoding: EncodingChoice, byteCount: Int, isDurable: Bool,
        completion: @escaping @Sendable ([Result<Int, LarderError>]) -> Void
    ) {
        chunks = plans.map { PreparedChunk($0) }
        self.encoding = encoding
        self.completion = completion
        self.isDurable = isDurable
        self.byteCount = byteCount
    }

    /// Encodes the chunks' raw bytes.
    func encode(_ plans: [PlannedChunk], _ team: CodecTeam) {
        forEachBlock(team) { [encoding] chunk, encoded, block, scratch in
            encoded.encode(block: block, of: plans[chunk].raw, choice: encoding, scratch: scratch)
        }
        finish()
    }

    /// Copies the chunks' raw bytes; the writer will have them encoded.
    func copy(_ plans: [PlannedChunk], _ team: CodecTeam) {
        forEachBlock(team) { chunk, encoded, block, _ in encoded.keep(block: block, of: plans[chunk].raw) }
    }

    func prepare(_ team: CodecTeam) {
        if isEncoded { return }
        forEachBlock(team) { [encoding] _, encoded, block, scratch in
            encoded.encode(block: block, of: nil, choice: encoding, scratch: scratch)
        }
        finish()
    }

    private func finish() {
        for chunk in chunks { chunk.encoded?.finish() }
        isEncoded = true
    }

    /// Calls `work` with each block of each chunk that has bytes, with the team's help.
    private func forEachBlock(
        _ team: CodecTeam, _ work: (_ chunk: Int, EncodedChunk, _ block: Int, CodecScratch) -> Void
    ) {
        var blocks: [(chunk: Int, block: Int)] = []
        var bytes = 0
        for (index, chunk) in chunks.enumerated() where chunk.encoded != nil {
            for block in 0..<chunk.shape.blockCount { blocks.append((index, block)) }
            bytes += chunk.shape.rawBytes
        }
        team.run(count: blocks.count, bytes: bytes) { index, scratch in
            let (chunk, block) = blocks[index]
            work(chunk, chunks[chunk].encoded!, block, scratch)
        }
    }

    func complete(_ failure: LarderError?) {
        completion(failure.map { failure in chunks.map { _ in .failure(failure) } } ?? results)
    }

    func apply(_ context: inout WriteContext) throws {
        results = []
        var sessions: [UInt64: SessionRecord] = [:]
        for chunk in chunks {
            do {
                let id = chunk.key.session
                guard var session = try sessions[id] ?? context.session(id) else {
                    throw LarderError(.unknownSession, "session \(id) was dropped; open it again")
                }
                guard session.modelID(rank: chunk.key.rank) == chunk.modelID else {
                    throw LarderError(.modelMismatch, "session \(id) was opened anew with another model; open it again")
                }
                results.append(.success(try store(chunk, &session, &context)))
                sessions[id] = session
            } catch let error as LarderError {
                results.append(.failure(error))
            }
        }
        for (id, session) in sessions { try context.put(session, session: id) }
    }

    /// Stores one chunk and returns its stored bytes. Throws ``LarderError`` before it writes anything.
    private func store(
        _ chunk: PreparedChunk, _ session: inout SessionRecord, _ context: inout WriteContext
    ) throws -> Int {
        if let (key, record) = try neighbour(of: chunk, context) {
            guard key == chunk.key, record.tokens == chunk.shape.tokens else {
                throw LarderError(
                    .overlap,
                    "tokens \(chunk.key.offset)..<\(chunk.end) of component '\(chunk.component.name)' overlap the "
                        + "stored \(key.offset)..<\(key.offset + UInt64(record.tokens)); truncate the session at "
                        + "\(min(key.offset, chunk.key.offset)) first"
                )
            }
            try requireSameBytes(chunk, record, context)
            return Int(record.storedBytes)
        }
        guard let encoded = chunk.encoded else {
            throw LarderError(.busy, "the chunk at \(chunk.key.offset) was truncated while it was put; put it again")
        }
        guard context.takeRoom(bytes: encoded.byteCount) else {
            throw LarderError(
                .full, "the store has reached its cap; drop sessions that are not wanted, or raise the cap")
        }
        let blobID = context.takeBlobID()
        let record = ChunkRecord(
            blobID: blobID, tokens: chunk.shape.tokens, rawBytes: UInt32(chunk.shape.rawBytes),
            storedBytes: UInt32(encoded.byteCount), encoding: encoded.encoding, createdSeconds: Clock.wallSeconds())
        let blobs = context.shard.databases.blobs
        let room = try withUnsafeBytes(of: blobID) {
            try context.transaction.reserve(blobs, appending: $0, byteCount: encoded.byteCount)
        }
        encoded.write(to: room.baseAddress!, blobID: blobID)
        try context.put(record, chunk.key)
        session.count(record, sign: 1)
        session.changedSeconds = record.createdSeconds
        return encoded.byteCount
    }

    /// The stored chunk that covers any of this one's tokens, if there is one.
    private func neighbour(of chunk: PreparedChunk, _ context: borrowing WriteContext) throws -> (
        ChunkKey, ChunkRecord
    )? {
        let bound = chunk.key.at(chunk.shape.tokens == 0 ? chunk.key.offset : chunk.end - 1)
        let found = try bound.words.withBytes { bound in
            try context.transaction.last(context.shard.databases.chunks, notAbove: bound) { key, value in
                (try ChunkKey(key), try ChunkRecord(value, key: key))
            }
        }
        guard let (key, record) = found, key.isBeside(chunk.key) else { return nil }
        let overlaps =
            chunk.shape.tokens == 0 ? key == chunk.key : key.offset + UInt64(record.tokens) > chunk.key.offset
        return overlaps ? (key, record) : nil
    }

    private func requireSameBytes(
        _ chunk: PreparedChunk, _ record: ChunkRecord, _ context: borrowing WriteContext
    ) throws {
        if chunk.identicalBlobID == record.blobID { return }
        guard let encoded = chunk.encoded else {
            throw LarderError(.busy, "the chunk at \(chunk.key.offset) was replaced while it was put; put it again")
        }
        // Another put of the same chunk was committed after this one was prepared.
        let blobs = context.shard.databases.blobs
        guard let stored = try withUnsafeBytes(of: record.blobID, { try context.transaction.get(blobs, $0) }) else {
            throw chunk.damaged("its bytes are gone")
        }
        let candidate = UnsafeMutableRawBufferPointer.allocate(byteCount: encoded.byteCount, alignment: 16)
        defer { candidate.deallocate() }
        encoded.write(to: candidate.baseAddress!, blobID: 0)
        do throws(ChunkDamage) {
            let other = (UnsafeRawBufferPointer(candidate), UInt64(0))
            if try ChunkComparison.areEqual((stored, record.blobID), other, scratch: context.scratch) { return }
        } catch { throw chunk.damaged("\(error)") }
        throw chunk.conflict
    }
}

extension PreparedChunk {
    private var label: String { "the chunk at \(key.offset) of component '\(component.name)'" }

    var conflict: LarderError {
        LarderError(
            .conflict, "\(label) is stored with other bytes; truncate the session at \(key.offset) to replace it")
    }

    func damaged(_ reason: String) -> LarderError {
        LarderError(.damaged, "\(label) is damaged (\(reason)); truncate the session at \(key.offset) to replace it")
    }
}
