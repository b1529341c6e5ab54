/// The daemon's log: what is put goes to the young end; to make room the oldest is dropped or written again.
public struct SweptLog: EvictionPolicy {
    private let capacity: Int
    private var rule: SweepRule
    private var log = BlockQueue()
    private var residents: Set<UInt64> = []
    public private(set) var rewrites = 0

    /// An empty log of `capacity` blocks.
    public init(capacity: Int, _ rule: SweepRule) {
        self.capacity = capacity
        self.rule = rule
    }

    public func holds(_ block: UInt64) -> Bool { residents.contains(block) }

    public mutating func use(_ block: UInt64, depth: Int) {
        rule.use(block)
        if residents.insert(block).inserted { log.append(block) }
    }

    public mutating func endRequest() {
        while residents.count > capacity, let oldest = log.popFirst() {
            if rule.keeps(oldest) {
                log.append(oldest)
                rule.moved(oldest)
                rewrites += 1
            } else {
                residents.remove(oldest)
                rule.evicted(oldest)
            }
        }
        rule.tick()
    }
}
