/// What a verify found, and what it repaired.
struct VerifyReport: CommandReport {
    /// A chunk that fails its checks.
    struct Finding: Encodable {
        let session: String
        let rank: UInt16
        let component: UInt16
        let offset: UInt64
        let reason: String

        init(_ session: String, _ rank: UInt16, _ component: UInt16, _ offset: UInt64, _ reason: String) {
            self.session = session
            self.rank = rank
            self.component = component
            self.offset = offset
            self.reason = reason
        }

        var text: String {
            "\(session), rank \(rank), component \(component), offset \(offset): \(reason)"
        }
    }

    /// One look at all chunks of a session.
    struct Pass {
        var checked: UInt64 = 0
        var rawBytes: UInt64 = 0
        var damaged: [Finding] = []
    }

    /// True if damaged chunks are taken out.
    let repairs: Bool
    private(set) var sessions = 0
    private(set) var checked: UInt64 = 0
    private(set) var rawBytes: UInt64 = 0
    private(set) var damaged: [Finding] = []
    /// Chunks that were taken out, with those that were the same bytes.
    private(set) var removedChunks: UInt64 = 0
    private(set) var freedBytes: UInt64 = 0
    /// What is damaged still.
    private(set) var left: [Finding] = []

    init(repairs: Bool) { self.repairs = repairs }

    /// Looks at a session, and repairs what is damaged, if it is to.
    mutating func take(
        _ look: () throws -> Pass, repair: (Finding) throws -> (removed: UInt64, freedBytes: UInt64)
    ) throws {
        let pass = try look()
        sessions += 1
        checked += pass.checked
        rawBytes += pass.rawBytes
        damaged += pass.damaged
        guard repairs, !pass.damaged.isEmpty else {
            left += pass.damaged
            return
        }
        for finding in pass.damaged {
            let (removed, freed) = try repair(finding)
            removedChunks += removed
            freedBytes += freed
        }
        left += try look().damaged
    }

    func printOut() {
        for finding in damaged {
            let isLeft = left.contains { $0.text == finding.text }
            print("\(Style.alarm(isLeft ? "DAMAGED" : "REMOVED")) \(finding.text)")
        }
        print(
            "\(sessions) sessions, \(checked) chunks read, \(Format.bytes(rawBytes)) raw whole, \(damaged.count) damaged"
        )
        if repairs && !damaged.isEmpty {
            print(
                "\(removedChunks) chunks removed, \(Format.bytes(freedBytes)) freed: put them again, or let workers compute "
                    + "them")
        }
        if left.isEmpty { return }
        print(
            repairs
                ? "\(left.count) could not be repaired: drop their sessions, and let workers compute the state"
                : "run larderctl verify --repair to take them out, so that they can be put again")
    }

    var status: ExitStatus { left.isEmpty ? .done : .incomplete }
}
