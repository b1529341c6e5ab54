import Hummingbird
import LarderModel
import LarderServer

/// Why a request was refused: a status, a stable word for programs, a sentence for people. The words are the wire's where
/// it has one (``LarderModel/ErrorCode``).
struct AdminError: Error {
    let status: HTTPResponse.Status
    let code: String
    let message: String
    var headers = HTTPFields()

    init(_ status: HTTPResponse.Status, _ code: String, _ message: String) {
        self.status = status
        self.code = code
        self.message = message
    }

    init(_ error: LarderError) {
        self.init(Self.status(error.code), error.code.name.snakeCased, error.message)
    }

    /// What a route's error is answered with; nil for one that nobody foresaw.
    init?(known error: any Error) {
        switch error {
        case let error as AdminError: self = error
        case let error as LarderError: self.init(error)
        default: return nil
        }
    }

    /// What is said of an error that nobody foresaw.
    init(unforeseen error: any Error) {
        self.init(.internalServerError, "internal", "the daemon failed at it: \(error)")
    }

    static func invalid(_ message: String) -> AdminError { AdminError(.badRequest, "invalid_argument", message) }

    private static func status(_ code: ErrorCode) -> HTTPResponse.Status {
        switch code {
        case .malformed, .invalidArgument, .invalidModel, .unaligned, .wrongLength, .unknownRequest, .handshake,
            .protocolVersion:
            .badRequest
        case .forbidden: .forbidden
        case .unknownModel, .unknownSession, .unknownComponent, .miss: .notFound
        case .exists, .conflict, .overlap, .modelMismatch: .conflict
        case .tooLarge, .frameTooLong: .contentTooLarge
        case .busy, .shuttingDown, .tooManyConnections, .declined: .serviceUnavailable
        case .full: .insufficientStorage
        case .damaged, .storage, .internal, .storeUnusable: .internalServerError
        }
    }

    /// The body of the answer.
    struct Body: Encodable {
        struct Fields: Encodable {
            let code: String
            let message: String
        }

        let error: Fields
    }

    var body: Body { Body(error: Body.Fields(code: code, message: message)) }
}

extension HTTPResponse.Status {
    /// 507, RFC 4918.
    fileprivate static var insufficientStorage: HTTPResponse.Status {
        HTTPResponse.Status(code: 507, reasonPhrase: "Insufficient Storage")
    }
}
