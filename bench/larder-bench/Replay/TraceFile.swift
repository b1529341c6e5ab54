import ArgumentParser
import LarderPolicy
import LarderSystem

extension RequestTrace {
    /// Where the trace is, beside a checkout.
    static let usualPath = "../shared/data/traces/conversation_trace.jsonl"

    private static let remedy =
        "name a copy of FAST25-release/traces/conversation_trace.jsonl of https://github.com/kvcache-ai/Mooncake "
        + "with --trace"

    /// Reads and checks a trace; throws what names file, line and remedy.
    init(file path: String) throws {
        let bytes: [UInt8]
        do {
            bytes = try FileSystem.read(path, limit: Self.limitBytes)
        } catch {
            throw ValidationError("cannot read the trace \(path): \(error.reason); \(Self.remedy)")
        }
        do {
            try self.init(bytes, name: path)
        } catch {
            throw ValidationError("\(error.message); \(Self.remedy)")
        }
    }
}
