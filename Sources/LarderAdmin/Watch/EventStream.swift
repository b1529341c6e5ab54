import Hummingbird
import LarderModel
import LarderServer
import LarderSystem
import NIOCore

/// The events of a daemon as a stream (server-sent events, HTML Living Standard 9.2). It looks at the ring a few times a
/// second, so that what makes events never waits for who reads them; a reader that falls behind is told how many it lost.
struct EventStream: Sendable {
    let events: EventLog
    let streams: StreamCount
    let after: UInt64
    let kinds: Set<String>

    /// A comment goes out so often where nothing happens, so that a peer that is gone is found.
    private static let quietLooks = 40
    private static let interval = Duration.milliseconds(250)
    private static let batch = 256

    var body: ResponseBody {
        ResponseBody { writer in
            guard streams.begin() else { return try await writer.finish(nil) }
            defer { streams.end() }
            try await writer.write(ByteBuffer(string: "retry: 2000\n\n"))
            var last = after
            var quiet = 0
            while !streams.isStopping {
                let (found, lost) = events.events(after: last, limit: Self.batch)
                if lost > 0 {
                    try await writer.write(ByteBuffer(string: "event: lost\ndata: {\"events\":\(lost)}\n\n"))
                }
                let text = try found.filter { kinds.isEmpty || kinds.contains($0.kind.rawValue) }.map {
                    try Self.text($0)
                }
                if !text.isEmpty { try await writer.write(ByteBuffer(string: text.joined())) }
                last = found.last?.id ?? last
                quiet = text.isEmpty && lost == 0 ? quiet + 1 : 0
                if quiet == Self.quietLooks {
                    quiet = 0
                    try await writer.write(ByteBuffer(string: ": nothing\n\n"))
                }
                if found.count < Self.batch { try await Task.sleep(for: Self.interval) }
            }
            try await writer.finish(nil)
        }
    }

    private static func text(_ event: DaemonEvent) throws -> String {
        let data = String(decoding: try JSON.encode(EventAnswer(event)), as: UTF8.self)
        return "id: \(event.id)\nevent: \(event.kind.rawValue)\ndata: \(data)\n\n"
    }
}

/// An event.
struct EventAnswer: Encodable {
    let id: UInt64
    let timeMilliseconds: UInt64
    let kind: String
    let fields: [String: FieldAnswer]

    init(_ event: DaemonEvent) {
        id = event.id
        timeMilliseconds = event.milliseconds
        kind = event.kind.rawValue
        fields = event.fields.mapValues { FieldAnswer(value: $0) }
    }

    /// A number or a text.
    struct FieldAnswer: Encodable {
        let value: DaemonEvent.Value

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch value {
            case .number(let number): try container.encode(number)
            case .text(let text): try container.encode(text)
            }
        }
    }
}

/// Streams that are open, a bounded number, and whether they are to end.
final class StreamCount: Sendable {
    private let state = Monitor((open: 0, isStopping: false))

    /// True if another may begin.
    var hasRoom: Bool { state.withLock { $0.open < Limits.eventStreams && !$0.isStopping } }

    var isStopping: Bool { state.withLock { $0.isStopping } }

    /// Counts one more; false if there are as many as there may be.
    func begin() -> Bool {
        state.withLock { state in
            guard state.open < Limits.eventStreams, !state.isStopping else { return false }
            state.open += 1
            return true
        }
    }

    func end() { state.withLock { $0.open -= 1 } }

    func stop() { state.withLock { $0.isStopping = true } }
}
