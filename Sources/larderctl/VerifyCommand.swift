import ArgumentParser
import LarderClient
import LarderModel
import LarderStore
import LarderSystem
import LarderWire
import Logging

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read and check every chunk, of one session or of all.",
        discussion: """
            With --repair, chunks that fail their checks are taken out of the store, with all that are the same bytes: they \
            are misses then, and can be put again. What is whole is never touched. Each chunk that is damaged or was removed \
            is named.

            With --store, the store of a daemon that is stopped is checked, and its files' structure before that.

            Exit codes: 0 if all is whole, or was repaired; 1 if damage was found that is still there.
            """)
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "NAMESPACE/NAME, or the session's number; all sessions if it is left out.")
    var session: String?
    @Option(help: "The directory of a store that no daemon has open.", completion: .directory)
    var store: String?
    @Flag(help: "Take damaged chunks out of the store.")
    var repair = false

    func validate() throws {
        if store != nil && session != nil {
            throw ValidationError("--store checks the whole store; leave the session out")
        }
    }

    func run() throws {
        let report =
            if let store { try Failure.reported { try offline(store) } } else { try connection.withClient(online) }
        try connection.output.show(report)
    }

    private func online(_ client: Client) throws -> VerifyReport {
        let sessions = try session.map { [try findSession($0, client)] } ?? client.sessions()
        var report = VerifyReport(repairs: repair)
        let bar = ProgressBar.bytes("checking")
        let total = sessions.reduce(0) { $0 + $1.rawBytes }
        for session in sessions {
            let before = report.rawBytes
            func look() throws -> VerifyReport.Pass {
                var pass = VerifyReport.Pass()
                let found = try client.verify(session: session.session) { page throws(ClientError) in
                    pass.checked += page.checked
                    pass.rawBytes += page.rawBytes
                    // What forks share is read for each: then nobody knows how much it is in all.
                    let done = before + pass.rawBytes
                    bar.update(done, of: done <= total ? total : nil)
                }
                pass.damaged = found.damaged.map {
                    VerifyReport.Finding(session.path, $0.name.rank, $0.name.component, $0.name.offset, $0.reason)
                }
                return pass
            }
            try report.take(look) { finding in
                let repaired = try client.repair(
                    ChunkName(
                        session: session.session, rank: finding.rank, component: finding.component,
                        offset: finding.offset))
                return (UInt64(repaired.removed), repaired.freedBytes)
            }
        }
        return report
    }

    private func offline(_ directory: String) throws -> VerifyReport {
        let store = try Store(
            StoreConfiguration.inspecting(directory),
            log: Logger(label: "larderctl") { _ in SwiftLogNoOpLogHandler() })
        defer { store.close() }
        let reader = StoreReader(store, userID: 0)
        var report = VerifyReport(repairs: repair)
        let bar = ProgressBar.bytes("checking")
        var after: UInt64 = 0
        repeat {
            let page = try reader.sessions(namespace: "", after: after)
            for session in page.sessions {
                let before = report.rawBytes
                func look() throws -> VerifyReport.Pass {
                    var pass = VerifyReport.Pass()
                    var position: ChunkPosition? = ChunkPosition()
                    while let start = position {
                        let found = try reader.verify(session: session.id, from: start)
                        pass.checked += UInt64(found.checked)
                        pass.rawBytes += UInt64(found.rawBytes)
                        pass.damaged += found.damaged.map { place, reason in
                            VerifyReport.Finding(
                                "\(session.namespace.name)/\(session.name)", place.rank, place.component, place.offset,
                                reason)
                        }
                        bar.update(before + pass.rawBytes, of: nil)
                        position = found.next
                    }
                    return pass
                }
                try report.take(look) { finding in
                    let repaired = try store.repair(
                        session: session.id, rank: finding.rank, component: finding.component, offset: finding.offset,
                        reader: reader)
                    return (UInt64(repaired.removed), UInt64(repaired.freedBytes))
                }
            }
            after = page.next
        } while after != 0
        return report
    }
}
