import ArgumentParser
import LarderAdminClient
import LarderModel

struct UsageCommand: AdminCommand {
    static let configuration = CommandConfiguration(
        commandName: "du",
        abstract: "What fills the store: by namespace, model, component and encoding.",
        discussion: """
            Counted chunk by chunk when it is asked for. A chunk that several sessions share counts once. What is free, and \
            what the index takes, is not in it: larderctl cap shows the whole.
            """)
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var admin: AdminOptions
    @Option(
        help: ArgumentHelp(
            "By what to add up, with commas between: namespace, model, component, encoding.", valueName: "keys"),
        transform: UsageKey.list)
    var by: [UsageKey] = UsageKey.allCases
    @Option(help: "Only this namespace.")
    var namespace: String?

    func report(_ client: AdminClient) throws -> UsageReport {
        let usage = try client.get("/v1/usage", as: UsageAnswer.self)
        let rows = usage.rows.filter { namespace == nil || $0.namespace == namespace }
        if let namespace, rows.isEmpty {
            throw LarderError(
                .unknownSession,
                "nothing is stored in a namespace '\(namespace.clipped)'; larderctl namespace list has those there are")
        }
        return UsageReport(rows, by: by, damagedChunks: usage.damagedChunks)
    }
}

/// By what usage is added up.
enum UsageKey: String, CaseIterable {
    case namespace, model, component, encoding

    static func list(_ text: String) throws -> [UsageKey] {
        let keys = try text.split(separator: ",").map { word in
            guard let key = UsageKey(rawValue: String(word)) else {
                throw ValidationError(
                    "'\(String(word).clipped)' is not \(allCases.map(\.rawValue).joined(separator: ", "))")
            }
            return key
        }
        guard !keys.isEmpty, Set(keys).count == keys.count else {
            throw ValidationError("name each of \(allCases.map(\.rawValue).joined(separator: ", ")) once at most")
        }
        return keys
    }
}

/// What `/v1/usage` answers.
struct UsageAnswer: Decodable {
    struct Row: Decodable {
        let namespace: String
        let modelName: String
        let model: UInt32
        let componentName: String
        let encoding: String
        let chunks: UInt64
        let rawBytes: UInt64
        let storedBytes: UInt64

        func value(_ key: UsageKey) -> String {
            switch key {
            case .namespace: namespace
            case .model: "\(modelName) (\(model))"
            case .component: componentName
            case .encoding: encoding
            }
        }
    }

    let damagedChunks: UInt64
    let rows: [Row]
}

/// Usage, added up.
struct UsageReport: CommandReport {
    struct Row: Encodable {
        /// What it is of, by the keys.
        let of: [String: String]
        var chunks: UInt64 = 0
        var rawBytes: UInt64 = 0
        var storedBytes: UInt64 = 0

        fileprivate mutating func add(_ row: UsageAnswer.Row) {
            chunks += row.chunks
            rawBytes += row.rawBytes
            storedBytes += row.storedBytes
        }
    }

    let keys: [String]
    /// The largest first.
    let rows: [Row]
    let total: Row
    let damagedChunks: UInt64

    init(_ found: [UsageAnswer.Row], by keys: [UsageKey], damagedChunks: UInt64) {
        self.keys = keys.map(\.rawValue)
        self.damagedChunks = damagedChunks
        var sums: [[String]: Row] = [:]
        var total = Row(of: [:])
        for row in found {
            let values = keys.map(row.value)
            let of = Dictionary(zip(keys.map(\.rawValue), values)) { first, _ in first }
            sums[values, default: Row(of: of)].add(row)
            total.add(row)
        }
        self.total = total
        rows = sums.sorted { ($1.value.storedBytes, $0.key.joined()) < ($0.value.storedBytes, $1.key.joined()) }
            .map(\.value)
    }

    func printOut() {
        var table = Table(keys + [">chunks", ">raw", ">stored", ">ratio", ">share"])
        for row in rows {
            table.add(keys.map { row.of[$0] ?? "" } + Self.numbers(row, of: total))
        }
        table.add(["total"] + keys.dropFirst().map { _ in "" } + Self.numbers(total, of: total))
        table.printOut()
        if damagedChunks > 0 {
            print("\(Style.alarm("DAMAGED")) \(damagedChunks) chunks have damaged records; larderctl verify says more")
        }
    }

    private static func numbers(_ row: Row, of total: Row) -> [String] {
        let share = total.storedBytes == 0 ? 0 : 100 * Double(row.storedBytes) / Double(total.storedBytes)
        return [
            "\(row.chunks)", Format.bytes(row.rawBytes), Format.bytes(row.storedBytes),
            Format.ratio(row.rawBytes, row.storedBytes), Format.percent(share),
        ]
    }
}
