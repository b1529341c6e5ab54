import Synchronization

/// Rises, for a session, with every commit that can make untrue what readers remember of it: that it is there, its models,
/// its head, and from where on its head has chunks. What happens to other sessions changes nothing of what it sees.
///
/// Sessions share a bounded number of counters; a reader that looks again without need loses little.
final class ViewGeneration: Sendable {
    private final class Counter: Sendable {
        let value = Atomic<UInt64>(0)
    }

    private let counters = (0..<1_024).map { _ in Counter() }

    private func counter(_ session: UInt64) -> Counter {
        // Ids of one shard are 64 apart.
        counters[Int(truncatingIfNeeded: session ^ session >> 6) & (counters.count - 1)]
    }

    func current(_ session: UInt64) -> UInt64 { counter(session).value.load(ordering: .acquiring) }

    func bump(_ session: UInt64) { counter(session).value.wrappingAdd(1, ordering: .releasing) }
}
