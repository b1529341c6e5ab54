import ArgumentParser
import LarderAdminClient
import LarderModel
import LarderSystem

struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Watch the daemon: throughput, hits, the hottest sessions, the compactor.",
        discussion: """
            Drawn anew every --interval seconds until q is pressed. --once prints one look at an interval and ends; so does \
            --json, and output that is no terminal.
            """)
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var admin: AdminOptions
    @Option(help: ArgumentHelp("Seconds from one look to the next, from 1 to 60.", valueName: "seconds"))
    var interval = 2
    @Flag(help: "Print one look and end.")
    var once = false

    func validate() throws {
        guard (1...60).contains(interval) else { throw ValidationError("--interval takes 1 to 60 seconds") }
    }

    func run() throws {
        let client = admin.client(connection)
        if once || connection.json || !Output.isTerminal {
            let report = try Failure.reported {
                let first = try TopLook(client, sessions: 0)
                Clock.sleep(milliseconds: interval * 1_000)
                return TopReport(from: first, to: try TopLook(client, sessions: 20))
            }
            return try connection.output.show(report)
        }
        let failure = try watch(client)
        // Told when the terminal is as it was.
        if let failure { try Failure.reported { throw failure } }
    }

    /// Draws until a person has seen enough. Returns what ended it otherwise.
    private func watch(_ client: AdminClient) throws -> (any Error)? {
        do {
            guard let screen = TerminalScreen() else {
                throw ValidationError("top needs a terminal for its keys; give --once")
            }
            var last = try TopLook(client, sessions: 0)
            var report: TopReport?
            var size = Output.size
            while true {
                let end = Clock.deadline(seconds: report == nil ? 1 : Double(interval))
                while Clock.now() < end {
                    switch screen.key(milliseconds: 200) {
                    case .end, .character("q"), .character("Q"): return nil
                    case .character, nil: break
                    }
                    guard let now = Output.size, now != size ?? (0, 0) else { continue }
                    size = now
                    if let report { draw(report) }
                }
                let look = try TopLook(client, sessions: max(1, (Output.size?.rows ?? 24)))
                let drawn = TopReport(from: last, to: look)
                draw(drawn)
                (last, report) = (look, drawn)
            }
        } catch let error as ValidationError { throw error } catch { return error }
    }

    /// Draws what fits on the screen.
    private func draw(_ report: TopReport) {
        let (rows, columns) = Output.size ?? (24, 80)
        var lines = report.lines(width: columns)
        lines.append("")
        lines = Array(lines.prefix(max(1, rows - 1)))
        lines.append(Style.dim("q quits; every \(interval) s"))
        Output.text("\u{1B}[H" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J")
    }
}

/// The daemon's counters and its hottest sessions at a moment.
struct TopLook {
    struct Session: Codable {
        let id: UInt64
        let namespace: String
        let name: String
        let chunks: UInt64
        let storedBytes: UInt64
        let usedSeconds: UInt64
    }

    let nanoseconds: UInt64
    let facts: [String: String]
    let counters: [String: UInt64]
    let draining: Bool
    let sessions: [Session]

    private struct Status: Decodable {
        let facts: [String: String]
        let counters: [String: UInt64]
        let draining: Bool
    }

    private struct Sessions: Decodable {
        let sessions: [Session]
    }

    /// Asks for the counters, and for the sessions that were used last.
    init(_ client: AdminClient, sessions limit: Int) throws {
        let status = try client.get("/v1/status", as: Status.self)
        nanoseconds = Clock.now()
        // Keys of a dictionary are names of counters, and stay as they are.
        (facts, counters, draining) = (status.facts, status.counters, status.draining)
        let target = "/v1/sessions?sort=used&order=desc&limit=\(min(limit, 100))"
        sessions = limit == 0 ? [] : try client.get(target, as: Sessions.self).sessions
    }
}
