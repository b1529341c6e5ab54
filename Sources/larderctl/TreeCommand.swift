import ArgumentParser
import LarderClient
import LarderModel
import LarderWire

struct TreeCommand: SessionCommand {
    static let configuration = CommandConfiguration(
        commandName: "tree",
        abstract: "A session's forks, drawn: where each leaves the other, and what it holds of its own.",
        discussion: """
            Each line is a stretch of state that one session wrote. A branch says at which offset it leaves the line above it: \
            what it sees of that ends there. A line without a session is what is left of one that was truncated or dropped, \
            because others still see it. Chunks and bytes are a line's own, so that their sum is what the tree takes (but for \
            chunks that prefix keys share).
            """)
    typealias Report = TreeReport
    @OptionGroup var target: SessionOptions

    func report(_ client: Client, _ session: SessionSummary) throws -> TreeReport {
        TreeReport(try client.tree(session: session.session), session)
    }
}

/// A tree of sessions.
struct TreeReport: CommandReport {
    struct Line: Encodable {
        let line: UInt64
        let parent: UInt64?
        /// Where it leaves its parent, in tokens; nil for a root, and where it sees all of it.
        let offset: UInt64?
        let session: UInt64?
        let name: String?
        let end: UInt64
        let chunks: UInt64
        let rawBytes: UInt64
        let storedBytes: UInt64
        let changedSeconds: UInt64
    }

    /// Cells of the lines that lead to a name; beyond them the depth is said as a number.
    private static let stemCells = 48

    let session: UInt64
    let namespace: String
    let complete: Bool
    let lines: [Line]

    init(_ answer: TreeAnswer, _ session: SessionSummary) {
        self.session = session.session
        namespace = session.namespace
        complete = answer.complete
        lines = answer.lines.map { line in
            Line(
                line: line.line, parent: line.parent == 0 ? nil : line.parent,
                offset: line.parent == 0 || line.offset == .max ? nil : line.offset,
                session: line.session == 0 ? nil : line.session, name: line.session == 0 ? nil : line.name,
                end: line.end, chunks: line.chunks, rawBytes: line.rawBytes, storedBytes: line.storedBytes,
                changedSeconds: line.changedSeconds)
        }
    }

    func printOut() {
        let known = Set(lines.map(\.line))
        let children = Dictionary(grouping: lines.filter { $0.parent.map(known.contains) ?? false }) { $0.parent! }
            .mapValues { $0.sorted { ($0.offset ?? .max, $0.line) < ($1.offset ?? .max, $1.line) } }
        var table = Table("session", ">leaves at", ">ends at", ">chunks", ">raw", ">stored", ">changed")
        // A stack instead of recursion: forks may be thousands deep, which no screen is wide enough for.
        var waiting = lines.filter { !($0.parent.map(known.contains) ?? false) }.reversed()
            .map { ($0, "", "", 0, UInt64(0)) }
        while let (line, stem, branch, depth, seen) = waiting.popLast() {
            // It sees of the line above what that sees, up to where it leaves.
            let end = max(line.end, min(line.offset ?? .max, seen))
            let cut = branch.count > Self.stemCells ? "+\(depth) " + branch.suffix(Self.stemCells) : branch
            table.add(
                cut + name(line), line.offset.map { "\($0)" } ?? "-", "\(end)",
                "\(line.chunks)", Format.bytes(line.rawBytes), Format.bytes(line.storedBytes),
                Format.age(line.changedSeconds))
            let below = children[line.line] ?? []
            for (index, child) in below.enumerated().reversed() {
                let isLast = index == below.count - 1
                let kept = String(stem.suffix(Self.stemCells))
                waiting.append(
                    (child, kept + (isLast ? "   " : "│  "), kept + (isLast ? "└─ " : "├─ "), depth + 1, end))
            }
        }
        table.printOut()
        print("")
        let sessions = lines.filter { $0.session != nil }.count
        let stored = lines.reduce(0) { $0 + $1.storedBytes }
        print("\(sessions) sessions on \(lines.count) lines of namespace \(namespace), \(Format.bytes(stored)) stored")
        if !complete { print("the tree has more lines; only those nearest to the session are shown") }
    }

    private func name(_ line: Line) -> String {
        guard let id = line.session, let name = line.name else { return "(no session)" }
        return "\(name) (\(id))" + (id == session ? " <" : "")
    }
}
