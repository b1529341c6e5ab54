import LarderModel
import LarderServer
import LarderSystem

/// Long work that an operator asked for: on a thread of its own, with its progress to be seen, one of a kind at a time. The
/// last jobs are remembered.
final class Jobs: Sendable {
    enum Kind: String, Sendable {
        case verify, compact, backup
    }

    enum State: String, Sendable {
        case running, done, failed, cancelled
    }

    /// A job as it stands.
    struct Job: Sendable {
        let id: UInt64
        let kind: Kind
        let startedSeconds: UInt64
        var state = State.running
        var endedSeconds: UInt64?
        /// How much of `total` is done, in `unit`s; a total of 0 is not known.
        var done: UInt64 = 0
        var total: UInt64 = 0
        var unit = ""
        /// What came of it so far: names with their unit last.
        var result: [String: UInt64] = [:]
        /// What was found, a bounded number.
        var findings: [String] = []
        var error: LarderError?
    }

    /// Findings of a job that are remembered.
    static let findings = 256

    private struct Table {
        var jobs: [Job] = []
        var next: UInt64 = 1
        var cancelled: Set<UInt64> = []
        var isStopping = false
    }

    private let table = Monitor(Table())
    private let events: EventLog

    init(_ events: EventLog) { self.events = events }

    /// What a job's work tells of itself.
    struct Handle: Sendable {
        let id: UInt64
        fileprivate let jobs: Jobs

        /// True once the work is to end early.
        var isCancelled: Bool { jobs.table.withLock { $0.isStopping || $0.cancelled.contains(id) } }

        func update(_ body: (inout Job) -> Void) { jobs.update(id, body) }
    }

    /// Begins a job. Throws `busy` while one of its kind runs.
    func start(
        _ kind: Kind, _ work: @escaping @Sendable (Handle) throws(LarderError) -> Void
    ) throws(LarderError) -> Job {
        let job = try table.withLock { table throws(LarderError) in
            if let running = table.jobs.first(where: { $0.kind == kind && $0.state == .running }) {
                throw LarderError(
                    .busy, "job \(running.id) does a \(kind.rawValue) already; wait for it, or cancel it")
            }
            if table.isStopping { throw LarderError(.shuttingDown, "the daemon is shutting down") }
            let job = Job(id: table.next, kind: kind, startedSeconds: Clock.wallSeconds())
            table.next += 1
            table.jobs.append(job)
            if table.jobs.count > Limits.jobs, let old = table.jobs.firstIndex(where: { $0.state != .running }) {
                table.jobs.remove(at: old)
            }
            return job
        }
        events.note(.jobStarted, ["job": .number(job.id), "kind": .text(kind.rawValue)])
        do {
            try WorkerThread(name: "job-\(kind.rawValue)") { [self] in
                WorkerThread.giveWay()
                run(Handle(id: job.id, jobs: self), kind, work)
            }.detach()
        } catch {
            end(job.id, .failed, LarderError(.storage, "no thread for a job: \(error)"))
            throw LarderError(.storage, "no thread for a job: \(error)")
        }
        return job
    }

    private func run(_ handle: Handle, _ kind: Kind, _ work: @Sendable (Handle) throws(LarderError) -> Void) {
        do throws(LarderError) {
            try work(handle)
            end(handle.id, handle.isCancelled ? .cancelled : .done, nil)
        } catch { end(handle.id, .failed, error) }
    }

    private func end(_ id: UInt64, _ state: State, _ error: LarderError?) {
        update(id) { job in
            job.state = state
            job.error = error
            job.endedSeconds = Clock.wallSeconds()
        }
        events.note(.jobFinished, ["job": .number(id), "state": .text(state.rawValue)])
    }

    private func update(_ id: UInt64, _ body: (inout Job) -> Void) {
        table.signal { table in
            guard let index = table.jobs.firstIndex(where: { $0.id == id }) else { return }
            body(&table.jobs[index])
        }
    }

    /// The jobs that are remembered, the youngest last.
    var all: [Job] { table.withLock { $0.jobs } }

    /// A job; nil for one that is not remembered.
    func job(_ id: UInt64) -> Job? { table.withLock { $0.jobs.first { $0.id == id } } }

    /// Has a job end early, if it runs.
    func cancel(_ id: UInt64) { table.signal { _ = $0.cancelled.insert(id) } }

    /// Has all jobs end early and waits for them, up to a deadline.
    func stop(until deadline: UInt64) {
        table.signal { $0.isStopping = true }
        _ = table.wait(until: deadline) { table in
            table.jobs.allSatisfy { $0.state != .running } ? true : nil
        }
    }
}
