import LarderModel
import LarderWire

extension FuzzTarget {
    /// Frames, one after another, as either side may receive them. What is decoded and written again are the same
    /// bytes; what is refused is refused with a code of the protocol's.
    static let wire = FuzzTarget("wire", inputBytes: 64 << 10) { input in
        var start = 0
        while input.count - start >= FrameHeader.byteCount {
            let bytes = UnsafeRawBufferPointer(rebasing: input[start..<start + FrameHeader.byteCount])
            let header = FrameHeader(bytes)
            var again = ByteWriter()
            header.write(to: &again)
            try requireSame(again.bytes, bytes, "a header")
            start += FrameHeader.byteCount
            let end = start + min(Int(header.bodyBytes), input.count - start)
            try WireCheck.check(header.type, UnsafeRawBufferPointer(rebasing: input[start..<end]))
            start = end
        }
    }
}

/// What holds for every message.
private enum WireCheck {
    /// The refusals that a body can earn.
    private static let codes: Set<ErrorCode> = [.malformed, .invalidArgument, .invalidModel, .handshake]

    static func check(_ type: UInt16, _ body: UnsafeRawBufferPointer) throws {
        guard let kind = message(of: type) else { return }
        let first: [UInt8]
        do throws(LarderError) { first = try rewritten(kind, body) } catch {
            try require(codes.contains(error.code), "\(kind) is refused with \(error.code)")
            return try require(!error.message.isEmpty, "\(kind) is refused without a word")
        }
        if !first.elementsEqual(body) {
            try require(differsOnlyInUnknownCodes(first, body), "\(kind) of \(body.count) bytes is written otherwise")
        }
        let second: [UInt8]
        do throws(LarderError) {
            second = try first.withUnsafeBufferPointer { buffer throws(LarderError) in
                try rewritten(kind, UnsafeRawBufferPointer(buffer))
            }
        } catch { throw FuzzFinding("\(kind) is refused when it is written again: \(error)") }
        try requireSame(second, first, "\(kind), written twice")
    }

    /// Reads a whole body as its receiver does, and writes it.
    private static func rewritten(_ kind: any Message.Type, _ body: UnsafeRawBufferPointer) throws(LarderError)
        -> [UInt8]
    {
        var reader = ByteReader(body)
        let message = try kind.init(from: &reader)
        var payloads: [UInt8] = []
        for payload in inlinePayloads(message) {
            payloads += try reader.readBytes(Int(clamping: payload.inlineBytes), "payload")
        }
        try reader.finish("the message")
        var writer = ByteWriter()
        message.write(to: &writer)
        return writer.bytes + payloads
    }

    private static func inlinePayloads(_ message: any Message) -> [Payload] {
        switch message {
        case let put as Put: put.items.map(\.payload)
        case let answer as GetAnswer: answer.results.map(\.payload)
        default: []
        }
    }

    /// An error code that this version does not know is read as `internal`, and so written.
    private static func differsOnlyInUnknownCodes(_ again: [UInt8], _ body: UnsafeRawBufferPointer) -> Bool {
        guard again.count == body.count else { return false }
        let code = [UInt8(ErrorCode.internal.rawValue), 0]
        return again.indices.allSatisfy { index in
            again[index] == body[index] || Array(again[index...].prefix(2)) == code
                || (index > 0 && Array(again[(index - 1)...index]) == code)
        }
    }

    private static func message(of type: UInt16) -> (any Message.Type)? {
        switch type {
        case FrameHeader.errorType: return Refusal.self
        case LayersLanded.frameType: return LayersLanded.self
        case BackupProgress.frameType: return BackupProgress.self
        default: break
        }
        guard let number = MessageType(rawValue: type & ~FrameHeader.answerBit) else { return nil }
        let (request, answer) = messages(number)
        return type & FrameHeader.answerBit == 0 ? request : answer
    }

    private static func pair<R: Request>(_: R.Type) -> (any Message.Type, any Message.Type) { (R.self, R.Answer.self) }

    /// A request and its answer. Without a default: a new message does not build until it is here.
    private static func messages(_ type: MessageType) -> (any Message.Type, any Message.Type) {
        switch type {
        case .hello: pair(Hello.self)
        case .declareModel: pair(DeclareModel.self)
        case .openSession: pair(OpenSession.self)
        case .put: pair(Put.self)
        case .get: pair(Get.self)
        case .resume: pair(Resume.self)
        case .truncate: pair(Truncate.self)
        case .drop: pair(Drop.self)
        case .listModels: pair(ListModels.self)
        case .listSessions: pair(ListSessions.self)
        case .listChunks: pair(ListChunks.self)
        case .stat: pair(Stat.self)
        case .sync: pair(Sync.self)
        case .verify: pair(Verify.self)
        case .openArena: pair(OpenArena.self)
        case .registerArena: pair(RegisterArena.self)
        case .closeArena: pair(CloseArena.self)
        case .getInto: pair(GetInto.self)
        case .prefetch: pair(Prefetch.self)
        case .fork: pair(Fork.self)
        case .explain: pair(Explain.self)
        case .match: pair(Match.self)
        case .planSnapshots: pair(PlanSnapshots.self)
        case .configureNamespace: pair(ConfigureNamespace.self)
        case .listNamespaces: pair(ListNamespaces.self)
        case .configureSession: pair(ConfigureSession.self)
        case .report: pair(Report.self)
        case .setPrefillRate: pair(SetPrefillRate.self)
        case .hint: pair(GiveHints.self)
        case .setCap: pair(SetCap.self)
        case .tree: pair(Tree.self)
        case .repair: pair(Repair.self)
        case .backup: pair(Backup.self)
        }
    }
}
