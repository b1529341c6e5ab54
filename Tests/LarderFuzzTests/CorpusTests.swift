import Foundation
import LarderFuzzTargets
import LarderSystem
import LarderTestSupport
import Testing

/// The corpus of each fuzzer, by the function that the fuzzer calls: what was once found stays mended.
@Suite(.serialized) struct CorpusTests {
    private static let directory = Repository.root + "/bench/fuzz/corpus"

    /// The inputs of a target's corpus, by name: a line each, a name and base64.
    private static func corpus(_ target: String) throws -> [(name: String, input: [UInt8])] {
        let text = String(
            decoding: try FileSystem.read("\(directory)/\(target).txt", limit: 4 << 20), as: UTF8.self)
        return try text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
            let parts = line.split(separator: " ", omittingEmptySubsequences: false)
            let input = try #require(
                parts.count == 2 ? Data(base64Encoded: String(parts[1])) : nil, "\(target): \(line)")
            return (String(parts[0]), Array(input))
        }
    }

    @Test(arguments: FuzzTarget.all.map(\.name))
    func corpusHolds(name: String) throws {
        let target = try #require(FuzzTarget.all.first { $0.name == name })
        let corpus = try Self.corpus(name)
        #expect(corpus.count >= 3, "the corpus of \(name) is nearly empty")
        for (entry, input) in corpus {
            // Before it: a fault ends the process, and this says of which input.
            let note = "larder-fuzz \(name): \(entry)\n"
            if entry.hasPrefix("fixed-") { print(note, terminator: "") }
            #expect(throws: Never.self, "\(name): \(entry)") { try input.withUnsafeBytes { try target.check($0) } }
        }
    }

    /// Inputs that no fuzzer has seen: none at all, and noise.
    @Test(arguments: FuzzTarget.all.map(\.name))
    func emptyInputsAndNoiseHold(name: String) throws {
        let target = try #require(FuzzTarget.all.first { $0.name == name })
        try target.check(UnsafeRawBufferPointer(start: nil, count: 0))
        var generator = SeededGenerator(seed: testSeed("noise for \(name)"))
        for length in [1, 2, 3, 16, 100, 1_000] {
            for _ in 0..<10 { try generator.bytes(length).withUnsafeBytes { try target.check($0) } }
        }
    }

    @Test func everyTargetHasItsCorpus() throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: Self.directory)
        #expect(Set(files) == Set(FuzzTarget.all.map { "\($0.name).txt" }))
    }
}
