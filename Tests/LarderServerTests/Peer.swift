import LarderModel
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// A raw connection to a daemon, for frames that no client would send.
final class Peer: @unchecked Sendable {
    let socket: UnixSocket

    convenience init(_ daemon: TestDaemon, greet: Bool = true) throws {
        try self.init(path: daemon.socket, greet: greet)
    }

    init(path: String, greet: Bool = true) throws {
        socket = try UnixSocket.connect(to: path)
        try socket.setTimeouts(receiveSeconds: 60, sendSeconds: 60)
        if greet {
            try send(Hello(clientName: "hostile").frame(requestID: 1))
            _ = try receive()
        }
    }

    func send(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try socket.send($0) } }

    /// Sends bytes and with them the descriptor of shared memory.
    func send(_ bytes: [UInt8], with memory: borrowing SharedMemory) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
        defer { buffer.deallocate() }
        buffer.copyBytes(from: bytes)
        try socket.send(UnsafeRawBufferPointer(buffer), with: memory)
    }

    /// The next frame; nil at the end of the stream.
    func receive() throws -> (header: FrameHeader, body: [UInt8])? {
        let head = UnsafeMutableRawBufferPointer.allocate(byteCount: 16, alignment: 8)
        defer { head.deallocate() }
        guard try socket.receive(into: head) == 16 else { return nil }
        let header = FrameHeader(UnsafeRawBufferPointer(head))
        let body = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(header.bodyBytes), alignment: 8)
        defer { body.deallocate() }
        #expect(try socket.receive(into: body) == body.count)
        return (header, Array(body))
    }

    /// The code with which the next frame refuses the request.
    func receiveRefusal() throws -> ErrorCode? {
        guard let frame = try receive() else { return nil }
        #expect(frame.header.type == FrameHeader.errorType)
        return try frame.body.withUnsafeBytes { try Refusal(body: $0).error.code }
    }
}
