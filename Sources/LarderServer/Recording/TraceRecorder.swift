// Records what is asked of the daemon as a trace that a simulator can replay (Docs/OPERATIONS.md, "What would more disk
// give?"). Connections leave events in a bounded queue, and never wait; one thread makes lines of them and writes the file.
import LarderModel
import LarderPolicy
import LarderSystem
import Logging

/// Writes the daemon's turns to a file, one line each, in the format of the Mooncake traces.
final class TraceRecorder: Sendable {
    private struct State {
        var events: [(event: TraceEvent, time: UInt64)] = []
        var dropped: UInt64 = 0
        var turns: UInt64 = 0
        var bytes = 0
        var forgotten: UInt64 = 0
        /// The file has its size, or could not be written.
        var isFull = false
        var isStopping = false
        var hasStopped = false
    }

    /// Events that may wait.
    private static let queueLimit = 1 << 16
    /// Seconds from one look at what waits to the next: connections do not wake the thread.
    private static let pauseSeconds = 0.05
    /// Looks from one search for turns that are over to the next.
    private static let looksPerSearch = 20

    private let state = Monitor(State())
    private let start = Clock.now()
    private let path: String
    private let byteLimit: Int
    private let log: Logger

    /// Begins a recording, in place of what the file held.
    init(path: String, byteLimit: Int, log: Logger) throws(LarderError) {
        self.path = path
        self.byteLimit = byteLimit
        self.log = log
        do {
            try FileSystem.write([], to: path)
            try WorkerThread(name: "trace") { [self] in run() }.detach()
        } catch {
            throw LarderError(.storage, "the trace cannot be recorded: \(error); choose another record_trace")
        }
    }

    /// Leaves events to be recorded; counts them as dropped if the recording is behind.
    func note(_ events: some Collection<TraceEvent>) {
        let now = (Clock.now() - start) / 1_000_000
        state.withLock { state in
            if state.isFull { return }
            let room = Self.queueLimit - state.events.count
            state.dropped += UInt64(max(0, events.count - room))
            for event in events.prefix(room) { state.events.append((event, now)) }
        }
    }

    func note(_ event: TraceEvent) { note(CollectionOfOne(event)) }

    /// Writes what waits and the turns that go on, and ends the recording.
    func stop() {
        state.signal { $0.isStopping = true }
        state.wait { $0.hasStopped ? () : nil }
    }

    var counters: [(name: String, value: UInt64)] {
        state.withLock {
            [
                ("trace_turns", $0.turns), ("trace_bytes", UInt64($0.bytes)), ("trace_dropped_events", $0.dropped),
                ("trace_forgotten_sessions", $0.forgotten),
            ]
        }
    }

    private func run() {
        var tracker = TurnTracker()
        var isStopping = false
        var looks = 0
        while !isStopping {
            let deadline = Clock.deadline(seconds: Self.pauseSeconds)
            isStopping = state.wait(until: deadline) { $0.isStopping ? true : nil } ?? false
            looks += 1
            let events = state.withLock { state in
                defer { state.events.removeAll(keepingCapacity: true) }
                return state.events
            }
            for (event, time) in events { tracker.note(event, now: time) }
            if looks % Self.looksPerSearch == 0 { tracker.endIdle(now: (Clock.now() - start) / 1_000_000) }
            if isStopping { tracker.endAll() }
            write(tracker.takeEnded())
            state.withLock { $0.forgotten = tracker.forgotten }
        }
        state.signal { $0.hasStopped = true }
    }

    private func write(_ turns: [RequestTrace.Request]) {
        if turns.isEmpty || state.withLock({ $0.isFull }) { return }
        var bytes: [UInt8] = []
        var count = 0
        let room = byteLimit - state.withLock { $0.bytes }
        for turn in turns.sorted(by: { $0.timestamp < $1.timestamp }) {
            let line = Array(turn.line.utf8) + [UInt8(ascii: "\n")]
            guard bytes.count + line.count <= room else {
                end("the trace has its size; the recording ends", [:])
                break
            }
            bytes += line
            count += 1
        }
        do {
            try FileSystem.append(bytes, to: path)
            state.withLock {
                $0.bytes += bytes.count
                $0.turns += UInt64(count)
            }
        } catch { end("the trace could not be written; the recording ends", ["error": "\(error)"]) }
    }

    private func end(_ message: Logger.Message, _ metadata: Logger.Metadata) {
        log.warning(message, metadata: metadata.merging(["path": "\(path)", "limit_bytes": "\(byteLimit)"]) { $1 })
        state.withLock {
            $0.isFull = true
            $0.events = []
        }
    }
}
