import LarderSystem

/// A Redis server that a benchmark starts on a socket of its own, without persistence, and stops.
final class RedisProcess {
    private let socket: String
    private var process: ChildProcess?

    /// Starts redis-server in `directory`; nil, after a line on standard error, if it is not installed.
    static func start(in directory: String) throws -> RedisProcess? {
        guard let path = Process.find(program: "redis-server") else {
            Output.error("skipped: the rows against Redis, because redis-server is not installed")
            return nil
        }
        return try RedisProcess(path, directory)
    }

    private init(_ path: String, _ directory: String) throws {
        socket = directory + "/redis.sock"
        process = try ChildProcess(
            path,
            ["--save", "", "--appendonly", "no", "--port", "0", "--unixsocket", socket, "--dir", directory],
            output: directory + "/redis.log")
    }

    /// A connection, once the server answers.
    func connect() throws -> RedisClient { RedisClient(try UnixSocket.connect(to: socket, retryingSeconds: 20)) }

    deinit {
        process?.signal(9)
        _ = process.take()?.wait()
    }
}

extension UnixSocket {
    /// A connection to a server that is starting.
    static func connect(to path: String, retryingSeconds seconds: Double) throws -> UnixSocket {
        let deadline = Clock.deadline(seconds: seconds)
        while true {
            do { return try connect(to: path) } catch {
                if Clock.now() > deadline { throw error }
                Clock.sleep(milliseconds: 5)
            }
        }
    }
}
