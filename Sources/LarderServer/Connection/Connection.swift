// One peer. Its own thread reads a frame, answers it, and reads the next; a second thread sends what the store's writers
// answer later. A fault of the peer ends its connection and nothing else.
import LarderModel
import LarderStore
import LarderSystem
import LarderWire
import Logging

/// What connections share.
struct Services: Sendable {
    let store: Store
    let memory: InlineMemory
    let arenas: ArenaBudget
    let counters: ServerCounters
    let errors = ErrorCounts()
    let metrics: ServerMetrics
    let events: EventLog
    let startedNanoseconds: UInt64
    let configuration: Configuration
    /// Where turns are recorded, if they are.
    let recorder: TraceRecorder?
}

final class Connection: @unchecked Sendable {
    let number: UInt64
    private let outbox: Outbox
    private let services: Services
    let peer: PeerCredentials
    let startedSeconds = Clock.wallSeconds()
    /// What the worker calls itself, once it has said so.
    let clientName = Monitor("")
    private let log: Logger

    init(
        number: UInt64, socket: consuming UnixSocket, peer: PeerCredentials, services: Services, log: Logger
    ) throws(SystemError) {
        self.number = number
        self.services = services
        self.peer = peer
        try socket.setTimeouts(receiveSeconds: Limits.frameSeconds, sendSeconds: Limits.frameSeconds)
        outbox = Outbox(socket)
        var log = log
        log[metadataKey: "connection"] = "\(number)"
        log[metadataKey: "uid"] = "\(peer.userID)"
        log[metadataKey: "pid"] = "\(peer.processID)"
        self.log = log
    }

    /// Serves the peer until it goes, breaks the protocol, or ``stopReading()`` is called. Blocks.
    func serve() {
        let outbox = outbox
        let sender: WorkerThread
        do { sender = try WorkerThread(name: "answers-\(number)") { outbox.run() } } catch {
            log.error("no thread for a connection", metadata: ["error": "\(error)"])
            return
        }
        log.debug("connected")
        let reason = readFrames()
        _ = outbox.drain(until: Clock.deadline(seconds: Double(services.configuration.drainSeconds)))
        outbox.close()
        outbox.withSocket { $0.shutdown() }
        sender.join()
        services.recorder?.note(.end(connection: number))
        log.debug("disconnected", metadata: ["reason": "\(reason)"])
    }

    /// Lets the request at hand finish and reads no further.
    func stopReading() { outbox.withSocket { $0.shutdownReceiving() } }

    /// Ends the connection at once.
    func abort() { outbox.withSocket { $0.shutdown() } }

    /// Returns why it stopped.
    private func readFrames() -> String {
        let body = FrameBuffer(services.memory, userID: peer.userID)
        let input = SocketReader(capacity: Limits.readAheadBytes)
        let handler = RequestHandler(
            services: services, connection: number, outbox: outbox, peer: peer, clientName: clientName,
            descriptors: input.descriptors, log: log)
        do throws(SystemError) {
            while true {
                let isWhole = try outbox.withSocket { socket throws(SystemError) in
                    try input.fill(FrameHeader.byteCount, from: socket, mayIdle: handler.hasGreeted)
                }
                if !isWhole { return "more descriptors came than any request takes" }
                if input.available == 0 { return "the peer closed" }
                if input.available < FrameHeader.byteCount { return "the peer closed in the middle of a frame" }
                let header = FrameHeader(input.take(FrameHeader.byteCount))
                if let fatal = try read(header, input, into: body, handler) { return fatal }
                body.reset()
                // Descriptors come with the bytes of the request that takes them: none is on its way now.
                if input.available == 0 { input.descriptors.closeAll() }
            }
        } catch {
            return "\(error)"
        }
    }

    /// Reads a frame's body and has it answered. Returns why the connection must end, if it must.
    private func read(
        _ header: FrameHeader, _ input: SocketReader, into body: FrameBuffer, _ handler: RequestHandler
    ) throws(SystemError) -> String? {
        services.counters.count { $0.requests += 1 }
        let limit = handler.hasGreeted ? Limits.frameBytes : Limits.handshakeBytes
        guard Int(header.bodyBytes) <= limit else {
            let error = LarderError(
                .frameTooLong,
                "a frame of \(header.bodyBytes) bytes is over the limit of \(limit); send smaller "
                    + "batches, or chunks of fewer tokens"
            )
            try handler.refuse(header.requestID, error)
            return error.message
        }
        guard header.flags == 0 else {
            let error = LarderError(.malformed, "flags \(header.flags) have no meaning in this version; send 0")
            try handler.refuse(header.requestID, error)
            return error.message
        }
        switch try receive(Int(header.bodyBytes), input, into: body) {
        case .whole(let bytes): return try handler.handle(header, bytes)
        case .ended: return "the peer closed in the middle of a frame"
        case .strayDescriptors: return "more descriptors came than any request takes"
        case .noMemory(let left):
            try discard(left)
            let error = LarderError(
                .busy,
                "no memory for a frame of \(header.bodyBytes) bytes within \(Limits.queueWaitSeconds) s; send it "
                    + "later, or less at once"
            )
            try handler.refuse(header.requestID, error)
            return nil
        }
    }

    private enum Reception {
        case whole(UnsafeRawBufferPointer)
        case ended, strayDescriptors
        case noMemory(left: Int)
    }

    /// Receives a body within ``LarderModel/Limits/frameSeconds`` and what its length adds at the least rate. Memory is
    /// taken as the bytes arrive, so that a peer that only announces a large frame holds none.
    private func receive(_ count: Int, _ input: SocketReader, into body: FrameBuffer) throws(SystemError) -> Reception {
        if count <= input.available { return .whole(input.take(count)) }
        let seconds = Double(Limits.frameSeconds) + Double(count) / Double(Limits.frameBytesPerSecond)
        let deadline = Clock.deadline(seconds: seconds)
        if count <= input.capacity {
            let isWhole = try outbox.withSocket { socket throws(SystemError) in
                try input.fill(count, from: socket, deadline: deadline)
            }
            if !isWhole { return .strayDescriptors }
            return input.available < count ? .ended : .whole(input.take(count))
        }
        let early = input.take(input.available)
        guard let room = body.append(early.count) else { return .noMemory(left: count - early.count) }
        room.copyMemory(from: early)
        while body.count < count {
            let part = min(count - body.count, max(body.count, FrameBuffer.keptBytes))
            guard let room = body.append(part, waitSeconds: Limits.queueWaitSeconds) else {
                return .noMemory(left: count - body.count)
            }
            let received = try outbox.withSocket { socket throws(SystemError) in
                try socket.receive(into: room, deadline: deadline)
            }
            if received < room.count { return .ended }
        }
        return .whole(body.bytes)
    }

    /// Reads bytes and forgets them.
    private func discard(_ bytes: Int) throws(SystemError) {
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 8)
        defer { room.deallocate() }
        var left = bytes
        while left > 0 {
            let part = UnsafeMutableRawBufferPointer(rebasing: room[..<min(left, room.count)])
            let count = try outbox.withSocket { socket throws(SystemError) in try socket.receive(into: part) }
            if count == 0 { return }
            left -= count
        }
    }
}
