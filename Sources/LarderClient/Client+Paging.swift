import LarderModel
import LarderWire

/// A chunk to page out: which, how many tokens, and its raw bytes, which must live until the call returns.
public struct PageOut {
    /// Which.
    public var name: ChunkName
    /// Tokens; 0 for a recurrent state.
    public var tokens: UInt32
    /// Raw bytes, laid out as ``LarderModel/Component`` says.
    public var bytes: UnsafeRawBufferPointer
    /// Its name by content; with ``LarderWire/PutItem/Naming/known(_:)`` no bytes are sent.
    public var naming: PutItem.Naming

    /// A chunk from its fields.
    public init(
        name: ChunkName, tokens: UInt32, bytes: UnsafeRawBufferPointer, naming: PutItem.Naming = .none
    ) {
        self.name = name
        self.tokens = tokens
        self.bytes = bytes
        self.naming = naming
    }

    /// A chunk that the daemon should know by its key, without its bytes.
    public init(name: ChunkName, tokens: UInt32, known key: PrefixKey) {
        self.init(
            name: name, tokens: tokens, bytes: UnsafeRawBufferPointer(start: nil, count: 0), naming: .known(key))
    }
}

/// A chunk to page in: which, which layers, and where to put exactly their raw bytes.
public struct PageIn {
    /// Which, and which layers.
    public var item: GetItem
    /// Filled where the chunk is served; undefined where it is not.
    public var destination: UnsafeMutableRawBufferPointer

    /// A chunk, all its layers.
    public init(name: ChunkName, destination: UnsafeMutableRawBufferPointer) {
        self.init(item: GetItem(name: name), destination: destination)
    }

    /// A chunk or a range of its layers.
    public init(item: GetItem, destination: UnsafeMutableRawBufferPointer) {
        self.item = item
        self.destination = destination
    }
}

extension Client {
    /// How many of `keys`, from the first on, name stored chunks of a component in a namespace. At most
    /// ``LarderWire/Welcome/batchItems`` keys.
    public func match(
        namespace: String, modelID: UInt32, component: UInt16, keys: [PrefixKey]
    ) throws(ClientError) -> Int {
        Int(
            try transport.ask(Match(namespace: namespace, modelID: modelID, component: component, keys: keys)).matched)
    }

    /// Payload bytes that one frame of a batch carries, unless one chunk is larger.
    static let batchBytes = 8 << 20
    /// The same where they stay in an arena: each frame costs a round trip's work, and nothing is copied for it.
    static let arenaBatchBytes = 64 << 20
    /// Items of one get: so few that a window of requests fits in the socket's buffer, and sending never waits for the
    /// daemon, which may be waiting for this side to read.
    static let getItems = 128

    /// Pages out. Returns for each chunk the bytes that it takes in the store, or why it was refused.
    public func put(
        _ chunks: [PageOut], acknowledgement: Acknowledgement = .committed, encoding: EncodingChoice = .auto
    ) throws(ClientError) -> [Result<UInt64, LarderError>] {
        try pipeline(chunks, size: \.bytes.count) { part throws(ClientError) in
            let items = part.map {
                PutItem(
                    name: $0.name, tokens: $0.tokens, payload: Payload(byteCount: UInt64($0.bytes.count)),
                    naming: $0.naming)
            }
            let request = Put(acknowledgement: acknowledgement, encoding: encoding, items: items)
            return try transport.send(request, payloads: part.map(\.bytes))
        } results: { answer, part throws(ClientError) in
            try putResults(answer, count: part.count)
        }
    }

    /// The results that an answer to a put of `count` chunks holds.
    func putResults(_ answer: Transport.Answer, count: Int) throws(ClientError) -> [Result<UInt64, LarderError>] {
        let results = try transport.decode(answer, as: Put.self) { body throws(LarderError) in
            try PutAnswer(body: body).results
        }
        guard results.count == count else { throw .violation("\(results.count) results for \(count) chunks") }
        return results.map { $0.status.error.map { .failure($0) } ?? .success($0.storedBytes) }
    }

    /// Pages in. Returns for each chunk its tokens, or why it was not served: ``ErrorCode/miss`` is no failure.
    public func get(_ chunks: [PageIn]) throws(ClientError) -> [Result<UInt32, LarderError>] {
        try pipeline(chunks, size: \.destination.count, itemLimit: Self.getItems) { part throws(ClientError) in
            try transport.send(Get(items: part.map(\.item)))
        } results: { answer, part throws(ClientError) in
            try transport.decode(answer, as: Get.self) { body throws(LarderError) in
                var reader = ByteReader(body)
                let results = try GetAnswer(from: &reader).results
                guard results.count == part.count else {
                    throw LarderError(.malformed, "\(results.count) results for \(part.count) chunks")
                }
                var outcomes: [Result<UInt32, LarderError>] = []
                for (result, chunk) in zip(results, part) {
                    let bytes = try reader.readBytes(Int(clamping: result.payload.byteCount), "payload")
                    outcomes.append(Self.outcome(result, bytes, chunk))
                }
                try reader.finish("the answer")
                return outcomes
            }
        }
    }

    private static func outcome(
        _ result: GetResult, _ bytes: UnsafeRawBufferPointer, _ chunk: PageIn
    ) -> Result<UInt32, LarderError> {
        if let error = result.status.error { return .failure(error) }
        guard bytes.count == chunk.destination.count else {
            return .failure(
                LarderError(
                    .wrongLength,
                    "the chunk at \(chunk.item.name.offset) has \(bytes.count) bytes, not the "
                        + "\(chunk.destination.count) of its destination"
                ))
        }
        chunk.destination.copyMemory(from: bytes)
        return .success(result.tokens)
    }

    /// Cuts a batch into frames, keeps a window of them in flight, and puts the results back into order.
    ///
    /// A frame that is refused as a whole gives that refusal to each of its items, so that all frames are accounted for.
    /// - Parameter byteLimit: raw bytes that a frame carries or names, unless one item has more.
    func pipeline<Item, Value>(
        _ items: [Item], size: (Item) -> Int, itemLimit: Int = Limits.batchItems, byteLimit: Int = Client.batchBytes,
        send: (ArraySlice<Item>) throws(ClientError) -> UInt64,
        results: (Transport.Answer, ArraySlice<Item>) throws(ClientError) -> [Result<Value, LarderError>]
    ) throws(ClientError) -> [Result<Value, LarderError>] {
        var outcomes = [Result<Value, LarderError>?](repeating: nil, count: items.count)
        var inFlight: [UInt64: Range<Int>] = [:]
        var start = 0
        while start < items.count || !inFlight.isEmpty {
            if start < items.count && inFlight.count < window {
                var end = start
                var bytes = 0
                repeat {
                    bytes += size(items[end])
                    end += 1
                } while end < items.count && end - start < min(itemLimit, Int(welcome.batchItems))
                    && bytes + size(items[end]) <= byteLimit
                inFlight[try send(items[start..<end])] = start..<end
                start = end
                continue
            }
            let answer = try transport.receive()
            guard let range = inFlight.removeValue(forKey: answer.header.requestID) else {
                throw .violation("an answer to request \(answer.header.requestID), which was not asked")
            }
            var part: [Result<Value, LarderError>]
            do { part = try results(answer, items[range]) } catch {
                guard case .refused(let refusal) = error else { throw error }
                part = range.map { _ in .failure(refusal) }
            }
            for (index, outcome) in zip(range, part) { outcomes[index] = outcome }
        }
        return outcomes.map { $0! }
    }
}
