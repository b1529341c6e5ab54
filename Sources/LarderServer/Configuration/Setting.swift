import LarderModel
import Logging

/// One value of the configuration: its key in the file, its flag, its variable, and how its text is read.
public struct Setting: Sendable {
    /// The key in the configuration file: `data_dir`. The flag is `--data-dir`, the variable `LARDER_DATA_DIR`.
    public let key: String
    /// One line for people.
    public let summary: String
    /// The value in force, as text.
    public let text: @Sendable (Configuration) -> String
    /// Reads the text into the configuration. Throws a sentence that says what would be right.
    let read: @Sendable (inout Configuration, String) throws(LarderError) -> Void

    /// The environment variable.
    public var variable: String { "LARDER_" + key.uppercased() }

    /// Every setting.
    public static let all: [Setting] = [
        Setting(key: "socket", summary: "path of the data socket", text: { $0.socket }) {
            configuration, text throws(LarderError) in
            configuration.socket = try path(text)
        },
        Setting(
            key: "socket_mode", summary: "mode of the data socket, octal",
            text: { "0" + String($0.socketMode, radix: 8) }
        ) { configuration, text throws(LarderError) in
            guard let mode = UInt32(text, radix: 8), mode <= 0o777 else {
                throw wrong(text, "an octal mode such as 0660")
            }
            configuration.socketMode = mode
        },
        Setting(
            key: "socket_group", summary: "group of the data socket; empty for the daemon's own",
            text: { $0.socketGroup }
        ) { configuration, text throws(LarderError) in
            configuration.socketGroup = text
        },
        Setting(key: "data_dir", summary: "directory of the store", text: { $0.dataDirectory }) {
            configuration, text throws(LarderError) in
            configuration.dataDirectory = try path(text)
        },
        Setting(
            key: "cap", summary: "most bytes of the disk that the store may take; larderctl cap changes it for now",
            text: { "\($0.capBytes)" }
        ) { configuration, text throws(LarderError) in
            configuration.capBytes = try Quantity.bytes(text)
        },
        Setting(key: "shards", summary: "LMDB environments; fixed at the store's creation", text: { "\($0.shards)" }) {
            configuration, text throws(LarderError) in
            configuration.shards = try integer(text, 1...Limits.shards)
        },
        Setting(key: "max_connections", summary: "connections served at once", text: { "\($0.maxConnections)" }) {
            configuration, text throws(LarderError) in
            configuration.maxConnections = try integer(text, 1...4_096)
        },
        Setting(key: "queue", summary: "bytes of chunks that may wait to be written", text: { "\($0.queueBytes)" }) {
            configuration, text throws(LarderError) in
            configuration.queueBytes = try Quantity.bytes(text)
        },
        Setting(
            key: "queue_wait_seconds", summary: "seconds that a page-out waits for room in the queue",
            text: { "\($0.queueWaitSeconds)" }
        ) { configuration, text throws(LarderError) in
            configuration.queueWaitSeconds = try integer(text, 0...3_600)
        },
        Setting(
            key: "codec_helpers", summary: "threads that help connections to encode and decode",
            text: { "\($0.codecHelpers)" }
        ) { configuration, text throws(LarderError) in
            configuration.codecHelpers = try integer(text, 0...Limits.codecHelpers)
        },
        Setting(
            key: "inline_memory", summary: "bytes of frames that may be in memory at once",
            text: { "\($0.inlineBytes)" }
        ) { configuration, text throws(LarderError) in
            configuration.inlineBytes = try Quantity.bytes(text)
            guard configuration.inlineBytes >= Limits.frameBytes else {
                throw wrong(text, "at least \(Limits.frameBytes), one frame")
            }
        },
        Setting(
            key: "arena_memory", summary: "bytes of shared memory of all arenas; one user may hold half",
            text: { "\($0.arenaBytes)" }
        ) { configuration, text throws(LarderError) in
            configuration.arenaBytes = try Quantity.bytes(text)
        },
        Setting(key: "drain_seconds", summary: "seconds that a shutdown may take", text: { "\($0.drainSeconds)" }) {
            configuration, text throws(LarderError) in
            configuration.drainSeconds = try integer(text, 1...3_600)
        },
        Setting(
            key: "log_level", summary: "trace, debug, info, notice, warning, error or critical", text: { $0.logLevel }
        ) { configuration, text throws(LarderError) in
            guard Logger.Level(rawValue: text) != nil else {
                throw wrong(text, "trace, debug, info, notice, warning, error or critical")
            }
            configuration.logLevel = text
        },
    ]

    private static func wrong(_ text: String, _ right: String) -> LarderError {
        LarderError(.invalidArgument, "'\(text.clipped)' is not \(right)")
    }

    private static func path(_ text: String) throws(LarderError) -> String {
        guard !text.isEmpty, !text.utf8.contains(0) else { throw wrong(text, "a path") }
        return text
    }

    private static func integer(_ text: String, _ range: ClosedRange<Int>) throws(LarderError) -> Int {
        guard let value = Int(text), range.contains(value) else {
            throw wrong(text, "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }
}
