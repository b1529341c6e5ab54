import LarderModel
import LarderPolicy
import LarderTestSupport
import Testing

@Suite struct SweepRuleTests {
    private func rule(_ policy: SweepPolicy, quantile: Double = 0.5, seed: UInt64 = 1) -> SweepRule {
        var configuration = SweepRule.Configuration()
        configuration.policy = policy
        configuration.quantile = quantile
        configuration.keys = 4_096
        configuration.seed = seed
        return SweepRule(configuration)
    }

    @Test func heatKeepsWhatIsHotterThanTheQuantile() {
        var rule = rule(.heat)
        for key in 0..<100 as Range<UInt64> {
            rule.use(key)
            if key >= 50 { rule.use(key) }
        }
        // With 60 of one use and 50 of two, the median is the heat of one.
        for key in 200..<210 as Range<UInt64> { rule.use(key) }
        #expect(rule.kept(among: 0, 99) == [99])
        #expect(rule.kept(among: 1_000) == [], "what the table does not know is cold")
        rule.demote(99)
        #expect(rule.kept(among: 99) == [])
        rule.use(99)
        #expect(rule.kept(among: 99) == [99])
    }

    @Test func lruKeepsTheLaterHalf() {
        var rule = rule(.lru)
        for _ in 0..<3 { for key in 0..<50 as Range<UInt64> { rule.use(key) } }
        rule.tick()
        for key in 50..<90 as Range<UInt64> { rule.use(key) }
        #expect(rule.kept(among: 0, 60) == [60], "however often 0 was used")
    }

    @Test func s3fifoCountsUses() {
        var rule = rule(.s3fifo)
        for key in 0..<10 as Range<UInt64> { rule.use(key) }
        #expect(rule.kept(among: 0) == [])
        for _ in 0..<7 { rule.use(1) }
        for _ in 0..<3 {
            #expect(rule.kept(among: 1) == [1])
            rule.moved(1)
        }
        #expect(rule.kept(among: 1) == [], "three uses count, no more")
        rule.evicted(1)
        rule.use(1)
        #expect(rule.kept(among: 1) == [1], "it came back")
        rule.demote(1)
        #expect(rule.kept(among: 1) == [])
    }

    @Test func fifoKeepsNothing() {
        var rule = rule(.fifo)
        for _ in 0..<9 { rule.use(1) }
        #expect(rule.kept(among: 1) == [])
    }

    @Test(arguments: SweepPolicy.allCases, [0, 0.5, 1])
    func everySweepEnds(policy: SweepPolicy, quantile: Double) {
        var generator = SeededGenerator(seed: testSeed("everySweepEnds \(policy) \(quantile)"))
        var log = SweptLog(capacity: 20, rule(policy, quantile: quantile))
        for _ in 0..<200 {
            for _ in 0..<5 { log.use(.random(in: 0..<60, using: &generator), depth: 0) }
            log.endRequest()
            #expect((0..<60).count { log.holds($0) } <= 20)
        }
    }

    @Test func aSeedRepeats() {
        func decisions(_ seed: UInt64) -> [Bool] {
            var generator = SeededGenerator(seed: 3)
            var rule = rule(.heat, seed: seed)
            return (0..<5_000).map { _ in
                rule.tick()
                rule.use(.random(in: 0..<2_000, using: &generator))
                return rule.keeps(.random(in: 0..<2_000, using: &generator))
            }
        }
        #expect(decisions(1) == decisions(1))
        #expect(decisions(1) != decisions(2))
    }

    @Test func survivesARestart() throws {
        var rule = rule(.heat)
        for key in 0..<100 as Range<UInt64> {
            rule.tick()
            rule.use(key)
        }
        rule.evicted(3)
        let again = try SweepRule(bytes: rule.bytes, rule.configuration)
        #expect(again.clock == rule.clock && again.table.residents == 99)
        #expect((0..<100).allSatisfy { again.table.heat(of: $0) == rule.table.heat(of: $0) })
        for length in [0, 7, 8, 12, rule.bytes.count - 1] {
            #expect(throws: LarderError.self) {
                try SweepRule(bytes: Array(rule.bytes[..<length]), rule.configuration)
            }
        }
    }
}

extension SweepRule {
    fileprivate mutating func kept(among keys: UInt64...) -> [UInt64] { keys.filter { keeps($0) } }
}
