import LarderModel
import LarderSystem
import LarderWire

/// Memory that a client shares with the daemon: chunks paged out of it and into it cross no socket.
///
/// Belongs to the connection that opened it. Gone for the daemon when that ends; for this process with the object.
public final class Arena {
    /// Its number on the connection.
    public let number: UInt32
    private let memory: SharedMemory

    init(number: UInt32, memory: consuming SharedMemory) {
        self.number = number
        self.memory = memory
    }

    /// All of it. Valid as long as the object.
    public var bytes: UnsafeMutableRawBufferPointer { memory.bytes }

    /// A range of it, to page out of or into.
    public func slice(_ range: Range<Int>) -> ArenaSlice { ArenaSlice(arena: self, range: range) }
}

/// A range of an arena's bytes.
public struct ArenaSlice {
    /// The arena.
    public let arena: Arena
    /// The range in bytes.
    public let range: Range<Int>

    init(arena: Arena, range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= arena.bytes.count, "a slice beyond its arena")
        self.arena = arena
        self.range = range
    }

    /// Its bytes.
    public var bytes: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(rebasing: arena.bytes[range]) }

    var region: ArenaRegion { ArenaRegion(arena: arena.number, offset: UInt64(range.lowerBound)) }
}

/// A chunk to page out of an arena.
public struct ArenaPageOut {
    /// Which.
    public var name: ChunkName
    /// Tokens; 0 for a recurrent state.
    public var tokens: UInt32
    /// Its raw bytes.
    public var source: ArenaSlice
    /// Its name by content, if it has one.
    public var prefixKey: PrefixKey?

    /// A chunk from its fields.
    public init(name: ChunkName, tokens: UInt32, source: ArenaSlice, prefixKey: PrefixKey? = nil) {
        self.name = name
        self.tokens = tokens
        self.source = source
        self.prefixKey = prefixKey
    }
}

/// A chunk to page into an arena, whole or by layers.
public struct ArenaPageIn {
    /// Which, and which layers.
    public var item: GetItem
    /// Where to; of one call's slices no two may overlap.
    public var destination: ArenaSlice

    /// A chunk from its fields.
    public init(item: GetItem, destination: ArenaSlice) {
        self.item = item
        self.destination = destination
    }
}

extension Client {
    /// True if the daemon shares memory.
    public var hasArenas: Bool { welcome.features & WireProtocol.arenas != 0 }

    /// Has the daemon make an arena of `byteCount` bytes, sealed against resizing.
    public func openArena(byteCount: Int) throws(ClientError) -> Arena {
        let opened = try transport.ask(OpenArena(byteCount: UInt64(byteCount)))
        guard let descriptor = transport.takeDescriptor() else {
            throw .violation("no descriptor came with an arena, or several")
        }
        do throws(SharedMemory.Refusal) {
            return Arena(number: opened.arena, memory: try SharedMemory.adopt(descriptor, byteCount: byteCount))
        } catch {
            throw .violation("the arena is not what was asked for: \(error)")
        }
    }

    /// Registers memory of this process's own, such as an engine's host pool.
    public func registerArena(_ memory: consuming SharedMemory) throws(ClientError) -> Arena {
        let opened = try transport.ask(RegisterArena(byteCount: UInt64(memory.bytes.count)), sharing: memory)
        return Arena(number: opened.arena, memory: memory)
    }

    /// Gives an arena back before the connection ends.
    public func close(_ arena: Arena) throws(ClientError) { _ = try transport.ask(CloseArena(arena: arena.number)) }

    /// Pages out of arenas. Returns for each chunk the bytes that it takes in the store, or why it was refused.
    public func put(
        _ chunks: [ArenaPageOut], acknowledgement: Acknowledgement = .committed, encoding: EncodingChoice = .auto
    ) throws(ClientError) -> [Result<UInt64, LarderError>] {
        try pipeline(chunks, size: \.source.range.count, byteLimit: Self.arenaBatchBytes) { part throws(ClientError) in
            let items = part.map {
                let payload = Payload(byteCount: UInt64($0.source.range.count), region: $0.source.region)
                return PutItem(
                    name: $0.name, tokens: $0.tokens, payload: payload, naming: $0.prefixKey.map { .key($0) } ?? .none)
            }
            return try transport.send(Put(acknowledgement: acknowledgement, encoding: encoding, items: items))
        } results: { answer, part throws(ClientError) in
            try putResults(answer, count: part.count)
        }
    }

    /// Pages into arenas. Returns for each chunk its tokens, or why it was not served.
    public func get(_ chunks: [ArenaPageIn]) throws(ClientError) -> [Result<UInt32, LarderError>] {
        try pipeline(
            chunks, size: \.destination.range.count, itemLimit: Self.getItems, byteLimit: Self.arenaBatchBytes
        ) { part throws(ClientError) in
            try transport.send(GetInto(items: part.map(\.wireItem)))
        } results: { answer, part throws(ClientError) in
            try intoResults(answer, count: part.count)
        }
    }

    /// Pages into arenas in one request, layer after layer, so that a worker can start on the first while later ones are on
    /// their way.
    ///
    /// - Parameters:
    ///   - chunks: at most ``Welcome/batchItems``.
    ///   - layerGroup: how often to be told: after so many layers; more than 0.
    ///   - onProgress: told that the first so many layers of every chunk are in place. May be told less often, and not at
    ///     all once a chunk is not served; the results are what counts.
    /// - Returns: for each chunk its tokens, or why it was not served.
    public func get(
        _ chunks: [ArenaPageIn], layerGroup: UInt32, onProgress: (_ layers: UInt32) -> Void
    ) throws(ClientError) -> [Result<UInt32, LarderError>] {
        let id = try transport.send(GetInto(layerGroup: layerGroup, items: chunks.map(\.wireItem)))
        while true {
            let answer = try transport.receive()
            guard answer.header.requestID == id else {
                throw .violation("it answered request \(answer.header.requestID), not \(id)")
            }
            guard answer.header.type == LayersLanded.frameType else {
                return try intoResults(answer, count: chunks.count)
            }
            guard let landed = try? LayersLanded(body: answer.body) else {
                throw .violation("a progress frame that cannot be read")
            }
            onProgress(landed.layers)
        }
    }

    private func intoResults(
        _ answer: Transport.Answer, count: Int
    ) throws(ClientError) -> [Result<UInt32, LarderError>] {
        let results = try transport.decode(answer, as: GetInto.self) { body throws(LarderError) in
            try GetAnswer(body: body).results
        }
        guard results.count == count else { throw .violation("\(results.count) results for \(count) chunks") }
        return results.map { $0.status.error.map { .failure($0) } ?? .success($0.tokens) }
    }
}

extension ArenaPageIn {
    fileprivate var wireItem: GetIntoItem {
        GetIntoItem(item: item, region: destination.region, byteCount: UInt64(destination.range.count))
    }
}
