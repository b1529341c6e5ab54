import Glibc

/// A system call that failed: its errno, the call, and what it was about.
public struct SystemError: Error, Sendable, Hashable, CustomStringConvertible {
    /// errno, captured at once.
    public let code: Int32
    /// The C function.
    public let operation: String
    /// The path or peer that the call was about; may be empty.
    public let subject: String

    /// Captures `errno` unless a code is given.
    public init(_ operation: String, _ subject: String = "", code: Int32 = errno) {
        self.code = code
        self.operation = operation
        self.subject = subject
    }

    /// strerror(3) of the code.
    public var reason: String { String(cString: strerror(code)) }

    /// `subject: reason (operation)`.
    public var description: String {
        subject.isEmpty ? "\(reason) (\(operation))" : "\(subject): \(reason) (\(operation))"
    }
}

/// Calls `body` until it is not interrupted by a signal (EINTR), and throws where it returns -1.
@discardableResult
func check<T: FixedWidthInteger & SignedInteger>(
    _ operation: String, _ subject: String = "", _ body: () -> T
) throws(SystemError) -> T {
    while true {
        let result = body()
        if result != -1 { return result }
        if errno != EINTR { throw SystemError(operation, subject) }
    }
}

extension SystemError {
    /// EADDRINUSE.
    public static let addressInUse = EADDRINUSE
    /// EEXIST.
    public static let exists = EEXIST
    /// EIO.
    public static let inputOutput = EIO
    /// ENOMEM.
    public static let noMemory = ENOMEM
    /// ENOSPC.
    public static let noSpace = ENOSPC
    /// EDQUOT.
    public static let quotaExceeded = EDQUOT
}
