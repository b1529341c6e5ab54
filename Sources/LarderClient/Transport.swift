import LarderModel
import LarderSystem
import LarderWire

/// Frames over a socket: sends requests, receives answers, and matches them by id.
final class Transport {
    private let socket: UnixSocket
    private var nextID: UInt64 = 1
    private let input = SocketReader(capacity: Limits.readAheadBytes)
    /// For bodies that the reader does not hold.
    private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    init(_ socket: consuming UnixSocket) { self.socket = socket }

    deinit { buffer.deallocate() }

    /// A received frame; its body is valid until the next one is received.
    struct Answer {
        let header: FrameHeader
        let body: UnsafeRawBufferPointer
    }

    /// Sends a request and waits for its answer.
    func ask<R: Request>(_ request: R) throws(ClientError) -> R.Answer {
        let id = try send(request)
        return try answer(to: R.self, id)
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
        return try answer(to: R.self, id)
    }

    private func answer<R: Request>(to _: R.Type, _ id: UInt64) throws(ClientError) -> R.Answer {
        let answer = try receive()
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
    func receive() throws(ClientError) -> Answer {
        try fill(FrameHeader.byteCount)
        let header = FrameHeader(input.take(FrameHeader.byteCount))
        let count = Int(header.bodyBytes)
        guard count <= Limits.frameBytes else { throw .violation("a frame of \(count) bytes") }
        if count <= input.capacity {
            try fill(count)
            return Answer(header: header, body: input.take(count))
        }
        if buffer.count < count {
            buffer.deallocate()
            buffer = .allocate(byteCount: count, alignment: 16)
        }
        let body = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
        let early = input.take(min(input.available, count))
        body.copyMemory(from: early)
        let rest = UnsafeMutableRawBufferPointer(rebasing: body[early.count...])
        let received: Int
        do { received = try socket.receive(into: rest) } catch { throw .connection(error) }
        if received < rest.count { throw .closed }
        return Answer(header: header, body: UnsafeRawBufferPointer(body))
    }

    /// The descriptor that came with the answer just received, and with nothing else; nil if there is not exactly one.
    func takeDescriptor() -> Descriptor? {
        defer { input.descriptors.closeAll() }
        return input.descriptors.count == 1 ? input.descriptors.takeFirst() : nil
    }

    private func fill(_ count: Int) throws(ClientError) {
        do { _ = try input.fill(count, from: socket) } catch { throw .connection(error) }
        if input.available < count { throw .closed }
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
