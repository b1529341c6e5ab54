import LarderPolicy
import LarderTestSupport
import Testing

@Suite struct FairQueueTests {
    private static let flood = Lane(userID: 1, reader: 1)
    private static let quiet = Lane(userID: 2, reader: 2)

    private func put(
        _ queue: inout FairQueue<String>, _ element: String, _ bytes: Int, _ lane: Lane, session: UInt64? = nil
    ) {
        let isReserved = queue.reserve(bytes, lane)
        #expect(isReserved)
        queue.append(element, bytes, lane, session: session)
    }

    private func batch(
        _ queue: inout FairQueue<String>, byteLimit: Int, countLimit: Int, isStrict: Bool
    ) -> [String] {
        queue.takeBatch(byteLimit: byteLimit, countLimit: countLimit, isStrict: isStrict)
    }

    private func room(_ queue: inout FairQueue<String>, _ bytes: Int, _ lane: Lane) -> Bool {
        queue.reserve(bytes, lane)
    }

    @Test func whoHasHadLittleIsNext() {
        var queue = FairQueue<String>(capacity: 1_000)
        for number in 0..<5 { put(&queue, "flood \(number)", 100, Self.flood) }
        #expect(batch(&queue, byteLimit: 1, countLimit: 1, isStrict: false) == ["flood 0"])
        put(&queue, "quiet", 10, Self.quiet)
        #expect(batch(&queue, byteLimit: 50, countLimit: 9, isStrict: true) == ["quiet"])
        #expect(batch(&queue, byteLimit: 150, countLimit: 9, isStrict: false) == ["flood 1", "flood 2"])
        #expect(batch(&queue, byteLimit: 1_000, countLimit: 1, isStrict: false) == ["flood 3"])
        #expect(queue.count == 1 && queue.bytes == 510)
    }

    /// Small elements do not go by the thousand before a large one: each takes a commit's time.
    @Test func smallOnesCostSomething() {
        var queue = FairQueue<String>(capacity: 10_000, minimumCost: 100)
        for _ in 0..<3 { put(&queue, "large", 400, Self.flood) }
        for _ in 0..<200 { put(&queue, "small", 1, Self.quiet) }
        let served = batch(&queue, byteLimit: .max, countLimit: 15, isStrict: false)
        #expect(served.filter { $0 == "large" }.count == 3)
        #expect(!queue.hasTaken(upTo: 16) && queue.hasTaken(upTo: 15))
    }

    /// A user with many connections gets no more than one with one.
    @Test func servesUsersEvenly() {
        var queue = FairQueue<String>(capacity: 10_000)
        for number in 0..<20 { put(&queue, "many", 10, Lane(userID: 1, reader: UInt64(number))) }
        for _ in 0..<10 { put(&queue, "one", 10, Self.quiet) }
        let served = queue.takeBatch(byteLimit: .max, countLimit: 20, isStrict: false)
        #expect(served.filter { $0 == "one" }.count == 10)
    }

    /// Being idle earns no credit: who comes back does not shut others out.
    @Test func idlenessEarnsNothing() {
        var queue = FairQueue<String>(capacity: 10_000)
        for _ in 0..<50 {
            put(&queue, "busy", 100, Self.flood)
            _ = queue.takeBatch(byteLimit: 1, countLimit: 1, isStrict: false)
            queue.giveBack(100, Self.flood)
        }
        for _ in 0..<10 {
            put(&queue, "busy", 100, Self.flood)
            put(&queue, "back", 100, Self.quiet)
        }
        let served = queue.takeBatch(byteLimit: .max, countLimit: 10, isStrict: false)
        #expect(served.filter { $0 == "back" }.count == 5)
    }

    @Test func roomIsLeftForOthers() {
        var queue = FairQueue<String>(capacity: 1_000)
        var floods = 0
        while queue.reserve(10, Self.flood) { floods += 1 }
        #expect(floods == 50)
        var others = 0
        while queue.reserve(10, Self.quiet) { others += 1 }
        #expect((20...30).contains(others))
        #expect(room(&queue, 200, Lane(userID: 3, reader: 3)))
        for _ in 0..<floods { queue.giveBack(10, Self.flood) }
        #expect(room(&queue, 100, Self.quiet))
        // What is larger than all of it goes alone.
        var empty = FairQueue<String>(capacity: 1_000)
        #expect(room(&empty, 5_000, Self.flood))
        #expect(!room(&empty, 1, Self.quiet))
        empty.giveBack(5_000, Self.flood)
        #expect(room(&empty, 1, Self.quiet))
    }

    /// Whatever the lanes, what is done to one session is done in the order in which it came; and nothing is lost.
    @Test func keepsTheOrderOfASession() {
        var random = SeededGenerator(seed: testSeed("keepsTheOrderOfASession"))
        for _ in 0..<50 {
            var queue = FairQueue<(session: UInt64, number: Int)>(capacity: 1 << 20)
            var sent: [UInt64: Int] = [:]
            var seen: [UInt64: Int] = [:]
            var held: [(Int, Lane)] = []
            for _ in 0..<400 {
                if Int.random(in: 0..<3, using: &random) > 0 {
                    let session = UInt64.random(in: 0..<6, using: &random)
                    let reader = UInt64.random(in: 0..<4, using: &random)
                    let lane = reader == 0 ? .control : Lane(userID: UInt32(reader % 2), reader: reader)
                    let bytes = Int.random(in: 1..<2_000, using: &random)
                    guard queue.reserve(bytes, lane) else { continue }
                    queue.append((session, sent[session, default: 0]), bytes, lane, session: session)
                    sent[session, default: 0] += 1
                    held.append((bytes, lane))
                } else {
                    for element in queue.takeBatch(byteLimit: 3_000, countLimit: 4, isStrict: .random(using: &random)) {
                        #expect(element.number == seen[element.session, default: 0])
                        seen[element.session, default: 0] += 1
                    }
                }
            }
            while !queue.isEmpty {
                for element in queue.takeBatch(byteLimit: .max, countLimit: 7, isStrict: false) {
                    #expect(element.number == seen[element.session, default: 0])
                    seen[element.session, default: 0] += 1
                }
            }
            #expect(seen == sent)
            for (bytes, lane) in held { queue.giveBack(bytes, lane) }
            #expect(queue.bytes == 0 && queue.largestHeldBytes == 0)
        }
    }
}
