import LarderCodec
import LarderModel
import LarderPolicy
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
    /// The raw bytes, read while ``Store/pageOut(_:encoding:acknowledgement:reader:completion:)`` runs; nil for a chunk that
    /// is known by its key.
    public var bytes: UnsafeRawBufferPointer?
    /// The worker's name for the chunk by content. Chunks of one namespace with one key are stored once.
    public var prefixKey: PrefixKey?

    /// An item from its fields.
    public init(
        session: UInt64, rank: UInt16, component: UInt16, offset: UInt64, tokens: UInt32,
        bytes: UnsafeRawBufferPointer?,
        prefixKey: PrefixKey? = nil
    ) {
        self.session = session
        self.rank = rank
        self.component = component
        self.offset = offset
        self.tokens = tokens
        self.bytes = bytes
        self.prefixKey = prefixKey
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
        let request = PageOutRequest(
            self, reader.lane, encoding, acknowledgement, Gathering(count: items.count, completion: completion))
        for index in Self.bySession(items) {
            let item = items[index]
            do throws(LarderError) {
                request.add(try reader.plan(item), index, shard: try shardIndex(of: item.session))
            } catch { request.refuse([index], error) }
        }
        reader.noteUse(
            items.lazy.map { ($0.session, $0.offset.addingReportingOverflow(UInt64($0.tokens)).partialValue) })
        request.finish()
    }

    /// The items' indices, those of a session one after another in their order: what alternates between sessions makes no
    /// more parts than what does not.
    private static func bySession(_ items: [PageOutItem]) -> [Int] {
        guard items.contains(where: { $0.session != items[0].session }) else { return Array(items.indices) }
        var places: [UInt64: [Int]] = [:]
        var sessions: [UInt64] = []
        for (index, item) in items.enumerated() {
            if places[item.session] == nil { sessions.append(item.session) }
            places[item.session, default: []].append(index)
        }
        return sessions.flatMap { places[$0]! }
    }
}

/// A page-out on its way to the writers, part by part.
private final class PageOutRequest {
    private let store: Store
    private let lane: Lane
    private let encoding: EncodingChoice
    private let acknowledgement: Acknowledgement
    private let gathering: Gathering
    private var part = PageOutPart(shard: 0, byteLimit: 0)
    /// Copied and not yet in a writer's queue: while there is room, copying comes first, for the peer waits for it.
    private var held: [(part: PageOutPart, mutation: PutMutation)] = []
    /// Why a shard takes no more: a writer that had no room once is not waited for again.
    private var refusals: [Int: LarderError] = [:]

    init(
        _ store: Store, _ lane: Lane, _ encoding: EncodingChoice, _ acknowledgement: Acknowledgement,
        _ gathering: Gathering
    ) {
        self.store = store
        self.lane = lane
        self.encoding = encoding
        self.acknowledgement = acknowledgement
        self.gathering = gathering
    }

    func refuse(_ indices: [Int], _ error: LarderError) {
        gathering.set(indices, indices.map { _ in .failure(error) })
    }

    func add(_ chunk: PlannedChunk, _ index: Int, shard: Int) {
        if shard != part.shard || !part.hasRoom(for: chunk) {
            endPart()
            part = PageOutPart(shard: shard, byteLimit: store.writers[shard].partBytes)
        }
        part.add(chunk, index)
    }

    func finish() {
        endPart()
        handOver()
    }

    /// Takes room for the part in its writer's queue and queues it: encoded, or, at `accepted`, copied, so that the answer
    /// waits for no encoding.
    private func endPart() {
        if part.chunks.isEmpty { return }
        let writer = store.writers[part.shard]
        do throws(LarderError) {
            if let refusal = refusals[part.shard] { throw refusal }
            // Room in the queue comes before memory: what waits to be written is bounded, whoever sends it.
            if try !writer.reserve(part.memoryBytes, lane, waits: false) {
                handOver()
                _ = try writer.reserve(part.memoryBytes, lane, waits: true)
            }
        } catch {
            refusals[part.shard] = error
            return refuse(part.indices, error)
        }
        let mutation = mutation(for: part)
        if acknowledgement == .accepted {
            mutation.copy(part.chunks, store.team)
            held.append((part, mutation))
        } else {
            mutation.encode(part.chunks, store.team)
            submit(part, mutation)
        }
    }

