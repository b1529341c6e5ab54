import ArgumentParser
import LarderModel

/// What a load is. Each option has a default; one that is given asks for a load.
struct LoadOptions: ParsableArguments {
    @Option(help: "Workers at once, each with its own connection and arena (default: 1).")
    var workers: Int?
    @Option(help: "Raw bytes of a chunk, a multiple of 1024 (default: 1048576).")
    var size: Int?
    @Option(help: "How chunks are encoded: auto, raw, lz4 or cascade (default: auto).", transform: named)
    var encoding: EncodingChoice?
    @Option(help: "When a page-out is answered: accepted, committed or durable (default: committed).", transform: named)
    var acknowledgement: Acknowledgement?
    @Flag(help: "Page bytes that nothing shrinks instead of real state.")
    var synthetic = false
    @Option(help: "Seconds of paging out, and as many of paging in (default: 5).")
    var seconds: Double?

    /// True if a load is asked for.
    var isGiven: Bool {
        workers != nil || size != nil || encoding != nil || acknowledgement != nil || synthetic || seconds != nil
    }

    func validate() throws {
        if let workers { try CommonOptions.require(workers, in: 1...1_024, "workers") }
        if let size {
            try CommonOptions.require(size, in: 1_024...Limits.chunkBytes, "size")
            guard size % 1_024 == 0 else { throw ValidationError("--size \(size) is not a multiple of 1024") }
        }
        if let seconds, !(seconds > 0 && seconds <= 3_600) {
            throw ValidationError("--seconds \(seconds) is not above 0 and at most 3600")
        }
        if synthetic && encoding == .cascade {
            throw ValidationError("--encoding cascade is for real state: the synthetic bytes are no 16-bit floats")
        }
    }
}

/// The case of that name.
private func named<Value: CaseIterable>(_ text: String) throws -> Value {
    guard let value = Value.allCases.first(where: { "\($0)" == text }) else {
        let names = Value.allCases.map { "\($0)" }.joined(separator: ", ")
        throw ValidationError("'\(text)' is none of \(names)")
    }
    return value
}
