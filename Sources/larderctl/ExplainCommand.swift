import ArgumentParser
import LarderClient
import LarderModel
import LarderSystem
import LarderWire

struct ExplainCommand: SessionCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "Why a session can be restored as far as it can, and no further.")
    @OptionGroup var target: SessionOptions
    @Option(help: "The offset in question, in tokens. Default: the end of what is stored.")
    var at: UInt64 = .max
    @Option(help: "The number of a model that a worker would resume with.")
    var model: UInt32 = 0

    func report(_ client: Client, _ session: SessionSummary) throws -> Report {
        let answer = try client.explain(session: session.session, atMost: at, modelID: model)
        let models = try client.models()
        let components = answer.tracks.map { track in
            let modelID = session.models.first { $0.rank == track.rank }?.modelID
            let component = models.first { $0.modelID == modelID }?.declaration.components[Int(track.component)]
            return Report.Component(
                rank: track.rank, name: component?.name ?? "?", kind: component.map { "\($0.kind)" } ?? "?",
                reach: track.reach, cause: "\(track.cause)", missingFrom: track.missingFrom,
                missingTo: track.missingTo, evictedBy: track.rule?.name,
                evictedSeconds: track.rule == nil ? nil : track.evictedSeconds)
        }
        return Report(
            session: session.session, name: session.path, at: answer.at, end: answer.end, resumePoint: answer.offset,
            missingRanks: answer.missingRanks, model: model, modelDifference: answer.modelDifference,
            components: components)
    }

    struct Report: CommandReport {
        struct Component: Encodable {
            let rank: UInt16
            let name: String
            let kind: String
            let reach: UInt64
            let cause: String
            let missingFrom: UInt64
            let missingTo: UInt64
            let evictedBy: String?
            let evictedSeconds: UInt64?
        }

        let session: UInt64
        let name: String
        let at: UInt64
        let end: UInt64
        let resumePoint: UInt64
        let missingRanks: [UInt16]
        /// The model that was asked about; 0 for none.
        let model: UInt32
        let modelDifference: String
        let components: [Component]

        func printOut() {
            print(
                "session \(name): resume point \(resumePoint) of \(at) tokens"
                    + (at < end ? " (it ends at \(end))" : ""))
            for rank in missingRanks {
                print("rank \(rank) has not opened the session: nothing can be restored until it has")
            }
            if !modelDifference.isEmpty {
                print("model \(model) cannot use this state: it differs in \(modelDifference)")
            }
            print("")
            var table = Table("component", ">rank", "kind", ">reach", "why no further")
            for component in components {
                table.add(
                    component.name, "\(component.rank)", component.kind, "\(component.reach)", reason(component))
            }
            table.printOut()
        }

        private func reason(_ component: Component) -> String {
            let isState = component.missingFrom == component.missingTo
            let what =
                isState
                ? "the state at \(component.missingFrom)" : "tokens \(component.missingFrom)..<\(component.missingTo)"
            switch component.cause {
            case "none": return "-"
            case "noState": return "no state of it was ever put"
            case "evicted":
                let age = Format.age(component.evictedSeconds ?? 0)
                return "\(what): evicted \(age) ago, as \(component.evictedBy ?? "?")"
            case "damaged": return "\(what): damaged; larderctl verify says more"
            default: return "\(what): never put, or truncated"
            }
        }
    }
}
