/// A worker's name for a chunk by what is in it and before it: a hash over the tokens up to the chunk's end, chained, so that
/// equal keys mean equal prefixes. 32 bytes.
public struct PrefixKey: Sendable, Hashable {
    /// Bytes of a key.
    public static let byteCount = 32

    /// The four words of the key, as its bytes follow.
    public let words: [4 of UInt64]

    /// A key from its bytes; nil unless there are 32.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        words = bytes.withUnsafeBytes { raw in
            [
                raw.loadUnaligned(fromByteOffset: 0, as: UInt64.self),
                raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
                raw.loadUnaligned(fromByteOffset: 16, as: UInt64.self),
                raw.loadUnaligned(fromByteOffset: 24, as: UInt64.self),
            ]
        }
    }

    /// Appends the key's bytes.
    public func write(to writer: inout ByteWriter) {
        for index in 0..<4 { withUnsafeBytes(of: words[index]) { writer.write(raw: $0) } }
    }

    /// Reads what ``write(to:)`` wrote.
    public init(from reader: inout ByteReader) throws(LarderError) {
        let raw = try reader.readBytes(Self.byteCount, "prefix key")
        words = [
            raw.loadUnaligned(fromByteOffset: 0, as: UInt64.self),
            raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
            raw.loadUnaligned(fromByteOffset: 16, as: UInt64.self),
            raw.loadUnaligned(fromByteOffset: 24, as: UInt64.self),
        ]
    }

    public static func == (one: PrefixKey, other: PrefixKey) -> Bool {
        (0..<4).allSatisfy { one.words[$0] == other.words[$0] }
    }

    public func hash(into hasher: inout Hasher) { for index in 0..<4 { hasher.combine(words[index]) } }
}
