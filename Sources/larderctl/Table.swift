import Foundation
import LarderModel
import LarderSystem
import LarderWire

/// A table for people: aligned columns, numbers to the right, a bold head on a terminal.
struct Table {
    private let head: [String]
    private let alignsRight: [Bool]
    private var rows: [[String]] = []

    /// Columns; a name that begins with `>` is a column of numbers.
    init(_ columns: String...) { self.init(columns) }

    /// As above.
    init(_ columns: [String]) {
        alignsRight = columns.map { $0.hasPrefix(">") }
        head = columns.map { $0.hasPrefix(">") ? String($0.dropFirst()) : $0 }
    }

    mutating func add(_ cells: String...) { rows.append(cells) }

    mutating func add(_ cells: [String]) { rows.append(cells) }

    func printOut() { for line in lines { print(line) } }

    /// The lines, the first of them bold where that is wanted.
    var lines: [String] {
        let widths = head.indices.map { column in ([head] + rows).map { $0[column].count }.max() ?? 0 }
        return ([head] + rows).enumerated().map { index, row in
            let cells = row.indices.map { column in
                let space = String(repeating: " ", count: widths[column] - row[column].count)
                return alignsRight[column] ? space + row[column] : row[column] + space
            }
            var line = cells.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return index == 0 ? Style.bold(line) : line
        }
    }
}

/// Numbers and times as people read them.
enum Format {
    static func bytes(_ count: UInt64) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        var value = Double(count)
        var unit = 0
        while value >= 1_024 && unit < units.count - 1 {
            value /= 1_024
            unit += 1
        }
        return unit == 0 ? "\(count) B" : String(format: "%.1f %@", value, units[unit])
    }

    static func ratio(_ raw: UInt64, _ stored: UInt64) -> String {
        stored == 0 ? "-" : String(format: "%.3fx", Double(raw) / Double(stored))
    }

    /// With one decimal.
    static func decimal(_ value: Double) -> String { String(format: "%.1f", value) }

    static func percent(_ value: Double) -> String { String(format: "%.1f %%", value) }

    static func age(_ seconds: UInt64) -> String {
        let now = Clock.wallSeconds()
        let age = now > seconds ? now - seconds : 0
        switch age {
        case 0..<120: return "\(age) s"
        case 120..<7_200: return "\(age / 60) min"
        case 7_200..<172_800: return "\(age / 3_600) h"
        default: return "\(age / 86_400) d"
        }
    }

    /// Seconds in the largest unit that divides them.
    static func duration(_ seconds: UInt32) -> String {
        for (unit, length) in [("d", UInt32(86_400)), ("h", 3_600), ("min", 60)] where seconds % length == 0 {
            return "\(seconds / length) \(unit)"
        }
        return "\(seconds) s"
    }

    /// When a session's state expires, from its own time to live (0 for none) and its namespace's policy.
    static func expiry(_ own: UInt32, _ policy: PolicySummary?) -> String {
        switch own {
        case NamespacePolicy.never: return "never expires, whatever its namespace says"
        case 0:
            guard let seconds = policy?.ttlSeconds, seconds > 0 else { return "never expires" }
            return "expires \(duration(seconds)) after its last use, as its namespace says"
        default: return "expires \(duration(own)) after its last use"
        }
    }

    static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}
