import ArgumentParser
import LarderPolicy
import LarderStore

/// What the snapshot planner's rules keep of the prefixes that real requests share, and how many states that takes.
struct Snapshots: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Replays a trace of requests against the rules by which recurrent states are saved.",
        discussion: """
            The store is without bounds and keeps all attention; a request reuses its known prefix up to the deepest \
            recurrent state in it. Shares are of the tokens that could be reused if every block had its state, the \
            prompt's last and shorter one too. Snapshots are those that are left at the end, equal ones counted once. \
            "At most" bounds what one request saves; "thinned" drops after each request what the rule would not save \
            again on its line. A trace is one JSON object a line with input_length and hash_ids, one id for 512 \
            tokens.
            """)
    @Option(help: "The trace: conversation_trace.jsonl of kvcache-ai/Mooncake, in FAST25-release/traces.")
    var trace = RequestTrace.usualPath
    @Flag(help: "Print JSON instead of text.")
    var json = false

    private static let budgets = [1, 2, 4]

    /// Every rule without a budget, then with each.
    static var policies: [SnapshotReplay.Policy] {
        let block = RequestTrace.blockTokens
        let last = policy("last full boundary", "last")
        var branchAndEnd = policy("last + branch point + prompt's end", "last_branch_end", branches: true)
        branchAndEnd.savesEnd = true
        let bounded: [(Int) -> SnapshotReplay.Policy] = [
            { policy("every block", "every_block", stride: block, budget: $0) },
            { policy("last full boundary + branch point", "last_branch", branches: true, budget: $0) },
            { policy("every 8,192 tokens", "every_8192", boundary: 8_192, stride: 8_192, budget: $0) },
            { policy("every 4,096 tokens", "every_4096", boundary: 4_096, stride: 4_096, budget: $0) },
            { policy("last + branch + stride 8,192", "last_branch_8192", stride: 8_192, branches: true, budget: $0) },
        ]
        let unbounded = [bounded[0](0), last, bounded[1](0), branchAndEnd] + bounded[2...].map { $0(0) }
        return unbounded + [bounded[1](0), bounded[4](0)].map(thinned)
            + budgets.flatMap { budget in bounded.map { $0(budget) } }
    }

    private static func thinned(_ policy: SnapshotReplay.Policy) -> SnapshotReplay.Policy {
        SnapshotReplay.Policy(
            title: "\(policy.title), thinned", name: "\(policy.name)_thinned", planner: policy.planner,
            knowsBranches: policy.knowsBranches, thins: true)
    }

    private static func policy(
        _ title: String, _ name: String, boundary: UInt64 = RequestTrace.blockTokens, stride: UInt64 = 0,
        branches: Bool = false, budget: Int = 0
    ) -> SnapshotReplay.Policy {
        SnapshotReplay.Policy(
            title: budget == 0 ? title : "\(title), at most \(budget)",
            name: budget == 0 ? name : "\(name)_max\(budget)",
            planner: SnapshotPlanner(boundary: boundary, stride: stride, budget: budget), knowsBranches: branches)
    }

    func run() throws {
        let trace = try RequestTrace(file: trace)
        let policies = Self.policies
        let replay = SnapshotReplay(trace, policies)
        if json {
            try Measurement.printJSON(measurements(trace, policies, replay))
        } else {
            printTable(trace, policies, replay)
        }
    }

    private func share(_ outcome: SnapshotReplay.Outcome, _ replay: SnapshotReplay) -> Double {
        replay.reusableTokens == 0 ? 1 : Double(outcome.reusedTokens) / Double(replay.reusableTokens)
    }

    private func measurements(
        _ trace: RequestTrace, _ policies: [SnapshotReplay.Policy], _ replay: SnapshotReplay
    ) -> [Measurement] {
        zip(policies, replay.outcomes).flatMap { policy, outcome in
            let detail = [
                "policy": policy.title, "budget": "\(policy.planner.budget)", "requests": "\(trace.requests.count)",
                "unique_blocks": "\(trace.uniqueBlocks)", "snapshots": "\(outcome.states.count)",
                "reusable_tokens": "\(replay.reusableTokens)", "reused_tokens": "\(outcome.reusedTokens)",
            ]
            return [
                Measurement(
                    "snapshots_kept_\(policy.name)", share(outcome, replay), unit: "ratio", detail: detail),
                Measurement(
                    "snapshots_per_block_\(policy.name)", Double(outcome.states.count) / Double(trace.uniqueBlocks),
                    unit: "ratio", better: .lower, detail: detail),
                Measurement(
                    "snapshots_requests_\(policy.name)", Double(outcome.requests), unit: "requests", detail: detail),
            ]
        }
    }

    private func printTable(_ trace: RequestTrace, _ policies: [SnapshotReplay.Policy], _ replay: SnapshotReplay) {
        print(
            "\(trace.requests.count) requests, \(trace.uniqueBlocks) unique blocks of "
                + "\(RequestTrace.blockTokens) tokens, \(replay.reusableTokens) reusable tokens\n")
        print("\("states are saved at".left(46))  kept %  snapshots a block  requests that reuse")
        for (policy, outcome) in zip(policies, replay.outcomes) {
            let perBlock = Double(outcome.states.count) / Double(trace.uniqueBlocks)
            print(
                policy.title.left(46) + formatted(100 * share(outcome, replay), 1).right(8)
                    + formatted(perBlock, 3).right(19) + "\(outcome.requests)".right(21))
        }
    }
}
