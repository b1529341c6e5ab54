import CLarderSystem
import Glibc

/// The two ends of a pipe(2), for two threads: one reads and closes its end, the other writes and closes its own.
public final class Pipe: @unchecked Sendable {
    private struct Ends {
        var reading: Int32
        var writing: Int32
    }

    private let ends: Monitor<Ends>

    /// A pipe.
    public init() throws(SystemError) {
        var numbers: [2 of Int32] = [-1, -1]
        let code = withUnsafeMutableBytes(of: &numbers) {
            larder_pipe($0.bindMemory(to: Int32.self).baseAddress!)
        }
        if code != 0 { throw SystemError("pipe2") }
        ends = Monitor(Ends(reading: numbers[0], writing: numbers[1]))
    }

    deinit {
        closeReading()
        closeWriting()
    }

    /// The descriptor to write to. Valid until ``closeWriting()``.
    public var writingDescriptor: Int32 { ends.withLock { $0.writing } }

    /// read(2): bytes into `buffer`; 0 when the other end is closed and all was read.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
        let descriptor = ends.withLock { $0.reading }
        return try check("read") { Glibc.read(descriptor, buffer.baseAddress, buffer.count) }
    }

    /// Closes the end that is read: who writes then gets EPIPE.
    public func closeReading() {
        let descriptor = ends.withLock { ends in
            defer { ends.reading = -1 }
            return ends.reading
        }
        if descriptor >= 0 { close(descriptor) }
    }

    /// Closes the end that is written: who reads then comes to the end.
    public func closeWriting() {
        let descriptor = ends.withLock { ends in
            defer { ends.writing = -1 }
            return ends.writing
        }
        if descriptor >= 0 { close(descriptor) }
    }
}
