import ArgumentParser
import LarderClient
import LarderModel
import LarderSystem
import LarderWire

struct ReportCommand: DaemonCommand {
    static let configuration = CommandConfiguration(
        commandName: "report", abstract: "What paging has saved: tokens, GPU time, money.",
        discussion: """
            Stored are tokens of new chunks; restored are tokens that were paged in, each time; not recomputed are those \
            of them that a resume had promised, each once a resume. The time is what computing these would have taken at \
            the model's prefill rate, times the GPUs of its parallel group: the rate is the one that prefill-rate has set, \
            else the average of what workers report when they resume. The price of a GPU-hour is larderd's setting \
            gpu_hour_price, in whatever currency you mean.

            Counts are kept by the hour, for 400 days: a range takes in every hour that it touches. Those of a session are \
            kept from the daemon's start on.
            """)
    @OptionGroup var connection: ConnectionOptions
    @Option(help: "From when on: 90m, 24h, 7d, 2w ago; or 2026-11-01, or 2026-11-01T08:00. Default: all that is kept.")
    var since: String?
    @Option(help: "Until when, likewise. Default: now.")
    var until: String?
    @Option(help: "Only this namespace.")
    var namespace = ""
    @Option(help: "Only this model: its number or its name.")
    var model: String?
    @Option(help: "One session, since the daemon's start: NAMESPACE/NAME, or its number.")
    var session: String?

    func validate() throws {
        if session != nil, since != nil || until != nil || !namespace.isEmpty || model != nil {
            throw ValidationError("a session is counted since the daemon's start: give --session alone")
        }
        let now = Clock.wallSeconds()
        let start = try since.map { try moment($0, now: now) }
        if let end = try until.map({ try moment($0, now: now) }), end <= start ?? 0 {
            throw ValidationError("the range ends before it begins: give an earlier --since or a later --until")
        }
    }

    private func moment(_ text: String, now: UInt64) throws -> UInt64 {
        guard let moment = Moment.seconds(text, now: now) else {
            throw ValidationError("'\(text)' is no time: write 90m, 24h, 7d, 2w, 2026-11-01 or 2026-11-01T08:00")
        }
        return moment
    }

    /// What was saved, or that there is nothing to say.
    struct Report: CommandReport {
        let summary: SavingsSummary
        let nothing: String
        let nowSeconds: UInt64

        func encode(to encoder: any Encoder) throws { try summary.encode(to: encoder) }

        func printOut() { if summary.rows.isEmpty { print(nothing) } else { summary.printOut(nowSeconds: nowSeconds) } }
    }

    func report(_ client: Client) throws -> Report {
        let models = try client.models()
        let now = Clock.wallSeconds()
        let answer: ReportAnswer
        var subject: String?
        if let session {
            let found = try findSession(session, client)
            subject = found.path
            answer = try client.report(session: found.session)
        } else {
            answer = try client.report(
                from: try since.map { try moment($0, now: now) } ?? 0,
                to: try until.map { try moment($0, now: now) } ?? 0, namespace: namespace,
                modelID: try model.map { try Self.number(ofModel: $0, models) } ?? 0)
        }
        let summary = SavingsSummary(answer, models, session: subject)
        return Report(summary: summary, nothing: nothing(summary), nowSeconds: now)
    }

    private func nothing(_ report: SavingsSummary) -> String {
        if let session = report.session {
            return "nothing to report: session \(session) was neither stored to nor restored from since "
                + Moment.text(report.from)
        }
        let isNarrow = since != nil || until != nil || !namespace.isEmpty || model != nil
        return "nothing to report: no state was stored or restored"
            + (isNarrow ? " that fits; larderctl report without options shows all that is kept" : " yet")
    }

    /// The model that a person means by its number or its name.
    static func number(ofModel text: String, _ models: [ModelSummary]) throws -> UInt32 {
        if let number = UInt32(text) { return number }
        let named = models.filter { $0.declaration.name == text }
        guard let first = named.first else {
            throw LarderError(.unknownModel, "there is no model '\(text)'; larderctl models lists them")
        }
        let isOneGroup =
            first.declaration.groupSize > 1
            && named.allSatisfy { $0.declaration.sharesGroup(with: first.declaration) }
        guard named.count == 1 || isOneGroup else {
            let numbers = named.map { "\($0.modelID)" }.joined(separator: ", ")
            throw LarderError(
                .invalidArgument, "\(named.count) models are named '\(text)': \(numbers); say which by its number")
        }
        return named.min { $0.declaration.rank < $1.declaration.rank }!.modelID
    }
}

struct PrefillRateCommand: DaemonCommand {
    static let configuration = CommandConfiguration(
        commandName: "prefill-rate", abstract: "Say how fast a model's workers compute.",
        discussion: """
            The rate is that of a whole parallel group. It goes before what workers report themselves when they resume, in \
            larderctl report and where the daemon says whether loading or computing is cheaper. 0 forgets it.
            """)
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "The model's number or its name.")
    var model: String
    @Argument(help: "Tokens a second of prefill.")
    var rate: UInt32

    struct Report: CommandReport {
        let modelID: UInt32
        let model: String
        let prefillRate: UInt32

        func printOut() {
            print(
                prefillRate == 0
                    ? "model \(modelID) (\(model)): the rate that was set is forgotten"
                    : "model \(modelID) (\(model)): \(prefillRate) tokens a second of prefill")
        }
    }

    func report(_ client: Client) throws -> Report {
        let models = try client.models()
        let number = try ReportCommand.number(ofModel: model, models)
        try client.setPrefillRate(rate, modelID: number)
        let name = models.first { $0.modelID == number }?.declaration.name ?? "?"
        return Report(modelID: number, model: name, prefillRate: rate)
    }
}
