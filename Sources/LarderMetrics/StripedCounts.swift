import Glibc
import Synchronization

/// Counts that many threads add to without waiting for each other: each thread adds to one of a few copies, which lie on
/// cache lines of their own, and a reader adds the copies up. What a reader sees is what some moment before it had, word by
/// word; words of one event may be seen one without the other.
final class StripedCounts: Sendable {
    private static let stripes = 8
    /// Words of 8 bytes that keep two copies off one pair of cache lines.
    private static let padding = 16

    /// Words in a copy.
    let count: Int
    private let stride: Int
    nonisolated(unsafe) private let words: UnsafeMutablePointer<Atomic<UInt64>>

    /// `count` counts of 0.
    init(count: Int) {
        self.count = count
        stride = count + Self.padding
        words = .allocate(capacity: stride * Self.stripes)
        for index in 0..<stride * Self.stripes { (words + index).initialize(to: Atomic(0)) }
    }

    deinit {
        words.deinitialize(count: stride * Self.stripes)
        words.deallocate()
    }

    /// Adds to a count, in this thread's copy.
    @inline(__always)
    func add(_ amount: UInt64, to index: Int) {
        words[stripe * stride + index].wrappingAdd(amount, ordering: .relaxed)
    }

    /// Where this thread's copy is. Threads' handles differ in their higher bits.
    @inline(__always)
    private var stripe: Int {
        let thread = UInt64(UInt(bitPattern: Int(pthread_self())))
        return Int((thread &* 0x9E37_79B9_7F4A_7C15) >> 61)
    }

    /// The sum of a count's copies.
    func sum(_ index: Int) -> UInt64 {
        (0..<Self.stripes).reduce(0) { $0 &+ words[$1 * stride + index].load(ordering: .relaxed) }
    }

    /// Sets a count to 0; what is added meanwhile may stay.
    func reset(_ index: Int) {
        for stripe in 0..<Self.stripes { words[stripe * stride + index].store(0, ordering: .relaxed) }
    }
}
