/// A cache that evicts exactly the block of the lowest rank; of equals the deepest, so that prefixes stay.
public struct RankedCache: EvictionPolicy {
    /// What a block ranks by.
    public enum Rank: Sendable {
        /// Its heat.
        case heat(HeatTable)
        /// The request that used it last: LRU.
        case recency
        /// The request that put it: FIFO.
        case insertion
        /// How soon it is used again: Belady. For each use of the whole trace in order, the next request of the block.
        case nextUse([Int])
    }

    private struct Item {
        let rank: Double
        let depth: Int
        let block: UInt64

        func goes(before other: Item) -> Bool {
            if rank != other.rank { return rank < other.rank }
            return depth != other.depth ? depth > other.depth : block < other.block
        }
    }

    private let capacity: Int
    private var rank: Rank
    private var clock: UInt64 = 1
    private var uses = 0
    private var ranks: [UInt64: Double] = [:]
    /// A binary heap, the next to go first. An item whose rank is not the block's any more is skipped.
    private var heap: [Item] = []

    /// An empty cache of `capacity` blocks.
    public init(capacity: Int, _ rank: Rank) {
        self.capacity = capacity
        self.rank = rank
    }

    /// What `.nextUse` takes: no next use is `Int.max`.
    public static func nextUses(_ trace: RequestTrace) -> [Int] {
        var next: [UInt64: Int] = [:]
        var uses: [Int] = []
        for (time, request) in trace.requests.enumerated().reversed() {
            for block in request.blocks.reversed() { uses.append(next.updateValue(time, forKey: block) ?? .max) }
        }
        return uses.reversed()
    }

    public func holds(_ block: UInt64) -> Bool { ranks[block] != nil }

    public mutating func use(_ block: UInt64, depth: Int) {
        let rank = newRank(block)
        uses += 1
        if ranks.updateValue(rank, forKey: block) != rank { push(Item(rank: rank, depth: depth, block: block)) }
    }

    public mutating func endRequest() {
        clock += 1
        while ranks.count > capacity {
            let item = pop()
            if ranks[item.block] == item.rank { ranks[item.block] = nil }
        }
    }

    private mutating func newRank(_ block: UInt64) -> Double {
        switch rank {
        case .heat(var table):
            rank = .recency  // The table stays unshared.
            table.use(block, at: clock)
            rank = .heat(table)
            return table.heat(of: block) ?? -.infinity
        case .recency: return Double(clock)
        case .insertion: return ranks[block] ?? Double(clock)
        case .nextUse(let next): return -Double(next[uses])
        }
    }

    private mutating func push(_ item: Item) {
        var hole = heap.count
        heap.append(item)
        while hole > 0, item.goes(before: heap[(hole - 1) / 2]) {
            heap[hole] = heap[(hole - 1) / 2]
            hole = (hole - 1) / 2
        }
        heap[hole] = item
    }

    private mutating func pop() -> Item {
        let first = heap[0]
        let last = heap.removeLast()
        guard !heap.isEmpty else { return first }
        var hole = 0
        while 2 * hole + 1 < heap.count {
            var child = 2 * hole + 1
            if child + 1 < heap.count, heap[child + 1].goes(before: heap[child]) { child += 1 }
            guard heap[child].goes(before: last) else { break }
            heap[hole] = heap[child]
            hole = child
        }
        heap[hole] = last
        return first
    }
}
