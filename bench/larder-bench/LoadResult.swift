/// What a load did.
struct LoadResult {
    let chunkBytes: Int
    /// What the load was.
    let detail: [String: String]
    /// Each direction: its name, its operations and the nanoseconds that they took together.
    let sides: [(name: String, side: Load.Side, time: Double)]

    private static let percentiles = [50, 90, 99, 99.9]

    /// Every figure.
    var measurements: [Measurement] {
        sides.flatMap { name, side, time in
            let detail = detail.merging(
                ["operations": "\(side.latencies.count)", "refused": "\(side.refused)"], uniquingKeysWith: { $1 })
            let latencies =
                Self.percentiles.map { ("\(name)_p\(Self.text($0))", side.latencies.percentile($0)) }
                + [("\(name)_max", side.latencies.maximum)]
            return [Measurement.speed(name, bytes: Int(side.latencies.count) * chunkBytes, time: time, detail: detail)]
                + latencies.map { Measurement($0, $1, unit: "us", better: .lower, detail: detail) }
        }
    }

    /// Prints a line for each direction.
    func printTable() {
        print(detail.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))
        let head = ["GB/s", "operations", "refused"] + Self.percentiles.map { "p\(Self.text($0)) us" } + ["max us"]
        print("".left(9) + head.map { $0.right(11) }.joined())
        for (name, side, time) in sides {
            let speed = Double(side.latencies.count) * Double(chunkBytes) / time
            let cells =
                [formatted(speed, 3), "\(side.latencies.count)", "\(side.refused)"]
                + Self.percentiles.map { formatted(side.latencies.percentile($0), 0) }
                + [formatted(side.latencies.maximum, 0)]
            print(name.left(9) + cells.map { $0.right(11) }.joined())
        }
    }

    private static func text(_ percent: Double) -> String {
        percent == percent.rounded() ? formatted(percent, 0) : formatted(percent, 1)
    }
}
