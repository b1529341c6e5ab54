import LarderCodec
import LarderModel
import LarderSystem
import Synchronization

/// Who encodes and decodes: the thread that has the work, and a bounded number of helpers that join it where the work is
/// large enough to pay for waking them. Working memory is lent to at most ``Limits/codecScratches`` threads at once.
final class CodecTeam: Sendable {
    /// One piece of work after another, taken by whoever is free.
    private final class Job: @unchecked Sendable {
        let count: Int
        let next = Atomic<Int>(0)
        let done = Atomic<Int>(0)
        /// Gone once its owner has withdrawn the job: a helper that still holds the job holds nothing of the owner's.
        private nonisolated(unsafe) var work: (@Sendable (Int, CodecScratch) -> Void)?

        init(_ count: Int, _ work: @escaping @Sendable (Int, CodecScratch) -> Void) {
            self.count = count
            self.work = work
        }

        var isTaken: Bool { next.load(ordering: .relaxed) >= count }
        var isDone: Bool { done.load(ordering: .acquiring) == count }

        func end() { work = nil }

        func help(_ scratch: CodecScratch) {
            guard let work else { return }
            while true {
                let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                if index >= count { return }
                work(index, scratch)
                done.wrappingAdd(1, ordering: .releasing)
            }
        }
    }

    private struct State {
        /// Jobs that may need help, with the helpers that are at each.
        var jobs: [(job: Job, helpers: Int)] = []
        var isStopping = false
        var helpers = 0
    }

    /// Working memory that no thread uses now, and how many there are in all.
    private struct Scratches: @unchecked Sendable {
        var free: [CodecScratch] = []
        var made = 0
    }

    private let hasHelpers: Bool
    /// Counts jobs, so that a helper can look for the next one without the lock.
    private let offers = Atomic<Int>(0)
    private let state = Monitor(State())
    private let scratches = Monitor(Scratches())

    /// Starts `helpers` threads.
    init(helpers: Int) throws(SystemError) {
        hasHelpers = helpers > 0
        for index in 0..<helpers {
            try WorkerThread(name: "codec-\(index)") { [self] in help() }.detach()
            state.withLock { $0.helpers += 1 }
        }
    }

    /// Ends the helpers. Work goes on without them.
    func stop() {
        state.signal { $0.isStopping = true }
        _ = state.wait { $0.helpers == 0 ? true : nil }
    }

    /// Lends working memory for the time of `body`, which must not ask for it again. Waits while all is lent.
    func withScratch<Result, Failure: Error>(
        _ body: (CodecScratch) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let scratch = takeScratch()
        defer { giveBack(scratch) }
        return try body(scratch)
    }

    private func takeScratch() -> CodecScratch {
        scratches.wait { state -> CodecScratch? in
            if let last = state.free.popLast() { return last }
            guard state.made < Limits.codecScratches else { return nil }
            state.made += 1
            return CodecScratch()
        }!
    }

    private func giveBack(_ scratch: CodecScratch) { scratches.signal { $0.free.append(scratch) } }

    /// Calls `work` once with each index below `count`, and returns when all calls have. With helpers only if `bytes`, raw,
    /// are enough to pay for them.
    func run(count: Int, bytes: Int, _ work: (Int, CodecScratch) -> Void) {
        guard hasHelpers, count > 1, bytes >= Limits.sharedWorkBytes else {
            withScratch { scratch in for index in 0..<count { work(index, scratch) } }
            return
        }
        // The helpers let go of the closure before this returns, and it touches only what `run`'s caller lends it.
        withoutActuallyEscaping(work) { work in
            nonisolated(unsafe) let work = work
            let job = Job(count) { work($0, $1) }
            state.signal { $0.jobs.append((job, 0)) }
            offers.wrappingAdd(1, ordering: .relaxed)
            withScratch { job.help($0) }
            withdraw(job)
        }
    }

    /// Waits until no helper is at the job, and takes it off the list.
    private func withdraw(_ job: Job) {
        // The last pieces are done in less time than it takes to sleep and be woken.
        Clock.yield(microseconds: Limits.spinMicroseconds, until: { job.isDone })
        _ = state.wait { state -> Bool? in
            let index = state.jobs.firstIndex { $0.job === job }!
            guard state.jobs[index].helpers == 0 else { return nil }
            state.jobs.remove(at: index)
            job.end()
            return true
        }
    }

    private func help() {
        // The helpers' own: it is never lent, so that they cannot wait for those who wait for them.
        let scratch = CodecScratch()
        while let job = nextJob() {
            job.help(scratch)
            state.signal { state in
                let index = state.jobs.firstIndex { $0.job === job }!
                state.jobs[index].helpers -= 1
            }
        }
        state.signal { $0.helpers -= 1 }
    }

    private func nextJob() -> Job? {
        let seen = offers.load(ordering: .relaxed)
        Clock.yield(microseconds: Limits.spinMicroseconds, until: { offers.load(ordering: .relaxed) != seen })
        return state.wait { state -> Job?? in
            if state.isStopping { return .some(nil) }
            guard let index = state.jobs.firstIndex(where: { !$0.job.isTaken }) else { return nil }
            state.jobs[index].helpers += 1
            return state.jobs[index].job
        }!
    }
}
