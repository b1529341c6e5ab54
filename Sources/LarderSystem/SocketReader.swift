import Glibc

/// Reads a socket ahead into a buffer, so that a small message costs one system call. Used by one thread.
public final class SocketReader {
    private let storage: UnsafeMutableRawBufferPointer
    private var start = 0
    private var end = 0
    /// Descriptors that came with the bytes received so far, until somebody takes or closes them.
    public let descriptors = ReceivedDescriptors()

    /// A reader that holds up to `capacity` bytes.
    public init(capacity: Int) { storage = .allocate(byteCount: capacity, alignment: 16) }

    deinit { storage.deallocate() }

    /// Bytes that can be taken without receiving.
    public var available: Int { end - start }

    /// The most bytes that can be taken at once.
    public var capacity: Int { storage.count }

    /// Receives until `count` bytes, at most ``capacity``, can be taken or the stream ends.
    ///
    /// - Parameters:
    ///   - mayIdle: true to wait without end for the first byte, whatever the socket's receive timeout.
    ///   - deadline: a reading of ``Clock/now()`` after which a peer that still sends throws ETIMEDOUT.
    /// - Returns: false if more descriptors came than are kept.
    public func fill(
        _ count: Int, from socket: borrowing UnixSocket, mayIdle: Bool = false, deadline: UInt64 = .max
    ) throws(SystemError) -> Bool {
        precondition(count <= storage.count, "more bytes than the reader holds")
        if start == end {
            (start, end) = (0, 0)
        } else if start + count > storage.count {
            storage.baseAddress!.copyMemory(from: storage.baseAddress! + start, byteCount: available)
            (start, end) = (0, available)
        }
        var isWhole = true
        while available < count {
            do {
                let room = UnsafeMutableRawBufferPointer(rebasing: storage[end...])
                let received = try socket.receiveSome(into: room, descriptors: descriptors)
                isWhole = isWhole && received.isWhole
                if received.count == 0 { break }
                end += received.count
            } catch {
                guard error.code == EINTR || (mayIdle && available == 0 && error.code == EAGAIN) else { throw error }
            }
            if available < count && Clock.now() > deadline { throw SystemError("recvmsg", code: ETIMEDOUT) }
        }
        return isWhole
    }

    /// The next `count` bytes, which must be available. Valid until the next ``fill(_:from:mayIdle:deadline:)``.
    public func take(_ count: Int) -> UnsafeRawBufferPointer {
        precondition(count <= available, "bytes that were not received")
        defer { start += count }
        return UnsafeRawBufferPointer(rebasing: storage[start..<start + count])
    }
}
