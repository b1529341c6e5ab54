import ArgumentParser
import LarderClient
import LarderModel
import LarderStore
import LarderSystem
import Logging

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read and check every chunk, of one session or of all.",
        discussion: "With --store it checks the store of a daemon that is stopped.")
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "NAMESPACE/NAME, or the session's number; all sessions if it is left out.")
    var session: String?
    @Option(help: "The directory of a store that no daemon has open.")
    var store: String?

    private struct Report: Encodable {
        var sessions = 0
        var checked: UInt64 = 0
        var rawBytes: UInt64 = 0
        var damaged: [Finding] = []
    }

    private struct Finding: Encodable {
        let session: String
        let rank: UInt16
        let component: UInt16
        let offset: UInt64
        let reason: String
    }

    func validate() throws {
        if store != nil && session != nil {
            throw ValidationError("--store checks the whole store; leave the session out")
        }
    }

    func run() throws {
        if let store {
            try finish(try offline(store))
            return
        }
        try connection.withClient { client in
            let sessions = try session.map { [try findSession($0, client)] } ?? client.sessions()
            var report = Report()
            for session in sessions {
                let found = try client.verify(session: session.session)
                report.sessions += 1
                report.checked += found.checked
                report.rawBytes += found.rawBytes
                report.damaged += found.damaged.map {
                    Finding(
                        session: "\(session.namespace)/\(session.name)", rank: $0.name.rank,
                        component: $0.name.component,
                        offset: $0.name.offset, reason: $0.reason)
                }
            }
            try finish(report)
        }
    }

    private func offline(_ directory: String) throws -> Report {
        do throws(LarderError) {
            let store = try Store(
                StoreConfiguration.inspecting(directory),
                log: Logger(label: "larderctl") { _ in SwiftLogNoOpLogHandler() })
            defer { store.close() }
            let reader = StoreReader(store, userID: 0)
            var report = Report()
            var after: UInt64 = 0
            repeat {
                let page = try reader.sessions(namespace: "", after: after)
                for session in page.sessions {
                    report.sessions += 1
                    var position: ChunkPosition? = ChunkPosition()
                    while let start = position {
                        let found = try reader.verify(session: session.id, from: start)
                        report.checked += UInt64(found.checked)
                        report.rawBytes += UInt64(found.rawBytes)
                        report.damaged += found.damaged.map {
                            Finding(
                                session: "\(session.namespace.name)/\(session.name)", rank: $0.position.rank,
                                component: $0.position.component, offset: $0.position.offset, reason: $0.reason)
                        }
                        position = found.next
                    }
                }
                after = page.next
            } while after != 0
            return report
        } catch {
            Output.error("larderctl: \(error.message)")
            throw ExitCode(2)
        }
    }

    private func finish(_ report: Report) throws {
        if connection.json {
            print(try Format.json(report))
        } else {
            for finding in report.damaged {
                print(
                    "DAMAGED \(finding.session), rank \(finding.rank), component \(finding.component), offset "
                        + "\(finding.offset): \(finding.reason)"
                )
            }
            print(
                "\(report.sessions) sessions, \(report.checked) chunks read, \(Format.bytes(report.rawBytes)) raw "
                    + "whole, \(report.damaged.count) damaged"
            )
        }
        if !report.damaged.isEmpty { throw ExitCode(1) }
    }
}
