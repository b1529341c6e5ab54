import LarderClient
import LarderSystem

/// A real larderd in a directory of its own. Ends with the object.
public final class TestDaemon {
    /// The directory that holds socket, store and log.
    public let directory: TemporaryDirectory
    /// The data socket.
    public let socket: String
    private let arguments: [String]
    private var process: ChildProcess?

    /// The executables that were built with these tests: beside the test bundle.
    public static func executable(_ name: String) -> String {
        // A daemon of the caller's choice, such as one that is watched (systemd/check-syscalls).
        if name == "larderd", let path = Process.environment("LARDER_LARDERD") { return path }
        let own = Process.executablePath
        let folder = String(own[..<(own.lastIndex(of: "/") ?? own.startIndex)])
        // Swift Testing runs the bundle itself, or a helper of the toolchain that loads it.
        let candidates = [folder, Repository.root + "/.build/release", Repository.root + "/.build/debug"]
        return candidates.map { $0 + "/" + name }.first { FileSystem.exists($0) } ?? folder + "/" + name
    }

    /// A daemon that is not started yet.
    public init(arguments: [String] = []) throws {
        directory = try TemporaryDirectory()
        socket = directory.path + "/larder.sock"
        self.arguments =
            ["--socket", socket, "--data-dir", directory.path + "/store", "--log-level", "debug"] + arguments
    }

    /// A daemon that runs.
    public static func started(arguments: [String] = []) throws -> TestDaemon {
        let daemon = try TestDaemon(arguments: arguments)
        try daemon.start()
        return daemon
    }

    deinit { end(signal: 9) }

    /// The directory of the store.
    public var store: String { directory.path + "/store" }

    /// What the daemon has logged so far.
    public var log: String {
        String(decoding: (try? FileSystem.read(directory.path + "/log", limit: 64 << 20)) ?? [], as: UTF8.self)
    }

    /// Starts the process and waits until it answers.
    public func start() throws {
        process = try ChildProcess(Self.executable("larderd"), arguments, output: directory.path + "/log")
        _ = try connect()
    }

    /// A new connection; waits for the daemon to come up.
    public func connect(name: String = "test") throws -> Client {
        let deadline = Clock.deadline(seconds: 60)
        while true {
            do { return try Client(socketPath: socket, name: name) } catch {
                if case .connection = error, Clock.now() < deadline, process?.isRunning() ?? false {
                    Clock.sleep(milliseconds: 2)
                    continue
                }
                throw error
            }
        }
    }

    /// True while the process lives.
    public var isRunning: Bool { process?.isRunning() ?? false }

    /// Its pid.
    public var processID: Int32 { process?.identifier ?? 0 }

    /// Sends a signal and waits for the end; the exit code, or 128 plus the signal's number.
    @discardableResult
    public func end(signal: Int32) -> Int32 {
        guard let running = process.take() else { return 0 }
        running.signal(signal)
        return running.wait()
    }

    /// Runs an executable of the package to its end: its exit code and what it printed.
    public static func run(_ name: String, _ arguments: [String]) throws -> (code: Int32, output: String) {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/output"
        let code = try ChildProcess(executable(name), arguments, output: path).wait()
        return (code, String(decoding: try FileSystem.read(path, limit: 64 << 20), as: UTF8.self))
    }
}