    private func handOver() {
        for (part, mutation) in held where submit(part, mutation) {
            // What they will take is not known yet.
            gathering.set(part.indices, part.chunks.map { .success($0.storedBytes) })
        }
        held = []
    }

    /// False if the writer did not take it.
    @discardableResult
    private func submit(_ part: PageOutPart, _ mutation: PutMutation) -> Bool {
        do throws(LarderError) {
            try store.writers[part.shard].submit(reserved: mutation)
            return true
        } catch {
            store.writers[part.shard].giveBack(part.memoryBytes, lane)
            refuse(part.indices, error)
            return false
        }
    }

    private func mutation(for part: PageOutPart) -> PutMutation {
        let isAccepted = acknowledgement == .accepted
        return PutMutation(
            part.chunks, encoding, byteCount: part.memoryBytes, lane: lane,
            isDurable: acknowledgement == .durable, savings: store.savings
        ) { [log = store.log, gathering, indices = part.indices] results in
            if !isAccepted { return gathering.set(indices, results) }
            for case .failure(let error) in results {
                log.warning("an accepted chunk was not stored", metadata: ["reason": "\(error)"])
            }
        }
    }
}

/// Collects the results of one request from several shards.
private final class Gathering: Sendable {
    private let state: Monitor<(results: [Store.PageOutResult?], missing: Int)>
    private let completion: @Sendable ([Store.PageOutResult]) -> Void

    init(count: Int, completion: @escaping @Sendable ([Store.PageOutResult]) -> Void) {
        state = Monitor((Array(repeating: nil, count: count), count))
        self.completion = completion
    }

    /// Each item's result is set once.
    func set(_ indices: [Int], _ results: [Store.PageOutResult]) {
        let complete = state.withLock { state -> [Store.PageOutResult]? in
            for (index, result) in zip(indices, results) { state.results[index] = result }
            state.missing -= indices.count
            return state.missing == 0 ? state.results.map { $0! } : nil
        }
        if let complete { completion(complete) }
    }
}

/// A checked item of a page-out.
struct PlannedChunk {
    let session: UInt64
    let rank: UInt16
    let componentIndex: UInt8
    let offset: UInt64
    let component: Component
    let modelID: UInt32
    let namespaceID: UInt32
    /// When the worker's turn began (``StoreReader/turn``).
    let turn: UInt64?
    /// True if its tokens are counted (``ModelDeclaration/countingComponent``).
    let countsTokens: Bool
    let shape: ChunkShape
    let source: ChunkSource
    /// Where to name it by its content, if the worker did.
    let prefix: PrefixPlace?

    /// Bytes of memory that the chunk takes until it is written.
    var memoryBytes: Int {
        switch source {
        case .stored, .shared: 256
        case .bytes, .copy: 256 + ChunkEncoder.bound(shape)
        }
    }

    /// The bytes that the worker sent.
    var raw: UnsafeRawBufferPointer? { if case .bytes(let raw) = source { raw } else { nil } }

    /// Bytes that it takes in the store, if that is known.
    var storedBytes: Int {
        switch source {
        case .stored(let record): Int(record.storedBytes)
        case .shared(let record): Int(record.storedBytes)
        case .copy(let chunk): chunk.byteCount
        case .bytes: 0
        }
    }
}

/// Where the bytes of a chunk come from.
enum ChunkSource {
    /// The worker sent them.
    case bytes(UnsafeRawBufferPointer)
    /// They are stored at this very place.
    case stored(ChunkRecord)
    /// They are stored under the chunk's prefix key.
    case shared(PrefixRecord)
    /// They are stored so in another shard, and this is a copy.
    case copy(EncodedChunk)
}

/// Neighbouring items of a page-out, of one session, that go to its writer together.
private struct PageOutPart {
    let shard: Int
    let byteLimit: Int
    private(set) var indices: [Int] = []
    private(set) var chunks: [PlannedChunk] = []
    private(set) var memoryBytes = 0

    init(shard: Int, byteLimit: Int) {
        self.shard = shard
        self.byteLimit = byteLimit
    }

    func hasRoom(for chunk: PlannedChunk) -> Bool {
        chunks.isEmpty
            || chunks[0].session == chunk.session && memoryBytes + chunk.memoryBytes <= byteLimit
    }

    mutating func add(_ chunk: PlannedChunk, _ index: Int) {
        chunks.append(chunk)
        indices.append(index)
        memoryBytes += chunk.memoryBytes
    }
}
