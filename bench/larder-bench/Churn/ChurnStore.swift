import LarderClient
import LarderModel
import LarderSystem
import LarderWire

/// A daemon on a new store with a cap, and what can be asked of it from the outside.
final class ChurnStore {
    let daemon: DaemonProcess
    let capBytes: Int
    private let client: Client
    private let directory: String
    private let sampler: TreeSampler

    /// Runs `body` with a daemon on a new store, whose files are watched; then removes both.
    static func with<Result>(
        capBytes: Int, _ arguments: [String], _ body: (ChurnStore) throws -> Result
    ) throws -> Result {
        let directory = try FileSystem.makeTemporaryDirectory(prefix: "larder-churn-")
        defer { FileSystem.removeTree(directory) }
        let daemon = DaemonProcess(directory: directory, arguments: ["--cap", "\(capBytes)"] + arguments)
        defer { daemon.stop() }
        let store = try ChurnStore(daemon, directory, capBytes, try daemon.start(name: "larder-bench"))
        defer { store.sampler.stop() }
        return try body(store)
    }

    private init(_ daemon: DaemonProcess, _ directory: String, _ capBytes: Int, _ client: Client) throws {
        self.daemon = daemon
        self.directory = directory
        self.capBytes = capBytes
        self.client = client
        sampler = try TreeSampler(directory + "/store")
    }

    func stat() throws -> StatAnswer { try client.stat() }

    /// Bytes that the daemon has caused to be written to the disk.
    var deviceBytes: Int { daemon.identifier.flatMap { Process.writtenBytes(of: $0) } ?? 0 }

    /// The most bytes that the store's files had together so far, and how often they were looked at.
    var files: (largest: Int, samples: Int) { sampler.reading }

    /// Stored bytes of the chunks of all sessions.
    func liveBytes() throws -> Int { try client.sessions().reduce(0) { $0 + Int($1.storedBytes) } }

    /// Waits until nothing is freed or moved any more.
    func settle() throws {
        let deadline = Clock.deadline(seconds: 60)
        func work(_ stat: StatAnswer) -> [UInt64] {
            [stat["queue_bytes"], stat["graves"], stat["blobs_freed"], stat["swept_bytes"], stat["moved_bytes"]]
        }
        var last = work(try stat())
        while Clock.now() < deadline {
            Clock.sleep(milliseconds: 300)
            let now = work(try stat())
            if now == last && now[0] == 0 && now[1] == 0 { break }
            last = now
        }
        try client.synchronise()
    }
}

/// Adds up the files under a directory every 10 ms.
private final class TreeSampler: Sendable {
    private struct State {
        var largest = 0
        var samples = 0
        var isOver = false
        var hasEnded = false
    }

    private static let interval = 10
    private let state: Monitor<State>

    init(_ path: String) throws {
        let state = Monitor(State())
        self.state = state
        try WorkerThread(name: "tree-sampler") {
            while !state.withLock({ $0.isOver }) {
                let bytes = FileSystem.treeBytes(path)
                state.withLock {
                    $0.largest = max($0.largest, bytes)
                    $0.samples += 1
                }
                Clock.sleep(milliseconds: Self.interval)
            }
            state.signal { $0.hasEnded = true }
        }.detach()
    }

    var reading: (largest: Int, samples: Int) { state.withLock { ($0.largest, $0.samples) } }

    func stop() {
        state.withLock { $0.isOver = true }
        state.wait { $0.hasEnded ? () : nil }
    }
}
