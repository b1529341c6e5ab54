import LarderModel

/// Why can a session be restored as far as it can, and no further?
public struct Explain: Request {
    /// Answers with ``ExplainAnswer``.
    public typealias Answer = ExplainAnswer
    /// explain.
    public static let type = MessageType.explain

    /// Session id.
    public var session: UInt64
    /// The offset in question, in tokens; `UInt64.max` for the session's end.
    public var atMost: UInt64
    /// A model that a worker would resume with; 0 for none.
    public var modelID: UInt32

    /// A request.
    public init(session: UInt64, atMost: UInt64 = .max, modelID: UInt32 = 0) {
        self.session = session
        self.atMost = atMost
        self.modelID = modelID
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(session)
        writer.write(atMost)
        writer.write(modelID)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        session = try reader.read(UInt64.self, "session")
        atMost = try reader.read(UInt64.self, "at most")
        modelID = try reader.read(UInt32.self, "model id")
    }
}

/// What keeps one component of one rank from the offset in question.
public struct TrackExplanation: Message {
    /// Rank in the parallel group.
    public var rank: UInt16
    /// Component index.
    public var component: UInt16
    /// How far this component alone can be restored, up to the offset in question.
    public var reach: UInt64
    /// Why no further.
    public var cause: MissCause
    /// The first token that is missing, or the offset of the state that is.
    public var missingFrom: UInt64
    /// The first token after those that are missing; ``missingFrom`` for a state.
    public var missingTo: UInt64
    /// For an eviction, by which rule; else nil.
    public var rule: EvictionRule?
    /// For an eviction, when: seconds since 1970; else 0.
    public var evictedSeconds: UInt64

    /// An explanation from its fields.
    public init(
        rank: UInt16, component: UInt16, reach: UInt64, cause: MissCause, missingFrom: UInt64, missingTo: UInt64,
        rule: EvictionRule?, evictedSeconds: UInt64
    ) {
        self.rank = rank
        self.component = component
        self.reach = reach
        self.cause = cause
        self.missingFrom = missingFrom
        self.missingTo = missingTo
        self.rule = rule
        self.evictedSeconds = evictedSeconds
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(rank)
        writer.write(component)
        writer.write(reach)
        writer.write(cause.rawValue)
        writer.write(missingFrom)
        writer.write(missingTo)
        writer.write(rule?.rawValue ?? 0)
        writer.write(evictedSeconds)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        rank = try reader.read(UInt16.self, "rank")
        component = try reader.read(UInt16.self, "component")
        reach = try reader.read(UInt64.self, "reach")
        cause = try reader.read(MissCause.self, "cause")
        missingFrom = try reader.read(UInt64.self, "missing from")
        missingTo = try reader.read(UInt64.self, "missing to")
        let number = try reader.read(UInt8.self, "rule")
        rule = EvictionRule(rawValue: number)
        if number != 0 && rule == nil {
            throw LarderError(.invalidArgument, "rule is \(number), which has no meaning in this version")
        }
        evictedSeconds = try reader.read(UInt64.self, "evicted")
    }
}

/// Answers ``Explain``.
public struct ExplainAnswer: Message {
    /// The offset in question: at most the end of the session.
    public var at: UInt64
    /// Where the last stored chunk ends.
    public var end: UInt64
    /// The resume point up to ``at``.
    public var offset: UInt64
    /// Ranks of the group that have not opened the session: without them nothing can be restored.
    public var missingRanks: [UInt16]
    /// The field in which the model asked about differs from the session's; empty if none does.
    public var modelDifference: String
    /// Every component of every rank that has opened the session.
    public var tracks: [TrackExplanation]

    /// An answer from its fields.
    public init(
        at: UInt64, end: UInt64, offset: UInt64, missingRanks: [UInt16], modelDifference: String,
        tracks: [TrackExplanation]
    ) {
        self.at = at
        self.end = end
        self.offset = offset
        self.missingRanks = missingRanks
        self.modelDifference = modelDifference
        self.tracks = tracks
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(at)
        writer.write(end)
        writer.write(offset)
        writer.write(UInt32(missingRanks.count))
        for rank in missingRanks { writer.write(rank) }
        writer.write(modelDifference)
        writer.write(list: tracks)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        at = try reader.read(UInt64.self, "at")
        end = try reader.read(UInt64.self, "end")
        offset = try reader.read(UInt64.self, "offset")
        let count = try reader.read(UInt32.self, "missing ranks")
        guard count <= Limits.groupSize else {
            throw LarderError(.invalidArgument, "missing ranks has \(count) items; send at most \(Limits.groupSize)")
        }
        missingRanks = []
        for _ in 0..<count { missingRanks.append(try reader.read(UInt16.self, "missing rank")) }
        modelDifference = try reader.readString("model difference")
        tracks = try reader.readList(
            of: TrackExplanation.self, limit: Limits.components * Int(Limits.groupSize), "tracks")
    }
}
