import LarderModel

/// What has paging saved, and what did it take?
public struct Report: Request {
    /// Answers with ``ReportAnswer``.
    public typealias Answer = ReportAnswer
    /// report.
    public static let type = MessageType.report

    /// Session id, for what it alone was served since the daemon's start; the fields below are then 0 and empty. 0 for a
    /// report by namespace and model.
    public var session: UInt64
    /// Seconds since 1970; the whole hour that it lies in counts.
    public var from: UInt64
    /// Seconds since 1970, not included; the whole hour before it counts. 0 for no end.
    public var to: UInt64
    /// One namespace's name; empty for all that the peer may see.
    public var namespace: String
    /// One model, or a rank's of a group; 0 for all.
    public var modelID: UInt32
    /// ``ReportAnswer/next`` of the page before; 0 to start.
    public var after: UInt64

    /// A request.
    public init(
        session: UInt64 = 0, from: UInt64 = 0, to: UInt64 = 0, namespace: String = "", modelID: UInt32 = 0,
        after: UInt64 = 0
    ) {
        self.session = session
        self.from = from
        self.to = to
        self.namespace = namespace
        self.modelID = modelID
        self.after = after
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(session)
        writer.write(from)
        writer.write(to)
        writer.write(namespace)
        writer.write(modelID)
        writer.write(after)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        session = try reader.read(UInt64.self, "session")
        from = try reader.read(UInt64.self, "from")
        to = try reader.read(UInt64.self, "to")
        namespace = try reader.readString("namespace")
        modelID = try reader.read(UInt32.self, "model id")
        after = try reader.read(UInt64.self, "after")
    }
}

/// What was counted for a model in a namespace, or for a session.
public struct ReportRow: Message, Hashable {
    /// Namespace.
    public var namespace: String
    /// The model; of a parallel group that of its lowest rank.
    public var modelID: UInt32
    /// Tokens of chunks that were newly stored.
    public var storedTokens: UInt64
    /// Tokens of chunks that were paged in, each time.
    public var restoredTokens: UInt64
    /// Of those, tokens within the offset of the resume before, each once a resume.
    public var notRecomputedTokens: UInt64
    /// Raw bytes of chunks that were newly stored, all components and ranks.
    public var pageOutRawBytes: UInt64
    /// Bytes that they took in the store.
    public var pageOutStoredBytes: UInt64
    /// Raw bytes that were paged in.
    public var pageInRawBytes: UInt64
    /// Bytes in the store that were decoded for them.
    public var pageInStoredBytes: UInt64
    /// Tokens a second of prefill; 0 if it is not known.
    public var prefillRate: UInt32
    /// Where that comes from.
    public var rateOrigin: PrefillRateOrigin
    /// What computing ``notRecomputedTokens`` at that rate would have taken, in milliseconds; 0 if it is not known.
    public var prefillAvoidedMilliseconds: UInt64

    /// A row of zeros, but for whose it is.
    public init(namespace: String, modelID: UInt32) {
        self.namespace = namespace
        self.modelID = modelID
        storedTokens = 0
        restoredTokens = 0
        notRecomputedTokens = 0
        pageOutRawBytes = 0
        pageOutStoredBytes = 0
        pageInRawBytes = 0
        pageInStoredBytes = 0
        prefillRate = 0
        rateOrigin = .none
        prefillAvoidedMilliseconds = 0
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(namespace)
        writer.write(modelID)
        writer.write(storedTokens)
        writer.write(restoredTokens)
        writer.write(notRecomputedTokens)
        writer.write(pageOutRawBytes)
        writer.write(pageOutStoredBytes)
        writer.write(pageInRawBytes)
        writer.write(pageInStoredBytes)
        writer.write(prefillRate)
        writer.write(rateOrigin.rawValue)
        writer.write(prefillAvoidedMilliseconds)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        namespace = try reader.readString("namespace")
        modelID = try reader.read(UInt32.self, "model id")
        storedTokens = try reader.read(UInt64.self, "stored tokens")
        restoredTokens = try reader.read(UInt64.self, "restored tokens")
        notRecomputedTokens = try reader.read(UInt64.self, "not recomputed tokens")
        pageOutRawBytes = try reader.read(UInt64.self, "page out raw bytes")
        pageOutStoredBytes = try reader.read(UInt64.self, "page out stored bytes")
        pageInRawBytes = try reader.read(UInt64.self, "page in raw bytes")
        pageInStoredBytes = try reader.read(UInt64.self, "page in stored bytes")
        prefillRate = try reader.read(UInt32.self, "prefill rate")
        rateOrigin = try reader.read(PrefillRateOrigin.self, "rate origin")
        prefillAvoidedMilliseconds = try reader.read(UInt64.self, "prefill avoided")
    }
}

/// Answers ``Report``.
public struct ReportAnswer: Message {
    /// Seconds since 1970 where the first hour begins in which anything was counted, 0 if nothing was; of a session, since
    /// when its counts are known.
    public var from: UInt64
    /// Seconds since 1970 where the last such hour ends; of a session, now.
    public var to: UInt64
    /// What a GPU-hour costs, in millionths of the operator's currency; 0 if the daemon was not told.
    public var gpuHourPriceMicros: UInt64
    /// Where to go on; 0 at the end.
    public var next: UInt64
    /// In order of namespace and model; at most ``LarderModel/Limits/pageEntries``. One for a session, if it was served.
    public var rows: [ReportRow]

    /// An answer from its fields.
    public init(from: UInt64, to: UInt64, gpuHourPriceMicros: UInt64, next: UInt64, rows: [ReportRow]) {
        self.from = from
        self.to = to
        self.gpuHourPriceMicros = gpuHourPriceMicros
        self.next = next
        self.rows = rows
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(from)
        writer.write(to)
        writer.write(gpuHourPriceMicros)
        writer.write(next)
        writer.write(list: rows)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        from = try reader.read(UInt64.self, "from")
        to = try reader.read(UInt64.self, "to")
        gpuHourPriceMicros = try reader.read(UInt64.self, "price of a GPU-hour")
        next = try reader.read(UInt64.self, "next")
        rows = try reader.readList(of: ReportRow.self, limit: Limits.pageEntries, "rows")
    }
}

/// Say how fast the workers of a model compute, before what they report themselves.
public struct SetPrefillRate: Request {
    /// Answers with ``Done``.
    public typealias Answer = Done
    /// setPrefillRate.
    public static let type = MessageType.setPrefillRate

    /// The model, or the first rank's of a group.
    public var modelID: UInt32
    /// Tokens a second of prefill, of the whole group; 0 to forget what was set.
    public var prefillRate: UInt32

    /// A request.
    public init(modelID: UInt32, prefillRate: UInt32) {
        self.modelID = modelID
        self.prefillRate = prefillRate
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(modelID)
        writer.write(prefillRate)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        modelID = try reader.read(UInt32.self, "model id")
        prefillRate = try reader.read(UInt32.self, "prefill rate")
    }
}
