import LarderModel
import LarderSystem

/// Sends a connection's answers. The connection's own thread sends at once; a store's writer only leaves its answers here,
/// so that a peer that does not read can never hold a writer up. What may wait here is bounded by the requests in flight.
final class Outbox: Sendable {
    private struct State {
        var frames: [(bytes: [UInt8], items: Int)] = []
        var inFlight = 0
        var itemsInFlight = 0
        var isClosed = false
    }

    private let socket: UnixSocket
    private let state = Monitor(State())
    /// Held while bytes go out, so that frames do not mix.
    private let sending = Monitor<Void>(())

    init(_ socket: consuming UnixSocket) { self.socket = socket }

    /// The connection's socket, for its reader.
    func withSocket<Result, Failure: Error>(
        _ body: (borrowing UnixSocket) throws(Failure) -> Result
    ) throws(Failure) -> Result { try body(socket) }

    /// Sends a frame and its payload now. For the connection's own thread. Throws if the peer is gone or does not read.
    func send(_ frame: [UInt8], payload: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0))
        throws(SystemError)
    {
        try sending.withLock { _ throws(SystemError) in
            try frame.withUnsafeBufferPointer { buffer throws(SystemError) in
                try socket.send(UnsafeRawBufferPointer(buffer))
            }
            try socket.send(payload)
        }
    }

    /// Sends a frame that may be lost: if the peer does not read, or another frame is on its way, there is none.
    func sendUnlessBusy(_ frame: [UInt8]) {
        guard sending.tryEnter() else { return }
        defer { sending.leave() }
        // A peer that is gone is found by the answer that follows.
        _ = try? frame.withUnsafeBytes { try socket.sendWithoutWaiting($0) }
    }

    /// Sends a frame with the descriptor of shared memory.
    func send(_ frame: [UInt8], with memory: borrowing SharedMemory) throws(SystemError) {
        sending.enter()
        defer { sending.leave() }
        try frame.withUnsafeBufferPointer { buffer throws(SystemError) in
            try socket.send(UnsafeRawBufferPointer(buffer), with: memory)
        }
    }

    /// Waits until fewer than the limit of requests and items are in flight, and counts these. False once closed.
    func beginRequest(items: Int) -> Bool {
        state.wait { state -> Bool? in
            if state.isClosed { return false }
            guard state.inFlight < Limits.requestsInFlight,
                state.inFlight == 0 || state.itemsInFlight + items <= Limits.itemsInFlight
            else { return nil }
            state.inFlight += 1
            state.itemsInFlight += items
            return true
        }!
    }

    /// Leaves the answer of a request that ``beginRequest()`` counted. For any thread; never waits for the peer.
    func post(_ frame: [UInt8], items: Int) {
        state.signal { state in
            if !state.isClosed { state.frames.append((frame, items)) }
        }
    }

    /// Sends what is posted until the outbox is closed: the body of the connection's second thread.
    func run() {
        while true {
            let frames = state.wait { state -> [(bytes: [UInt8], items: Int)]? in
                if state.frames.isEmpty { return state.isClosed ? [] : nil }
                defer { state.frames = [] }
                return state.frames
            }!
            if frames.isEmpty { return }
            do throws(SystemError) {
                for frame in frames { try send(frame.bytes) }
            } catch {
                close()
                socket.shutdown()
            }
            let count = frames.count
            let items = frames.reduce(0) { $0 + $1.items }
            state.signal {
                $0.inFlight -= count
                $0.itemsInFlight -= items
            }
        }
    }

    /// Waits until every request in flight was answered; false at the deadline.
    func drain(until deadline: UInt64) -> Bool {
        state.wait(until: deadline) { $0.inFlight == 0 || $0.isClosed ? true : nil } ?? false
    }

    /// Answers that come from now on are forgotten.
    func close() { state.signal { $0.isClosed = true } }
}
