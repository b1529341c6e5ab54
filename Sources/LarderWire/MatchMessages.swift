import LarderModel

/// How many of a list of prefix keys, from the first on, name stored chunks of a component?
public struct Match: Request {
    /// Answers with ``MatchAnswer``.
    public typealias Answer = MatchAnswer
    /// match.
    public static let type = MessageType.match

    /// Namespace.
    public var namespace: String
    /// The model whose state is wanted.
    public var modelID: UInt32
    /// Component index.
    public var component: UInt16
    /// Keys, in order of their prefixes.
    public var keys: [PrefixKey]

    /// A request.
    public init(namespace: String, modelID: UInt32, component: UInt16, keys: [PrefixKey]) {
        self.namespace = namespace
        self.modelID = modelID
        self.component = component
        self.keys = keys
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(namespace)
        writer.write(modelID)
        writer.write(component)
        writer.write(keys)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        namespace = try reader.readString("namespace")
        modelID = try reader.read(UInt32.self, "model id")
        component = try reader.read(UInt16.self, "component")
        keys = try reader.readKeys()
    }
}

/// Answers ``Match``.
public struct MatchAnswer: Message {
    /// So many keys, from the first on, are known.
    public var matched: UInt32

    /// An answer.
    public init(matched: UInt32) { self.matched = matched }

    public func write(to writer: inout ByteWriter) { writer.write(matched) }

    public init(from reader: inout ByteReader) throws(LarderError) { matched = try reader.read(UInt32.self, "matched") }
}
