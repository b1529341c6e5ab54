// The admin side: HTTP/1.1 with JSON on a Unix socket of its own, and on a loopback address if one is set. Nothing here is
// on the way of a page-in: requests are parsed on one event loop and answered on a few threads, all of which give way to
// the data socket's, and counters are read where the data socket keeps them.
import Hummingbird
import HummingbirdCore
import LarderMetrics
import LarderModel
import LarderServer
import LarderSystem
import Logging
import Metrics
import NIOPosix
import ServiceLifecycle

/// The admin side of a daemon that runs.
public final class AdminServer: Sendable {
    private struct State {
        var started = 0
        var failure: LarderError?
        var hasEnded = false
    }

    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let admin: Admin
    private let log: Logger
    private let state = Monitor(State())
    private let services: ServiceGroup
    private let socket: String?

    /// What it answers: methods, and paths with names in braces.
    public static var routes: [(method: String, path: String)] {
        AdminRoute.all.map { ($0.method.rawValue, $0.path) }
    }

    /// Makes a registry the backend of swift-metrics. Call once, before the daemon is made.
    public static func bootstrapMetrics() -> MetricsRegistry {
        let registry = MetricsRegistry(MetricCatalog.descriptions)
        MetricsSystem.bootstrap(registry)
        return registry
    }

    /// Starts what the configuration asks for; nil if that is nothing. Returns when it listens.
    ///
    /// Throws ``LarderError`` that names the socket, the address or the token's file, and what to do.
    public static func start(
        _ daemon: Daemon, _ loaded: LoadedConfiguration, metrics: MetricsRegistry, log: Logger
    ) throws(LarderError) -> AdminServer? {
        guard loaded.configuration.hasAdmin else { return nil }
        let server = try AdminServer(daemon, loaded, metrics, log)
        try server.run(listeners: server.listeners)
        return server
    }

    private let listeners: Int

    private init(
        _ daemon: Daemon, _ loaded: LoadedConfiguration, _ metrics: MetricsRegistry, _ log: Logger
    ) throws(LarderError) {
        self.log = log
        let configuration = loaded.configuration
        let admin = Admin(daemon, loaded, registry: metrics, log: log)
        MetricsCollector.install(in: metrics, admin)
        self.admin = admin
        var applications: [any Service] = []
        if let path = configuration.adminSocketPath {
            let settings = configuration.admin
            let groupID = try Self.prepare(path, group: settings.socketGroup)
            let door = Gatekeeper.Door.socket(groupID: groupID)
            applications.append(
                Self.application(.unixDomainSocket(path: path), door, admin, group, state) {
                    try FileSystem.setAccess(
                        path, mode: settings.socketMode,
                        group: settings.socketGroup.isEmpty ? nil : settings.socketGroup)
                })
        }
        if let listen = configuration.admin.listen {
            let door = Gatekeeper.Door.loopback(token: try Self.token(configuration.admin.tokenFile))
            applications.append(
                Self.application(.hostname(listen.host, port: listen.port), door, admin, group, state) {})
        }
        socket = configuration.adminSocketPath
        listeners = applications.count
        services = ServiceGroup(
            configuration: ServiceGroupConfiguration(services: applications, logger: Self.quiet(log)))
    }

    /// One listener. `prepare` is run once it listens.
    private static func application(
        _ address: BindAddress, _ door: Gatekeeper.Door, _ admin: Admin, _ group: MultiThreadedEventLoopGroup,
        _ state: Monitor<State>, _ prepare: @escaping @Sendable () throws -> Void
    ) -> some Service {
        Application(
            responder: AdminResponder(admin: admin, gate: Gatekeeper(door)), server: .http1(configuration: channel),
            configuration: ApplicationConfiguration(
                address: address, backlog: 64,
                availableConnectionsDelegate: MaximumAvailableConnections(
                    Limits.adminConnections, logger: quiet(admin.log))),
            onServerRunning: { _ in
                let failure = LarderError.of(prepare)
                state.signal {
                    $0.started += 1
                    $0.failure = $0.failure ?? failure
                }
            },
            eventLoopGroupProvider: .shared(group), logger: quiet(admin.log))
    }

