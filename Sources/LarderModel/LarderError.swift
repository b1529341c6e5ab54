/// What went wrong, as the wire says it (Docs/PROTOCOL.md). Numbers are never reused.
public enum ErrorCode: UInt16, Sendable, CaseIterable, Codable {
    /// A frame or message whose bytes do not follow the protocol.
    case malformed = 1
    /// A frame longer than the limit that the handshake answered.
    case frameTooLong = 2
    /// A request type that this daemon does not know.
    case unknownRequest = 3
    /// A request before the handshake, or a second handshake.
    case handshake = 4
    /// No protocol version in common.
    case protocolVersion = 5
    /// An argument outside its documented bounds.
    case invalidArgument = 6
    /// A model declaration that contradicts itself or a limit.
    case invalidModel = 7
    /// A model id that the store does not hold.
    case unknownModel = 8
    /// The session's state belongs to another model; the message names the field that differs.
    case modelMismatch = 9
    /// The namespace belongs to another user.
    case forbidden = 10
    /// A session id or name that the store does not hold.
    case unknownSession = 11
    /// A component index beyond the model's list.
    case unknownComponent = 12
    /// A chunk whose byte length does not follow from its model and token count.
    case wrongLength = 13
    /// A chunk that overlaps one that is stored, without being equal to it in place and length.
    case overlap = 14
    /// A chunk offset that is not a multiple of the model's page.
    case unaligned = 15
    /// A chunk that is stored already, with other bytes.
    case conflict = 16
    /// Not stored. No failure: the state must be computed.
    case miss = 17
    /// Stored, but its checks fail. It is never served.
    case damaged = 18
    /// The store has reached its byte cap.
    case full = 19
    /// A queue or a memory bound is reached; try again later.
    case busy = 20
    /// The answer would not fit in one frame; ask for less.
    case tooLarge = 21
    /// The daemon is draining.
    case shuttingDown = 22
    /// The operating system refused a read or a write of the store.
    case storage = 23
    /// A fault of the daemon.
    case `internal` = 24
    /// The daemon serves as many connections as it may.
    case tooManyConnections = 25
    /// The store on disk cannot be used as it is: other format, damage, other owner.
    case storeUnusable = 26
    /// There is a session of that name already.
    case exists = 27
    /// The store takes it in only later, or when it is put again: no fault, and nothing is lost but a place to restore from.
    case declined = 28

    /// The name that the CLI and the documentation use.
    public var name: String { "\(self)" }
}

/// A refusal: a documented code and a sentence that names the thing and the remedy.
public struct LarderError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The documented code.
    public var code: ErrorCode
    /// One sentence for a person.
    public var message: String

    /// A refusal with its sentence.
    public init(_ code: ErrorCode, _ message: String) {
        self.code = code
        self.message = message
    }

    /// `code: message`.
    public var description: String { "\(code.name): \(message)" }
}
