import LarderModel

/// What the store says of a session: its name, its models, and the line that it writes to.
struct SessionRecord {
    var namespaceID: UInt32
    var name: String
    /// The line that the session writes to, and whose ancestors are its past.
    var head: UInt64
    /// Model ids by rank, in order of rank.
    var models: [(rank: UInt16, modelID: UInt32)]
    var createdSeconds: UInt64
    /// Seconds since the last use after which its state expires; 0 for what its namespace says.
    var ttlSeconds: UInt32 = 0

    init(namespaceID: UInt32, name: String, head: UInt64, createdSeconds: UInt64) {
        self.namespaceID = namespaceID
        self.name = name
        self.head = head
        models = []
        self.createdSeconds = createdSeconds
    }

    func modelID(rank: UInt16) -> UInt32? { models.first { $0.rank == rank }?.modelID }

    func sealed(key: UnsafeRawBufferPointer) -> [UInt8] {
        var writer = ByteWriter(capacity: 96)
        writer.write(namespaceID)
        writer.write(name)
        writer.write(head)
        writer.write(UInt16(models.count))
        for model in models {
            writer.write(model.rank)
            writer.write(model.modelID)
        }
        writer.write(createdSeconds)
        writer.write(ttlSeconds)
        return Record.seal(writer, key: key)
    }

    init(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(LarderError) {
        var reader = try Record.open(value, key: key, "session")
        namespaceID = try reader.read(UInt32.self, "namespace id")
        name = try reader.readString("session name")
        head = try reader.read(UInt64.self, "head")
        models = []
        for _ in 0..<(try reader.read(UInt16.self, "model count")) {
            models.append((try reader.read(UInt16.self, "rank"), try reader.read(UInt32.self, "model id")))
        }
        createdSeconds = try reader.read(UInt64.self, "created")
        ttlSeconds = try reader.read(UInt32.self, "time to live")
        try reader.finish("a session record")
    }
}
