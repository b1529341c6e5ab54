import ArgumentParser
import Foundation
import LarderAdminClient
import LarderModel

struct EventsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events",
        abstract: "Follow what happens in the daemon, line by line, until interrupted.",
        discussion: """
            --recent prints what is remembered and ends. With --json, each event is one JSON document on a line of its own. \
            If this reader falls behind, a line says how many events it missed.
            """)
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var admin: AdminOptions
    @Option(
        help: ArgumentHelp(
            "Only these kinds, with commas between, such as evicted,refused,damaged.", valueName: "kinds"))
    var kinds: String?
    @Option(help: ArgumentHelp("Print the last so many and end.", valueName: "count"))
    var recent: Int?

    func validate() throws {
        if let recent, !(1...1_000).contains(recent) { throw ValidationError("--recent takes 1 to 1000") }
    }

    private struct Recent: Decodable {
        let events: [Event]
    }

    func run() throws {
        let client = admin.client(connection)
        let wanted = kinds.map { Set($0.split(separator: ",").map(String.init)) }
        try Failure.reported {
            if let recent {
                let found = try client.get("/v1/events/recent?limit=\(recent)", as: Recent.self).events
                for event in found where wanted?.contains(event.kind) ?? true { try show(event) }
                return
            }
            let query = kinds.map { "?kinds=\(AdminClient.escaped($0))" } ?? ""
            var failure: (any Error)?
            try client.stream("/v1/events\(query)") { line in
                guard line.hasPrefix("data:") else { return true }
                do { try show(try Event(json: String(line.dropFirst(5)))) } catch { failure = error }
                return failure == nil
            }
            if let failure { throw failure }
        }
    }

    private func show(_ event: Event) throws {
        if connection.json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            print(String(decoding: try encoder.encode(event), as: UTF8.self))
        } else {
            print(event.line)
        }
        // A pipe is to see it now.
        fflush(nil)
    }
}

/// Something that happened.
struct Event: Codable {
    enum Value: Codable {
        case number(Int64)
        case text(String)

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let number = try? container.decode(Int64.self) {
                self = .number(number)
            } else {
                self = .text(try container.decode(String.self))
            }
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .number(let number): try container.encode(number)
            case .text(let text): try container.encode(text)
            }
        }

        var text: String {
            switch self {
            case .number(let number): "\(number)"
            case .text(let text): text.clipped
            }
        }
    }

    let id: UInt64
    let timeMilliseconds: UInt64
    let kind: String
    let fields: [String: Value]

    init(json: String) throws {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        self = try decoder.decode(Event.self, from: Data(json.utf8))
    }

    /// For people: time, kind, fields.
    var line: String {
        let words = fields.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value.text)" }
        let kind = kind == "damaged" ? Style.alarm(kind.clipped) : Style.bold(kind.clipped)
        return "\(Moment.clock(timeMilliseconds))  \(kind)  " + words.joined(separator: " ")
    }
}
