import Foundation

/// One figure of a benchmark: what every subcommand's `--json` is a list of.
struct Measurement: Encodable {
    enum Better: String, Encodable { case higher, lower }

    let name: String
    let value: Double
    let unit: String
    let goal: Double?
    let better: Better
    let detail: [String: String]

    init(
        _ name: String, _ value: Double, unit: String, goal: Double? = nil, better: Better = .higher,
        detail: [String: String] = [:]
    ) {
        self.name = name
        self.value = value
        self.unit = unit
        self.goal = goal
        self.better = better
        self.detail = detail
    }

    private enum Key: String, CodingKey { case name, value, unit, goal, better, detail }

    /// Writes `goal` as null where there is none.
    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(name, forKey: .name)
        try container.encode(value, forKey: .value)
        try container.encode(unit, forKey: .unit)
        try container.encode(goal, forKey: .goal)
        try container.encode(better, forKey: .better)
        try container.encode(detail, forKey: .detail)
    }

    /// Prints the list as JSON.
    static func printJSON(_ list: [Measurement]) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        print(String(decoding: try encoder.encode(list), as: UTF8.self))
    }
}

/// A number with that many digits after the point.
func formatted(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

extension Measurement {
    /// Prints a table with a mark for each goal.
    static func printTable(_ list: [Measurement]) {
        print(line("measurement", "value", "unit", "goal", ""))
        for one in list {
            let goal = one.goal.map { (one.better == .higher ? ">= " : "<= ") + formatted($0, 2) }
            let mark = one.isReached.map { $0 ? "reached" : "missed" }
            print(line(one.name, formatted(one.value, one.value < 100 ? 3 : 0), one.unit, goal ?? "", mark ?? ""))
        }
    }

    private var isReached: Bool? { goal.map { better == .higher ? value >= $0 : value <= $0 } }

    private static func line(_ name: String, _ value: String, _ unit: String, _ goal: String, _ mark: String) -> String
    {
        let line = "\(name.left(42))\(value.right(10))  \(unit.left(7))\(goal.left(12))\(mark)"
        return String(line[..<(line.lastIndex { $0 != " " }.map { line.index(after: $0) } ?? line.endIndex)])
    }
}

extension String {
    /// Padded on the right, for a column of text.
    func left(_ width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }

    /// Padded on the left, for a column of numbers.
    func right(_ width: Int) -> String { String(repeating: " ", count: max(0, width - count)) + self }
}
