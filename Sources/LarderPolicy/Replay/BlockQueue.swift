/// A first-in first-out queue of blocks.
struct BlockQueue {
    private var blocks: [UInt64] = []
    private var head = 0

    var count: Int { blocks.count - head }

    mutating func append(_ block: UInt64) { blocks.append(block) }

    /// The oldest; nil if there is none.
    mutating func popFirst() -> UInt64? {
        guard head < blocks.count else { return nil }
        defer { head += 1 }
        if head > blocks.count / 2 {
            blocks.removeFirst(head)
            head = 0
        }
        return blocks[head]
    }
}
