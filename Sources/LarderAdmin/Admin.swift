import Hummingbird
import LarderMetrics
import LarderModel
import LarderServer
import LarderStore
import LarderSystem
import Logging
import Metrics
import NIOPosix

/// What the routes work with: the daemon, and what the admin side itself remembers.
final class Admin: Sendable {
    let daemon: Daemon
    let loaded: LoadedConfiguration
    let registry: MetricsRegistry
    let log: Logger
    /// What operators have pinned, until it ends: a pin lives as long as the reader that took it.
    let pins: Monitor<StoreReader>
    let jobs: Jobs
    let streams = StreamCount()
    let inventory = InventoryCache()
    /// What the last hours were like; nil where it is not kept.
    let history: History?
    private let sampler = Sampler()
    private let threads = NIOThreadPool(numberOfThreads: Limits.adminThreads)
    private let durations: [String: Metrics.Timer]

    init(_ daemon: Daemon, _ loaded: LoadedConfiguration, registry: MetricsRegistry, log: Logger) {
        self.daemon = daemon
        self.loaded = loaded
        self.registry = registry
        self.log = log
        jobs = Jobs(daemon.events)
        history = History(path: loaded.configuration.historyPath, log: log)
        pins = Monitor(StoreReader(daemon.store, userID: Process.userID))
        var durations: [String: Metrics.Timer] = [:]
        for route in AdminRoute.all {
            durations[route.label] = Metrics.Timer(
                label: MetricCatalog.adminRequest, dimensions: [("route", route.label)])
        }
        self.durations = durations
        threads.start()
    }

    /// Begins to look at the daemon now and then.
    func start() throws(LarderError) { try sampler.start(self) }

    /// A reader for one request, which sees what the daemon's own user may see: all.
    var reader: StoreReader { StoreReader(daemon.store, userID: Process.userID) }

    var store: Store { daemon.store }

    /// Runs what may wait for the disk or a writer on one of a few threads, which give way to the data socket's.
    func work<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await threads.runIfActive {
            WorkerThread.giveWay()
            return try body()
        }
    }

    /// A request was answered, or its stream begun.
    func note(_ route: AdminRoute, nanoseconds: UInt64) {
        durations[route.label]?.recordNanoseconds(Int64(clamping: nanoseconds))
    }

    /// Ends streams and jobs, so that connections can end.
    func stopStreams() {
        streams.stop()
        jobs.stop(until: Clock.deadline(seconds: 2))
    }

    /// Ends the threads; the last sample of the history is taken.
    func stop() {
        sampler.stop()
        threads.shutdownGracefully { _ in }
    }
}

extension AdminRoute {
    /// As metrics name it.
    var label: String { "\(method.rawValue) \(path)" }
}
