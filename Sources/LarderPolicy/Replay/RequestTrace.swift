import Foundation
import LarderModel

/// Requests that were served somewhere, in the format of the Mooncake traces (FAST'25): one JSON object a line.
public struct RequestTrace: Sendable {
    /// One prompt and its answer.
    public struct Request: Sendable, Hashable {
        /// When it came, in milliseconds after the trace began.
        public let timestamp: UInt64
        /// Tokens of the prompt.
        public let length: UInt64
        /// Tokens of the answer.
        public let outputLength: UInt64
        /// One id for each block of 512 tokens, the last one perhaps shorter; equal ids mean equal prefixes.
        public let blocks: [UInt64]

        /// A request. `blocks` has an id for each block that `length` tokens need.
        public init(timestamp: UInt64, length: UInt64, outputLength: UInt64, blocks: [UInt64]) {
            self.timestamp = timestamp
            self.length = length
            self.outputLength = outputLength
            self.blocks = blocks
        }

        /// Tokens of the first `count` blocks.
        public func tokens(blocks count: Int) -> UInt64 { min(UInt64(count) * RequestTrace.blockTokens, length) }

        /// The block that ends at an offset from 1 to `length`, or that holds the token before it.
        public func block(endingAt offset: UInt64) -> UInt64 { blocks[Int((offset - 1) / RequestTrace.blockTokens)] }

        /// The request as a line of a trace, without its newline.
        public var line: String {
            "{\"timestamp\": \(timestamp), \"input_length\": \(length), \"output_length\": \(outputLength), "
                + "\"hash_ids\": \(blocks)}"
        }
    }

    /// Tokens of a block.
    public static let blockTokens: UInt64 = 512
    /// Bytes of a trace that a reader should take: several times the largest of Mooncake's.
    public static let limitBytes = 256 << 20

    /// In the order of the trace.
    public let requests: [Request]
    /// Different blocks of all requests.
    public let uniqueBlocks: Int

    /// Reads and checks the bytes of a trace. Throws `invalidArgument`, which names `name`, the line and what is wrong
    /// with it. A line may lack timestamp and output_length: they are 0.
    public init(_ bytes: [UInt8], name: String) throws(LarderError) {
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
                throw LarderError(.invalidArgument, "\(name):\(index + 1): \(Self.sentence(error))")
            }
        }
        if requests.isEmpty { throw LarderError(.invalidArgument, "\(name): no requests") }
        self.requests = requests
        uniqueBlocks = places.count
    }
}

/// Checks of a line.
extension RequestTrace {
    private struct Line: Decodable {
        let timestamp: UInt64?
        let input_length: UInt64
        let output_length: UInt64?
        let hash_ids: [UInt64]
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
        return Request(
            timestamp: line.timestamp ?? 0, length: line.input_length, outputLength: line.output_length ?? 0,
            blocks: line.hash_ids)
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
