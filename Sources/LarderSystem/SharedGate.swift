import Synchronization

/// A gate that many pass at once, and that one may close for a moment to be alone: a lock for readers and a writer in which
/// a reader pays two atomic additions. Who passes may leave on another thread.
///
/// The writer waits for a bounded time only. So readers that wait for one another behind two closed gates, or for the
/// writer itself, are delayed and never stuck.
public final class SharedGate: Sendable {
    /// Added while the gate is closed: the count of those inside is negative then.
    private static let closed = Int.min
    private let inside = Atomic<Int>(0)
    private let changes = Monitor<Void>(())

    /// An open gate.
    public init() {}

    /// Passes the gate, waiting while it is closed. ``leave()`` follows.
    @inline(__always)
    public func enter() {
        if inside.wrappingAdd(1, ordering: .acquiring).oldValue < 0 { enterLater() }
    }

    private func enterLater() {
        repeat {
            leave()
            _ = changes.wait { _ in inside.load(ordering: .relaxed) >= 0 ? true : nil }
        } while inside.wrappingAdd(1, ordering: .acquiring).oldValue < 0
    }

    /// Gives back what ``enter()`` took.
    @inline(__always)
    public func leave() {
        if inside.wrappingSubtract(1, ordering: .releasing).newValue == Self.closed { changes.signal { _ in } }
    }

    /// Closes the gate and waits until nobody is inside; false, and open again, if somebody still is at `deadline` (a
    /// reading of ``Clock/now()``). For one thread at a time. ``open()`` follows.
    public func close(until deadline: UInt64) -> Bool {
        inside.wrappingAdd(Self.closed, ordering: .acquiringAndReleasing)
        let isAlone = changes.wait(until: deadline) { _ in
            inside.load(ordering: .acquiring) == Self.closed ? true : nil
        }
        if isAlone == nil { open() }
        return isAlone != nil
    }

    /// Opens what ``close(until:)`` closed.
    public func open() {
        inside.wrappingSubtract(Self.closed, ordering: .acquiringAndReleasing)
        changes.signal { _ in }
    }
}
