import LarderModel

/// Where should a worker save the recurrent states of a session, on its way to some length?
public struct PlanSnapshots: Request {
    /// Answers with ``SnapshotPlan``.
    public typealias Answer = SnapshotPlan
    /// planSnapshots.
    public static let type = MessageType.planSnapshots

    /// Session id.
    public var session: UInt64
    /// Tokens that the session will have.
    public var length: UInt64
    /// Where the worker begins to compute, in tokens.
    public var resumedAt: UInt64
    /// Tokens from one place where the worker can save a state to the next; at least 1.
    public var boundary: UInt32
    /// Tokens from one regular state to the next; 0 for none.
    public var stride: UInt32
    /// Most states; 0 for ``LarderModel/Limits/snapshotsPerPlan``.
    public var budget: UInt32

    /// A request.
    public init(
        session: UInt64, length: UInt64, resumedAt: UInt64 = 0, boundary: UInt32, stride: UInt32 = 0, budget: UInt32 = 0
    ) {
        self.session = session
        self.length = length
        self.resumedAt = resumedAt
        self.boundary = boundary
        self.stride = stride
        self.budget = budget
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(session)
        writer.write(length)
        writer.write(resumedAt)
        writer.write(boundary)
        writer.write(stride)
        writer.write(budget)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        session = try reader.read(UInt64.self, "session")
        length = try reader.read(UInt64.self, "length")
        resumedAt = try reader.read(UInt64.self, "resumed at")
        boundary = try reader.read(UInt32.self, "boundary")
        guard boundary > 0 else {
            throw LarderError(.invalidArgument, "a boundary of 0 tokens cannot be; send the worker's page")
        }
        stride = try reader.read(UInt32.self, "stride")
        budget = try reader.read(UInt32.self, "budget")
    }
}

/// Answers ``PlanSnapshots``.
public struct SnapshotPlan: Message {
    /// Offsets in tokens, rising.
    public var offsets: [UInt64]

    /// An answer.
    public init(offsets: [UInt64]) { self.offsets = offsets }

    public func write(to writer: inout ByteWriter) {
        writer.write(UInt32(offsets.count))
        for offset in offsets { writer.write(offset) }
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        let count = Int(try reader.read(UInt32.self, "offsets"))
        guard count <= Limits.snapshotsPerPlan else {
            throw LarderError(.invalidArgument, "offsets has \(count) items; at most \(Limits.snapshotsPerPlan) can be")
        }
        offsets = []
        for _ in 0..<count { offsets.append(try reader.read(UInt64.self, "offset")) }
    }
}
