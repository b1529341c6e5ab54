import LarderClient
import LarderSystem
import LarderWire

/// An empty request to the daemon against an echo of as many bytes between two processes, in blocks that take turns.
///
/// Where the scheduler puts the two ends decides more than what they do: on a virtual machine, waking another processor
/// takes several times as long as the rest. So the ends are bound, daemon and echo to one processor, this side first to
/// another and then to the same; the row is the worse of the two ratios.
enum RoundTrip: RowGroup {
    static let names = [
        "round_trip_over_echo", "round_trip_p50", "round_trip_p99", "echo_round_trip_p50", "echo_round_trip_p99",
    ]
    private static let blocks = 20
    private static let callsPerBlock = 500

    /// Both sides' latencies, with their ends on two processors or on one.
    private struct Placement {
        let name: String
        var daemon = Latencies()
        var echo = Latencies()

        var ratio: Double { daemon.percentile(50) / echo.percentile(50) }
    }

    static func measure(_ bench: PageBench) throws -> [Measurement] {
        let processors = try Processors.allowed()
        defer { try? Processors.bind(to: processors) }
        try Processors.bind(to: [processors[0]])
        return try bench.withDaemon { daemon, directory in
            let client = try daemon.connect(name: "larder-bench")
            // The store holds no model, so that the answer is an empty list.
            let request = ListModels().frame(requestID: 1).count
            let answer = ModelList(models: []).frame(type: FrameHeader.answerBit, requestID: 1).count
            let echo = try EchoProcess(in: directory, requestBytes: request, answerBytes: answer)
            var placements: [Placement] = []
            for (name, processor) in [("two_processors", processors.last!), ("one_processor", processors[0])] {
                if name == "two_processors" && processors.count == 1 { continue }
                try Processors.bind(to: [processor])
                placements.append(try compare(name, client, echo))
            }
            return rows(placements, detail: ["request": "list_models", "bytes_each_way": "\(request), \(answer)"])
        }
    }

    private static func compare(_ name: String, _ client: Client, _ echo: EchoProcess) throws -> Placement {
        var result = Placement(name: name)
        for block in 0...blocks {
            // The first block warms up.
            if block == 1 { result = Placement(name: name) }
            for _ in 0..<callsPerBlock {
                let start = Clock.now()
                _ = try client.models()
                result.daemon.record(nanoseconds: Clock.now() - start)
            }
            try echo.roundTrips(callsPerBlock, into: &result.echo)
        }
        return result
    }

    private static func rows(_ placements: [Placement], detail: [String: String]) -> [Measurement] {
        let worst = placements.max { $0.ratio < $1.ratio }!
        var detail = detail
        detail["calls"] = "\(worst.daemon.count)"
        detail["placement"] = worst.name
        for placement in placements {
            detail["\(placement.name)_us"] = formatted(placement.daemon.percentile(50), 1)
            detail["\(placement.name)_echo_us"] = formatted(placement.echo.percentile(50), 1)
        }
        let absolute = [worst.daemon, worst.echo].flatMap { [$0.percentile(50), $0.percentile(99)] }
        return [Measurement(names[0], worst.ratio, unit: "ratio", goal: 1.3, better: .lower, detail: detail)]
            + zip(names.dropFirst(), absolute).map {
                Measurement($0, $1, unit: "us", better: .lower, detail: ["placement": worst.name])
            }
    }
}
