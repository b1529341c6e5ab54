import ArgumentParser
import LarderClient
import LarderModel
import LarderSystem
import LarderWire

/// What every command that gives a hint takes: whose state, and which part of it.
struct HintOptions: ParsableArguments {
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "NAMESPACE/NAME, or the session's number.")
    var session: String
    @Option(
        help: ArgumentHelp(
            "Only these tokens: the chunks that begin in A..<B. Either end may be left out.", valueName: "A..<B"),
        transform: tokenRange)
    var tokens: Range<UInt64> = 0..<UInt64.max

    private struct Report: Encodable {
        let session: UInt64
        let hint: String
        let outcome: String
        let bound: String
        let from: UInt64
        let to: UInt64
        let seconds: UInt32
        let reason: String
    }

    /// Gives one hint and prints what was made of it, then runs `body` with the connection. Ends with exit code 2 if nothing
    /// was.
    func give(
        _ kind: HintKind, priority: Int8 = 0, seconds: UInt32 = 0,
        then body: (Client, HintResult) throws -> Void = { _, _ in }
    ) throws {
        try connection.withClient { client in
            let found = try findSession(session, client)
            let target = HintTarget.session(found.session, from: tokens.lowerBound, to: tokens.upperBound)
            let result = try client.hint([Hint(kind, target, priority: priority, seconds: seconds)])[0]
            if connection.json {
                let report = Report(
                    session: found.session, hint: kind.name, outcome: "\(result.outcome)", bound: "\(result.bound)",
                    from: result.from, to: result.to, seconds: result.seconds, reason: result.reason)
                print(try Format.json(report))
            } else {
                print(Self.sentence(kind, found, result))
            }
            if result.outcome == .rejected || result.outcome == .missing { throw ExitCode(2) }
            try body(client, result)
        }
    }

    private static func sentence(_ kind: HintKind, _ session: SessionSummary, _ result: HintResult) -> String {
        var text = "\(kind.name) \(session.namespace)/\(session.name): \(result.outcome)"
        if result.to > result.from {
            text += ", tokens \(result.from)..<" + (result.to == .max ? "" : "\(result.to)")
        }
        if result.seconds > 0 { text += " for \(Format.duration(result.seconds))" }
        return result.reason.isEmpty ? text : text + " (\(result.bound): \(result.reason))"
    }
}

struct Retain: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Keep a session's state rather than other state for a while.",
        discussion: """
            A bias, not a promise: where nothing else can go, it goes too. It takes the place of what the session retained \
            before, and ends early for what the session is truncated or forked away from.
            """)
    @OptionGroup var hint: HintOptions
    @Option(
        name: .customLong("for"),
        help: ArgumentHelp("For how long; 0s ends it.", valueName: "40s|10min|2h"), transform: hintSeconds)
    var seconds: UInt32 = 60
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "From -\(Limits.hintPriority) to \(Limits.hintPriority). Where a namespace retains all that it may, less gives "
                + "way to more; below 0 it is a demote.", valueName: "number"))
    var priority: Int8 = 0

    func run() throws { try hint.give(.retain, priority: priority, seconds: seconds) }
}

struct PinCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pin",
        abstract: "Keep a session's state, whatever else goes, while this command runs.",
        discussion: """
            A pin ends with the connection that holds it, so this command stays in the foreground until the time is over; \
            interrupt it to end the pin early. A truncate or a drop goes before a pin.
            """)
    @OptionGroup var hint: HintOptions
    @Option(
        name: .customLong("for"), help: ArgumentHelp("For how long.", valueName: "10min"), transform: hintSeconds)
    var seconds: UInt32 = 600

    func validate() throws {
        guard seconds > 0 else { throw ValidationError("A pin lasts at least a second: it ends with this command.") }
    }

    func run() throws {
        try hint.give(.pin, seconds: seconds) { client, result in
            let end = Clock.deadline(seconds: Double(result.seconds))
            if !hint.connection.json { print("holding it; interrupt to let go") }
            while Clock.now() < end {
                Clock.sleep(milliseconds: Int(min(5_000, (end - Clock.now()) / 1_000_000 + 1)))
                // No hint at all: asks whether the daemon, and with it the pin, is still there.
                _ = try client.hint([])
            }
        }
    }
}

struct Demote: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let a session's state go before other state.",
        discussion: "It stays until room is needed. What other sessions see too stays as it is.")
    @OptionGroup var hint: HintOptions

    func run() throws { try hint.give(.demote) }
}

struct PrefetchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prefetch", abstract: "Bring a session's state into memory, in the background.")
    @OptionGroup var hint: HintOptions

    func run() throws { try hint.give(.prefetch) }
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

private func hintSeconds(_ text: String) throws -> UInt32 {
    do { return try Quantity.seconds(text) } catch { throw ValidationError(error.message) }
}
