import ArgumentParser
import LarderClient
import LarderModel
import LarderSystem

/// The most anonymous memory that the daemon has while 64 workers page real state out and in, inline and through arenas.
/// Arenas are shared memory, which is not in it.
enum DaemonMemory: RowGroup {
    static let names = ["daemon_memory_64_workers"]
    private static let seconds = 6.0

    static func measure(_ bench: PageBench) throws -> [Measurement] {
        try bench.withDaemon { daemon, _ in
            guard let identifier = daemon.identifier else { throw ValidationError("the daemon ended") }
            let workers = try (0..<ManyWorkers.workers).map { _ in try Worker(daemon, bench.real) }
            let sampler = try MemorySampler(of: identifier)
            let deadline = Clock.deadline(seconds: seconds)
            let totals = Monitor((rounds: 0, busy: 0))
            let outcome = Result {
                try Threads.run(workers.count) { index in
                    let exchange = Exchange(workers[index])
                    repeat {
                        let busy = try exchange.round()
                        totals.withLock { $0 = ($0.rounds + 1, $0.busy + busy) }
                    } while Clock.now() < deadline
                }
            }
            let (first, highest) = sampler.stop()
            _ = try outcome.get()
            let (rounds, busy) = totals.withLock { $0 }
            return [
                Measurement(
                    names[0], Double(highest) / Double(1 << 20), unit: "MiB", goal: 256, better: .lower,
                    detail: [
                        "at_start_mib": formatted(Double(first) / Double(1 << 20), 1), "rounds": "\(rounds)",
                        "bytes_each_way": "\(2 * rounds * bench.real.bytes.count)", "chunks_refused_as_busy": "\(busy)",
                    ])
            ]
        }
    }
}

/// A worker that pages its set out, half of it inline and half through its arena, and in, all of it both ways.
private final class Exchange {
    private let worker: Worker
    private let buffer: UnsafeMutableRawBufferPointer

    init(_ worker: Worker) {
        self.worker = worker
        buffer = .allocate(byteCount: worker.set.bytes.count, alignment: 4_096)
    }

    deinit { buffer.deallocate() }

    /// One round in a session of its own. Returns the chunks that were refused because the daemon was busy.
    func round() throws -> Int {
        let set = worker.set
        let session = try worker.newSession()
        let half = set.chunks.count / 2
        worker.copyIn()
        let inline = set.chunks[..<half].map {
            PageOut(name: worker.name(of: $0, session), tokens: $0.tokens, bytes: set.bytes(of: $0))
        }
        let shared = worker.pageOuts(session)[half...]
        let busyOut = try refusals(try worker.client.put(inline)) + refusals(try worker.client.put(Array(shared)))
        let intoBuffer = set.chunks.map {
            let destination = UnsafeMutableRawBufferPointer(rebasing: buffer[$0.range])
            return PageIn(name: worker.name(of: $0, session), destination: destination)
        }
        let intoArena = worker.pageIns(session)
        let isWhole = busyOut == 0
        let busyIn =
            try refusals(try worker.client.get(intoBuffer), mayMiss: !isWhole)
            + refusals(try worker.client.get(intoArena), mayMiss: !isWhole)
        if isWhole && busyIn == 0 {
            try worker.compare()
            guard buffer.elementsEqual(set.bytes) else { throw ValidationError("an inline page-in changed the state") }
        }
        try worker.client.drop(session: session)
        return busyOut + busyIn
    }

    /// Counts those that a busy daemon refused, and throws for any other failure.
    private func refusals<Value>(_ results: [Result<Value, LarderError>], mayMiss: Bool = false) throws -> Int {
        var count = 0
        for case .failure(let error) in results {
            if error.code == .busy { count += 1 } else if !(mayMiss && error.code == .miss) { throw error }
        }
        return count
    }
}
