import LarderModel

/// Counters and facts of the daemon.
public struct Stat: Request {
    /// Answers with ``StatAnswer``.
    public typealias Answer = StatAnswer
    /// stat.
    public static let type = MessageType.stat

    /// A request.
    public init() {}

    public func write(to writer: inout ByteWriter) {}

    public init(from reader: inout ByteReader) throws(LarderError) {}
}

/// One number of the daemon.
public struct Counter: Message, Hashable {
    /// Its name, with the unit last: `stored_bytes`.
    public var name: String
    /// Its value.
    public var value: UInt64

    /// A counter from its fields.
    public init(_ name: String, _ value: UInt64) {
        self.name = name
        self.value = value
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(name)
        writer.write(value)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        name = try reader.readString("counter name")
        value = try reader.read(UInt64.self, "counter value")
    }
}

/// Answers ``Stat``. Later daemons may answer more counters; their order has no meaning.
public struct StatAnswer: Message {
    /// Facts in words: `version`, `store_id`, `data_dir`.
    public var facts: [Fact]
    /// Numbers.
    public var counters: [Counter]

    /// One fact.
    public struct Fact: Message, Hashable {
        /// Its name.
        public var name: String
        /// Its value.
        public var value: String

        /// A fact from its fields.
        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }

        public func write(to writer: inout ByteWriter) {
            writer.write(name)
            writer.write(value)
        }

        public init(from reader: inout ByteReader) throws(LarderError) {
            name = try reader.readString("fact name")
            value = try reader.readString("fact value")
        }
    }

    /// An answer from its fields.
    public init(facts: [Fact], counters: [Counter]) {
        self.facts = facts
        self.counters = counters
    }

    /// The value of a counter; 0 if the daemon does not have it.
    public subscript(_ name: String) -> UInt64 { counters.first { $0.name == name }?.value ?? 0 }

    public func write(to writer: inout ByteWriter) {
        writer.write(list: facts)
        writer.write(list: counters)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        facts = try reader.readList(of: Fact.self, limit: Limits.pageEntries, "facts")
        counters = try reader.readList(of: Counter.self, limit: Limits.pageEntries, "counters")
    }
}
