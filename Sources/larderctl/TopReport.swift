import LarderModel
import LarderSystem

/// What happened between two looks at the daemon.
struct TopReport: CommandReport {
    /// What a second of it added.
    struct Rates: Encodable {
        let requests: Double
        let pageInBytes: Double
        let pageOutBytes: Double
        let resumes: Double
        let evictedChunks: Double
        let movedBytes: Double
        let commits: Double
    }

    let seconds: Double
    let perSecond: Rates
    /// Tokens that resumes asked for and found in the interval; asked is missing where the daemon does not count it.
    let tokensAsked: UInt64?
    let tokensFound: UInt64
    let chunksIn: UInt64
    let chunksMissed: UInt64
    let evictedByRule: [String: UInt64]
    let counters: [String: UInt64]
    let facts: [String: String]
    let draining: Bool
    /// Those that were used last.
    let sessions: [TopLook.Session]

    init(from first: TopLook, to last: TopLook) {
        seconds = max(1e-3, Double(last.nanoseconds - first.nanoseconds) / 1e9)
        func added(_ name: String) -> UInt64 {
            let (before, after) = (first.counters[name] ?? 0, last.counters[name] ?? 0)
            return after > before ? after - before : 0
        }
        let second = seconds
        func rate(_ name: String) -> Double { Double(added(name)) / second }
        let evicted = EvictionRule.allCases.map { ($0.name, added("evicted_\($0.name)_chunks")) }.filter { $0.1 > 0 }
        perSecond = Rates(
            requests: rate("requests_total"), pageInBytes: rate("page_in_raw_bytes_total"),
            pageOutBytes: rate("page_out_raw_bytes_total"), resumes: rate("resumes_total"),
            evictedChunks: Double(evicted.reduce(0) { $0 + $1.1 }) / second, movedBytes: rate("moved_bytes"),
            commits: rate("commits"))
        evictedByRule = Dictionary(uniqueKeysWithValues: evicted)
        tokensAsked = last.counters["tokens_asked_total"] == nil ? nil : added("tokens_asked_total")
        tokensFound = added("tokens_resumed_total")
        chunksIn = added("page_in_chunks_total")
        chunksMissed = added("misses_total")
        counters = last.counters
        facts = last.facts
        draining = last.draining
        sessions = last.sessions
    }

    func printOut() { for line in lines(width: .max) { print(line) } }

    /// The screen, each line cut to a width.
    func lines(width: Int) -> [String] {
        func count(_ name: String) -> UInt64 { counters[name] ?? 0 }
        func speed(_ bytes: Double) -> String { Format.bytes(UInt64(bytes)) + "/s" }
        let uptime = Format.duration(Double(count("uptime_seconds")))
        var lines = [
            "larderd \(facts["version"] ?? "?"), pid \(facts["pid"] ?? "?"), up \(uptime)"
                + (draining ? "  \(Style.alarm("DRAINING"))" : ""),
            "workers    \(count("connections")) connected, \(Self.number(perSecond.requests)) requests/s, "
                + "\(count("arenas")) arenas of \(Format.bytes(count("arena_bytes")))",
            "page in    \(speed(perSecond.pageInBytes)), \(chunksIn) chunks, \(chunksMissed) missed",
            "page out   \(speed(perSecond.pageOutBytes)), \(Self.number(perSecond.commits)) commits/s, queue "
                + Format.bytes(count("queue_bytes")),
            "hits       " + hits,
            "store      \(Self.gauge(count("used_bytes"), of: count("usable_bytes"))) of what data may take; "
                + "\(Format.bytes(count("disk_bytes"))) on disk, cap \(Format.bytes(count("cap_bytes")))",
            "compactor  " + compactor,
        ]
        if count("damaged_chunks") > 0 {
            lines.append("\(Style.alarm("DAMAGED"))    \(count("damaged_chunks")) chunks; larderctl verify")
        }
        lines.append("")
        var table = Table("session", ">id", ">chunks", ">stored", ">last used")
        for session in sessions {
            table.add(
                "\(session.namespace)/\(session.name)".clipped, "\(session.id)", "\(session.chunks)",
                Format.bytes(session.storedBytes), Format.age(session.usedSeconds))
        }
        lines += table.lines
        return lines.map { Self.cut($0, to: width) }
    }

    private var hits: String {
        guard let asked = tokensAsked else { return "\(tokensFound) tokens found by resumes" }
        if asked == 0 { return "no resume asked for anything" }
        let share = 100 * Double(tokensFound) / Double(asked)
        return "\(Format.percent(share)) of \(Format.tokens(asked)) tokens that resumes asked for, "
            + "\(Self.number(perSecond.resumes)) resumes/s"
    }

    private var compactor: String {
        let rules = evictedByRule.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        let sweeping = (counters["sweeping_shards"] ?? 0) > 0 ? "sweeping; " : ""
        return sweeping + (rules.isEmpty ? "nothing evicted" : "\(rules) evicted") + ", "
            + "\(Format.bytes(UInt64(perSecond.movedBytes)))/s rewritten"
    }

    private static func number(_ value: Double) -> String { value < 10 ? Format.decimal(value) : "\(UInt64(value))" }

    /// `[#####.....] 52 %`.
    private static func gauge(_ part: UInt64, of whole: UInt64) -> String {
        let share = whole == 0 ? 0 : min(1, Double(part) / Double(whole))
        let filled = Int(share * 20)
        return "[\(String(repeating: "#", count: filled))\(String(repeating: ".", count: 20 - filled))] "
            + "\(Int(share * 100)) %"
    }

    /// A line cut to so many cells; escapes take none.
    private static func cut(_ line: String, to width: Int) -> String {
        var result = ""
        var cells = 0
        var isEscape = false
        for character in line {
            if character == "\u{1B}" { isEscape = true }
            if !isEscape {
                if cells == width { continue }
                cells += 1
            }
            result.append(character)
            if isEscape, character.isLetter { isEscape = false }
        }
        return result
    }
}
