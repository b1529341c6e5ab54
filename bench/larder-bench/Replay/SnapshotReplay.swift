import LarderPolicy
import LarderStore

/// Requests against a store without bounds that keeps all attention, and recurrent states where a policy puts them.
struct SnapshotReplay {
    /// Where states are saved.
    struct Policy {
        /// For a person.
        let title: String
        /// For `--json`.
        let name: String
        let planner: SnapshotPlanner
        /// Tells the planner of branch points.
        var knowsBranches = false
        /// Saves a state at the end of each prompt as well, on a boundary or not.
        var savesEnd = false
        /// Has the planner thin the states of a request's line once they are saved.
        var thins = false
    }

    /// What one policy came to.
    struct Outcome {
        /// Tokens that were reused.
        var reusedTokens: UInt64 = 0
        /// Requests that reused any.
        var requests = 0
        /// The blocks at whose end there is a state: the states that a store holds, equal ones once.
        var states: Set<UInt64> = []
    }

    /// Tokens that could be reused if every prefix had its state.
    private(set) var reusableTokens: UInt64 = 0
    private(set) var outcomes: [Outcome]

    /// What is known of a block, or of the prefix that ends with it.
    private struct Known {
        /// A line went on past it by a full block.
        var isPassed = false
        /// When a line last left there another that went on; nil if none has.
        var branchedAt: Int?
    }

    private var seen: [UInt64: Known] = [:]

    /// Replays a trace once; the outcomes are in the order of the policies.
    init(_ trace: RequestTrace, _ policies: [Policy]) {
        outcomes = policies.map { _ in Outcome() }
        for (time, request) in trace.requests.enumerated() {
            let matched = request.blocks.firstIndex { seen[$0] == nil } ?? request.blocks.count
            reusableTokens += request.tokens(blocks: matched)
            // A request that leaves what is known makes a branch point, and computes past it. Where no full block
            // followed, it goes on with a line that ended there.
            if matched > 0, matched < request.blocks.count, seen[request.blocks[matched - 1]]!.isPassed {
                seen[request.blocks[matched - 1]]!.branchedAt = time
            }
            for block in request.blocks[matched...] { seen[block] = Known() }
            let branches = branchPoints(of: request, matched)
            for index in policies.indices { serve(request, matched, branches, policies[index], &outcomes[index]) }
            let full = Int(request.length / RequestTrace.blockTokens)
            for block in request.blocks[..<full].dropLast() { seen[block]!.isPassed = true }
        }
    }

    /// The branch points of a request's known prefix, oldest first.
    private func branchPoints(of request: RequestTrace.Request, _ matched: Int) -> [UInt64] {
        (0..<matched).compactMap { index in
            seen[request.blocks[index]]?.branchedAt.map { (time: $0, offset: request.tokens(blocks: index + 1)) }
        }.sorted { ($0.time, $0.offset) < ($1.time, $1.offset) }.map(\.offset)
    }

    private func serve(
        _ request: RequestTrace.Request, _ matched: Int, _ branches: [UInt64], _ policy: Policy,
        _ outcome: inout Outcome
    ) {
        let reused = request.blocks[..<matched].lastIndex { outcome.states.contains($0) }.map { $0 + 1 } ?? 0
        let resumedAt = request.tokens(blocks: reused)
        outcome.reusedTokens += resumedAt
        outcome.requests += reused > 0 ? 1 : 0
        let branches = policy.knowsBranches ? branches : []
        let stored = request.blocks.indices.filter { outcome.states.contains(request.blocks[$0]) }
        let existing = stored.map { request.tokens(blocks: $0 + 1) }
        let plan = policy.planner.plan(
            length: request.length, branchPoints: branches, existing: Set(existing), resumedAt: resumedAt)
        for offset in plan { outcome.states.insert(request.block(endingAt: offset)) }
        if policy.savesEnd { outcome.states.insert(request.blocks[request.blocks.count - 1]) }
        if policy.thins {
            let line = existing + plan
            for offset in Set(line).subtracting(policy.planner.keeps(line, branchPoints: branches)) {
                outcome.states.remove(request.block(endingAt: offset))
            }
        }
    }
}
