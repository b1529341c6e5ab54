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
    /// Stored bytes of a chunk, or why it was refused.
    public typealias PageOutResult = Result<Int, LarderError>

    /// Checks, encodes and queues chunks.
    ///
    /// - Parameters:
    ///   - reader: the calling thread's; its scratch memory encodes.
    ///   - completion: called once, with a result an item: for `accepted` on this thread, before the commit; otherwise
    ///     from a writer's thread after the commit, or on this thread if nothing was queued.
    public func pageOut(
        _ items: [PageOutItem], encoding: EncodingChoice, acknowledgement: Acknowledgement, reader: StoreReader,
        completion: @escaping @Sendable ([PageOutResult]) -> Void
    ) {
        let gathering = Gathering(count: items.count, completion: completion)
        var prepared: [Int: (indices: [Int], chunks: [PreparedChunk])] = [:]
        for (index, item) in items.enumerated() {
            do throws(LarderError) {
                let chunk = try reader.prepare(item, encoding: encoding)
                prepared[try shardIndex(of: item.session), default: ([], [])].indices.append(index)
                prepared[try shardIndex(of: item.session)]!.chunks.append(chunk)
            } catch { gathering.set([index], [.failure(error)]) }
        }
        for (shard, group) in prepared {
            let isAccepted = acknowledgement == .accepted
            let mutation = PutMutation(group.chunks, isDurable: acknowledgement == .durable) { [log] results in
                if isAccepted {
                    let failures = results.compactMap { if case .failure(let error) = $0 { error } else { nil } }
                    if let error = failures.first {
                        log.warning("an accepted chunk was not stored", metadata: ["reason": "\(error)"])
                    }
                } else {
                    gathering.set(group.indices, results)
                }
            }
            do throws(LarderError) {
                let sizes = group.chunks.map { PageOutResult.success($0.storedBytes) }
                try writers[shard].submit(mutation)
                if isAccepted { gathering.set(group.indices, sizes) }
            } catch { gathering.set(group.indices, group.chunks.map { _ in .failure(error) }) }
        }
        if items.isEmpty { completion([]) }
    }

    /// Collects the results of one request from several shards.
    private final class Gathering: Sendable {
        private let state: Monitor<(results: [PageOutResult?], missing: Int)>
        private let completion: @Sendable ([PageOutResult]) -> Void

        init(count: Int, completion: @escaping @Sendable ([PageOutResult]) -> Void) {
            state = Monitor((Array(repeating: nil, count: count), count))
            self.completion = completion
        }

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