    /// A logger for the HTTP library, which has much to say that is not for an operator.
    private static func quiet(_ log: Logger) -> Logger {
        Logger(label: log.label) { _ in SwiftLogNoOpLogHandler() }
    }

    private static var channel: HTTP1Channel.Configuration {
        HTTP1Channel.Configuration(
            additionalChannelHandlers: [DeadlineHandler()],
            httpDecoderConfiguration: HTTP1Channel.Configuration.DecoderConfiguration(
                maxHeaderFieldSize: Limits.adminHeaderBytes, maxHeaderListSize: Limits.adminHeaderBytes,
                maxHeaderFieldCount: Limits.adminHeaders))
    }

    /// Makes way for the socket's file, and finds the group that it will belong to. A file that is no socket stays, and one
    /// that somebody serves.
    private static func prepare(_ path: String, group: String) throws(LarderError) -> UInt32 {
        do {
            if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
                try FileSystem.makeDirectory(String(path[..<slash]), mode: 0o755)
            }
            try UnixSocket.clear(path)
            if group.isEmpty { return Process.groupID }
            return try Users.groupID(named: group)
        } catch {
            switch error.code {
            case SystemError.addressInUse:
                throw LarderError(
                    .storage, "\(path) is served by another daemon; stop it, or choose another admin_socket")
            case SystemError.exists:
                throw LarderError(.storage, "\(path) exists and is no socket; move it away, or set admin_socket")
            default: throw LarderError(.storage, "the admin socket cannot be opened: \(error)")
            }
        }
    }

    private static func token(_ path: String) throws(LarderError) -> [UInt8] {
        let bytes: [UInt8]
        do { bytes = try FileSystem.readSecret(path, limit: Limits.adminTokenBytes.upperBound) } catch {
            throw LarderError(
                .invalidArgument,
                "admin_token_file: \(error); it must be a file of the daemon's user that nobody else may read (chmod "
                    + "600), with at most \(Limits.adminTokenBytes.upperBound) bytes")
        }
        let spaces: Set<UInt8> = [9, 10, 13, 32]
        let token = Array(bytes.drop(while: spaces.contains).reversed().drop(while: spaces.contains).reversed())
        guard Limits.adminTokenBytes.contains(token.count), token.allSatisfy({ $0 > 32 && $0 < 127 }) else {
            throw LarderError(
                .invalidArgument,
                "the token in \(path) must be \(Limits.adminTokenBytes.lowerBound) to "
                    + "\(Limits.adminTokenBytes.upperBound) printable characters without spaces, such as those of "
                    + "openssl rand -hex 32")
        }
        return token
    }

    private func run(listeners: Int) throws(LarderError) {
        let (state, services) = (state, services)
        try admin.start()
        for loop in group.makeIterator() { loop.execute { WorkerThread.giveWay() } }
        Task.detached {
            do { try await services.run() } catch {
                state.signal { $0.failure = $0.failure ?? LarderError(.storage, "the admin side ended: \(error)") }
            }
            state.signal { $0.hasEnded = true }
        }
        let isUp = state.wait(until: Clock.deadline(seconds: 30)) { state -> Bool? in
            state.started == listeners || state.hasEnded || state.failure != nil ? true : nil
        }
        let failure = state.withLock { $0.failure }
        guard isUp == true, failure == nil else {
            stop()
            throw failure ?? LarderError(.storage, "the admin side did not start within 30 s")
        }
        log.notice(
            "admin side serving",
            metadata: [
                "socket": "\(socket ?? "none")",
                "listen": "\(admin.loaded.configuration.admin.listen?.text ?? "none")",
            ])
    }

    /// Ends it: requests at hand are given a moment.
    public func stop() {
        let services = services
        admin.stopStreams()
        Task.detached { await services.triggerGracefulShutdown() }
        _ = state.wait(until: Clock.deadline(seconds: 2)) { $0.hasEnded ? true : nil }
        admin.stop()
        // A successor may serve there by now: NIO leaves the file, and only a stale one is removed.
        if let socket { try? UnixSocket.clear(socket) }
    }
}

extension LarderError {
    /// What a system call that failed means here; nil if it did not.
    fileprivate static func of(_ body: () throws -> Void) -> LarderError? {
        do {
            try body()
            return nil
        } catch {
            return LarderError(.storage, "the admin socket cannot be opened: \(error)")
        }
    }
}
