import LarderModel

/// How far can this session be restored?
public struct Resume: Request {
    /// Answers with ``ResumeAnswer``.
    public typealias Answer = ResumeAnswer
    /// resume.
    public static let type = MessageType.resume

    /// Session id.
    public var session: UInt64
    /// The largest offset that is of use: the length of the prompt's matching prefix. `UInt64.max` for no bound.
    public var atMost: UInt64
    /// Tokens that the worker computes in a second of prefill, which the daemon learns for the model; 0 if it does not
    /// know, for the rate that the daemon knows.
    public var prefillRate: UInt32

    /// A request from its fields.
    public init(session: UInt64, atMost: UInt64 = .max, prefillRate: UInt32 = 0) {
        self.session = session
        self.atMost = atMost
        self.prefillRate = prefillRate
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(session)
        writer.write(atMost)
        writer.write(prefillRate)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        session = try reader.read(UInt64.self, "session")
        atMost = try reader.read(UInt64.self, "at most")
        prefillRate = try reader.read(UInt32.self, "prefill rate")
    }
}

/// How far one component alone could be restored.
public struct ComponentReach: Message, Hashable {
    /// Rank in the parallel group.
    public var rank: UInt16
    /// Component index.
    public var component: UInt16
    /// Largest offset at which this component can be restored, whatever the others say.
    public var offset: UInt64

    /// A reach from its fields.
    public init(rank: UInt16, component: UInt16, offset: UInt64) {
        self.rank = rank
        self.component = component
        self.offset = offset
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(rank)
        writer.write(component)
        writer.write(offset)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        rank = try reader.read(UInt16.self, "rank")
        component = try reader.read(UInt16.self, "component")
        offset = try reader.read(UInt64.self, "offset")
    }
}

/// A stored chunk, as listings and resume answers name it.
public struct ChunkSummary: Message, Hashable {
    /// Which.
    public var name: ChunkName
    /// Tokens; 0 for a recurrent state.
    public var tokens: UInt32
    /// Bytes that a page-in of the whole chunk returns.
    public var rawBytes: UInt64
    /// Bytes in the store.
    public var storedBytes: UInt64
    /// The encoding of most of it.
    public var encoding: Encoding
    /// When it was stored, seconds since 1970.
    public var createdSeconds: UInt64

    /// A summary from its fields.
    public init(
        name: ChunkName, tokens: UInt32, rawBytes: UInt64, storedBytes: UInt64, encoding: Encoding,
        createdSeconds: UInt64
    ) {
        self.name = name
        self.tokens = tokens
        self.rawBytes = rawBytes
        self.storedBytes = storedBytes
        self.encoding = encoding
        self.createdSeconds = createdSeconds
    }

    public func write(to writer: inout ByteWriter) {
        name.write(to: &writer)
        writer.write(tokens)
        writer.write(rawBytes)
        writer.write(storedBytes)
        writer.write(encoding.rawValue)
        writer.write(createdSeconds)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        name = try ChunkName(from: &reader)
        tokens = try reader.read(UInt32.self, "tokens")
        rawBytes = try reader.read(UInt64.self, "raw bytes")
        storedBytes = try reader.read(UInt64.self, "stored bytes")
        encoding = try reader.read(Encoding.self, "encoding")
        createdSeconds = try reader.read(UInt64.self, "created")
    }
}

/// Answers ``Resume``.
public struct ResumeAnswer: Message {
    /// The resume point, in tokens; 0 if nothing can be restored. No failure.
    public var offset: UInt64
    /// How far each component of each rank reaches: what holds the resume point back.
    public var reaches: [ComponentReach]
    /// The chunks to load for it, by offset: no more than it needs.
    public var chunks: [ChunkSummary]
    /// False if there are more than ``LarderModel/Limits/resumeChunks``; ``ListChunks`` has them all.
    public var complete: Bool
    /// Raw bytes to load for it.
    public var rawBytes: UInt64
    /// What loading them takes, in microseconds, as page-ins went on this machine lately.
    public var loadMicroseconds: UInt64
    /// The resume point, at most ``offset``, with which loading and computing the rest take least together. ``offset``
    /// if nobody knows how fast the worker is.
    public var cheapestOffset: UInt64
    /// Tokens a second that it was worked out with: the request's, else the model's; 0 if none is known.
    public var prefillRate: UInt32

    /// An answer from its fields.
    public init(
        offset: UInt64, reaches: [ComponentReach], chunks: [ChunkSummary], complete: Bool, rawBytes: UInt64,
        loadMicroseconds: UInt64, cheapestOffset: UInt64, prefillRate: UInt32
    ) {
        self.offset = offset
        self.reaches = reaches
        self.chunks = chunks
        self.complete = complete
        self.rawBytes = rawBytes
        self.loadMicroseconds = loadMicroseconds
        self.cheapestOffset = cheapestOffset
        self.prefillRate = prefillRate
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(offset)
        writer.write(UInt8(complete ? 1 : 0))
        writer.write(rawBytes)
        writer.write(loadMicroseconds)
        writer.write(cheapestOffset)
        writer.write(prefillRate)
        writer.write(list: reaches)
        writer.write(list: chunks)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        offset = try reader.read(UInt64.self, "offset")
        complete = try reader.readFlag("complete")
        rawBytes = try reader.read(UInt64.self, "raw bytes")
        loadMicroseconds = try reader.read(UInt64.self, "load time")
        cheapestOffset = try reader.read(UInt64.self, "cheapest offset")
        prefillRate = try reader.read(UInt32.self, "prefill rate")
        reaches = try reader.readList(
            of: ComponentReach.self, limit: Limits.components * Int(Limits.groupSize), "reaches")
        chunks = try reader.readList(of: ChunkSummary.self, limit: Limits.resumeChunks, "chunks")
    }
}

/// Bring what a resume would load into memory, in the background; the answer does not wait for it.
public struct Prefetch: Request {
    /// Answers with ``Done``.
    public typealias Answer = Done
    /// prefetch.
    public static let type = MessageType.prefetch

    /// Session id.
    public var session: UInt64
    /// Largest offset of interest in tokens.
    public var atMost: UInt64

    /// A request.
    public init(session: UInt64, atMost: UInt64 = .max) {
        self.session = session
        self.atMost = atMost
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(session)
        writer.write(atMost)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        session = try reader.read(UInt64.self, "session")
        atMost = try reader.read(UInt64.self, "at most")
    }
}
