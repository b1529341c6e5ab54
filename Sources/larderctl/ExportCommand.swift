import ArgumentParser
import LarderArchive
import LarderClient
import LarderModel
import LarderSystem
import LarderWire

struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write sessions to a file, which larderctl import puts into any daemon.",
        discussion: """
            Each session is written as it sees its state: what forks share is written for each. Chunks are written as raw bytes \
            with checksums (Docs/EXPORT.md has the format), and read while the daemon serves; what is evicted meanwhile, or is \
            damaged, is left out and named.

            An export that was cut off is completed by the same command with --resume: what is whole in the file is checked and \
            kept.

            Exit codes: 0 if all is in the file; 1 if something was left out.
            """)
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "NAMESPACE/NAME, or numbers.")
    var session: [String] = []
    @Option(help: "All sessions of this namespace.")
    var namespace: String?
    @Flag(help: "All sessions that you may see.")
    var all = false
    @Option(
        name: [.customShort("o"), .customLong("output")],
        help: ArgumentHelp("The file, which must be new; - for standard output.", valueName: "file"),
        completion: .file())
    var path: String
    @Flag(help: "Complete a file that an export was cut off in.")
    var resume = false

    func validate() throws {
        guard [!session.isEmpty, namespace != nil, all].filter({ $0 }).count == 1 else {
            throw ValidationError("Name sessions, or give --namespace or --all: one of these.")
        }
        guard path == "-" else { return }
        if resume { throw ValidationError("Standard output cannot be resumed; name a file.") }
        if connection.json {
            throw ValidationError("Standard output has the export; leave --json out, or name a file.")
        }
        if Output.isTerminal { throw ValidationError("An export is not for a terminal; name a file.") }
    }

    func run() throws {
        let report = try connection.withClient(report)
        if path == "-" {
            for line in report.text { Output.error(line) }
            if report.status != .done { throw report.status.code }
        } else {
            try connection.output.show(report)
        }
    }

    private func report(_ client: Client) throws -> ExportReport {
        let sessions = try chosen(client)
        let bar = ProgressBar.bytes("exporting")
        let total = sessions.reduce(0) { $0 + $1.rawBytes }
        var done: UInt64 = 0
        let onProgress: (Int) -> Void = { bytes in
            done += UInt64(bytes)
            bar.update(done, of: done <= total ? total : nil)
        }
        if resume {
            let partial = try PartialExport(path: path) { bar.update(UInt64($0), of: nil) }
            if partial.isComplete {
                throw LarderError(.exists, "\(path) is complete: nothing is to be resumed; export to another file")
            }
            try Self.require(partial, in: sessions)
            var exporter = try SessionExporter(client, resuming: partial, onProgress: onProgress)
            if let begun = partial.begun, let session = sessions.first(where: { $0.session == begun.session.id }) {
                try exporter.export(session, begun: begun)
            }
            let isWritten = partial.done.union(partial.begun.map { [$0.session.id] } ?? [])
            return try write(sessions.filter { !isWritten.contains($0.session) }, &exporter)
        }
        let file = try path == "-" ? Descriptor.standardOutput() : create()
        var exporter = try SessionExporter(client, to: file, path: path, onProgress: onProgress)
        return try write(sessions, &exporter)
    }

    private func create() throws -> Descriptor {
        do throws(SystemError) { return try Descriptor.create(path) } catch {
            guard error.code == SystemError.exists else { throw error }
            throw LarderError(
                .exists, "\(path) is there already; name another file, or complete an export in it with --resume")
        }
    }

    private func chosen(_ client: Client) throws -> [SessionSummary] {
        guard session.isEmpty else {
            var seen = Set<UInt64>()
            return try session.map { try findSession($0, client) }.filter { seen.insert($0.session).inserted }
        }
        let found = try client.sessions(namespace: namespace ?? "")
        if found.isEmpty {
            throw LarderError(
                .unknownSession,
                "there is no session \(namespace.map { "in namespace '\($0.clipped)'" } ?? "that you may see"); larderctl "
                    + "sessions lists them")
        }
        return found
    }

    /// Throws if the file has a session that is not to be exported, or is gone.
    private static func require(_ partial: PartialExport, in sessions: [SessionSummary]) throws {
        let chosen = Set(sessions.map(\.session))
        let missing = partial.done.union(partial.begun.map { [$0.session.id] } ?? []).subtracting(chosen)
        guard let first = missing.min() else { return }
        let name = partial.begun.flatMap { $0.session.id == first ? "\($0.session.namespace)/\($0.session.name)" : nil }
        throw LarderError(
            .invalidArgument,
            "\(partial.path) has session \(name ?? "\(first)"), which is not among those to export, or was dropped since; "
                + "name the same sessions as before, or export to a new file")
    }

    private func write(_ sessions: [SessionSummary], _ exporter: inout SessionExporter) throws -> ExportReport {
        for session in sessions { try exporter.export(session) }
        try exporter.finish()
        return ExportReport(exporter, file: path)
    }
}

/// What was exported.
struct ExportReport: CommandReport {
    struct LeftOut: Encodable {
        let session: UInt64
        let rank: UInt16
        let component: UInt16
        let offset: UInt64
        let code: String
        let reason: String
    }

    let file: String
    let fileBytes: Int
    let sessions: UInt64
    let chunks: UInt64
    let rawBytes: UInt64
    let leftOutChunks: UInt64
    /// The last thousand of them.
    let leftOut: [LeftOut]

    init(_ exporter: borrowing SessionExporter, file: String) {
        self.file = file
        let totals = exporter.totals
        fileBytes = exporter.position
        sessions = totals.sessions
        chunks = totals.chunks
        rawBytes = totals.rawBytes
        leftOutChunks = totals.leftOut
        leftOut = exporter.leftOut.map {
            LeftOut(
                session: $0.chunk.session, rank: $0.chunk.rank, component: $0.chunk.component, offset: $0.chunk.offset,
                code: $0.error.code.name, reason: $0.error.message)
        }
    }

    /// For people, line by line.
    var text: [String] {
        var lines = leftOut.map { left in
            "left out: session \(left.session), rank \(left.rank), component \(left.component), offset \(left.offset): "
                + left.reason
        }
        lines.append(
            "exported \(sessions) sessions, \(chunks) chunks, \(Format.bytes(rawBytes)) raw to \(file) "
                + "(\(Format.bytes(UInt64(fileBytes))))")
        if leftOutChunks > 0 { lines.append("\(leftOutChunks) chunks were left out") }
        return lines
    }

    func printOut() { for line in text { print(line) } }

    var status: ExitStatus { leftOutChunks == 0 ? .done : .incomplete }
}
