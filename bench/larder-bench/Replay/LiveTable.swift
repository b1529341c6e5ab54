import LarderPolicy
import LarderSystem

/// What a daemon made of a trace at several sizes, beside what policies make of it in memory.
struct LiveTable {
    let trace: RequestTrace
    let name: String
    let outcomes: [LiveReplay.Outcome]
    /// Simulated policies, in the order of the outcomes.
    let simulated: [(policy: SimulatedPolicy, outcomes: [Simulator.Outcome])]

    private static let goalTrace = "conversation_trace.jsonl"

    init(
        trace: RequestTrace, name: String, outcomes: [LiveReplay.Outcome], _ configuration: SweepRule.Configuration
    ) {
        self.trace = trace
        self.name = name
        self.outcomes = outcomes
        simulated = [SimulatedPolicy.heat, .sweep, .lru].map { policy in
            (
                policy,
                outcomes.map { outcome in
                    let capacity = Int((outcome.fraction * Double(trace.uniqueBlocks)).rounded(.up))
                    var cache = policy.cache(capacity: capacity, trace: trace, configuration)
                    return Simulator.run(trace, &cache)
                }
            )
        }
    }

    /// A hundredth below exact heat; at the smallest cache what is left of it.
    private func hitGoal(_ index: Int) -> Double? {
        guard name == Self.goalTrace else { return nil }
        return outcomes[index].fraction < 0.05 ? 0.08 : simulated[0].outcomes[index].hitRatio - 0.01
    }

    var measurements: [Measurement] {
        outcomes.indices.flatMap { index in
            let outcome = outcomes[index]
            let share = Double(trace.uniqueBlocks)
            var detail = [
                "trace": name, "policy": "daemon", "cache_fraction": "\(outcome.fraction)",
                "requests": "\(outcome.totals.requests)", "prompt_blocks": "\(outcome.totals.promptBlocks)",
                "unique_blocks": "\(trace.uniqueBlocks)", "insertions": "\(outcome.totals.putBlocks)",
                "token_hit": formatted(outcome.totals.tokenHitRatio, 4), "chunk_bytes": "\(outcome.chunkBytes)",
                "resident_fraction_most": formatted(Double(outcome.residentMost) / share, 4),
                "resident_fraction_mean": formatted(outcome.residentMean / share, 4),
                "resident_fraction_end": formatted(Double(outcome.residentEnd) / share, 4),
                "lost_blocks": "\(outcome.totals.lostBlocks)", "refused": "\(outcome.totals.refused)",
                "seconds": formatted(outcome.seconds, 1),
                "daemon_policy": Process.environment("LARDER_POLICY") ?? SweepPolicy.heat.rawValue,
            ]
            for (policy, outcomes) in simulated {
                detail["simulated_\(policy.rawValue)"] = formatted(outcomes[index].hitRatio, 4)
            }
            for counter in ["put_bytes", "moved_bytes", "swept_bytes", "commits"] {
                detail[counter] = "\(outcome.counted[counter] ?? 0)"
            }
            for (counter, value) in outcome.counted where counter.hasPrefix("evicted_") { detail[counter] = "\(value)" }
            return [
                Measurement(
                    "prefix_hit", outcome.totals.hitRatio, unit: "ratio", goal: hitGoal(index), detail: detail),
                Measurement(
                    "write_amplification", outcome.writeAmplification, unit: "ratio",
                    goal: outcome.fraction >= 0.1 && name == Self.goalTrace ? 1.3 : nil, better: .lower, detail: detail),
            ]
        }
    }

    func printText() {
        print(
            "\(trace.requests.count) requests, \(outcomes.first?.totals.promptBlocks ?? 0) prompt blocks of "
                + "\(RequestTrace.blockTokens) tokens, \(trace.uniqueBlocks) of them unique\n")
        row("cache, % of unique blocks", outcomes.map { formatted(100 * $0.fraction, 0) })
        let share = 100 / Double(trace.uniqueBlocks)
        row("held at most, at the end, %", outcomes.map { formatted(Double($0.residentMost) * share, 2) })
        row("", outcomes.map { formatted(Double($0.residentEnd) * share, 2) })
        row("prefix hits of the daemon, %", outcomes.map { formatted(100 * $0.totals.hitRatio, 1) })
        for (policy, outcomes) in simulated {
            row("  simulated: \(policy.rawValue)", outcomes.map { formatted(100 * $0.hitRatio, 1) })
        }
        row("the same by tokens, daemon, %", outcomes.map { formatted(100 * $0.totals.tokenHitRatio, 1) })
        for (policy, outcomes) in simulated {
            row("  simulated: \(policy.rawValue)", outcomes.map { formatted(100 * $0.tokenHitRatio, 1) })
        }
        row("bytes written for each put", outcomes.map { formatted($0.writeAmplification, 2) })
        row("  simulated: sweep", simulated[1].outcomes.map { formatted($0.writeAmplification, 2) })
        row("seconds", outcomes.map { formatted($0.seconds, 0) })
    }

    private func row(_ title: String, _ cells: [String]) {
        print(title.left(32) + cells.map { $0.right(9) }.joined())
    }
}
