import ArgumentParser
import LarderClient
import LarderModel
import LarderSystem
import LarderWire

/// What every command that gives a hint takes: whose state, and which part of it.
struct HintOptions: ParsableArguments {
    @OptionGroup var target: SessionOptions
    @Option(
        help: ArgumentHelp(
            "Only these tokens: the chunks that begin in A..<B. Either end may be left out.", valueName: "A..<B"),
        transform: tokenRange)
    var tokens: Range<UInt64> = 0..<UInt64.max
}

/// A command that gives a hint about a session.
protocol HintCommand: SessionCommand where Report == HintReport {
    /// Whose state, and which part of it.
    var hint: HintOptions { get }
}

extension HintCommand {
    var target: SessionOptions { hint.target }

    /// Gives the hint, and returns what was made of it.
    func give(
        _ kind: HintKind, _ client: Client, _ session: SessionSummary, priority: Int8 = 0, seconds: UInt32 = 0
    ) throws -> HintReport {
        let target = HintTarget.session(
            session.session, from: hint.tokens.lowerBound, to: hint.tokens.upperBound)
        let result = try client.hint([Hint(kind, target, priority: priority, seconds: seconds)])[0]
        return HintReport(kind, session, result)
    }
}

/// What was made of a hint.
struct HintReport: CommandReport {
    let session: UInt64
    let name: String
    let hint: String
    let outcome: String
    let bound: String
    let from: UInt64
    let to: UInt64
    let seconds: UInt32
    let reason: String

    init(_ kind: HintKind, _ session: SessionSummary, _ result: HintResult) {
        self.session = session.session
        name = session.path
        hint = kind.name
        outcome = "\(result.outcome)"
        bound = "\(result.bound)"
        from = result.from
        to = result.to
        seconds = result.seconds
        reason = result.reason
    }

    /// Refused where nothing was made of it.
    var status: ExitStatus {
        outcome == "\(HintOutcome.rejected)" || outcome == "\(HintOutcome.missing)" ? .refused : .done
    }

    func printOut() {
        var text = "\(hint) \(name): \(outcome)"
        if to > from { text += ", tokens \(from)..<" + (to == .max ? "" : "\(to)") }
        if seconds > 0 { text += " for \(Format.duration(seconds))" }
        print(reason.isEmpty ? text : text + " (\(bound): \(reason))")
    }
}

struct Retain: HintCommand {
    static let configuration = CommandConfiguration(
        abstract: "Keep a session's state rather than other state for a while.",
        discussion: """
            A bias, not a promise: where nothing else can go, it goes too. It takes the place of what the session retained \
            before, and ends early for what the session is truncated or forked away from.
            """)
    @OptionGroup var hint: HintOptions
    @Option(
        name: .customLong("for"),
        help: ArgumentHelp("For how long; 0s ends it.", valueName: "40s|10min|2h"), transform: Read.duration)
    var seconds: UInt32 = 60
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "From -\(Limits.hintPriority) to \(Limits.hintPriority). Where a namespace retains all that it may, less gives "
                + "way to more; below 0 it is a demote.", valueName: "number"))
    var priority: Int8 = 0

    func report(_ client: Client, _ session: SessionSummary) throws -> HintReport {
        try give(.retain, client, session, priority: priority, seconds: seconds)
    }
}

struct PinCommand: HintCommand {
    static let configuration = CommandConfiguration(
        commandName: "pin",
        abstract: "Keep a session's state, whatever else goes, while this command runs.",
        discussion: """
            A pin ends with the connection that holds it, so this command stays in the foreground until the time is over; \
            interrupt it to end the pin early. A truncate or a drop goes before a pin.
            """)
    @OptionGroup var hint: HintOptions
    @Option(
        name: .customLong("for"), help: ArgumentHelp("For how long.", valueName: "10min"), transform: Read.duration)
    var seconds: UInt32 = 600

    func validate() throws {
        guard seconds > 0 else { throw ValidationError("A pin lasts at least a second: it ends with this command.") }
    }

    func report(_ client: Client, _ session: SessionSummary) throws -> HintReport {
        try give(.pin, client, session, seconds: seconds)
    }

    /// Prints what was made of it while the connection, and with it the pin, goes on.
    func run() throws {
        try connection.withClient { client in
            let report = try report(client)
            try connection.output.show(report)
            let end = Clock.deadline(seconds: Double(report.seconds))
            if !connection.json { print("holding it; interrupt to let go") }
            while Clock.now() < end {
                Clock.sleep(milliseconds: Int(min(5_000, (end - Clock.now()) / 1_000_000 + 1)))
                // No hint at all: asks whether the daemon, and with it the pin, is still there.
                _ = try client.hint([])
            }
        }
    }
}

struct Demote: HintCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let a session's state go before other state.",
        discussion: "It stays until room is needed. What other sessions see too stays as it is.")
    @OptionGroup var hint: HintOptions

    func report(_ client: Client, _ session: SessionSummary) throws -> HintReport {
        try give(.demote, client, session)
    }
}

struct PrefetchCommand: HintCommand {
    static let configuration = CommandConfiguration(
        commandName: "prefetch", abstract: "Bring a session's state into memory, in the background.")
    @OptionGroup var hint: HintOptions

    func report(_ client: Client, _ session: SessionSummary) throws -> HintReport {
        try give(.prefetch, client, session)
    }
}

/// Reads `A..<B`, `A..<` and `..<B`.
private func tokenRange(_ text: String) throws -> Range<UInt64> {
    let wrong = ValidationError("'\(text.clipped)' is not a range of tokens such as 1024..<4096, 1024..< or ..<4096")
    let ends = text.split(separator: "..<", maxSplits: 1, omittingEmptySubsequences: false)
    guard ends.count == 2, !(ends[0].isEmpty && ends[1].isEmpty) else { throw wrong }
    let from = ends[0].isEmpty ? 0 : UInt64(ends[0])
    let to = ends[1].isEmpty ? UInt64.max : UInt64(ends[1])
    guard let from, let to else { throw wrong }
    guard from < to else { throw ValidationError("the range \(text.clipped) has no tokens") }
    return from..<to
}
