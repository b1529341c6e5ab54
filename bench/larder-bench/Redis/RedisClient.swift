import ArgumentParser
import LarderSystem

/// SET and GET in RESP (https://redis.io/docs/reference/protocol-spec), as fast as they go: all of a batch is sent before
/// the first answer is read, and payloads go from and to where they lie.
final class RedisClient {
    private let socket: UnixSocket

    init(_ socket: consuming UnixSocket) { self.socket = socket }

    /// SETs every chunk of a set.
    func set(_ batch: RedisBatch) throws {
        for (header, payload) in zip(batch.setHeaders, batch.payloads) {
            try send(header)
            try socket.send(payload)
        }
        try send(RedisBatch.lineEnd)
        for _ in batch.payloads { try expect(RedisBatch.ok) }
    }

    /// GETs every chunk of a set to its place in `target`.
    func get(_ batch: RedisBatch, to target: UnsafeMutableRawPointer) throws {
        try send(batch.getRequests)
        for (header, chunk) in zip(batch.getHeaders, batch.set.chunks) {
            try expect(header)
            try receive(
                UnsafeMutableRawBufferPointer(start: target + chunk.range.lowerBound, count: chunk.range.count))
        }
        try expect(RedisBatch.lineEnd)
    }

    private func send(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try socket.send($0) } }

    /// Receives as many bytes as `bytes` has, and throws unless they are those.
    private func expect(_ bytes: [UInt8]) throws {
        try withUnsafeTemporaryAllocation(byteCount: bytes.count, alignment: 1) { buffer in
            try receive(buffer)
            guard buffer.elementsEqual(bytes) else {
                throw ValidationError("Redis answered: \(String(decoding: buffer, as: UTF8.self))")
            }
        }
    }

    private func receive(_ buffer: UnsafeMutableRawBufferPointer) throws {
        guard try socket.receive(into: buffer) == buffer.count else {
            throw ValidationError("redis-server closed the connection")
        }
    }
}

/// The requests for a chunk set, written once so that no measurement holds their making.
struct RedisBatch {
    static let lineEnd = Array("\r\n".utf8)
    static let ok = Array("+OK\r\n".utf8)

    let set: ChunkSet
    /// What goes before each payload of a SET, the end of the payload before it included.
    let setHeaders: [[UInt8]]
    /// All GETs.
    let getRequests: [UInt8]
    /// What comes before each payload of the answers to the GETs, the end of the payload before it included.
    let getHeaders: [[UInt8]]

    init(_ set: ChunkSet) {
        self.set = set
        let keys = set.chunks.map { "larder:\(set.model.name):\($0.component):\($0.offset)" }
        let ends = set.chunks.indices.map { $0 == 0 ? "" : "\r\n" }
        setHeaders = set.chunks.indices.map { index in
            let (key, count) = (keys[index], set.chunks[index].range.count)
            return Array("\(ends[index])*3\r\n$3\r\nSET\r\n$\(key.utf8.count)\r\n\(key)\r\n$\(count)\r\n".utf8)
        }
        getRequests = keys.flatMap { Array("*2\r\n$3\r\nGET\r\n$\($0.utf8.count)\r\n\($0)\r\n".utf8) }
        getHeaders = set.chunks.indices.map { Array("\(ends[$0])$\(set.chunks[$0].range.count)\r\n".utf8) }
    }

    /// The chunks' bytes.
    var payloads: [UnsafeRawBufferPointer] { self.set.chunks.map { self.set.bytes(of: $0) } }
}
