import Foundation
import LarderSystem

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

    func printOut() {
        let widths = head.indices.map { column in ([head] + rows).map { $0[column].count }.max() ?? 0 }
        let isBold = Output.isTerminal && Process.environment("NO_COLOR") == nil
        for (index, row) in ([head] + rows).enumerated() {
            let cells = row.indices.map { column in
                let space = String(repeating: " ", count: widths[column] - row[column].count)
                return alignsRight[column] ? space + row[column] : row[column] + space
            }
            var line = cells.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            print(index == 0 && isBold ? "\u{1B}[1m\(line)\u{1B}[0m" : line)
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

    static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}
