import LarderModel
import LarderSystem

/// Why a call on a ``Client`` failed.
public enum ClientError: Error, Sendable, CustomStringConvertible {
    /// The daemon refused the request; the connection goes on.
    case refused(LarderError)
    /// The connection is gone: nothing listens, the daemon ended, or it did not answer in time. Connect anew.
    case connection(SystemError)
    /// The daemon closed the connection.
    case closed
    /// The daemon answered something that the protocol does not allow. The connection is of no further use.
    case violation(String)

    /// One sentence for a person.
    public var description: String {
        switch self {
        case .refused(let error): error.message
        case .connection(let error): "the daemon cannot be reached: \(error)"
        case .closed: "the daemon closed the connection"
        case .violation(let what): "the daemon does not keep to the protocol: \(what)"
        }
    }
}
