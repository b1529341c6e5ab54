import ArgumentParser
import Foundation
import LarderSystem

/// Requests that were served somewhere, in the format of the Mooncake traces (FAST'25).
struct RequestTrace {
    /// One prompt.
    struct Request {
        /// Tokens of the prompt.
        let length: UInt64
        /// One id for each block of 512 tokens, the last one perhaps shorter; equal ids mean equal prefixes.
        let blocks: [UInt64]

        /// Tokens of the first `count` blocks.
        func tokens(blocks count: Int) -> UInt64 { min(UInt64(count) * RequestTrace.blockTokens, length) }

        /// The block that ends at an offset from 1 to `length`, or that holds the token before it.
        func block(endingAt offset: UInt64) -> UInt64 { blocks[Int((offset - 1) / RequestTrace.blockTokens)] }
    }

    /// Tokens of a block.
    static let blockTokens: UInt64 = 512
    /// Bytes of a trace: several times the largest of Mooncake's.
    private static let limitBytes = 256 << 20
    private static let remedy =
        "name a copy of FAST25-release/traces/conversation_trace.jsonl of https://github.com/kvcache-ai/Mooncake "
        + "with --trace"

    let requests: [Request]
    /// Different blocks of all requests.
    let uniqueBlocks: Int

    private struct Line: Decodable {
        let input_length: UInt64
        let hash_ids: [UInt64]
    }

    /// Reads and checks a file of one JSON object a line; throws what names file, line and remedy.
    init(_ path: String) throws {
        let bytes: [UInt8]
        do {
            bytes = try FileSystem.read(path, limit: Self.limitBytes)
        } catch {
            throw ValidationError("cannot read the trace \(path): \(error.reason); \(Self.remedy)")
        }
        let decoder = JSONDecoder()
        var requests: [Request] = []
        // Where each id occurs: always at one place, or it is no prefix that is equal.
        var places: [UInt64: Place] = [:]
        for (index, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            if line.isEmpty { continue }
            do {
                let request = try Self.request(try decoder.decode(Line.self, from: Data(line)))
                try Self.check(request, against: &places)
                requests.append(request)
            } catch {
                throw ValidationError("\(path):\(index + 1): \(Self.sentence(error)); \(Self.remedy)")
            }
        }
        if requests.isEmpty { throw ValidationError("\(path): no requests; \(Self.remedy)") }
        self.requests = requests
        uniqueBlocks = places.count
    }

    /// The block before a block, and how many there are.
    private struct Place: Equatable {
        let before: UInt64?
        let depth: Int
    }

    private struct Fault: Error { let sentence: String }

    private static func request(_ line: Line) throws -> Request {
        let (whole, rest) = line.input_length.quotientAndRemainder(dividingBy: blockTokens)
        let count = whole + (rest == 0 ? 0 : 1)
        guard count > 0, count == UInt64(line.hash_ids.count) else {
            throw Fault(
                sentence: "\(line.hash_ids.count) hash_ids where \(line.input_length) tokens have \(count) blocks")
        }
        return Request(length: line.input_length, blocks: line.hash_ids)
    }

    private static func check(_ request: Request, against places: inout [UInt64: Place]) throws {
        var before: UInt64?
        for (depth, block) in request.blocks.enumerated() {
            let place = Place(before: before, depth: depth)
            if let known = places.updateValue(place, forKey: block), known != place {
                throw Fault(
                    sentence: "hash id \(block) follows another prefix than before, but equal ids mean equal prefixes")
            }
            before = block
        }
    }

    private static func sentence(_ error: any Error) -> String {
        switch error {
        case let fault as Fault: return fault.sentence
        case DecodingError.keyNotFound(let key, _): return "the object has no \(key.stringValue)"
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
            return "\(context.codingPath.first?.stringValue ?? "the line") has the wrong type"
        default: return "not a JSON object with whole numbers input_length and hash_ids"
        }
    }
}
