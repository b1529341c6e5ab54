import Foundation
import LarderPolicy
import LarderTestSupport
import Testing

/// Each policy against a model so naive that it is its own proof: it looks at everything, every time.
@Suite struct PolicyModelTests {
    private struct Resident {
        let block: UInt64
        let depth: Int
        let insertion: Int
        var lastUse: Int
    }

    /// What an exact policy must come to, by counting over lists.
    private static func naiveHits(_ policy: SimulatedPolicy, _ trace: RequestTrace, capacity: Int, tau: Double) -> Int {
        var residents: [Resident] = []
        var counts: [UInt64: Int] = [:]
        var hits = 0
        for (time, request) in trace.requests.enumerated() {
            hits += request.blocks.prefix { block in residents.contains { $0.block == block } }.count
            for (depth, block) in request.blocks.enumerated() {
                counts[block, default: 0] += 1
                if let index = residents.firstIndex(where: { $0.block == block }) {
                    residents[index].lastUse = time
                } else {
                    residents.append(Resident(block: block, depth: depth, insertion: time, lastUse: time))
                }
            }
            func rank(_ resident: Resident) -> Double {
                switch policy {
                case .belady:
                    let later = trace.requests[(time + 1)...]
                    return -Double(later.firstIndex { $0.blocks.contains(resident.block) } ?? .max)
                case .heat: return log(Double(counts[resident.block]!)) + Double(resident.lastUse + 1) / tau
                case .fifo: return Double(resident.insertion)
                default: return Double(resident.lastUse)
                }
            }
            while residents.count > capacity {
                let victim = residents.indices.min { left, right in
                    let (a, b) = (residents[left], residents[right])
                    return (rank(a), -a.depth, a.block) < (rank(b), -b.depth, b.block)
                }
                residents.remove(at: victim!)
            }
        }
        return hits
    }

    /// Prompts down random paths of a tree, some paths much more often than others.
    private static func randomTrace(_ generator: inout SeededGenerator) throws -> RequestTrace {
        let prompts = (0..<150).map { _ -> [UInt64] in
            var node: UInt64 = 1
            return (0..<Int.random(in: 1...5, using: &generator)).map { _ in
                let branch = min(UInt64.random(in: 0..<4, using: &generator), .random(in: 0..<4, using: &generator))
                node = node * 4 + branch
                return node
            }
        }
        return try SimulatorTests.trace(prompts)
    }

    @Test(arguments: [SimulatedPolicy.heat, .lru, .fifo, .belady])
    func exactPoliciesAgree(policy: SimulatedPolicy) throws {
        var generator = SeededGenerator(seed: testSeed("exactPoliciesAgree \(policy)"))
        for _ in 0..<20 {
            let trace = try Self.randomTrace(&generator)
            let capacity = Int.random(in: 1...60, using: &generator)
            var configuration = SweepRule.Configuration()
            configuration.tau = Double.random(in: 5...200, using: &generator)
            // The naive model forgets nothing: no bucket of the table may overflow.
            var cache: any EvictionPolicy =
                policy == .heat
                ? RankedCache(capacity: capacity, .heat(HeatTable(keys: 1 << 16, tau: configuration.tau)))
                : policy.cache(capacity: capacity, trace: trace, configuration)
            let naive = Self.naiveHits(policy, trace, capacity: capacity, tau: configuration.tau)
            #expect(Simulator.run(trace, &cache).hitBlocks == naive, "capacity \(capacity)")
        }
    }

    @Test func s3fifoAgrees() throws {
        var generator = SeededGenerator(seed: testSeed("s3fifoAgrees"))
        for _ in 0..<20 {
            let trace = try Self.randomTrace(&generator)
            let capacity = Int.random(in: 1...60, using: &generator)
            var cache = S3FIFOCache(capacity: capacity)
            var model = NaiveS3FIFO(capacity: capacity)
            for request in trace.requests {
                for (depth, block) in request.blocks.enumerated() {
                    #expect(cache.holds(block) == model.holds(block))
                    cache.use(block, depth: depth)
                    model.use(block)
                }
                cache.endRequest()
                model.makeRoom()
            }
        }
    }

    @Test func theSweepAgrees() throws {
        var generator = SeededGenerator(seed: testSeed("theSweepAgrees"))
        for _ in 0..<20 {
            let trace = try Self.randomTrace(&generator)
            let capacity = Int.random(in: 1...60, using: &generator)
            var configuration = SweepRule.Configuration()
            configuration.keys = 1 << 14
            var cache = SweptLog(capacity: capacity, SweepRule(configuration))
            // The naive sweep: a plain list, and the same rule told the same things.
            var rule = SweepRule(configuration)
            var log: [UInt64] = []
            for request in trace.requests {
                for (depth, block) in request.blocks.enumerated() {
                    #expect(cache.holds(block) == log.contains(block))
                    cache.use(block, depth: depth)
                    rule.use(block)
                    if !log.contains(block) { log.append(block) }
                }
                cache.endRequest()
                while log.count > capacity {
                    let oldest = log.removeFirst()
                    if rule.keeps(oldest) { log.append(oldest) } else { rule.evicted(oldest) }
                }
                rule.tick()
            }
        }
    }
}

/// S3-FIFO over arrays, as its paper's algorithm reads.
private struct NaiveS3FIFO {
    private struct Entry {
        let block: UInt64
        var uses = 0
    }

    let capacity: Int
    private var small: [Entry] = []
    private var main: [Entry] = []
    private var ghosts: [UInt64] = []

    init(capacity: Int) { self.capacity = capacity }

    func holds(_ block: UInt64) -> Bool { (small + main).contains { $0.block == block } }

    mutating func use(_ block: UInt64) {
        if let index = small.firstIndex(where: { $0.block == block }) {
            small[index].uses = min(3, small[index].uses + 1)
        } else if let index = main.firstIndex(where: { $0.block == block }) {
            main[index].uses = min(3, main[index].uses + 1)
        } else if ghosts.contains(block) {
            main.append(Entry(block: block))
        } else {
            small.append(Entry(block: block))
        }
    }

    mutating func makeRoom() {
        while small.count + main.count > capacity {
            if small.count > capacity / 10 || main.isEmpty {
                let entry = small.removeFirst()
                if entry.uses > 1 {
                    main.append(Entry(block: entry.block))
                } else {
                    ghosts = (ghosts + [entry.block]).suffix(capacity - capacity / 10)
                }
            } else {
                var entry = main.removeFirst()
                if entry.uses > 0 {
                    entry.uses -= 1
                    main.append(entry)
                }
            }
        }
    }
}
