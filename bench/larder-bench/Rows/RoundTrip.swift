import LarderSystem
import LarderWire

/// An empty request to the daemon against an echo of as many bytes between two processes, in blocks that take turns.
enum RoundTrip: RowGroup {
    static let names = [
        "round_trip_over_echo", "round_trip_p50", "round_trip_p99", "echo_round_trip_p50", "echo_round_trip_p99",
    ]
    private static let blocks = 40
    private static let callsPerBlock = 500

    static func measure(_ bench: PageBench) throws -> [Measurement] {
        try bench.withDaemon { daemon, directory in
            let client = try daemon.connect(name: "larder-bench")
            // The store holds no model, so that the answer is an empty list.
            let request = ListModels().frame(requestID: 1).count
            let answer = ModelList(models: []).frame(type: FrameHeader.answerBit, requestID: 1).count
            let echo = try EchoProcess(in: directory, requestBytes: request, answerBytes: answer)
            var (own, base, warm) = (Latencies(), Latencies(), Latencies())
            for block in 0..<blocks + 2 {
                for _ in 0..<callsPerBlock {
                    let start = Clock.now()
                    _ = try client.models()
                    let time = Clock.now() - start
                    if block >= 2 { own.record(nanoseconds: time) }
                }
                if block >= 2 {
                    try echo.roundTrips(callsPerBlock, into: &base)
                } else {
                    try echo.roundTrips(callsPerBlock, into: &warm)
                }
            }
            let detail = [
                "request": "list_models", "request_bytes": "\(request)", "answer_bytes": "\(answer)",
                "calls": "\(own.count)", "us": formatted(own.percentile(50), 1),
                "echo_us": formatted(base.percentile(50), 1),
            ]
            let absolute = [own.percentile(50), own.percentile(99), base.percentile(50), base.percentile(99)]
            return [
                Measurement(
                    names[0], own.percentile(50) / base.percentile(50), unit: "ratio", goal: 1.3, better: .lower,
                    detail: detail)
            ] + zip(names.dropFirst(), absolute).map { Measurement($0, $1, unit: "us", better: .lower) }
        }
    }
}
