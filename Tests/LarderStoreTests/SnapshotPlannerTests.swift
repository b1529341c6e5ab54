import LarderModel
import LarderStore
import LarderTestSupport
import Testing

@Suite struct SnapshotPlannerTests {
    @Test func theLastFullBoundary() {
        let planner = SnapshotPlanner(boundary: 512)
        #expect(planner.plan(length: 0) == [])
        #expect(planner.plan(length: 511) == [])
        #expect(planner.plan(length: 512) == [512])
        #expect(planner.plan(length: 6_758) == [6_656])
        #expect(planner.plan(length: .max) == [.max - 511])
    }

    @Test func branchPointsAreRoundedDown() {
        let planner = SnapshotPlanner(boundary: 100)
        #expect(planner.plan(length: 1_000, branchPoints: [250, 299, 700, 99, 0]) == [200, 700, 1_000])
        // Beyond the length there is nothing to save.
        #expect(planner.plan(length: 1_050, branchPoints: [1_051, .max]) == [1_000])
    }

    @Test func stridePoints() {
        #expect(SnapshotPlanner(boundary: 100, stride: 300).plan(length: 1_050) == [300, 600, 900, 1_000])
        #expect(SnapshotPlanner(boundary: 100, stride: 300).plan(length: 900) == [300, 600, 900])
        #expect(SnapshotPlanner(boundary: 100, stride: 300).plan(length: 250) == [200])
        // A stride that is no multiple of the boundary becomes the next one.
        #expect(SnapshotPlanner(boundary: 100, stride: 201).stride == 300)
        #expect(SnapshotPlanner(boundary: 100, stride: 1).stride == 100)
        #expect(SnapshotPlanner(boundary: 100, stride: .max).stride == 0)
    }

    @Test func theBudgetGoesToTheMostWorth() {
        let branches: [UInt64] = [700, 300]
        func plan(_ budget: Int) -> [UInt64] {
            SnapshotPlanner(boundary: 100, stride: 400, budget: budget).plan(length: 1_050, branchPoints: branches)
        }
        #expect(plan(1) == [1_000])
        #expect(plan(2) == [300, 1_000])
        #expect(plan(3) == [300, 700, 1_000])
        #expect(plan(4) == [300, 700, 800, 1_000])
        #expect(plan(5) == [300, 400, 700, 800, 1_000])
        #expect(plan(0) == plan(5))
    }

    @Test func whatExistsIsNotRepeated() {
        let planner = SnapshotPlanner(boundary: 100, stride: 400, budget: 2)
        // It costs none of the budget either.
        #expect(planner.plan(length: 1_050, branchPoints: [700], existing: [1_000, 700]) == [400, 800])
        #expect(planner.plan(length: 1_050, branchPoints: [700], existing: [1_000, 700, 400, 800]) == [])
    }

    @Test func aWorkerPassesOnlyWhatIsBeyondItsResumePoint() {
        let planner = SnapshotPlanner(boundary: 100, stride: 200)
        #expect(planner.plan(length: 1_050, branchPoints: [300, 700], resumedAt: 600) == [700, 800, 1_000])
        #expect(planner.plan(length: 1_050, resumedAt: 1_000) == [])
        #expect(planner.plan(length: 500, resumedAt: 1_000) == [])
    }

    @Test func aPlanHasALimit() {
        let plan = SnapshotPlanner(boundary: 1, stride: 1).plan(length: .max)
        #expect(plan.count == Limits.snapshotsPerPlan)
        #expect(plan.last == .max)
        #expect(SnapshotPlanner(boundary: 1, stride: 1, budget: .max).plan(length: 1 << 40).count == plan.count)
    }

    @Test func thinningKeepsTheLastBranchesAndStrides() {
        let stored: [UInt64] = [100, 200, 300, 400, 500, 600, 700, 800, 900]
        #expect(SnapshotPlanner(boundary: 100).keeps([]) == [])
        #expect(SnapshotPlanner(boundary: 100).keeps([0]) == [])
        #expect(SnapshotPlanner(boundary: 100).keeps(stored) == [900])
        #expect(SnapshotPlanner(boundary: 100).keeps(stored, branchPoints: [350, 50]) == [300, 900])
        #expect(SnapshotPlanner(boundary: 100, stride: 400).keeps(stored) == [400, 800, 900])
        let bounded = SnapshotPlanner(boundary: 100, stride: 400, budget: 2)
        #expect(bounded.keeps(stored, branchPoints: [310]) == [300, 900])
    }

