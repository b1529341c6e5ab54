import Logging
import Synchronization

/// The daemon's log: lines on standard error, at a level that can be changed while it runs, for every logger at once.
public struct DaemonLog: LogHandler {
    private static let level = Atomic<Int>(index(.info))
    private var handler: StreamLogHandler

    /// A handler for `LoggingSystem.bootstrap`.
    public init(label: String) {
        handler = StreamLogHandler.standardError(label: label)
        handler.logLevel = .trace
    }

    /// The level in force.
    public static var currentLevel: Logger.Level {
        get { Logger.Level.allCases[level.load(ordering: .relaxed)] }
        set { level.store(index(newValue), ordering: .relaxed) }
    }

    private static func index(_ level: Logger.Level) -> Int { Logger.Level.allCases.firstIndex(of: level)! }

    /// The level in force; what a logger sets is not heard.
    public var logLevel: Logger.Level {
        get { Self.currentLevel }
        set {}
    }

    public var metadata: Logger.Metadata {
        get { handler.metadata }
        set { handler.metadata = newValue }
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { handler[metadataKey: key] }
        set { handler[metadataKey: key] = newValue }
    }

    public func log(event: LogEvent) { handler.log(event: event) }
}
