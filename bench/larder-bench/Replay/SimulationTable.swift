import Foundation
import LarderPolicy

/// Policies against cache sizes on one trace: what each simulation came to.
struct SimulationTable {
    private let trace: RequestTrace
    private let name: String
    private let policies: [SimulatedPolicy]
    private let fractions: [Double]
    /// By policy, then by size.
    private let outcomes: [[Simulator.Outcome]]

    /// Runs every policy at every size.
    init(
        trace: RequestTrace, name: String, policies: [SimulatedPolicy], fractions: [Double],
        _ configuration: SweepRule.Configuration
    ) {
        self.trace = trace
        self.name = name
        self.policies = policies
        self.fractions = fractions
        outcomes = policies.map { policy in
            fractions.map { fraction in
                let capacity = Int((fraction * Double(trace.uniqueBlocks)).rounded(.up))
                var cache = policy.cache(capacity: capacity, trace: trace, configuration)
                return Simulator.run(trace, &cache)
            }
        }
    }

    /// The trace that the goals are for.
    private static let goalTrace = "conversation_trace.jsonl"

    /// Least shares of prompt blocks that hit on that trace.
    private func hitGoal(_ policy: SimulatedPolicy, _ fraction: Double) -> Double? {
        guard name == Self.goalTrace else { return nil }
        return switch policy {
        case .heat: [0.01: 0.105, 0.05: 0.220, 0.1: 0.290, 0.25: 0.354, 0.5: 0.363][fraction]
        // A hundredth below exact eviction, and at the smallest cache what is left of it.
        case .sweep: [0.01: 0.080, 0.05: 0.210, 0.1: 0.282, 0.25: 0.344, 0.5: 0.353][fraction]
        default: nil
        }
    }

    var measurements: [Measurement] {
        zip(policies, outcomes).flatMap { policy, outcomes in
            zip(fractions, outcomes).flatMap { measurements(policy, $0, $1) }
        }
    }

    private func measurements(
        _ policy: SimulatedPolicy, _ fraction: Double, _ outcome: Simulator.Outcome
    ) -> [Measurement] {
        let detail = [
            "trace": name, "policy": policy.rawValue, "cache_fraction": "\(fraction)",
            "requests": "\(outcome.requests)", "prompt_blocks": "\(outcome.promptBlocks)",
            "unique_blocks": "\(trace.uniqueBlocks)", "insertions": "\(outcome.insertions)",
            "token_hit": formatted(outcome.tokenHitRatio, 4),
        ]
        let hits = Measurement(
            "prefix_hit", outcome.hitRatio, unit: "ratio", goal: hitGoal(policy, fraction), detail: detail)
        guard policy.isSweep else { return [hits] }
        let goal = policy == .sweep && fraction >= 0.1 && name == Self.goalTrace ? 1.3 : nil
        let amplification = Measurement(
            "write_amplification", outcome.writeAmplification, unit: "ratio", goal: goal, better: .lower,
            detail: detail)
        return [hits, amplification]
    }

    /// Two tables: prefix hits, and write amplification of the sweeps.
    func printText() {
        let blocks = outcomes.first?.first?.promptBlocks ?? 0
        print(
            "\(trace.requests.count) requests, \(blocks) prompt blocks of \(RequestTrace.blockTokens) tokens, "
                + "\(trace.uniqueBlocks) of them unique\n")
        printRows("prefix hits, % of prompt blocks", policies) { formatted(100 * $0.hitRatio, 1) }
        let sweeps = policies.filter(\.isSweep)
        if sweeps.isEmpty { return }
        print("")
        printRows("blocks written for each put", sweeps) { formatted($0.writeAmplification, 2) }
    }

    private func printRows(_ title: String, _ rows: [SimulatedPolicy], _ cell: (Simulator.Outcome) -> String) {
        let sizes = fractions.map { String(format: "%g %%", 100 * $0).right(8) }
        print(title.left(32) + sizes.joined())
        for (policy, outcomes) in zip(policies, outcomes) where rows.contains(policy) {
            print(policy.rawValue.left(32) + outcomes.map { cell($0).right(8) }.joined())
        }
    }
}
