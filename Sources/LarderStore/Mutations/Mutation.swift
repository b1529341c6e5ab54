import LarderModel
import LarderPolicy
import LarderSystem

/// A change that a shard's writer applies in a transaction, together with others, and completes after the commit.
protocol Mutation: AnyObject, Sendable {
    /// Bytes that it keeps in memory while it waits.
    var byteCount: Int { get }
    /// Bytes that it adds to the store, about; known once it is prepared.
    var storedByteCount: Int { get }
    /// Bytes that it adds to what namespaces take.
    var incomingBytes: [UInt32: Int] { get }
    /// Sessions that it adds chunks to: nothing that they see is evicted to make room for it.
    var growingSessions: Set<UInt64> { get }
    /// Whose it is, for the writer to serve all evenly.
    var lane: Lane { get }
    /// The session whose mutations it must not overtake; nil if it may overtake any.
    var orderedSession: UInt64? { get }
    /// True if the commit must survive power loss before it is completed.
    var isDurable: Bool { get }
    /// Does, before the transaction begins, what needs none.
    func prepare(_ team: CodecTeam)
    /// Applies the change. Throws ``LarderError`` only before it has written anything; may be called again after an
    /// aborted transaction.
    func apply(_ context: inout WriteContext) throws
    /// Told once: nil after the commit, or why there was none.
    func complete(_ failure: LarderError?)
}

extension Mutation {
    var storedByteCount: Int { byteCount }
    var incomingBytes: [UInt32: Int] { [:] }
    var growingSessions: Set<UInt64> { [] }
    var lane: Lane { .control }
    var orderedSession: UInt64? { nil }
    func prepare(_: CodecTeam) {}
}

/// A mutation whose submitter waits for it.
class AwaitedMutation<Value: Sendable>: @unchecked Sendable {
    private let outcome = Monitor<Result<Value, LarderError>?>(nil)
    /// What ``Mutation/apply(_:)`` found; told to the waiter after the commit.
    var value: Value?

    let byteCount = 256
    var isDurable: Bool { false }

    func complete(_ failure: LarderError?) {
        let result: Result<Value, LarderError> =
            if let failure { .failure(failure) } else if let value { .success(value) } else {
                .failure(LarderError(.internal, "a mutation was committed without an outcome"))
            }
        outcome.signal { $0 = result }
    }

    func wait() throws(LarderError) -> Value { try outcome.wait { $0 }!.get() }
}
