import LarderSystem

/// Times calls, in nanoseconds.
enum Stopwatch {
    /// One call.
    static func time(_ body: () throws -> Void) rethrows -> Double {
        let start = Clock.now()
        try body()
        return Double(Clock.now() - start)
    }

    /// The median of `count` calls of `body`, after one that is not counted.
    static func median(_ count: Int, _ body: () throws -> Void) rethrows -> Double {
        try body()
        return median(of: try (0..<count).map { _ in try time(body) })
    }

    /// The median of each side of a comparison: rounds in which every side has its turn, so that a change of the machine
    /// meets them all. A side returns what its turn took, so that it can leave out what does not count. The first round
    /// warms up and is not counted.
    static func inTurn(_ rounds: Int, _ sides: (() throws -> Double)...) throws -> [Double] {
        try inTurn(rounds, sides)
    }

    /// The same for sides that are made one like the other.
    static func inTurn(_ rounds: Int, _ sides: [() throws -> Double]) throws -> [Double] {
        var times = [[Double]](repeating: [], count: sides.count)
        for round in 0...rounds {
            for (index, side) in sides.enumerated() {
                let time = try side()
                if round > 0 { times[index].append(time) }
            }
        }
        return times.map { median(of: $0) }
    }

    private static func median(of times: [Double]) -> Double { times.sorted()[times.count / 2] }
}
