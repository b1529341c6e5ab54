import LarderClient
import LarderModel
import LarderSystem

/// What page-outs came to.
struct PutTotals: Sendable {
    /// Of chunks that were acknowledged.
    var rawBytes = 0
    /// The same as the store keeps them.
    var storedBytes = 0
    /// Chunks that were refused because the store was full or busy.
    var refused = 0
    /// From the start to the last acknowledgement, in nanoseconds; not summed by ``add(_:)``.
    var time = 0.0

    /// Raw bytes a nanosecond.
    var speed: Double { Double(rawBytes) / time }

    mutating func add(_ other: PutTotals) {
        rawBytes += other.rawBytes
        storedBytes += other.storedBytes
        refused += other.refused
    }
}

/// Pages out batch after batch, to one session after another, none of which it ever drops; after each it pages in one of a
/// few that it goes back to, in turn. Used by one thread at a time.
final class ChurnWriter: @unchecked Sendable {
    /// Chunks of a batch.
    static let batch = 8
    /// Sessions that it goes back to: 96 MiB of raw state, with which four writers keep a quarter of a store of 1 GiB hot.
    static let keptSessions = 3

    let worker: Worker
    private var waiting: ArraySlice<ArenaPageOut> = []
    private var session: UInt64?
    private var kept: [UInt64] = []
    private var returns = 0
    /// Page-ins of a kept session, and those of which something had been evicted.
    private(set) var pageIns = (all: 0, missed: 0)

    init(_ daemon: DaemonProcess, _ set: ChunkSet) throws { worker = try Worker(daemon, set) }

    /// Goes on with a new session.
    func leaveSessions() {
        waiting = []
        session = nil
        kept = []
    }

    /// Pages one batch out and waits until it is durable.
    func put() throws -> PutTotals {
        if waiting.isEmpty {
            if let session { try goBack(orKeep: session) }
            let next = try worker.newSession()
            session = next
            waiting = worker.pageOuts(next)[...]
        }
        let batch = Array(waiting.prefix(Self.batch))
        waiting = waiting.dropFirst(Self.batch)
        var totals = PutTotals()
        for (chunk, result) in zip(batch, try worker.client.put(batch, acknowledgement: .durable)) {
            switch result {
            case .success(let stored):
                totals.rawBytes += chunk.source.range.count
                totals.storedBytes += Int(stored)
            case .failure(let error) where error.code == .busy || error.code == .full: totals.refused += 1
            case .failure(let error): throw error
            }
        }
        return totals
    }
}

extension ChurnWriter {
    /// Pages a kept session in. One that was evicted in part is given up for `session`, which was just paged out.
    fileprivate func goBack(orKeep session: UInt64) throws {
        guard kept.count == Self.keptSessions else { return kept.append(session) }
        let index = returns % kept.count
        returns += 1
        pageIns.all += 1
        for case .failure(let error) in try worker.client.get(worker.pageIns(kept[index])) {
            guard error.code == .miss else { throw error }
            pageIns.missed += 1
            kept[index] = session
            // What was evicted is not in the arena: it is filled again.
            return worker.copyIn()
        }
    }
}

/// Pages single chunks of one session in, again and again, at a steady pace. Used by one thread at a time.
final class ChurnReader: @unchecked Sendable {
    /// Milliseconds from one page-in to the next, if the last one is done by then.
    static let interval = 2

    private let worker: Worker
    private let chunks: [ArenaPageIn]
    /// Page-ins of what was evicted.
    private(set) var misses = 0

    /// Pages a session out that is then read.
    init(_ daemon: DaemonProcess, _ set: ChunkSet) throws {
        worker = try Worker(daemon, set)
        chunks = worker.pageIns(try worker.pageOut())
    }

    /// Pages in for some seconds. Returns how long each page-in took.
    func run(seconds: Double) throws -> Latencies {
        var latencies = Latencies()
        let deadline = Clock.deadline(seconds: seconds)
        var index = 0
        while Clock.now() < deadline {
            let start = Clock.now()
            switch try worker.client.get([chunks[index % chunks.count]])[0] {
            case .success: latencies.record(nanoseconds: Clock.now() - start)
            case .failure(let error) where error.code == .miss: misses += 1
            case .failure(let error): throw error
            }
            index += 1
            let spent = Int(Clock.now() - start) / 1_000_000
            if spent < Self.interval { Clock.sleep(milliseconds: Self.interval - spent) }
        }
        return latencies
    }

    /// Throws unless what the last page-ins brought is what was paged out.
    func compare() throws { try worker.compare() }
}
