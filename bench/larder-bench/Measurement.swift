import Foundation
import LarderSystem

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

    static func printJSON(_ list: [Measurement]) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        print(String(decoding: try encoder.encode(list), as: UTF8.self))
    }
}

/// Times calls.
enum Stopwatch {
    /// Median nanoseconds of `count` calls of `body`, after one that is not counted.
    static func median(_ count: Int, _ body: () throws -> Void) rethrows -> Double {
        try body()
        var times: [UInt64] = []
        for _ in 0..<count {
            let start = Clock.now()
            try body()
            times.append(Clock.now() - start)
        }
        times.sort()
        return Double(times[count / 2])
    }
}

func formatted(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }
