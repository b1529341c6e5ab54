/// S3-FIFO (Yang et al., SOSP'23): a small queue that most blocks do not leave alive, a main queue with second chances,
/// and the names of what the small queue dropped.
public struct S3FIFOCache: EvictionPolicy {
    private let capacity: Int
    private let smallCapacity: Int
    private var small = BlockQueue()
    private var main = BlockQueue()
    private var ghosts = BlockQueue()
    /// How often each ghost is in the queue of ghosts.
    private var ghostCounts: [UInt64: Int] = [:]
    /// Uses of each resident since it was put or last kept, up to 3.
    private var uses: [UInt64: Int] = [:]

    /// An empty cache of `capacity` blocks, a tenth of them in the small queue.
    public init(capacity: Int) {
        self.capacity = capacity
        smallCapacity = capacity / 10
    }

    public func holds(_ block: UInt64) -> Bool { uses[block] != nil }

    public mutating func use(_ block: UInt64, depth: Int) {
        if let count = uses[block] {
            uses[block] = min(3, count + 1)
        } else {
            uses[block] = 0
            if ghostCounts[block] != nil { main.append(block) } else { small.append(block) }
        }
    }

    public mutating func endRequest() {
        while uses.count > capacity {
            if small.count > smallCapacity || main.count == 0 { evictFromSmall() } else { evictFromMain() }
        }
    }

    private mutating func evictFromSmall() {
        guard let block = small.popFirst() else { return }
        if uses[block, default: 0] > 1 {
            uses[block] = 0
            main.append(block)
        } else {
            uses[block] = nil
            remember(block)
        }
    }

    private mutating func evictFromMain() {
        guard let block = main.popFirst() else { return }
        if let count = uses[block], count > 0 {
            uses[block] = count - 1
            main.append(block)
        } else {
            uses[block] = nil
        }
    }

    /// Makes a block a ghost; of those there are as many as the main queue has room for.
    private mutating func remember(_ block: UInt64) {
        ghosts.append(block)
        ghostCounts[block, default: 0] += 1
        while ghosts.count > capacity - smallCapacity, let oldest = ghosts.popFirst() {
            ghostCounts[oldest, default: 0] -= 1
            if ghostCounts[oldest] == 0 { ghostCounts[oldest] = nil }
        }
    }
}
