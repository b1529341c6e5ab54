import ArgumentParser
import LarderModel
import LarderSampleState
import LarderSystem

/// The options that subcommands share.
struct CommonOptions: ParsableArguments {
    @Option(help: "A directory of state files, as bench/data/README.md describes them.")
    var data = "bench/data/kv"
    @Flag(help: "Print JSON instead of text.")
    var json = false

    /// The real state in bf16.
    func sampleState() throws -> SampleState { try SampleState(directory: data, elementType: .bf16) }

    /// Prints measurements as was asked.
    func show(_ measurements: [Measurement]) throws {
        if json { try Measurement.printJSON(measurements) } else { Measurement.printTable(measurements) }
    }

    /// Throws what to say of an option that is out of bounds.
    static func require(_ value: Int, in range: ClosedRange<Int>, _ name: String) throws {
        guard range.contains(value) else {
            throw ValidationError("--\(name) \(value) is not in \(range.lowerBound)...\(range.upperBound)")
        }
    }
}
