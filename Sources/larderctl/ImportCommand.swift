import ArgumentParser
import LarderArchive
import LarderClient
import LarderModel
import LarderSystem

struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Put the sessions of an export into the daemon.",
        discussion: """
            Every checksum is verified before anything of a record is used. Sessions must be new; --resume goes on with an \
            import that was cut off: what is stored already and equal stays as it is, what differs is refused.

            --check reads the file and says whether it is whole; no daemon is needed.

            Exit codes: 0 if all was imported; 1 if the file is cut off or damaged (what came before that is imported); 2 if \
            the daemon, or the file, was refused.
            """)
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "What larderctl export wrote; - for standard input.", completion: .file())
    var file: String
    @Option(help: "Import into this namespace. Default: the one that each session had.")
    var namespace: String?
    @Option(help: "The session's name, for an export of one session. Default: the name that it had.")
    var name: String?
    @Flag(help: "Go on with an import that was cut off.")
    var resume = false
    @Flag(help: "Only read and check the file.")
    var check = false

    func run() throws {
        let bar = ProgressBar.bytes(check ? "checking" : "importing")
        let total = FileSystem.size(file).map { UInt64($0) }
        func progress(_ bytes: Int) { bar.update(UInt64(bytes), of: total) }
        let report =
            try check
            ? Failure.reported { try checked(progress) }
            : connection.withClient { client in
                var options = SessionImporter.Options()
                options.namespace = namespace
                options.name = name
                options.resumes = resume
                var importer = SessionImporter(client, options, onProgress: progress)
                var reader = try open()
                do {
                    try importer.run(&reader)
                    return ImportReport(importer.sessions, reader.totals, file)
                } catch {
                    bar.clear()
                    if !importer.sessions.isEmpty, !connection.json {
                        for line in ImportReport(importer.sessions, reader.totals, file).text { print(line) }
                    }
                    throw error
                }
            }
        bar.clear()
        try connection.output.show(report)
    }

    private func open() throws -> ArchiveReader {
        let input = try file == "-" ? Descriptor.standardInput() : Descriptor.reading(file)
        return try ArchiveReader(input, path: file == "-" ? "standard input" : file)
    }

    private func checked(_ progress: (Int) -> Void) throws -> ImportReport {
        var reader = try open()
        var sessions: [SessionImporter.Imported] = []
        var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        defer { buffer.deallocate() }
        while let record = try reader.next() {
            let bytes = reader.payloadBytes
            if bytes > buffer.count {
                buffer.deallocate()
                buffer = .allocate(byteCount: bytes, alignment: 16)
            }
            try reader.readPayload(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<bytes]))
            progress(reader.position)
            switch record {
            case .session(let session):
                sessions.append(.init(session: session.id, name: "\(session.namespace)/\(session.name)"))
            case .chunk:
                sessions[sessions.count - 1].chunks += 1
                sessions[sessions.count - 1].rawBytes += UInt64(bytes)
            case .sessionEnd: sessions[sessions.count - 1].isWhole = true
            case .head, .model, .end: break
            }
        }
        return ImportReport(sessions, reader.totals, file, isCheck: true)
    }
}

/// What was imported, or would be.
struct ImportReport: CommandReport {
    struct Session: Encodable {
        let session: UInt64
        let name: String
        let chunks: UInt64
        let rawBytes: UInt64
        let whole: Bool
    }

    let file: String
    /// True if the file was only read; ids are then those of the store that it is of.
    let check: Bool
    let sessions: [Session]
    let chunks: UInt64
    let rawBytes: UInt64
    /// Chunks that the export could not read, by its own count.
    let leftOutChunks: UInt64

    init(_ sessions: [SessionImporter.Imported], _ totals: ArchivedTotals, _ file: String, isCheck: Bool = false) {
        self.file = file
        check = isCheck
        self.sessions = sessions.map {
            Session(session: $0.session, name: $0.name, chunks: $0.chunks, rawBytes: $0.rawBytes, whole: $0.isWhole)
        }
        chunks = sessions.reduce(0) { $0 + $1.chunks }
        rawBytes = sessions.reduce(0) { $0 + $1.rawBytes }
        leftOutChunks = totals.leftOut
    }

    /// For people, line by line.
    var text: [String] {
        var lines = sessions.map { session in
            "\(session.name) (\(session.session)): \(session.chunks) chunks, \(Format.bytes(session.rawBytes)) raw"
                + (session.whole ? "" : ", not whole")
        }
        let count = "\(sessions.count) sessions, \(chunks) chunks, \(Format.bytes(rawBytes)) raw"
        lines.append(check ? "\(file) is whole: \(count)" : "imported \(count) of \(file)")
        if leftOutChunks > 0 { lines.append("\(leftOutChunks) chunks were left out when it was exported") }
        return lines
    }

    func printOut() { for line in text { print(line) } }
}
