import Crypto
import LarderModel

/// A namespace as the store knows it.
public struct StoredNamespace: Sendable {
    /// The store's number for it.
    public let id: UInt32
    /// Its name.
    public let name: String
    /// The user whose peers may use it.
    public let ownerUserID: UInt32
    /// What it is allowed and how it is kept. Its salt is for the store alone.
    public var policy = NamespacePolicy()

    init(id: UInt32, name: String, ownerUserID: UInt32) {
        self.id = id
        self.name = name
        self.ownerUserID = ownerUserID
    }

    /// The key under which a chunk that a worker names `key` is stored and looked up: SHA-256 of salt and key where there
    /// is a salt. nil where nothing is shared.
    func storedKey(_ key: PrefixKey) -> PrefixKey? {
        guard policy.sharing == .shared else { return nil }
        if policy.salt.isEmpty { return key }
        var salted = ByteWriter(capacity: Limits.saltBytes + PrefixKey.byteCount)
        salted.write(raw: policy.salt)
        key.write(to: &salted)
        return PrefixKey(Array(SHA256.hash(data: salted.bytes)))
    }

    // MARK: the record (Docs/FORMAT.md, "namespace")

    /// The record's fields.
    var fields: ByteWriter {
        var writer = ByteWriter(capacity: 96)
        writer.write(name)
        writer.write(ownerUserID)
        writer.write(policy.sharing.rawValue)
        writer.write(UInt8(policy.salt.count))
        writer.write(raw: policy.salt)
        writer.write(policy.ttlSeconds)
        writer.write(policy.minBytes)
        writer.write(policy.maxBytes)
        writer.write(policy.maxSessions)
        writer.write(policy.admission.rawValue)
        return writer
    }

    init(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(LarderError) {
        var reader = try Record.open(value, key: key, "namespace")
        id = UInt32(WordKey.word(key, 0))
        name = try reader.readString("namespace")
        ownerUserID = try reader.read(UInt32.self, "owner")
        policy.sharing = try reader.read(Sharing.self, "sharing")
        policy.salt = Array(try reader.readBytes(Int(try reader.read(UInt8.self, "salt")), "salt"))
        policy.ttlSeconds = try reader.read(UInt32.self, "time to live")
        policy.minBytes = try reader.read(UInt64.self, "least bytes")
        policy.maxBytes = try reader.read(UInt64.self, "most bytes")
        policy.maxSessions = try reader.read(UInt32.self, "most sessions")
        policy.admission = try reader.read(Admission.self, "admission")
        try reader.finish("a namespace record")
        try policy.validate()
    }
}
