import ArgumentParser
import LarderClient
import LarderModel
import LarderPolicy
import LarderSystem
import LarderWire

/// A worker that serves the requests of a trace one after another, each in a session of its own: it asks for the prefix
/// that is stored, pages it in, and pages out what it would have computed.
final class ReplayClient {
    /// What came of the requests so far.
    struct Totals {
        var requests = 0
        var promptBlocks = 0
        var promptTokens: UInt64 = 0
        /// Blocks that were matched, put by key and paged in, each with all before it.
        var hitBlocks = 0
        var hitTokens: UInt64 = 0
        /// Blocks that were put with their bytes.
        var putBlocks = 0
        /// Blocks that matched and were gone a moment later.
        var lostBlocks = 0
        /// Blocks that the store refused because it was full or busy.
        var refused = 0

        var hitRatio: Double { Double(hitBlocks) / Double(max(1, promptBlocks)) }
        var tokenHitRatio: Double { Double(hitTokens) / Double(max(1, promptTokens)) }
    }

    /// Bytes of a chunk that its header, its table and LMDB may take, so that it fills its pages and no more.
    private static let headroom = 1_024
    private static let namespace = "replay"

    let client: Client
    private let arena: Arena
    private let modelID: UInt32
    private let rawBytes: Int
    private var generation: UInt64
    private(set) var totals = Totals()

    /// - Parameters:
    ///   - chunkBytes: what a block takes in the store, a multiple of 4096.
    ///   - blocks: most blocks of one request.
    init(_ client: Client, chunkBytes: Int, blocks: Int) throws {
        self.client = client
        let tokens = Int(RequestTrace.blockTokens)
        let rowBytes = (chunkBytes - Self.headroom) / tokens
        rawBytes = rowBytes * tokens
        arena = try client.openArena(byteCount: rawBytes * blocks)
        modelID = try client.declare(
            ModelDeclaration(
                name: "replay-\(chunkBytes)", pageTokens: UInt32(tokens),
                components: [
                    Component(
                        name: "kv", kind: .attention, elementType: .bytes, layers: 1, planes: 1,
                        rowBytes: UInt32(rowBytes))
                ])
        ).modelID
        // Names of sessions must be new to a daemon that has served a replay before.
        generation = Clock.wallSeconds()
    }

    /// Serves one request. Throws if what is paged in is not what was paged out.
    func serve(_ request: RequestTrace.Request) throws {
        let keys = Self.keys(request.blocks)
        let matched = try client.match(namespace: Self.namespace, modelID: modelID, component: 0, keys: keys)
        let session = try client.openSession(
            namespace: Self.namespace, name: "\(generation)-\(totals.requests)", modelID: modelID
        ).session
        let attached = try attach(keys[..<matched], to: session)
        let hits = try pageIn(keys[..<attached], of: session)
        totals.requests += 1
        totals.promptBlocks += keys.count
        totals.promptTokens += request.length
        totals.hitBlocks += hits
        totals.hitTokens += request.tokens(blocks: hits)
        totals.lostBlocks += matched - hits
        try pageOut(keys, from: hits, to: session)
    }

    /// Puts the first blocks by key alone. Returns how many were still there, from the first on.
    private func attach(_ keys: ArraySlice<PrefixKey>, to session: UInt64) throws -> Int {
        if keys.isEmpty { return 0 }
        let known = keys.indices.map {
            PageOut(name: name($0, session), tokens: UInt32(RequestTrace.blockTokens), known: keys[$0])
        }
        let results = try client.put(known)
        for case .failure(let error) in results where ![.miss, .busy, .full].contains(error.code) { throw error }
        return results.firstIndex { (try? $0.get()) == nil } ?? results.count
    }

    private func pageIn(_ keys: ArraySlice<PrefixKey>, of session: UInt64) throws -> Int {
        let chunks = keys.indices.map {
            ArenaPageIn(item: GetItem(name: name($0, session)), destination: slice($0))
        }
        let results = try client.get(chunks)
        for (index, result) in results.enumerated() {
            switch result {
            case .success: try check(slice(index).bytes, keys[index])
            case .failure(let error) where error.code == .miss: return index
            case .failure(let error): throw error
            }
        }
        return results.count
    }

    private func pageOut(_ keys: [PrefixKey], from first: Int, to session: UInt64) throws {
        let chunks = (first..<keys.count).map { index in
            Self.fill(slice(index).bytes, keys[index])
            return ArenaPageOut(
                name: name(index, session), tokens: UInt32(RequestTrace.blockTokens), source: slice(index),
                prefixKey: keys[index])
        }
        for result in try client.put(chunks, encoding: .raw) {
            switch result {
            case .success: totals.putBlocks += 1
            case .failure(let error) where error.code == .full || error.code == .busy: totals.refused += 1
            case .failure(let error): throw error
            }
        }
    }

    private func name(_ block: Int, _ session: UInt64) -> ChunkName {
        ChunkName(session: session, component: 0, offset: UInt64(block) * RequestTrace.blockTokens)
    }

    private func slice(_ block: Int) -> ArenaSlice { arena.slice(block * rawBytes..<(block + 1) * rawBytes) }
}

/// Keys of blocks, and what blocks hold.
extension ReplayClient {
    /// A key for each prefix of a prompt: a hash chain over its blocks' ids.
    private static func keys(_ blocks: [UInt64]) -> [PrefixKey] {
        var chain: UInt64 = 0
        return blocks.map { block in
            var words = SplitMix(state: chain ^ SplitMix.mixed(block))
            chain = words.next()
            let bytes = [chain, words.next(), words.next(), words.next()].flatMap { word in
                (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
            }
            return PrefixKey(bytes)!
        }
    }

    /// Writes what the block of a key holds: numbers that the key begins.
    private static func fill(_ bytes: UnsafeMutableRawBufferPointer, _ key: PrefixKey) {
        var numbers = SplitMix(state: key.words[1])
        for offset in stride(from: 0, to: bytes.count, by: 8) {
            bytes.storeBytes(of: numbers.next(), toByteOffset: offset, as: UInt64.self)
        }
    }

    /// Throws unless that is what the bytes are.
    private func check(_ bytes: UnsafeMutableRawBufferPointer, _ key: PrefixKey) throws {
        var numbers = SplitMix(state: key.words[1])
        for offset in stride(from: 0, to: bytes.count, by: 8)
        where bytes.load(fromByteOffset: offset, as: UInt64.self) != numbers.next() {
            throw ValidationError("request \(totals.requests) paged other bytes in than were paged out")
        }
    }
}