    /// Workers save where turns end, seldom on a stride: the nearest state below stands in for the point.
    @Test func thinningKeepsTheNearestStateBelow() {
        let stored: [UInt64] = [1_530, 150, 390, 730, 1_100, 730, 0]
        #expect(SnapshotPlanner(boundary: 100, stride: 400).keeps(stored) == [390, 730, 1_100, 1_530])
        #expect(SnapshotPlanner(boundary: 100, stride: 800).keeps(stored) == [730, 1_530])
        #expect(SnapshotPlanner(boundary: 100).keeps(stored, branchPoints: [1_099, 9_999]) == [730, 1_530])
        // A far offset costs no more than a near one.
        #expect(SnapshotPlanner(boundary: 1, stride: 1).keeps([1, .max]) == [1, .max])
    }
}

/// Random rules and lines against the words of the rule, computed from all offsets. Seeds are printed.
@Suite struct SnapshotPlannerPropertyTests {
    private struct Line {
        let planner: SnapshotPlanner
        let length: UInt64
        let branches: [UInt64]
        let stored: Set<UInt64>
        let resumedAt: UInt64

        init(_ generator: inout SeededGenerator) {
            let boundary = UInt64.random(in: 1...8, using: &generator)
            let stride = Bool.random(using: &generator) ? 0 : UInt64.random(in: 1...40, using: &generator)
            planner = SnapshotPlanner(
                boundary: boundary, stride: stride, budget: Int.random(in: 0...6, using: &generator))
            length = UInt64.random(in: 0...200, using: &generator)
            branches = (0..<Int.random(in: 0...5, using: &generator)).map { _ in
                UInt64.random(in: 0...220, using: &generator)
            }
            let count = Int.random(in: 0...20, using: &generator)
            let aligned = Bool.random(using: &generator)
            stored = Set(
                (0..<count).map { _ in
                    let offset = UInt64.random(in: 0...200, using: &generator)
                    return aligned ? offset - offset % boundary : offset
                })
            resumedAt = Bool.random(using: &generator) ? 0 : UInt64.random(in: 0...200, using: &generator)
        }

        /// The points of the rule up to `end`, best first.
        func points(upTo end: UInt64, roundedDown: Bool) -> [UInt64] {
            let strides = (0...end).reversed().filter { planner.stride > 0 && $0 % planner.stride == 0 }
            let points = [end] + branches.reversed().filter { !roundedDown || $0 <= end } + strides
            return roundedDown ? points.map { $0 / planner.boundary * planner.boundary } : points
        }

        var bound: Int { planner.budget == 0 ? .max : planner.budget }

        func deepest(_ states: some Sequence<UInt64>, _ point: UInt64) -> UInt64? {
            states.filter { $0 <= point }.max()
        }
    }

    private func forEachLine(_ name: String, _ body: (Line, inout SeededGenerator) -> Void) {
        var generator = SeededGenerator(seed: testSeed(name))
        for _ in 0..<3_000 {
            let line = Line(&generator)
            body(line, &generator)
        }
    }

    @Test func plansWhatTheRuleSays() {
        forEachLine("plansWhatTheRuleSays") { line, _ in
            var expected: [UInt64] = []
            for point in line.points(upTo: line.length, roundedDown: true)
            where expected.count < line.bound && point > line.resumedAt && !line.stored.contains(point)
                && !expected.contains(point)
            {
                expected.append(point)
            }
            let plan = line.planner.plan(
                length: line.length, branchPoints: line.branches, existing: line.stored, resumedAt: line.resumedAt)
            #expect(plan == expected.sorted(), "\(line)")
        }
    }

    @Test func keepsWhatTheRuleSays() {
        forEachLine("keepsWhatTheRuleSays") { line, generator in
            let states = line.stored.subtracting([0])
            var expected: Set<UInt64> = []
            for point in line.points(upTo: states.max() ?? 0, roundedDown: false) where expected.count < line.bound {
                if let state = line.deepest(states, point) { expected.insert(state) }
            }
            let kept = line.planner.keeps(line.stored.shuffled(using: &generator), branchPoints: line.branches)
            #expect(kept == expected.sorted(), "\(line)")
            #expect(line.planner.keeps(kept, branchPoints: line.branches) == kept, "twice: \(line)")
        }
    }

    /// What the compactor relies on: thinning takes no resume point from any line that the rule knows of.
    @Test func thinningCostsNoKnownLineItsResumePoint() {
        forEachLine("thinningCostsNoKnownLineItsResumePoint") { line, _ in
            let states = line.stored.subtracting([0])
            let planner = SnapshotPlanner(boundary: line.planner.boundary, stride: line.planner.stride)
            let kept = planner.keeps(Array(states), branchPoints: line.branches)
            for point in line.points(upTo: states.max() ?? 0, roundedDown: false) {
                #expect(line.deepest(kept, point) == line.deepest(states, point), "\(point) of \(line)")
            }
        }
    }

    @Test func thinningKeepsAWholePlan() {
        forEachLine("thinningKeepsAWholePlan") { line, _ in
            let plan = line.planner.plan(length: line.length, branchPoints: line.branches)
            #expect(line.planner.keeps(plan, branchPoints: line.branches) == plan, "\(line)")
        }
    }
}
