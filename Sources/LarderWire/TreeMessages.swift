import LarderModel

/// Ask which lines a session's forks and truncates have made, with those of all sessions that share a past with it.
public struct Tree: Request {
    /// Answers with ``TreeAnswer``.
    public typealias Answer = TreeAnswer
    /// tree.
    public static let type = MessageType.tree

    /// Any session of the tree.
    public var session: UInt64

    /// A request.
    public init(session: UInt64) { self.session = session }

    public func write(to writer: inout ByteWriter) { writer.write(session) }

    public init(from reader: inout ByteReader) throws(LarderError) {
        session = try reader.read(UInt64.self, "session")
    }
}

/// A stretch of state that one session wrote between two forks or truncates.
public struct TreeLine: Message, Hashable {
    /// Its id; larger than its parent's.
    public var line: UInt64
    /// The line that it goes on from; 0 for none.
    public var parent: UInt64
    /// How far it sees its parent, in tokens: where it was forked or truncated. 2^64 - 1 for all; 0 without a parent.
    public var offset: UInt64
    /// The session that writes to it; 0 where there is none any more, and others still see the line.
    public var session: UInt64
    /// That session's name; empty if there is none.
    public var name: String
    /// Where its own last chunk ends, in tokens; 0 if it has none.
    public var end: UInt64
    /// Chunks of its own.
    public var chunks: UInt64
    /// Their raw bytes.
    public var rawBytes: UInt64
    /// Their bytes in the store.
    public var storedBytes: UInt64
    /// When it was changed last, seconds since 1970.
    public var changedSeconds: UInt64

    /// A line from its fields.
    public init(
        line: UInt64, parent: UInt64, offset: UInt64, session: UInt64, name: String, end: UInt64, chunks: UInt64,
        rawBytes: UInt64, storedBytes: UInt64, changedSeconds: UInt64
    ) {
        self.line = line
        self.parent = parent
        self.offset = offset
        self.session = session
        self.name = name
        self.end = end
        self.chunks = chunks
        self.rawBytes = rawBytes
        self.storedBytes = storedBytes
        self.changedSeconds = changedSeconds
    }

    public func write(to writer: inout ByteWriter) {
        for value in [line, parent, offset, session] { writer.write(value) }
        writer.write(name)
        for value in [end, chunks, rawBytes, storedBytes, changedSeconds] { writer.write(value) }
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        line = try reader.read(UInt64.self, "line")
        parent = try reader.read(UInt64.self, "parent")
        offset = try reader.read(UInt64.self, "offset")
        session = try reader.read(UInt64.self, "session")
        name = try reader.readString("session name")
        end = try reader.read(UInt64.self, "end")
        chunks = try reader.read(UInt64.self, "chunks")
        rawBytes = try reader.read(UInt64.self, "raw bytes")
        storedBytes = try reader.read(UInt64.self, "stored bytes")
        changedSeconds = try reader.read(UInt64.self, "changed")
    }
}

/// Answers ``Tree``: first the path of the session that was asked about, from its oldest line on, then what branches off.
public struct TreeAnswer: Message, Hashable {
    /// False if the tree has more lines than ``LarderModel/Limits/treeLines``.
    public var complete: Bool
    /// The lines. One whose parent is not among them is a root.
    public var lines: [TreeLine]

    /// An answer from its fields.
    public init(complete: Bool, lines: [TreeLine]) {
        self.complete = complete
        self.lines = lines
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(UInt8(complete ? 1 : 0))
        writer.write(list: lines)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        complete = try reader.readFlag("complete")
        lines = try reader.readList(of: TreeLine.self, limit: Limits.treeLines, "lines")
    }
}
