import Hummingbird
import LarderModel
import LarderServer
import LarderStore
import Logging

extension AdminRoute {
    /// Long work, the configuration, the log, maintenance.
    static let maintenance: [AdminRoute] = [
        AdminRoute(.post, "/v1/verify") { admin, request in
            try request.finishQuery()
            let body = try request.decode(VerifyBody.self)
            return try .json(JobAnswer(try admin.startVerify(session: body.session)), .accepted)
        },
        AdminRoute(.post, "/v1/compact") { admin, request in
            try request.finishQuery()
            let body = try request.decode(CompactBody.self)
            return try .json(JobAnswer(try admin.startCompact(bytes: Int(clamping: body.freeBytes ?? 0))), .accepted)
        },
        AdminRoute(.post, "/v1/backup") { admin, request in
            try request.finishQuery()
            let body = try request.decode(BackupBody.self)
            return try .json(JobAnswer(try admin.startBackup(to: body.directory)), .accepted)
        },
        AdminRoute(.get, "/v1/jobs") { admin, request in
            try request.finishQuery()
            return try .json(JobList(jobs: admin.jobs.all.map { JobAnswer($0) }))
        },
        AdminRoute(.get, "/v1/jobs/{job}") { admin, request in
            let id = try request.id("job")
            try request.finishQuery()
            return try .json(JobAnswer(try admin.job(id)))
        },
        AdminRoute(.delete, "/v1/jobs/{job}") { admin, request in
            let id = try request.id("job")
            try request.finishQuery()
            _ = try admin.job(id)
            admin.jobs.cancel(id)
            return try .json(JobAnswer(try admin.job(id)))
        },
        AdminRoute(.get, "/v1/config") { admin, request in
            try request.finishQuery()
            return try .json(ConfigurationAnswer(admin))
        },
        AdminRoute(.get, "/v1/log_level") { admin, request in
            try request.finishQuery()
            return try .json(LogLevelAnswer(level: DaemonLog.currentLevel.rawValue))
        },
        AdminRoute(.put, "/v1/log_level") { admin, request in
            try request.finishQuery()
            let body = try request.decode(LogLevelBody.self)
            guard let level = Logger.Level(rawValue: body.level) else {
                let all = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
                throw AdminError.invalid("level '\(body.level.clipped)' is not one of \(all)")
            }
            DaemonLog.currentLevel = level
            admin.daemon.events.note(.changed, ["what": .text("log_level"), "level": .text(level.rawValue)])
            return try .json(LogLevelAnswer(level: level.rawValue))
        },
        AdminRoute(.get, "/v1/drain") { admin, request in
            try request.finishQuery()
            return try .json(DrainAnswer(admin))
        },
        AdminRoute(.put, "/v1/drain") { admin, request in
            try request.finishQuery()
            let body = try request.decode(DrainBody.self)
            admin.daemon.setDraining(body.draining)
            // What was accepted is safe when the answer says so.
            if body.draining { try admin.store.synchronise() }
            return try .json(DrainAnswer(admin))
        },
    ]
}

extension Admin {
    fileprivate func job(_ id: UInt64) throws(AdminError) -> Jobs.Job {
        guard let job = jobs.job(id) else {
            throw AdminError(
                .notFound, "not_found", "there is no job \(id); the last \(Limits.jobs) are remembered")
        }
        return job
    }
}

struct VerifyBody: Decodable {
    /// One session; all if it is missing.
    let session: UInt64?
}

struct CompactBody: Decodable {
    /// Stored bytes to free beyond what the watermarks ask for.
    let freeBytes: UInt64?
}

struct BackupBody: Decodable {
    /// An absolute path on the daemon's machine that does not exist yet.
    let directory: String
}

/// Long work as it stands.
struct JobAnswer: Encodable {
    let id: UInt64
    let kind: String
    let state: String
    let startedSeconds: UInt64
    let endedSeconds: UInt64?
    let done: UInt64
    /// 0 if it is not known.
    let total: UInt64
    let unit: String
    let result: [String: UInt64]
    let findings: [String]
    let error: AdminError.Body.Fields?

    init(_ job: Jobs.Job) {
        id = job.id
        kind = job.kind.rawValue
        state = job.state.rawValue
        startedSeconds = job.startedSeconds
        endedSeconds = job.endedSeconds
        done = job.done
        total = job.total
        unit = job.unit
        result = job.result
        findings = job.findings
        error = job.error.map { AdminError($0).body.error }
    }
}

struct JobList: Encodable {
    let jobs: [JobAnswer]
}

/// What is in force, and where each value came from.
struct ConfigurationAnswer: Encodable {
    struct Value: Encodable {
        let key: String
        let value: String
        /// `default`, `file PATH`, `environment NAME` or `flag --NAME`.
        let origin: String
        let summary: String
    }

    let settings: [Value]

    init(_ admin: Admin) {
        settings = Setting.all.map {
            Value(
                key: $0.key, value: $0.text(admin.loaded.configuration),
                origin: admin.loaded.origins[$0.key] ?? "default", summary: $0.summary)
        }
    }
}

struct LogLevelBody: Decodable {
    let level: String
}

struct LogLevelAnswer: Encodable {
    let level: String
}

struct DrainBody: Decodable {
    let draining: Bool
}

/// Whether workers are turned away, and how many are still there.
struct DrainAnswer: Encodable {
    let draining: Bool
    let connections: Int

    init(_ admin: Admin) {
        draining = admin.daemon.isDraining
        connections = admin.daemon.peers.count
    }
}
