/// Builds little-endian bytes: frames, stored records, fingerprints.
public struct ByteWriter: Sendable {
    /// What was written so far.
    @inlinable public var bytes: [UInt8] { storage }
    @usableFromInline var storage: [UInt8] = []

    /// An empty writer with room for `capacity` bytes.
    public init(capacity: Int = 64) { storage.reserveCapacity(capacity) }

    /// Appends an integer, little-endian.
    @inlinable
    public mutating func write<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.littleEndian) { storage.append(contentsOf: $0) }
    }

    /// Appends a string as u16 length and UTF-8, cut at a character boundary if it is longer than that.
    public mutating func write(_ text: String) {
        var text = text
        while text.utf8.count > Int(UInt16.max) { text.removeLast() }
        write(UInt16(text.utf8.count))
        storage.append(contentsOf: text.utf8)
    }

    /// Appends bytes as they are.
    public mutating func write(raw: UnsafeRawBufferPointer) { storage.append(contentsOf: raw) }

    /// Appends bytes as they are.
    public mutating func write(raw: [UInt8]) { storage.append(contentsOf: raw) }

    /// Overwrites a u32 that was written at `position`.
    public mutating func patch(_ value: UInt32, at position: Int) {
        withUnsafeBytes(of: value.littleEndian) { source in
            storage.withUnsafeMutableBytes {
                UnsafeMutableRawBufferPointer(rebasing: $0[position..<position + 4]).copyMemory(from: source)
            }
        }
    }
}

/// Takes little-endian bytes apart, checking each length against what is there.
public struct ByteReader {
    @usableFromInline let bytes: UnsafeRawBufferPointer
    /// Where the next field starts.
    @inlinable public var position: Int { next }
    @usableFromInline var next = 0

    /// A reader over `bytes`, which must outlive it.
    public init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Bytes not read yet.
    @inlinable public var remaining: Int { bytes.count - next }

    /// The next integer. `field` names it in the error.
    @inlinable
    public mutating func read<T: FixedWidthInteger>(_ type: T.Type, _ field: StaticString) throws(LarderError) -> T {
        let size = MemoryLayout<T>.size
        guard remaining >= size else { throw truncated(field, size) }
        defer { next += size }
        return T(littleEndian: bytes.loadUnaligned(fromByteOffset: next, as: T.self))
    }

    /// The next string: u16 length and UTF-8, which is checked.
    public mutating func readString(_ field: StaticString) throws(LarderError) -> String {
        let raw = try readBytes(Int(try read(UInt16.self, field)), field)
        guard let text = String(validating: raw, as: UTF8.self) else {
            throw LarderError(.invalidArgument, "\(field) is not valid UTF-8; send UTF-8")
        }
        return text
    }

    /// The next `count` bytes, in place.
    public mutating func readBytes(_ count: Int, _ field: StaticString) throws(LarderError) -> UnsafeRawBufferPointer {
        guard count >= 0, remaining >= count else { throw truncated(field, count) }
        defer { next += count }
        return UnsafeRawBufferPointer(rebasing: bytes[next..<next + count])
    }

    /// The next byte as an enumeration of documented values.
    public mutating func read<E: RawRepresentable>(_ type: E.Type, _ field: StaticString) throws(LarderError) -> E
    where E.RawValue == UInt8 {
        let raw = try read(UInt8.self, field)
        guard let value = E(rawValue: raw) else {
            throw LarderError(.invalidArgument, "\(field) is \(raw), which has no meaning in this version")
        }
        return value
    }

    /// Throws unless every byte was read.
    public func finish(_ what: StaticString) throws(LarderError) {
        if remaining != 0 { throw LarderError(.malformed, "\(what) has \(remaining) bytes after its last field") }
    }

    @usableFromInline
    func truncated(_ field: StaticString, _ size: Int) -> LarderError {
        LarderError(.malformed, "\(field) needs \(size) bytes at byte \(position), but \(remaining) are left")
    }
}
