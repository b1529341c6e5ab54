import ArgumentParser
import LarderSystem

/// The other end of the echo: a process that answers each request with the same bytes. Started by ``EchoProcess``.
struct Echo: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answers on a socket: the other end of a measurement.", shouldDisplay: false)
    @Option(help: "Path of the socket.")
    var socket: String
    @Option(help: "Bytes of a request.")
    var requestBytes: Int
    @Option(help: "Bytes of an answer.")
    var answerBytes: Int

    func run() throws {
        let peer = try UnixSocket.listen(at: socket).accept()
        let request = UnsafeMutableRawBufferPointer.allocate(byteCount: requestBytes, alignment: 8)
        let answer = UnsafeMutableRawBufferPointer.allocate(byteCount: answerBytes, alignment: 8)
        answer.initializeMemory(as: UInt8.self, repeating: 0)
        while try peer.receive(into: request) == requestBytes { try peer.send(UnsafeRawBufferPointer(answer)) }
    }
}

/// A round trip between two processes over a Unix socket with blocking calls, and nothing else: the least that a request to
/// a daemon can take.
final class EchoProcess {
    private var process: ChildProcess?
    private let socket: UnixSocket
    private let request: UnsafeMutableRawBufferPointer
    private let answer: UnsafeMutableRawBufferPointer

    /// Starts the other end.
    init(in directory: String, requestBytes: Int, answerBytes: Int) throws {
        let path = directory + "/echo.sock"
        let child = try ChildProcess(
            Process.executablePath,
            ["echo", "--socket", path, "--request-bytes", "\(requestBytes)", "--answer-bytes", "\(answerBytes)"])
        do { socket = try UnixSocket.connect(to: path, retryingSeconds: 20) } catch {
            child.signal(9)
            throw error
        }
        process = consume child
        request = .allocate(byteCount: requestBytes, alignment: 8)
        request.initializeMemory(as: UInt8.self, repeating: 0)
        answer = .allocate(byteCount: answerBytes, alignment: 8)
    }

    deinit {
        socket.shutdown()
        _ = process.take()?.wait()
        request.deallocate()
        answer.deallocate()
    }

    /// Makes `count` round trips and records each.
    func roundTrips(_ count: Int, into latencies: inout Latencies) throws {
        for _ in 0..<count {
            let start = Clock.now()
            try socket.send(UnsafeRawBufferPointer(request))
            guard try socket.receive(into: answer) == answer.count else {
                throw ValidationError("the other end of the echo ended")
            }
            latencies.record(nanoseconds: Clock.now() - start)
        }
    }
}
