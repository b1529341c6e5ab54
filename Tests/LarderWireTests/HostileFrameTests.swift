import LarderModel
import LarderWire
import Testing

/// What comes from a socket may be anything: it is refused with the documented code, and never traps.
@Suite struct HostileFrameTests {
    @Test(arguments: ProtocolVectors.all.hostile)
    func hostileFramesAreRefusedWithTheirCode(vector: ProtocolVectors.Hostile) throws {
        let frame = vector.frameBytes
        let entry = try MessageTable.entry(vector.message, vector.kind)
        let header = frame.withUnsafeBytes { FrameHeader($0) }
        #expect(header.type == entry.type && Int(header.bodyBytes) == frame.count - FrameHeader.byteCount)
        let error = try #require(throws: LarderError.self) {
            _ = try entry.decode(Array(frame.dropFirst(FrameHeader.byteCount)))
        }
        #expect(error.code.name == vector.code, "\(error)")
        #expect(!error.message.isEmpty)
    }

    @Test(arguments: ProtocolVectors.all.vectors)
    func everyTruncationIsRefused(vector: ProtocolVectors.Golden) throws {
        let entry = try MessageTable.entry(vector.message, vector.kind)
        let body = Array(vector.frameBytes.dropFirst(FrameHeader.byteCount))
        for count in 0..<body.count {
            let error = #expect(throws: LarderError.self, "cut to \(count) bytes") {
                try entry.decode(Array(body.prefix(count)))
            }
            #expect(error?.code == .malformed || error?.code == .invalidArgument, "cut to \(count) bytes")
        }
    }

    @Test(arguments: ProtocolVectors.all.vectors)
    func trailingBytesAreRefused(vector: ProtocolVectors.Golden) throws {
        let entry = try MessageTable.entry(vector.message, vector.kind)
        let body = Array(vector.frameBytes.dropFirst(FrameHeader.byteCount))
        for trailing in [[0], [UInt8](repeating: 0xFF, count: 17), body] where !trailing.isEmpty {
            let error = #expect(throws: LarderError.self) { try entry.decode(body + trailing) }
            #expect(error?.code == .malformed)
        }
    }

    /// Every byte of every vector, changed several ways. What is still accepted must say the same when it is written again.
    @Test(arguments: [UInt64(20_260_117), UInt64.random(in: 0...UInt64.max)])
    func mutationsNeverTrap(seed: UInt64) throws {
        print("HostileFrameTests: mutation seed \(seed)")
        var generator = SplitMix(state: seed)
        var mutations = 0
        var refused = 0
        for vector in ProtocolVectors.all.vectors {
            let entry = try MessageTable.entry(vector.message, vector.kind)
            let frame = vector.frameBytes
            let header = frame.withUnsafeBytes { FrameHeader($0) }
            let body = Array(frame.dropFirst(FrameHeader.byteCount))
            for place in body.indices {
                for change in [0x01, 0x80, 0xFF, UInt8.random(in: 1...0xFF, using: &generator)] {
                    var mutated = body
                    mutated[place] ^= change
                    mutations += 1
                    guard let decoded = try? entry.decode(mutated) else {
                        refused += 1
                        continue
                    }
                    let again = Array(decoded.frame(header).dropFirst(FrameHeader.byteCount))
                    #expect(
                        again == mutated || Self.differsOnlyInUnknownCodes(again, mutated, entry),
                        "\(vector.name), byte \(place) xor \(change), seed \(seed)")
                }
            }
        }
        print("HostileFrameTests: \(mutations) mutations, \(refused) refused")
        #expect(mutations > 4_000 && refused > 400)
    }

    /// An error code that this version does not know is read as `internal`, and so written.
    private static func differsOnlyInUnknownCodes(_ again: [UInt8], _ body: [UInt8], _ entry: MessageTable) -> Bool {
        let carriers = [FrameHeader.errorType, 0x8004, 0x8005, 0x8012]
        guard carriers.contains(entry.type), again.count == body.count else { return false }
        let places = body.indices.filter { again[$0] != body[$0] }
        guard let first = places.first, places.allSatisfy({ $0 - first < 2 }) else { return false }
        return places.contains { again[$0] == UInt8(ErrorCode.internal.rawValue) }
            || places.allSatisfy { again[$0] == 0 }
    }

    /// Noise as a body of every message.
    @Test(arguments: [UInt64(7), UInt64.random(in: 0...UInt64.max)])
    func noiseNeverTraps(seed: UInt64) throws {
        print("HostileFrameTests: noise seed \(seed)")
        var generator = SplitMix(state: seed)
        let entries = Array(MessageTable.requests.values) + Array(MessageTable.answers.values) + [MessageTable.refusal]
        for entry in entries {
            for _ in 0..<200 {
                // Small bytes make counts and lengths that are believed.
                let top: UInt8 = Bool.random(using: &generator) ? 0xFF : 3
                let body = (0..<Int.random(in: 0...160, using: &generator)).map { _ in
                    UInt8.random(in: 0...top, using: &generator)
                }
                _ = try? entry.decode(body)
            }
        }
    }

    /// A count within the limit but beyond the frame costs no more memory than the frame has bytes.
    @Test func countsBeyondTheFrameAreRefused() {
        // 65 536 reaches, none of them there.
        let body: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0x40, 0, 0]
        let error = #expect(throws: LarderError.self) { try body.withUnsafeBytes { try ResumeAnswer(body: $0) } }
        #expect(error?.code == .malformed)
    }

    @Test func refusalsOfLaterVersionsAreRead() throws {
        var writer = ByteWriter()
        writer.write(UInt16(9_999))
        writer.write(UInt32.max)
        writer.write("later")
        let refusal = try writer.bytes.withUnsafeBytes { try Refusal(body: $0) }
        #expect(refusal.error == LarderError(.internal, "later") && refusal.item == nil)
    }
}

/// A generator whose numbers a seed repeats (Steele, Lea, Flood 2014).
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
