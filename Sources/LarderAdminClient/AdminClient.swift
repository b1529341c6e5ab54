import Foundation
import LarderClient
import LarderModel
import LarderSystem

/// Asks the daemon's admin socket (Docs/ADMIN.md): JSON over HTTP/1.1, a connection for each request. Blocking, of a few
/// hundred lines, so that a command line needs no event loop and no library of HTTP.
public struct AdminClient: Sendable {
    /// The path of the admin socket.
    public let socketPath: String
    /// Longest wait for the daemon to send or take bytes.
    private static let timeoutSeconds = 130

    /// A client for the socket at a path; nothing is connected yet.
    public init(socketPath: String) { self.socketPath = socketPath }

    /// GET of `target`, such as `/v1/status`, as a value.
    public func get<Answer: Decodable>(
        _ target: String, as _: Answer.Type = Answer.self
    ) throws(ClientError) -> Answer {
        try decode(try ask("GET", target, nil))
    }

    /// POST, PUT or DELETE with a value as JSON.
    public func send<Answer: Decodable>(
        _ method: String, _ target: String, _ body: some Encodable, as _: Answer.Type = Answer.self
    ) throws(ClientError) -> Answer {
        let bytes: [UInt8]
        do { bytes = Array(try JSONEncoder().encode(body)) } catch {
            throw .refused(LarderError(.invalidArgument, "the request cannot be written as JSON: \(error)"))
        }
        return try decode(try ask(method, target, bytes))
    }

    /// GET of a stream, line by line, until `body` returns false or the stream ends.
    public func stream(_ target: String, _ body: (String) -> Bool) throws(ClientError) {
        let socket = try connect(receiveSeconds: 0)
        try write("GET", target, nil, to: socket)
        let source = Connection(socket)
        var response = try HTTPResponse { buffer throws(SystemError) in try source.receive(buffer) }
        if response.status != 200 { throw Self.refusal(response.status, try response.body()) }
        try response.forEachLine(body)
    }

    /// A query's value as it must be written.
    public static func escaped(_ text: String) -> String {
        let unreserved = CharacterSet(
            charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
        return text.addingPercentEncoding(withAllowedCharacters: unreserved) ?? ""
    }

    // MARK: inside

    /// A socket that a closure can hold.
    private final class Connection {
        private let socket: UnixSocket

        init(_ socket: consuming UnixSocket) { self.socket = socket }

        func receive(_ buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
            try socket.receiveSome(into: buffer)
        }
    }

    private func ask(_ method: String, _ target: String, _ body: [UInt8]?) throws(ClientError) -> [UInt8] {
        let socket = try connect(receiveSeconds: Self.timeoutSeconds)
        try write(method, target, body, to: socket)
        let source = Connection(socket)
        var response = try HTTPResponse { buffer throws(SystemError) in try source.receive(buffer) }
        let answer = try response.body()
        guard (200...299).contains(response.status) else { throw Self.refusal(response.status, answer) }
        return answer
    }

    private func connect(receiveSeconds: Int) throws(ClientError) -> UnixSocket {
        do throws(SystemError) {
            let socket = try UnixSocket.connect(to: socketPath)
            try socket.setTimeouts(receiveSeconds: receiveSeconds, sendSeconds: Self.timeoutSeconds)
            return socket
        } catch { throw .connection(error) }
    }

    private func write(
        _ method: String, _ target: String, _ body: [UInt8]?, to socket: borrowing UnixSocket
    ) throws(ClientError) {
        precondition(!target.contains { $0 == " " || $0.isNewline }, "a target is escaped")
        var head = "\(method) \(target) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        if let body { head += "Content-Type: application/json\r\nContent-Length: \(body.count)\r\n" }
        let bytes = Array((head + "\r\n").utf8) + (body ?? [])
        do throws(SystemError) {
            try bytes.withUnsafeBufferPointer { bytes throws(SystemError) in
                try socket.send(UnsafeRawBufferPointer(bytes))
            }
        } catch { throw .connection(error) }
    }

    private func decode<Answer: Decodable>(_ bytes: [UInt8]) throws(ClientError) -> Answer {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do { return try decoder.decode(Answer.self, from: Data(bytes)) } catch {
            throw .violation("an answer that does not say what it should: \(error)")
        }
    }

    /// What the daemon says against a request.
    private static func refusal(_ status: Int, _ body: [UInt8]) -> ClientError {
        struct Refused: Decodable {
            struct Reason: Decodable {
                let code: String
                let message: String
            }

            let error: Reason
        }
        guard let refused = try? JSONDecoder().decode(Refused.self, from: Data(body)) else {
            return .violation("status \(status), without a reason that can be read")
        }
        let word = refused.error.code.split(separator: "_").joined().lowercased()
        let code = ErrorCode.allCases.first { $0.name.lowercased() == word }
        return .refused(LarderError(code ?? (status < 500 ? .invalidArgument : .internal), refused.error.message))
    }
}
