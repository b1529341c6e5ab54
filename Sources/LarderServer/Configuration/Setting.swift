import LarderModel
import LarderPolicy
import LarderStore
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
    public static let all: [Setting] = data + user + privileges + admin

    /// What the store and the data socket are set by.
    private static let data: [Setting] = [
        Setting(key: "socket", summary: "path of the data socket", text: { $0.socket }) {
            configuration, text throws(LarderError) in
            configuration.socket = try path(text)
        },
        Setting(
            key: "socket_mode", summary: "mode of the data socket, octal",
            text: { "0" + String($0.socketMode, radix: 8) }
        ) { configuration, text throws(LarderError) in
            configuration.socketMode = try mode(text)
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
        Setting(
            key: "policy", summary: "what the compactor keeps by: \(policies)", text: { $0.policy.rawValue }
        ) { configuration, text throws(LarderError) in
            guard let policy = SweepPolicy(rawValue: text) else { throw wrong(text, "one of \(policies)") }
            configuration.policy = policy
        },
        Setting(
            key: "high_watermark", summary: "part of the store in use above which the compactor begins",
            text: { "\($0.watermarks.high)" }
        ) { configuration, text throws(LarderError) in
            configuration.watermarks.high = try part(text)
        },
        Setting(
            key: "low_watermark", summary: "part of the store in use down to which the compactor goes",
            text: { "\($0.watermarks.low)" }
        ) { configuration, text throws(LarderError) in
            configuration.watermarks.low = try part(text)
        },
        Setting(
            key: "wear_budget", summary: "bytes that may be written to the device in a day; 0 for no bound",
            text: { "\($0.wearBudget)" }
        ) { configuration, text throws(LarderError) in
            configuration.wearBudget = try Quantity.bytes(text)
        },
        Setting(
            key: "on_corruption",
            summary:
                "what to do with a damaged shard: auto, \(corruptionPolicies); auto is refuse where data_dir has a "
                + "file named precious, else reset",
            text: { $0.onCorruption?.rawValue ?? "auto" }
        ) { configuration, text throws(LarderError) in
            guard let policy = CorruptionPolicy(rawValue: text) else {
                if text != "auto" { throw wrong(text, "auto, \(corruptionPolicies)") }
                configuration.onCorruption = nil
                return
            }
            configuration.onCorruption = policy
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
            key: "arena_memory", summary: "bytes of shared memory of all arenas",
            text: { "\($0.arenaBytes)" }
        ) { configuration, text throws(LarderError) in
            configuration.arenaBytes = try Quantity.bytes(text)
        },
        Setting(
            key: "gpu_hour_price", summary: "what a GPU-hour costs, in your currency, for reports; 0 if you do not say",
            text: { price($0.gpuHourPriceMicros) }
        ) { configuration, text throws(LarderError) in
            configuration.gpuHourPriceMicros = try price(text)
        },
        Setting(key: "drain_seconds", summary: "seconds that a shutdown may take", text: { "\($0.drainSeconds)" }) {
            configuration, text throws(LarderError) in
            configuration.drainSeconds = try integer(text, 1...3_600)
        },
        Setting(
            key: "record_trace", summary: "file to record turns to, to simulate other sizes; empty for none",
            text: { $0.tracePath }
        ) { configuration, text throws(LarderError) in
            configuration.tracePath = text.isEmpty ? "" : try path(text)
        },
        Setting(
            key: "record_trace_bytes", summary: "most bytes of that file; then the recording ends",
            text: { "\($0.traceBytes)" }
        ) { configuration, text throws(LarderError) in
            configuration.traceBytes = try Quantity.bytes(text)
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

    static func wrong(_ text: String, _ right: String) -> LarderError {
        LarderError(.invalidArgument, "'\(text.clipped)' is not \(right)")
    }

    private static let policies = SweepPolicy.allCases.map(\.rawValue).joined(separator: ", ")

    private static let corruptionPolicies = CorruptionPolicy.allCases.map(\.rawValue).joined(separator: ", ")

    private static func part(_ text: String) throws(LarderError) -> Double {
        guard let value = Double(text), (0...1).contains(value) else { throw wrong(text, "a part such as 0.95") }
        return value
    }

    static func mode(_ text: String) throws(LarderError) -> UInt32 {
        guard let mode = UInt32(text, radix: 8), mode <= 0o777 else { throw wrong(text, "an octal mode such as 0660") }
        return mode
    }

    static func path(_ text: String) throws(LarderError) -> String {
        guard !text.isEmpty, !text.utf8.contains(0) else { throw wrong(text, "a path") }
        return text
    }

    static func integer(_ text: String, _ range: ClosedRange<Int>) throws(LarderError) -> Int {
        guard let value = Int(text), range.contains(value) else {
            throw wrong(text, "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// A price of at most six decimals, in millionths.
    static func price(_ text: String) throws(LarderError) -> UInt64 {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let decimals = parts.count == 2 ? parts[1] : "0"
        let isNumber = (parts + [decimals]).allSatisfy { $0.utf8.allSatisfy { (48...57).contains($0) } && !$0.isEmpty }
        let micros = decimals + String(repeating: "0", count: max(0, 6 - decimals.count))
        guard isNumber, decimals.count <= 6, let value = UInt64(parts[0] + micros), value <= Limits.gpuHourPriceMicros
        else {
            throw wrong(
                text, "a price such as 2.5, of at most \(Limits.gpuHourPriceMicros / 1_000_000) and six decimals")
        }
        return value
    }

    /// The shortest text of a price.
    static func price(_ micros: UInt64) -> String {
        let decimals = String(String(1_000_000 + micros % 1_000_000).dropFirst())
        let shortest = decimals.reversed().drop { $0 == "0" }.reversed()
        return "\(micros / 1_000_000)" + (shortest.isEmpty ? "" : "." + String(shortest))
    }
}
