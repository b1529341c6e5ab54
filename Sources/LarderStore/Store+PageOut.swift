import LarderCodec
import LarderModel
import LarderSystem

/// A chunk as a worker names it, with its raw bytes.
public struct PageOutItem {
    /// Session id.
    public var session: UInt64
    /// Rank in the parallel group.
    public var rank: UInt16
    /// Component index.
    public var component: UInt16
    /// Offset in tokens.
    public var offset: UInt64
    /// Tokens; 0 for a recurrent state.
    public var tokens: UInt32
    /// The raw bytes, read while ``Store/pageOut(_:encoding:acknowledgement:reader:completion:)`` runs.
    public var bytes: UnsafeRawBufferPointer

    /// An item from its fields.
    public init(
        session: UInt64, rank: UInt16, component: UInt16, offset: UInt64, tokens: UInt32, bytes: UnsafeRawBufferPointer
    ) {
        self.session = session
        self.rank = rank
        self.component = component
        self.offset = offset
        self.tokens = tokens
        self.bytes = bytes
    }
}

extension Store {
    /// Stored bytes of a chunk, 0 if they are not known yet; or why it was refused.
    public typealias PageOutResult = Result<Int, LarderError>

    /// Checks, encodes and queues chunks, a few MiB at a time, so that memory stays bounded and the writer begins early.
    ///
    /// - Parameters:
    ///   - reader: the calling thread's.
    ///   - completion: called once, with a result an item: for `accepted` on this thread, before the chunks are encoded
    ///     and with 0 for their size; otherwise from a writer's thread after the commit, or on this thread if nothing was
    ///     queued.
    public func pageOut(
        _ items: [PageOutItem], encoding: EncodingChoice, acknowledgement: Acknowledgement, reader: StoreReader,
        completion: @escaping @Sendable ([PageOutResult]) -> Void
    ) {
        if items.isEmpty { return completion([]) }
        let gathering = Gathering(count: items.count, completion: completion)
        var part = PageOutPart(shard: 0)
        /// Why a shard takes no more: a writer that had no room once is not waited for again in the same request.
        var refusals: [Int: LarderError] = [:]
        func submitPart() {
            if part.chunks.isEmpty { return }
            do throws(LarderError) {
                if let refusal = refusals[part.shard] { throw refusal }
                try submit(part, encoding, acknowledgement, gathering)
            } catch {
                refusals[part.shard] = error
                gathering.set(part.indices, part.chunks.map { _ in .failure(error) })
            }
        }
        for (index, item) in items.enumerated() {
            do throws(LarderError) {
                let chunk = try reader.plan(item)
                let shard = try shardIndex(of: item.session)
                if shard != part.shard || !part.hasRoom(for: chunk) {
                    submitPart()
                    part = PageOutPart(shard: shard)
                }
                part.add(chunk, index)
            } catch { gathering.set([index], [.failure(error)]) }
        }
        submitPart()
    }

    /// Queues a part of a page-out, encoded; or, at `accepted`, copied, so that the answer waits for no encoding. Throws if
    /// the writer does not take it.
    private func submit(
        _ part: PageOutPart, _ encoding: EncodingChoice, _ acknowledgement: Acknowledgement, _ gathering: Gathering
    ) throws(LarderError) {
        let writer = writers[part.shard]
        // Room in the queue comes before memory to encode into: what waits to be written is bounded, whoever sends it.
        try writer.reserve(part.memoryBytes)
        let isAccepted = acknowledgement == .accepted
        let mutation = PutMutation(
            part.chunks, encoding, byteCount: part.memoryBytes, isDurable: acknowledgement == .durable
        ) { [log, indices = part.indices] results in
            if !isAccepted { return gathering.set(indices, results) }
            for case .failure(let error) in results {
                log.warning("an accepted chunk was not stored", metadata: ["reason": "\(error)"])
            }
        }
        if isAccepted { mutation.copy(part.chunks, team) } else { mutation.encode(part.chunks, team) }
        do { try writer.submit(reserved: mutation) } catch {
            writer.giveBack(part.memoryBytes)
            throw error
        }
        // What they will take is not known yet.
        if isAccepted {
            gathering.set(part.indices, part.chunks.map { .success($0.stored.map { Int($0.storedBytes) } ?? 0) })
        }
    }

    /// Collects the results of one request from several shards.
    private final class Gathering: Sendable {
        private let state: Monitor<(results: [PageOutResult?], missing: Int)>
        private let completion: @Sendable ([PageOutResult]) -> Void

        init(count: Int, completion: @escaping @Sendable ([PageOutResult]) -> Void) {
            state = Monitor((Array(repeating: nil, count: count), count))
            self.completion = completion
        }

        /// Each item's result is set once.
        func set(_ indices: [Int], _ results: [PageOutResult]) {
            let complete = state.withLock { state -> [PageOutResult]? in
                for (index, result) in zip(indices, results) { state.results[index] = result }
                state.missing -= indices.count
                return state.missing == 0 ? state.results.map { $0! } : nil
            }
            if let complete { completion(complete) }
        }
    }
}

/// A checked item of a page-out.
struct PlannedChunk {
    let key: ChunkKey
    let component: Component
    let modelID: UInt32
    let shape: ChunkShape
    let raw: UnsafeRawBufferPointer
    /// The record of these very bytes at this very place, if they are stored already.
    let stored: ChunkRecord?

    /// Bytes of memory that the chunk takes until it is written.
    var memoryBytes: Int { 256 + (stored == nil ? ChunkEncoder.bound(shape) : 0) }
}

/// Neighbouring items of a page-out that go to one writer together.
private struct PageOutPart {
    let shard: Int
    private(set) var indices: [Int] = []
    private(set) var chunks: [PlannedChunk] = []
    private(set) var memoryBytes = 0

    init(shard: Int) { self.shard = shard }

    func hasRoom(for chunk: PlannedChunk) -> Bool {
        chunks.isEmpty || memoryBytes + chunk.memoryBytes <= Limits.pageOutBytes
    }

    mutating func add(_ chunk: PlannedChunk, _ index: Int) {
        chunks.append(chunk)
        indices.append(index)
        memoryBytes += chunk.memoryBytes
    }
}
