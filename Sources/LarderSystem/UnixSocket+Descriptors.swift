import CLarderSystem
import Glibc

/// Descriptors that came with a message, until somebody takes them. What is not taken is closed.
public final class ReceivedDescriptors: @unchecked Sendable {
    private var numbers: [Int32] = []

    /// None.
    public init() {}

    deinit { closeAll() }

    /// How many there are.
    public var count: Int { numbers.count }

    /// The first, if there is one.
    public func takeFirst() -> Descriptor? { numbers.isEmpty ? nil : Descriptor(owning: numbers.removeFirst()) }

    /// Closes those that were not taken.
    public func closeAll() {
        for number in numbers { _ = close(number) }
        numbers = []
    }

    func add(_ number: Int32) { numbers.append(number) }
}

extension UnixSocket {
    /// Receives what has come, at least a byte, and the descriptors that come with it, recvmsg(2).
    ///
    /// - Returns: the bytes received, 0 at the end of the stream; and false if more descriptors have come than are kept
    ///   (what is too much was closed).
    func receiveSome(
        into buffer: UnsafeMutableRawBufferPointer, descriptors: ReceivedDescriptors
    ) throws(SystemError) -> (count: Int, isWhole: Bool) {
        var numbers: [4 of Int32] = [0, 0, 0, 0]
        var found: Int32 = 0
        var truncated: Int32 = 0
        let count = withUnsafeMutableBytes(of: &numbers) {
            larder_receive_with_descriptors(
                number, buffer.baseAddress!, buffer.count, $0.baseAddress!.assumingMemoryBound(to: Int32.self), &found,
                &truncated)
        }
        if count < 0 { throw SystemError("recvmsg") }
        for index in 0..<Int(found) { descriptors.add(numbers[index]) }
        // One message brings no more than that; several may.
        return (count, truncated == 0 && descriptors.count <= numbers.count)
    }

    /// Sends all of `bytes`, with the descriptor of `memory`, which the peer receives as its own.
    public func send(_ bytes: UnsafeRawBufferPointer, with memory: borrowing SharedMemory) throws(SystemError) {
        try send(bytes, passing: memory.passable)
    }

    /// Sends all of `bytes`, with a descriptor, which the peer receives as its own.
    public func send(_ bytes: UnsafeRawBufferPointer, passing descriptor: borrowing Descriptor) throws(SystemError) {
        try send(bytes, passing: descriptor.number)
    }

    private func send(_ bytes: UnsafeRawBufferPointer, passing descriptor: Int32) throws(SystemError) {
        let sent = try check("sendmsg") {
            larder_send_with_descriptor(number, bytes.baseAddress!, bytes.count, descriptor)
        }
        try send(UnsafeRawBufferPointer(rebasing: bytes[sent...]))
    }
}
