import LarderClient
import LarderModel
import LarderSystem

/// The part of HTTP/1.1 (RFC 9112) that an answer of the admin socket needs: a status, a length or chunks, a body. Every length
/// is bounded; what does not follow it is ``ClientError/violation(_:)``.
struct HTTPResponse: ~Copyable {
    /// Bytes of the status line and of all fields.
    static let headBytes = 64 << 10
    /// Bytes of a body that is read as a whole.
    static let bodyBytes = 64 << 20
    /// Bytes of one line of a stream.
    static let lineBytes = 64 << 10

    /// How a body ends.
    private enum Framing {
        case length(Int)
        /// In chunks; so many bytes are left of the one at hand.
        case chunks(left: Int, isFirst: Bool)
        case untilClose
        case over
    }

    /// Where bytes come from: some into the buffer, 0 at the end.
    typealias Source = (UnsafeMutableRawBufferPointer) throws(SystemError) -> Int

    /// Such as 200.
    private(set) var status = 0
    private let source: Source
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 16 << 10, alignment: 8)
    private var next = 0
    private var end = 0
    private var framing = Framing.untilClose

    /// Reads the status and the fields.
    init(from source: @escaping Source) throws(ClientError) {
        self.source = source
        var left = Self.headBytes
        let first = try line(limit: &left)
        let parts = first.split(separator: " ", maxSplits: 2)
        guard parts.count >= 2, parts[0].hasPrefix("HTTP/1."), parts[1].utf8.count == 3, let status = Int(parts[1]),
            (200...599).contains(status)
        else { throw .violation("'\(first.clipped)' is no status line of HTTP/1.1; is this the admin socket?") }
        self.status = status
        var length: Int?
        var isChunked = false
        while true {
            let field = try line(limit: &left)
            if field.isEmpty { break }
            guard let colon = field.firstIndex(of: ":") else { throw .violation("a field of HTTP without a colon") }
            let value = field[field.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            switch field[..<colon].lowercased() {
            case "content-length":
                guard let count = Int(value), count >= 0, length == nil else {
                    throw .violation("a length of '\(value)'")
                }
                length = count
            case "transfer-encoding":
                guard value.lowercased() == "chunked" else { throw .violation("a transfer in '\(value)'") }
                isChunked = true
            default: break
            }
        }
        if isChunked && length != nil { throw .violation("a body with a length and in chunks") }
        framing = isChunked ? .chunks(left: 0, isFirst: true) : length.map { .length($0) } ?? .untilClose
    }

    deinit { buffer.deallocate() }

    /// The whole body.
    mutating func body() throws(ClientError) -> [UInt8] {
        var body: [UInt8] = []
        while try append(to: &body) > 0 {
            if body.count > Self.bodyBytes { throw .violation("a body of more than \(Self.bodyBytes) bytes") }
        }
        return body
    }

    /// Calls `body` with each line of the body as it comes, until it returns false or the body ends.
    mutating func forEachLine(_ body: (String) -> Bool) throws(ClientError) {
        var pending: [UInt8] = []
        var looked = 0
        while true {
            guard let newline = pending[looked...].firstIndex(of: 0x0A) else {
                looked = pending.count
                if looked > Self.lineBytes { throw .violation("a line of more than \(Self.lineBytes) bytes") }
                if try append(to: &pending) == 0 { return }
                continue
            }
            let line = pending[..<newline].last == 0x0D ? pending[..<(newline - 1)] : pending[..<newline]
            let isWanted = body(String(decoding: line, as: UTF8.self))
            pending.removeFirst(newline + 1)
            looked = 0
            if !isWanted { return }
        }
    }

    /// Appends what has come of the body, at least a byte; returns 0 at its end.
    private mutating func append(to body: inout [UInt8]) throws(ClientError) -> Int {
        if case .chunks(let left, let isFirst) = framing, left == 0 { try beginChunk(isFirst: isFirst) }
        let most: Int
        switch framing {
        case .over: return 0
        case .length(let left): most = left
        case .chunks(let left, _): most = left
        case .untilClose: most = .max
        }
        if most == 0 { return 0 }
        if next == end, try fill() == 0 {
            if case .untilClose = framing { return 0 }
            throw .closed
        }
        let count = min(most, end - next)
        body.append(contentsOf: buffer[next..<next + count])
        next += count
        switch framing {
        case .length(let left): framing = .length(left - count)
        case .chunks(let left, _): framing = .chunks(left: left - count, isFirst: false)
        case .untilClose, .over: break
        }
        return count
    }

    private mutating func beginChunk(isFirst: Bool) throws(ClientError) {
        var left = 1_024
        if !isFirst {
            guard try line(limit: &left).isEmpty else { throw .violation("a chunk longer than it says") }
        }
        let digits = try line(limit: &left).prefix { $0 != ";" && $0 != " " }
        guard digits.utf8.count <= 8, let count = Int(digits, radix: 16), count >= 0 else {
            throw .violation("a chunk of '\(digits)' bytes")
        }
        framing = count == 0 ? .over : .chunks(left: count, isFirst: false)
    }

    /// The next line, without its end.
    private mutating func line(limit: inout Int) throws(ClientError) -> String {
        var bytes: [UInt8] = []
        while true {
            if next == end, try fill() == 0 { throw .closed }
            let byte = buffer[next]
            next += 1
            limit -= 1
            if limit < 0 { throw .violation("fields of HTTP that are too long") }
            if byte == 0x0A { break }
            bytes.append(byte)
        }
        if bytes.last == 0x0D { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    private mutating func fill() throws(ClientError) -> Int {
        do { end = try source(buffer) } catch { throw .connection(error) }
        next = 0
        return end
    }
}
