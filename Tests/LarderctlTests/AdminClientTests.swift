import LarderAdminClient
import LarderClient
import LarderModel
import LarderSystem
import LarderTestSupport
import Testing

/// The client of the admin socket against a peer that says what it likes.
@Suite struct AdminClientTests {
    /// Listens on a socket, and answers each connection with the same bytes.
    private final class Peer: Sendable {
        let directory: TemporaryDirectory
        let path: String
        private let listener: UnixSocket

        init(_ answer: String) throws {
            directory = try TemporaryDirectory()
            path = directory.path + "/admin.sock"
            listener = try UnixSocket.listen(at: path)
            let bytes = Array(answer.utf8)
            try WorkerThread(name: "peer") { [self] in
                while let socket = try? listener.accept() {
                    var request: [UInt8] = []
                    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 4_096, alignment: 8)
                    defer { room.deallocate() }
                    while !String(decoding: request, as: UTF8.self).contains("\r\n\r\n") {
                        guard let count = try? socket.receiveSome(into: room), count > 0 else { break }
                        request += room[..<count]
                    }
                    bytes.withUnsafeBytes { _ = try? socket.send($0) }
                    socket.shutdownSending()
                }
            }.detach()
        }

        func end() { listener.shutdown() }
    }

    private struct Answer: Decodable {
        let someNumber: Int
    }

    private func ask(_ answer: String) throws -> Result<Int, ClientError> {
        let peer = try Peer(answer)
        defer { peer.end() }
        do throws(ClientError) {
            return .success(try AdminClient(socketPath: peer.path).get("/v1/x", as: Answer.self).someNumber)
        } catch { return .failure(error) }
    }

    private static let body = #"{"some_number":7}"#

    @Test func readsAnswersHoweverTheyEnd() throws {
        let ok = "HTTP/1.1 200 OK\r\nServer: x\r\n"
        let answers = [
            ok + "Content-Length: 17\r\n\r\n" + Self.body,
            ok + "content-length:17\r\n\r\n" + Self.body + "more",
            ok + "\r\n" + Self.body,
            ok + "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"som\r\nC;x=y\r\ne_number\":7}\r\n0\r\n\r\n",
        ]
        for answer in answers { #expect(try ask(answer).get() == 7, "\(answer)") }
    }

    @Test func saysWhatTheDaemonSays() throws {
        let body = #"{"error":{"code":"unknown_session","message":"there is no session 64; list them"}}"#
        let refused = try ask("HTTP/1.1 404 Not Found\r\nContent-Length: \(body.utf8.count)\r\n\r\n" + body)
        guard case .failure(.refused(let error)) = refused else {
            Issue.record("\(refused)")
            return
        }
        #expect(error.code == .unknownSession && error.message.contains("list them"))
    }

    @Test func refusesWhatIsNoAnswer() throws {
        let ok = "HTTP/1.1 200 OK\r\n"
        let answers = [
            "", "hello\r\n\r\n", "HTTP/1.1 99 x\r\n\r\n", "HTTP/2 200 OK\r\n\r\n", ok, ok + "no colon\r\n\r\n",
            ok + "Content-Length: -1\r\n\r\n", ok + "Content-Length: x\r\n\r\n",
            ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
            ok + "Content-Length: 99999999999999999999\r\n\r\n", ok + "Content-Length: 18\r\n\r\n" + Self.body,
            ok + "Transfer-Encoding: gzip\r\n\r\n", ok + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            ok + "Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n", ok + "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
            ok + "Transfer-Encoding: chunked\r\n\r\n11\r\n\(Self.body)x\r\n0\r\n\r\n",
            ok + "Transfer-Encoding: chunked\r\n\r\n11\r\n\(Self.body)",
            ok + "X: " + String(repeating: "y", count: 70_000) + "\r\n\r\n",
            ok + "\r\n{}", ok + "\r\nnonsense", "HTTP/1.1 500 x\r\n\r\n<html>",
        ]
        for answer in answers {
            guard case .failure = try ask(answer) else {
                Issue.record("taken for an answer: \(answer.prefix(200))")
                continue
            }
        }
    }

    @Test func streamsLines() throws {
        let events = "id: 1\r\ndata: a\r\n\r\n: still here\r\n\r\ndata: b\n\ndata: c"
        let peer = try Peer("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + events)
        defer { peer.end() }
        var lines: [String] = []
        try AdminClient(socketPath: peer.path).stream("/v1/events") { line in
            if line.hasPrefix("data:") { lines.append(line) }
            return true
        }
        // What did not end did not happen.
        #expect(lines == ["data: a", "data: b"])
        let long = try Peer("HTTP/1.1 200 OK\r\n\r\n" + String(repeating: "x", count: 200_000))
        defer { long.end() }
        #expect(throws: ClientError.self) { try AdminClient(socketPath: long.path).stream("/v1/events") { _ in true } }
        let refusing = try Peer("HTTP/1.1 403 Forbidden\r\n\r\n{\"error\":{\"code\":\"forbidden\",\"message\":\"no\"}}")
        defer { refusing.end() }
        #expect(throws: ClientError.self) {
            try AdminClient(socketPath: refusing.path).stream("/v1/events") { _ in true }
        }
    }

    @Test func escapesQueries() {
        #expect(AdminClient.escaped("a b&c=d/é") == "a%20b%26c%3Dd%2F%C3%A9")
    }
}
