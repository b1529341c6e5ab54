import LarderCodec
import LarderModel
import LarderPolicy
import LarderSystem

// The memory of heat survives a restart in a file of its own. It is no part of the store: without it, or with one that is
// damaged or old, what is hot is learned anew.
extension HeatTracker {
    /// "LHT1", little-endian.
    private static let magic: UInt32 = 0x3154_484C
    /// Bytes of the file before the table: magic, CRC32C, and what ``SweepRule`` writes before its entries.
    private static let headerBytes = 256

    /// The most bytes that the file of a memory of so many keys takes.
    static func fileBytes(keys: Int) -> Int {
        var capacity = HeatTable.ways
        while capacity < keys { capacity *= 2 }
        return headerBytes + 16 * capacity
    }

    /// Reads a file that ``save(_:)`` wrote, if there is one that is whole.
    func load(_ path: String) {
        let limit = Self.fileBytes(keys: keys)
        // One of a larger store takes room that is not meant for it.
        if FileSystem.size(path) ?? 0 > limit { try? FileSystem.remove(path) }
        guard let bytes = try? FileSystem.read(path, limit: limit), bytes.count > 8 else { return }
        let body = Array(bytes[8...])
        let (magic, checksum) = bytes.withUnsafeBytes {
            (
                UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self)),
                UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
            )
        }
        guard magic == Self.magic, checksum == body.withUnsafeBytes({ CRC32C.checksum($0) }) else { return }
        restore(body)
    }

    /// Writes the memory to a file.
    func save(_ path: String) throws(SystemError) {
        let body = bytes
        var writer = ByteWriter(capacity: 8)
        writer.write(Self.magic)
        writer.write(body.withUnsafeBytes { CRC32C.checksum($0) })
        try FileSystem.replace(path, with: writer.bytes + body)
    }
}
