import ArgumentParser
import LarderAdmin
import LarderModel
import LarderServer
import LarderSystem
import Logging

@main
struct Larderd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "larderd",
        abstract: "Keeps the attention state of long-context models, so that no worker computes the same prefix twice.",
        discussion: """
            Each setting comes from its flag, else from its environment variable (LARDER_DATA_DIR for --data-dir), else \
            from the configuration file, else from its default. larderd --check-config shows what is in force and why.

            Exit codes: 0 after SIGTERM or SIGINT; 1 if the daemon cannot start, or could not close its store in time; 64 for wrong \
            flags; 74 if the disk failed in a way that only a new start mends; 78 for a wrong configuration.
            """,
        version: LarderVersion.number)

    @Option(help: "The configuration file (TOML). Default: \(LoadedConfiguration.defaultPath), if it exists.")
    var config: String?
    @Flag(help: "Print the configuration in force and where each value comes from, and exit.")
    var checkConfig = false

    @Option(help: "Path of the data socket.") var socket: String?
    @Option(help: "Mode of the data socket, octal.") var socketMode: String?
    @Option(help: "Group of the data socket.") var socketGroup: String?
    @Option(help: "Path of the admin socket; off for none. Default: admin.sock beside the data socket.")
    var adminSocket: String?
    @Option(help: "Mode of the admin socket, octal.") var adminSocketMode: String?
    @Option(help: "Group whose members may use the admin socket.") var adminSocketGroup: String?
    @Option(help: "Loopback address to serve admin HTTP at, such as 127.0.0.1:9465; needs --admin-token-file.")
    var adminListen: String?
    @Option(help: "File of mode 0600 with the token that clients of --admin-listen send.") var adminTokenFile: String?
    @Option(help: "Directory of the store.") var dataDir: String?
    @Option(help: "Most bytes of the disk that the store may take, such as 10GiB; larderctl cap changes it for now.")
    var cap: String?
    @Option(help: "LMDB environments; fixed at the store's creation.") var shards: String?
    @Option(help: "What the compactor keeps by: heat, lru, s3fifo or fifo.") var policy: String?
    @Option(help: "Part of the store in use above which the compactor begins, such as 0.98.") var highWatermark: String?
    @Option(help: "Part of the store in use down to which the compactor goes, such as 0.96.") var lowWatermark: String?
    @Option(help: "Bytes that may be written to the device in a day, such as 500GB; 0 for no bound.")
    var wearBudget: String?
    @Option(
        help: "A damaged shard: reset sets it aside, refuse stops; auto is refuse where data_dir has a file 'precious'."
    )
    var onCorruption: String?
    @Option(help: "Connections served at once.") var maxConnections: String?
    @Option(help: "Bytes of chunks that may wait to be written, such as 64MiB.") var queue: String?
    @Option(help: "Seconds that a page-out waits for room in that queue.") var queueWaitSeconds: String?
    @Option(help: "Threads that help connections to encode and decode.") var codecHelpers: String?
    @Option(help: "Bytes of frames that may be in memory at once, such as 256MiB.") var inlineMemory: String?
    @Option(help: "Bytes of shared memory of all arenas, such as 16GiB.") var arenaMemory: String?
    @Option(help: "Connections that one user may have; 0 for seven eighths of all.") var userConnections: String?
    @Option(help: "Bytes of arenas that one user may hold; 0 for half of all.") var userArenaMemory: String?
    @Option(help: "Bytes of frames in memory that one user may hold; 0 for three quarters of all.")
    var userInlineMemory: String?
    @Option(help: "Bytes of the queue that one user may hold; 0 for its fair share.") var userQueue: String?
    @Option(help: "Bytes on the disk of the namespaces that one user owns; 0 for no bound.") var userDisk: String?
    @Option(help: "Namespaces that one user may own.") var userNamespaces: String?
    @Option(help: "User to become when started as root.") var user: String?
    @Option(help: "Group to become with it.") var group: String?
    @Option(help: "on for core files and debuggers; what workers keep can be read in them.") var coreDumps: String?
    @Option(help: "on to keep arenas out of swap.") var lockMemory: String?
    @Option(help: "What a GPU-hour costs, in your currency, for reports of savings, such as 2.5.")
    var gpuHourPrice: String?
    @Option(help: "Seconds that a shutdown may take.") var drainSeconds: String?
    @Option(help: "File to record turns to, for larderctl simulate; empty for none.") var recordTrace: String?
    @Option(help: "Most bytes of that file, such as 64MiB; then the recording ends.") var recordTraceBytes: String?
    @Option(help: "trace, debug, info, notice, warning, error or critical.") var logLevel: String?

    private var flags: [String: String] {
        let given: [String: String?] = [
            "socket": socket, "socket_mode": socketMode, "socket_group": socketGroup, "data_dir": dataDir, "cap": cap,
            "shards": shards, "max_connections": maxConnections, "queue": queue, "inline_memory": inlineMemory,
            "queue_wait_seconds": queueWaitSeconds, "codec_helpers": codecHelpers, "arena_memory": arenaMemory,
            "drain_seconds": drainSeconds, "record_trace": recordTrace, "record_trace_bytes": recordTraceBytes,
            "gpu_hour_price": gpuHourPrice, "log_level": logLevel, "policy": policy, "high_watermark": highWatermark,
            "low_watermark": lowWatermark, "wear_budget": wearBudget, "on_corruption": onCorruption,
            "user_connections": userConnections, "user_arena_memory": userArenaMemory,
            "user_inline_memory": userInlineMemory, "user_queue": userQueue, "user_disk": userDisk,
            "user_namespaces": userNamespaces, "user": user, "group": group, "core_dumps": coreDumps,
            "lock_memory": lockMemory,
            "admin_socket": adminSocket, "admin_socket_mode": adminSocketMode,
            "admin_socket_group": adminSocketGroup, "admin_listen": adminListen, "admin_token_file": adminTokenFile,
        ]
        return given.compactMapValues { $0 }
    }

    func run() throws {
        let loaded: LoadedConfiguration
        do { loaded = try LoadedConfiguration(flags: flags, path: config) } catch {
            Output.error("larderd: \(error.message)")
            throw ExitCode(78)
        }
        if checkConfig {
            for setting in Setting.all {
                print(
                    "\(setting.key) = \"\(setting.text(loaded.configuration))\"  # "
                        + "\(loaded.origins[setting.key] ?? "default")"
                )
            }
            for rule in loaded.configuration.access.rules { print(rule.text) }
            return
        }
        do throws(LarderError) { try loaded.configuration.dropPrivileges() } catch {
            Output.error("larderd: \(error.message)")
            throw ExitCode.failure
        }
        Process.takeSignals()
        Memory.keepFreed(bytes: Limits.keptBytes)
        DaemonLog.currentLevel = Logger.Level(rawValue: loaded.configuration.logLevel) ?? .info
        LoggingSystem.bootstrap { label in DaemonLog(label: label) }
        let log = Logger(label: "larderd")
        let metrics = AdminServer.bootstrapMetrics()
        let daemon: Daemon
        let admin: AdminServer?
        do throws(LarderError) {
            daemon = try Daemon(loaded.configuration, log: log)
            do throws(LarderError) {
                // First: where workers take all descriptors that there are, it could not get those that it needs.
                admin = try AdminServer.start(daemon, loaded, metrics: metrics, log: log)
                try daemon.start()
            } catch {
                daemon.stop()
                throw error
            }
        } catch {
            Output.error("larderd: \(error.message)")
            throw ExitCode.failure
        }
        let signal = Process.waitForTermination()
        log.notice(
            "stopping", metadata: ["signal": "\(signal)", "within_seconds": "\(loaded.configuration.drainSeconds)"])
        // The stated time holds even if the disk hangs in the last commit.
        let seconds = loaded.configuration.drainSeconds
        try WorkerThread(name: "deadline") {
            Clock.sleep(milliseconds: seconds * 1_000)
            Output.error("larderd: the store did not close within \(seconds) s; what was committed is safe")
            Process.exitNow(daemon.hasFailed ? 74 : 1)
        }.detach()
        admin?.stop()
        daemon.stop()
        if daemon.hasFailed { throw ExitCode(74) }
    }
}
