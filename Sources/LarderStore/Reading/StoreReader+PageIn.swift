import LarderCodec
import LarderModel

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

extension StoreReader {
    /// Decodes one chunk, or a range of its layers.
    ///
    /// - Parameter room: given the raw bytes that are needed, returns where they go; may throw to refuse. Called once at
    ///   most. On an error after it the content of that memory is undefined.
    /// - Returns: the tokens of the chunk and its raw bytes.
    public func pageIn(
        _ item: PageInItem, room: (Int) throws(LarderError) -> UnsafeMutableRawBufferPointer
    ) throws(LarderError) -> (tokens: UInt32, rawBytes: Int) {
        let context = try context(item.session)
        let (_, component) = try context.component(rank: item.rank, item.component)
        let layers = try layerRange(item, component)
        guard item.offset < Limits.offsetTokens else {
            throw LarderError(.miss, "no chunk of component '\(component.name)' can start at \(item.offset)")
        }
        let key = ChunkKey(
            session: item.session, rank: item.rank, component: UInt8(item.component), offset: item.offset)
        return try read(shard: context.shard) { transaction, shard in
            guard let record = try record(key, transaction, shard) else {
                throw LarderError(.miss, "no chunk of component '\(component.name)' starts at \(item.offset)")
            }
            do {
                guard let bytes = try blob(record.blobID, transaction, shard) else {
                    throw ChunkDamage.length(expected: Int(record.storedBytes), found: 0)
                }
                let stored = try StoredChunk(bytes, blobID: record.blobID)
                guard stored.shape == ChunkShape(component, tokens: record.tokens) else { throw ChunkDamage.shape }
                let count = layers.count * stored.shape.layerBytes
                try stored.decode(layers: layers, into: try room(count), scratch: scratch)
                return (record.tokens, count)
            } catch let damage as ChunkDamage {
                store.reportDamage(key, damage.description)
                throw LarderError(
                    .damaged,
                    "the chunk at \(item.offset) of component '\(component.name)' is damaged (\(damage)); truncate "
                        + "the session at \(item.offset) and compute it again"
                )
            }
        }
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
