import Synchronization

/// Rises with every commit that can make untrue what readers remember: of sessions, and of the lines that they see.
final class ViewGeneration: Sendable {
    private let value = Atomic<UInt64>(0)

    var current: UInt64 { value.load(ordering: .acquiring) }

    func bump() { value.wrappingAdd(1, ordering: .releasing) }
}
