import LarderModel
import LarderSystem
import LarderWire

/// Frames over a socket: sends requests, receives answers, and matches them by id.
final class Transport {
    private let socket: UnixSocket
    private var nextID: UInt64 = 1
    private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    init(_ socket: consuming UnixSocket) { self.socket = socket }

    deinit { buffer.deallocate() }

    /// A received frame; its body is valid until the next one is received.
    struct Answer {
        let header: FrameHeader
        let body: UnsafeRawBufferPointer
    }

    /// Sends a request and waits for its answer, and for the descriptors that come with it.
    func ask<R: Request>(_ request: R, descriptors: ReceivedDescriptors? = nil) throws(ClientError) -> R.Answer {
        let id = try send(request)
        return try answer(to: R.self, id, descriptors: descriptors)
    }

    /// Sends a request together with the descriptor of shared memory, and waits for its answer.
    func ask<R: Request>(_ request: R, sharing memory: borrowing SharedMemory) throws(ClientError) -> R.Answer {
        let id = nextID
        nextID += 1
        let frame = request.frame(requestID: id)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: frame.count, alignment: 8)
        defer { buffer.deallocate() }
        buffer.copyBytes(from: frame)
        do { try socket.send(UnsafeRawBufferPointer(buffer), with: memory) } catch { throw .connection(error) }
        return try answer(to: R.self, id, descriptors: nil)
    }

    private func answer<R: Request>(
        to _: R.Type, _ id: UInt64, descriptors: ReceivedDescriptors?
    ) throws(ClientError) -> R.Answer {
        let answer = try receive(descriptors: descriptors)
        let isRefusedAtOnce = answer.header.type == FrameHeader.errorType && answer.header.requestID == 0
        // A connection that is refused at once is answered under request 0.
        guard answer.header.requestID == id || isRefusedAtOnce else {
            throw .violation("it answered request \(answer.header.requestID), not \(id)")
        }
        return try decode(answer, as: R.self) { body throws(LarderError) in try R.Answer(body: body) }
    }

    /// Sends a request and the payloads that belong to it, and returns its id.
    func send(_ request: some Request, payloads: [UnsafeRawBufferPointer] = []) throws(ClientError) -> UInt64 {
        let id = nextID
        nextID += 1
        let frame = request.frame(requestID: id, payloadBytes: payloads.reduce(0) { $0 + $1.count })
        do throws(SystemError) {
            try frame.withUnsafeBufferPointer { bytes throws(SystemError) in
                try socket.send(UnsafeRawBufferPointer(bytes))
            }
            for payload in payloads { try socket.send(payload) }
        } catch {
            // The daemon may have said why before it closed.
            if let answer = try? receive(), answer.header.type == FrameHeader.errorType,
                let refusal = try? Refusal(body: answer.body)
            {
                throw .refused(refusal.error)
            }
            throw .connection(error)
        }
        return id
    }

    /// Receives the next frame.
    func receive(descriptors: ReceivedDescriptors? = nil) throws(ClientError) -> Answer {
        var headerBytes = (UInt64(0), UInt64(0))
        let header = try withUnsafeMutableBytes(of: &headerBytes) { bytes throws(ClientError) in
            try fill(bytes, descriptors: descriptors)
            return FrameHeader(UnsafeRawBufferPointer(bytes))
        }
        let count = Int(header.bodyBytes)
        guard count <= Limits.frameBytes else { throw .violation("a frame of \(count) bytes") }
        if buffer.count < count {
            buffer.deallocate()
            buffer = .allocate(byteCount: max(count, 65_536), alignment: 64)
        }
        let body = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
        try fill(body)
        return Answer(header: header, body: UnsafeRawBufferPointer(body))
    }

    private func fill(
        _ bytes: UnsafeMutableRawBufferPointer, descriptors: ReceivedDescriptors? = nil
    ) throws(ClientError) {
        let count: Int
        do throws(SystemError) {
            if let descriptors {
                count = try socket.receive(into: bytes, descriptors: descriptors, mayIdle: false).count
            } else {
                count = try socket.receive(into: bytes)
            }
        } catch { throw .connection(error) }
        if count < bytes.count { throw .closed }
    }

    /// Reads an answer to a request of type `R`, or throws the refusal that it is.
    func decode<R: Request, Value>(
        _ answer: Answer, as _: R.Type, _ read: (UnsafeRawBufferPointer) throws(LarderError) -> Value
    ) throws(ClientError) -> Value {
        if answer.header.type == FrameHeader.errorType {
            guard let refusal = try? Refusal(body: answer.body) else {
                throw .violation("a refusal that cannot be read")
            }
            throw .refused(refusal.error)
        }
        guard answer.header.type == R.type.rawValue | FrameHeader.answerBit else {
            throw .violation("an answer of type \(answer.header.type) to a \(R.type)")
        }
        do { return try read(answer.body) } catch { throw .violation(error.message) }
    }
}
