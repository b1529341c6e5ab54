import LarderClient
import LarderSystem

/// A daemon that a benchmark starts on a directory of its own, and stops.
final class DaemonProcess {
    let directory: String
    let socket: String
    private var process: ChildProcess?
    private let arguments: [String]

    /// The larderd that was built beside this program.
    static var executable: String {
        let own = Process.executablePath
        return String(own[..<(own.lastIndex(of: "/") ?? own.startIndex)]) + "/larderd"
    }

    init(directory: String, arguments: [String] = []) {
        self.directory = directory
        socket = directory + "/larder.sock"
        self.arguments = ["--socket", socket, "--data-dir", directory + "/store"] + arguments
    }

    /// Starts the daemon and returns a client once it answers.
    func start(name: String) throws -> Client {
        let child = try ChildProcess(Self.executable, arguments, output: directory + "/larderd.log")
        identifier = child.identifier
        process = consume child
        let deadline = Clock.deadline(seconds: 20)
        while true {
            do { return try Client(socketPath: socket, name: name) } catch {
                guard Clock.now() < deadline, process!.isRunning() else {
                    let log = (try? FileSystem.read(directory + "/larderd.log", limit: 1 << 20)) ?? []
                    Output.error(String(decoding: log.suffix(2_000), as: UTF8.self))
                    throw error
                }
                Clock.sleep(milliseconds: 5)
            }
        }
    }

    /// Another connection to the daemon that runs.
    func connect(name: String) throws -> Client { try Client(socketPath: socket, name: name) }

    /// The pid of the daemon that runs.
    private(set) var identifier: Int32?

    /// SIGKILL, and waits for the end.
    func kill() { end(signal: 9) }

    /// SIGTERM, and waits for the end. Returns the exit code.
    @discardableResult
    func stop() -> Int32 { end(signal: 15) }

    @discardableResult
    private func end(signal: Int32) -> Int32 {
        identifier = nil
        guard let running = process.take() else { return 0 }
        running.signal(signal)
        return running.wait()
    }

    deinit { end(signal: 9) }
}
