import LarderModel

/// What is to come of state, as far as a worker knows: keep it, bring it near, let it go, name it.
public struct GiveHints: Request {
    /// Answers with ``HintResults``.
    public typealias Answer = HintResults
    /// hint.
    public static let type = MessageType.hint

    /// Hints, taken up one after another.
    public var hints: [Hint]

    /// A request.
    public init(hints: [Hint]) { self.hints = hints }

    public func write(to writer: inout ByteWriter) { writer.write(list: hints) }

    public init(from reader: inout ByteReader) throws(LarderError) {
        hints = try reader.readList(of: Hint.self, limit: Limits.batchItems, "hints")
    }
}

/// Answers ``GiveHints``.
public struct HintResults: Message {
    /// One a hint, in order.
    public var results: [HintResult]

    /// An answer.
    public init(results: [HintResult]) { self.results = results }

    public func write(to writer: inout ByteWriter) { writer.write(list: results) }

    public init(from reader: inout ByteReader) throws(LarderError) {
        results = try reader.readList(of: HintResult.self, limit: Limits.batchItems, "results")
    }
}

extension Hint: Message {
    public func write(to writer: inout ByteWriter) {
        writer.write(kind.rawValue)
        writer.write(priority)
        writer.write(seconds)
        target.write(to: &writer)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        let kind = try reader.read(HintKind.self, "hint")
        let priority = try reader.read(Int8.self, "priority")
        let seconds = try reader.read(UInt32.self, "seconds")
        self.init(kind, try HintTarget(from: &reader), priority: priority, seconds: seconds)
    }
}

extension HintTarget: Message {
    private enum Place: UInt8 {
        case session = 0
        case keys = 1
        case track = 2
    }

    public func write(to writer: inout ByteWriter) {
        switch self {
        case .session(let session, let from, let to):
            writer.write(Place.session.rawValue)
            for value in [session, from, to] { writer.write(value) }
        case .keys(let namespace, let modelID, let component, let keys):
            writer.write(Place.keys.rawValue)
            writer.write(namespace)
            writer.write(modelID)
            writer.write(component)
            writer.write(keys)
        case .track(let session, let from, let to, let rank, let component, let keys):
            writer.write(Place.track.rawValue)
            for value in [session, from, to] { writer.write(value) }
            writer.write(rank)
            writer.write(component)
            writer.write(keys)
        }
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        switch try reader.read(Place.self, "target") {
        case .session:
            self = .session(
                try reader.read(UInt64.self, "session"), from: try reader.read(UInt64.self, "from"),
                to: try reader.read(UInt64.self, "to"))
        case .keys:
            self = .keys(
                namespace: try reader.readString("namespace"), modelID: try reader.read(UInt32.self, "model id"),
                component: try reader.read(UInt16.self, "component"), keys: try reader.readKeys())
        case .track:
            self = .track(
                try reader.read(UInt64.self, "session"), from: try reader.read(UInt64.self, "from"),
                to: try reader.read(UInt64.self, "to"), rank: try reader.read(UInt16.self, "rank"),
                component: try reader.read(UInt16.self, "component"), keys: try reader.readKeys())
        }
    }
}

extension HintResult: Message {
    public func write(to writer: inout ByteWriter) {
        writer.write(outcome.rawValue)
        writer.write(bound.rawValue)
        writer.write(from)
        writer.write(to)
        writer.write(seconds)
        writer.write(reason)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        let outcome = try reader.read(HintOutcome.self, "outcome")
        let bound = try reader.read(HintBound.self, "bound")
        self.init(
            outcome, bound, from: try reader.read(UInt64.self, "from"), to: try reader.read(UInt64.self, "to"),
            seconds: try reader.read(UInt32.self, "seconds"), reason: try reader.readString("reason"))
    }
}

extension ByteWriter {
    /// Appends a list of prefix keys.
    mutating func write(_ keys: [PrefixKey]) {
        write(UInt32(keys.count))
        for key in keys { key.write(to: &self) }
    }
}

extension ByteReader {
    /// Reads a list of prefix keys.
    mutating func readKeys() throws(LarderError) -> [PrefixKey] {
        let count = Int(try read(UInt32.self, "keys"))
        guard count <= Limits.batchItems else {
            throw LarderError(
                .invalidArgument, "keys has \(count) items; send at most \(Limits.batchItems) in one request")
        }
        var keys: [PrefixKey] = []
        keys.reserveCapacity(min(count, remaining / PrefixKey.byteCount))
        for _ in 0..<count { keys.append(try PrefixKey(from: &self)) }
        return keys
    }
}
