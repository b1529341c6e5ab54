import LarderModel
import LarderSystem

/// Several writers that page out at once.
final class ChurnLoad: Sendable {
    private let writers: [ChurnWriter]

    init(_ daemon: DaemonProcess, _ set: ChunkSet, writers count: Int) throws {
        writers = try (0..<count).map { _ in try ChurnWriter(daemon, set) }
    }

    private struct Progress {
        var totals = PutTotals()
        var isOver = false
    }

    /// Pages out as fast as it goes until the store has taken `storedBytes`.
    func run(storedBytes: Int) throws -> PutTotals {
        let progress = Monitor(Progress())
        let time = try Threads.run(writers.count) { [writers] index in
            while progress.withLock({ $0.totals.storedBytes < storedBytes }) {
                let put = try writers[index].put()
                progress.withLock { $0.totals.add(put) }
            }
        }
        var totals = progress.withLock { $0.totals }
        totals.time = time
        return totals
    }

    /// Pages out while `reader` pages in for some seconds.
    ///
    /// - Parameter rate: raw bytes a second of all writers together; nil for as fast as it goes.
    func run(rate: Int?, beside reader: ChurnReader, seconds: Double) throws -> (reads: Latencies, puts: PutTotals) {
        let progress = Monitor(Progress())
        let reads = Monitor(Latencies())
        let time = try Threads.run(writers.count + 1) { [writers] index in
            if index == writers.count {
                defer { progress.withLock { $0.isOver = true } }
                let latencies = try reader.run(seconds: seconds)
                return reads.withLock { $0 = latencies }
            }
            let start = Clock.now()
            var bytes = 0
            while !progress.withLock({ $0.isOver }) {
                let put = try writers[index].put()
                progress.withLock { $0.totals.add(put) }
                bytes += put.rawBytes
                guard let rate else { continue }
                let due = start + UInt64(Double(bytes) / Double(rate / writers.count) * 1e9)
                let now = Clock.now()
                if due > now { Clock.sleep(milliseconds: Int((due - now) / 1_000_000)) }
            }
        }
        var totals = progress.withLock { $0.totals }
        totals.time = time
        return (reads.withLock { $0 }, totals)
    }

    /// Page-ins of sessions that writers went back to, and those of which something had been evicted.
    var pageIns: (all: Int, missed: Int) {
        writers.reduce((0, 0)) { ($0.0 + $1.pageIns.all, $0.1 + $1.pageIns.missed) }
    }

    /// Throws unless what the writers paged in last is what they paged out.
    func compare() throws { for writer in writers { try writer.worker.compare() } }

    /// Drops every session.
    func dropAll() throws {
        for writer in writers { writer.leaveSessions() }
        let client = writers[0].worker.client
        for session in try client.sessions() { try client.drop(session: session.session) }
    }
}
