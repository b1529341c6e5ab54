import LarderCodec
import LarderModel
import LarderSystem

/// A chunk that a page-in asks for.
public struct PageInItem: Sendable {
    /// Session id.
    public var session: UInt64
    /// Rank in the parallel group.
    public var rank: UInt16
    /// Component index.
    public var component: UInt16
    /// Offset at which the chunk starts.
    public var offset: UInt64
    /// First layer.
    public var firstLayer: UInt32
    /// Layers; 0 for all from the first on.
    public var layers: UInt32

    /// An item from its fields.
    public init(
        session: UInt64, rank: UInt16, component: UInt16, offset: UInt64, firstLayer: UInt32 = 0, layers: UInt32 = 0
    ) {
        self.session = session
        self.rank = rank
        self.component = component
        self.offset = offset
        self.firstLayer = firstLayer
        self.layers = layers
    }
}

/// A chunk that was paged in.
public struct PagedIn: Sendable {
    /// Tokens of the chunk; 0 for a recurrent state.
    public let tokens: UInt32
    /// Raw bytes that were written.
    public let rawBytes: Int
}

extension StoreReader {
    /// Decodes chunks, or ranges of their layers, all from one state of the store, with the help of the store's threads.
    ///
    /// - Parameters:
    ///   - layerGroup: layers of each item that are decoded before any of its later ones; 0 for no such order. Raised
    ///     where it would make more than ``Limits/progressFrames`` groups.
    ///   - room: given what was found, its index and the raw bytes it takes, returns where each goes; an error there is
    ///     the item's result. Called once. On damage the content of an item's room is undefined.
    ///   - progress: told after each group but the last, while all is well: so many layers of every item are in place.
    /// - Returns: a result for each item.
    public func pageIn(
        _ items: [PageInItem], layerGroup: Int = 0,
        room: ([(index: Int, rawBytes: Int)]) -> [Result<UnsafeMutableRawBufferPointer, LarderError>],
        progress: (Int) -> Void = { _ in }
    ) -> [Result<PagedIn, LarderError>] {
        let start = Clock.now()
        return holdingSnapshots {
            var results: [Result<PagedIn, LarderError>?] = Array(repeating: nil, count: items.count)
            var found: [LocatedChunk] = []
            found.reserveCapacity(items.count)
            for (index, item) in items.enumerated() {
                do throws(LarderError) { found.append(try locate(item, index)) } catch {
                    results[index] = .failure(error)
                }
            }
            let places = room(found.map { ($0.index, $0.rawBytes) })
            var chunks: [LocatedChunk] = []
            for (chunk, place) in zip(found, places) {
                switch place {
                case .success(let place):
                    chunks.append(chunk)
                    chunks[chunks.count - 1].place = place
                case .failure(let error): results[chunk.index] = .failure(error)
                }
            }
            let isWhole = chunks.count == items.count
            decode(&chunks, layerGroup: layerGroup) { layers in if isWhole { progress(layers) } }
            for chunk in chunks {
                results[chunk.index] = chunk.damage.map { .failure(damaged(chunk, $0)) } ?? .success(chunk.outcome)
            }
            noteUse(items.lazy.map { ($0.session, $0.offset &+ 1) })
            count(chunks)
            store.speed.note(bytes: chunks.reduce(0) { $0 + $1.rawBytes }, nanoseconds: Clock.now() - start)
            return results.map { $0! }
        }
    }

    /// Counts what was restored.
    private func count(_ chunks: [LocatedChunk]) {
        var tallies: [SessionTally] = []
        for chunk in chunks where chunk.damage == nil {
            var tally = SavingsTally()
            tally.rawBytesIn = UInt64(chunk.rawBytes)
            tally.storedBytesIn = UInt64(chunk.storedBytes)
            if chunk.countsTokens {
                let end = chunk.key.offset + UInt64(chunk.tokens)
                tally.restoredTokens = UInt64(chunk.tokens)
                tally.notRecomputedTokens = noteRestored(chunk.key.offset..<end, session: chunk.session)
            }
            tallies.add(tally, session: chunk.session, chunk.account)
        }
        store.savings.note(tallies)
    }

    /// An item that was found, with the way through its blocks.
    private struct LocatedChunk {
        let index: Int
        let session: UInt64
        let key: ChunkKey
        let componentName: String
        let layers: Range<Int>
        let layerBytes: Int
        let tokens: UInt32
        let account: SavingsAccount
        /// True if its tokens are counted, and its first layer is asked for.
        let countsTokens: Bool
        var blocks: StoredBlocks
        /// Bytes in the store of the layers that are decoded.
        var storedBytes = 0
        var place = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        var damage: ChunkDamage?

        var rawBytes: Int { layers.count * layerBytes }
        var outcome: PagedIn { PagedIn(tokens: tokens, rawBytes: rawBytes) }

        /// Where a block's raw bytes go.
        func target(_ block: StoredBlock) -> UnsafeMutableRawBufferPointer {
            let start = block.rawRange.lowerBound - layers.lowerBound * layerBytes
            return UnsafeMutableRawBufferPointer(rebasing: place[start..<start + block.rawRange.count])
        }
    }

