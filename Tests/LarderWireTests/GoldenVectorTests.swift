import Foundation
import LarderModel
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// The golden vectors, both ways. Their values differ from field to field, so that two fields cannot change places unseen.
@Suite struct GoldenVectorTests {
    @Test(arguments: ProtocolVectors.all.vectors)
    func fieldsEncodeToTheFrame(vector: ProtocolVectors.Golden) throws {
        let entry = try MessageTable.entry(vector.message, vector.kind)
        let message = try entry.build(vector.fields)
        let frame = message.frame(
            type: entry.type, requestID: vector.requestID, payloadBytes: vector.payloadBytes.count)
        #expect(hexadecimal(frame + vector.payloadBytes) == vector.frame)
    }

    @Test(arguments: ProtocolVectors.all.vectors)
    func frameDecodesAndEncodesAgain(vector: ProtocolVectors.Golden) throws {
        let frame = vector.frameBytes
        let header = frame.withUnsafeBytes { FrameHeader($0) }
        let entry = try MessageTable.entry(vector.message, vector.kind)
        #expect(Int(header.bodyBytes) == frame.count - FrameHeader.byteCount)
        #expect(header.type == entry.type)
        #expect(header.flags == 0)
        #expect(header.requestID == vector.requestID)
        let decoded = try entry.decode(Array(frame.dropFirst(FrameHeader.byteCount)))
        #expect(decoded.payloads.flatMap { $0 } == vector.payloadBytes)
        #expect(hexadecimal(decoded.frame(header)) == vector.frame)
    }

    @Test func everyMessageHasVectors() {
        let covered = Set(ProtocolVectors.all.vectors.map { "\($0.message) \($0.kind)" })
        for message in MessageTable.requests.keys {
            #expect(covered.contains("\(message) request") && covered.contains("\(message) answer"))
        }
        #expect(covered.count == 2 * MessageType.allCases.count + MessageTable.progress.count + 1)
    }

    @Test func requestFrameIsThatOfItsType() throws {
        let vector = try ProtocolVectors.golden("resume_request")
        #expect(hexadecimal(Resume(session: 65, atMost: 1600).frame(requestID: vector.requestID)) == vector.frame)
    }

    @Test func numbersAreThoseOfTheTables() {
        let all = ProtocolVectors.all
        #expect(all.version == Int(WireProtocol.newestVersion))
        #expect(all.messageTypes == table(MessageType.allCases).reduce(into: [:]) { $0[snakeCase($1.key)] = $1.value })
        #expect(all.componentKinds == table(ComponentKind.allCases))
        #expect(all.elementTypes == table(ElementType.allCases))
        #expect(all.encodings == table(Encoding.allCases))
        #expect(all.encodingChoices == table(EncodingChoice.allCases))
        #expect(all.acknowledgements == table(Acknowledgement.allCases))
        #expect(all.sharing == table(Sharing.allCases))
        #expect(all.admissions == table(Admission.allCases))
        #expect(all.hintKinds == table(HintKind.allCases))
        #expect(all.hintOutcomes == table(HintOutcome.allCases))
        #expect(all.hintBounds == table(HintBound.allCases))
        #expect(all.errorCodes == table(ErrorCode.allCases))
    }

    @Test func limitsAreThoseOfTheTable() {
        #expect(
            ProtocolVectors.all.limits == [
                "name_bytes": UInt64(Limits.nameBytes), "components": UInt64(Limits.components),
                "layers": UInt64(Limits.layers), "planes": UInt64(Limits.planes), "row_bytes": UInt64(Limits.rowBytes),
                "group_size": UInt64(Limits.groupSize), "tokens_per_chunk": UInt64(Limits.tokensPerChunk),
                "offset_tokens": Limits.offsetTokens, "chunk_bytes": UInt64(Limits.chunkBytes),
                "frame_bytes": UInt64(Limits.frameBytes), "batch_items": UInt64(Limits.batchItems),
                "page_entries": UInt64(Limits.pageEntries), "resume_chunks": UInt64(Limits.resumeChunks),
                "requests_in_flight": UInt64(Limits.requestsInFlight), "message_bytes": UInt64(Limits.messageBytes),
                "salt_bytes": UInt64(Limits.saltBytes),
                "tree_lines": UInt64(Limits.treeLines),
            ])
    }

    /// Docs/PROTOCOL.md has a row for each number that the code has.
    @Test func documentListsEveryNumber() throws {
        let bytes = try FileSystem.read(Repository.root + "/Docs/PROTOCOL.md", limit: 1 << 20)
        let rows = Set(
            String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { row in
                row.split(separator: "|").prefix(2).map { $0.trimmingCharacters(in: .whitespaces) }.joined(
                    separator: " ")
            })
        for code in ErrorCode.allCases { #expect(rows.contains("\(code.rawValue) `\(code.name)`")) }
        for type in MessageType.allCases {
            let digits = String(type.rawValue, radix: 16, uppercase: true)
            let number = "0x" + String(repeating: "0", count: 4 - digits.count) + digits
            #expect(rows.contains("\(number) `\(snakeCase("\(type)"))`"))
        }
        for kind in ComponentKind.allCases { #expect(rows.contains("`\(kind)` \(kind.rawValue)")) }
        for type in ElementType.allCases { #expect(rows.contains("`\(type)` \(type.rawValue)")) }
        for choice in EncodingChoice.allCases { #expect(rows.contains("`\(choice)` \(choice.rawValue)")) }
        for sharing in Sharing.allCases { #expect(rows.contains("`\(sharing)` \(sharing.rawValue)")) }
        for admission in Admission.allCases { #expect(rows.contains("`\(admission)` \(admission.rawValue)")) }
        for kind in HintKind.allCases { #expect(rows.contains("`\(kind)` \(kind.rawValue)")) }
        for outcome in HintOutcome.allCases { #expect(rows.contains("`\(outcome)` \(outcome.rawValue)")) }
        for bound in HintBound.allCases { #expect(rows.contains("`\(bound)` \(bound.rawValue)")) }
        for level in Acknowledgement.allCases { #expect(rows.contains("`\(level)` \(level.rawValue)")) }
    }

    private func table<E: RawRepresentable>(_ cases: [E]) -> [String: E.RawValue] {
        Dictionary(uniqueKeysWithValues: cases.map { ("\($0)", $0.rawValue) })
    }

    private func snakeCase(_ name: String) -> String {
        name.map { $0.isUppercase ? "_" + $0.lowercased() : String($0) }.joined()
    }
}
