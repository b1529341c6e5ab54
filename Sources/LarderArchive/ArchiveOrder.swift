import LarderModel

/// Which records may follow which, and what they must agree in.
struct ArchiveOrder {
    private var hasHead = false
    private var models: [UInt32: ModelDeclaration] = [:]
    private var session: ArchivedSession?
    private var components: [UInt16: [Component]] = [:]
    private var last: ArchivedChunk?
    private var current = ArchivedTotals()
    private(set) var totals = ArchivedTotals()
    private(set) var isOver = false

    /// Takes the next record in. Throws ``LarderError`` that says why it cannot stand there.
    mutating func accept(_ record: ArchiveRecord, payloadBytes: Int) throws(LarderError) {
        switch record {
        case .head, .model, .session, .sessionEnd, .end:
            try require(payloadBytes == 0, "it has bytes where only a chunk has them")
        case .chunk: break
        }
        guard hasHead else {
            guard case .head = record else { throw wrong("the first record does not say what the export is of") }
            hasHead = true
            return
        }
        switch record {
        case .head: throw wrong("it begins the export a second time")
        case .model(let number, let declaration): try accept(number, declaration)
        case .session(let session): try accept(session)
        case .chunk(let chunk): try accept(chunk, payloadBytes)
        case .sessionEnd(let end):
            try require(session != nil, "it ends a session, and none has begun")
            current.leftOut = end.leftOut
            try require(end == current, "it counts other chunks than the session has")
            totals.add(end)
            session = nil
        case .end(let end):
            try require(session == nil, "it ends the export in the middle of a session")
            try require(end == totals, "it counts other sessions or chunks than the export has")
            isOver = true
        }
    }

    private mutating func accept(_ number: UInt32, _ declaration: ModelDeclaration) throws(LarderError) {
        try require(session == nil, "a model in the middle of a session")
        try require(models.count < Limits.models, "more than \(Limits.models) models")
        try require(models[number] == nil, "model \(number) stands there twice")
        try declaration.validate()
        models[number] = declaration
    }

    private mutating func accept(_ session: ArchivedSession) throws(LarderError) {
        try require(self.session == nil, "a session begins inside another")
        try Names.validate(session.namespace, what: "namespace")
        try Names.validate(session.name, what: "session name")
        try require(
            (1...Int(Limits.groupSize)).contains(session.ranks.count), "a session of \(session.ranks.count) ranks")
        components = [:]
        for rank in session.ranks {
            guard let model = models[rank.model] else { throw wrong("model \(rank.model) is not in the file") }
            try require(UInt32(rank.rank) == model.rank, "rank \(rank.rank) with the model of rank \(model.rank)")
            try require(components[rank.rank] == nil, "rank \(rank.rank) twice")
            components[rank.rank] = model.components
        }
        self.session = session
        last = nil
        current = ArchivedTotals()
        current.sessions = 1
    }

    private mutating func accept(_ chunk: ArchivedChunk, _ payloadBytes: Int) throws(LarderError) {
        try require(session != nil, "a chunk outside any session")
        guard let components = components[chunk.rank], Int(chunk.component) < components.count else {
            throw wrong("component \(chunk.component) of rank \(chunk.rank), which its session does not have")
        }
        let component = components[Int(chunk.component)]
        let isState = component.kind == .recurrent
        try require(
            isState ? chunk.tokens == 0 : (1...Limits.tokensPerChunk).contains(chunk.tokens),
            "\(chunk.tokens) tokens of a component of kind \(component.kind)")
        try require(
            chunk.offset < Limits.offsetTokens && chunk.offset + UInt64(chunk.tokens) < Limits.offsetTokens,
            "offset \(chunk.offset) is beyond the largest")
        try require(
            payloadBytes == component.byteCount(tokens: chunk.tokens),
            "\(payloadBytes) bytes where \(component.byteCount(tokens: chunk.tokens)) follow from model and tokens")
        if let last { try require(chunk.follows(last), "a chunk that does not come after the one before it") }
        last = chunk
        current.chunks += 1
        current.rawBytes += UInt64(payloadBytes)
    }

    private func require(_ condition: Bool, _ what: @autoclosure () -> String) throws(LarderError) {
        if !condition { throw wrong(what()) }
    }

    private func wrong(_ what: String) -> LarderError { LarderError(.malformed, what) }
}