    private func locate(_ item: PageInItem, _ index: Int) throws(LarderError) -> LocatedChunk {
        let context = try context(item.session)
        let (model, component) = try context.component(rank: item.rank, item.component)
        let layers = try layerRange(item, component)
        guard item.offset < Limits.offsetTokens else {
            throw LarderError(.miss, "no chunk of component '\(component.name)' can start at \(item.offset)")
        }
        let track = LinePath.Track(
            rank: item.rank, component: UInt8(item.component), isState: component.kind == .recurrent)
        return try read(shard: context.shard) { transaction, shard in
            guard let (key, record) = try context.path.find(track, item.offset, transaction, shard) else {
                throw LarderError(.miss, "no chunk of component '\(component.name)' starts at \(item.offset)")
            }
            shard.heat.refresh(record.heatKey, turn: turn)
            do {
                guard let bytes = try blob(record.blobID, transaction, shard) else {
                    throw ChunkDamage.length(expected: Int(record.storedBytes), found: 0)
                }
                let stored = try StoredChunk(bytes, blobID: record.blobID)
                guard stored.shape == ChunkShape(component, tokens: record.tokens) else { throw ChunkDamage.shape }
                return LocatedChunk(
                    index: index, session: item.session, key: key, componentName: component.name, layers: layers,
                    layerBytes: stored.shape.layerBytes, tokens: record.tokens,
                    account: SavingsAccount(modelID: model.id, namespaceID: context.record.namespaceID),
                    countsTokens: layers.lowerBound == 0
                        && model.declaration.countingComponent == Int(item.component),
                    blocks: stored.blocks(ofLayers: layers))
            } catch let damage as ChunkDamage {
                throw damaged(key, item.session, component.name, damage)
            }
        }
    }

    /// Decodes all blocks, group after group of layers; stops to tell of progress once a chunk is found damaged.
    private func decode(_ chunks: inout [LocatedChunk], layerGroup: Int, progress: (Int) -> Void) {
        let most = chunks.map(\.layers.count).max() ?? 0
        let least = (most + Limits.progressFrames - 1) / Limits.progressFrames
        let step = layerGroup == 0 ? most : max(layerGroup, least)
        var done = 0
        while done < most {
            let next = min(done + step, most)
            for index in chunks.indices {
                let end = min(chunks[index].layers.lowerBound + next, chunks[index].layers.upperBound)
                while let block = chunks[index].blocks.next(belowLayer: end) {
                    chunks[index].storedBytes += block.storedBytes
                    work.append(BlockWork(block: block, target: chunks[index].target(block), chunk: index))
                    if work.count == Limits.blocksAtOnce { decodeWork(&chunks) }
                }
            }
            decodeWork(&chunks)
            done = next
            if done < most, !chunks.contains(where: { $0.damage != nil }) { progress(done) }
        }
    }

    /// Decodes ``work`` and empties it; notes damage where it is found.
    private func decodeWork(_ chunks: inout [LocatedChunk]) {
        let found = Monitor<[(chunk: Int, damage: ChunkDamage)]>([])
        work.withUnsafeBufferPointer { work in
            nonisolated(unsafe) let work = work
            let bytes = work.reduce(0) { $0 + $1.target.count }
            store.team.run(count: work.count, bytes: bytes) { index, scratch in
                let part = work[index]
                do throws(ChunkDamage) { try part.block.decode(into: part.target, scratch: scratch) } catch {
                    found.withLock { $0.append((part.chunk, error)) }
                }
            }
        }
        work.removeAll(keepingCapacity: true)
        for (chunk, damage) in found.withLock({ $0 }) where chunks[chunk].damage == nil {
            chunks[chunk].damage = damage
        }
    }

    private func damaged(_ chunk: LocatedChunk, _ damage: ChunkDamage) -> LarderError {
        damaged(chunk.key, chunk.session, chunk.componentName, damage)
    }

    private func damaged(
        _ key: ChunkKey, _ session: UInt64, _ component: String, _ damage: ChunkDamage
    ) -> LarderError {
        store.reportDamage(key, session: session, damage.description)
        return LarderError(
            .damaged,
            "the chunk at \(key.offset) of component '\(component)' is damaged (\(damage)); truncate the session at "
                + "\(key.offset) and compute it again"
        )
    }

    private func layerRange(_ item: PageInItem, _ component: Component) throws(LarderError) -> Range<Int> {
        let first = Int(item.firstLayer)
        let count = item.layers == 0 ? Int(component.layers) - first : Int(item.layers)
        guard first < Int(component.layers), count >= 1, first + count <= Int(component.layers) else {
            throw LarderError(
                .invalidArgument,
                "layers \(first)..<\(first + max(count, 0)) are not within the \(component.layers) of component "
                    + "'\(component.name)'"
            )
        }
        return first..<first + count
    }
}

/// One block to decode, and where to.
struct BlockWork {
    let block: StoredBlock
    let target: UnsafeMutableRawBufferPointer
    /// Index of its chunk in the request.
    let chunk: Int
}
