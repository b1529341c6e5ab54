import LarderModel
import LarderStore
import LarderSystem
import LarderWire
import Logging

/// Answers the requests of one connection, on the connection's thread.
final class RequestHandler {
    let services: Services
    /// The connection's number.
    let connection: UInt64
    let outbox: Outbox
    let peer: PeerCredentials
    /// Where the peer's name goes.
    private let clientName: Monitor<String>
    let log: Logger
    let reader: StoreReader
    let payload: FrameBuffer
    let arenas: ArenaTable
    /// Descriptors that came with the request at hand, or with one that was received together with it.
    let descriptors: ReceivedDescriptors
    /// The batch item that is being read, for a refusal of the whole request because of it.
    var itemAtHand: UInt32?
    /// When the request at hand was whole.
    private(set) var started: UInt64 = 0
    /// True once the handshake is done.
    private(set) var hasGreeted = false

    init(
        services: Services, connection: UInt64, outbox: Outbox, peer: PeerCredentials,
        clientName: Monitor<String>, descriptors: ReceivedDescriptors, log: Logger
    ) {
        self.services = services
        self.connection = connection
        self.descriptors = descriptors
        self.outbox = outbox
        self.peer = peer
        self.clientName = clientName
        self.log = log
        reader = StoreReader(services.store, for: peer.principal)
        payload = FrameBuffer(services.memory, userID: peer.userID)
        arenas = ArenaTable(services.arenas, userID: peer.userID)
    }

    var store: Store { services.store }

    /// Answers one frame. Returns why the connection must end, if it must. Throws if the answer cannot be sent.
    func handle(_ header: FrameHeader, _ body: UnsafeRawBufferPointer) throws(SystemError) -> String? {
        started = Clock.now()
        defer {
            payload.reset()
            itemAtHand = nil
            // A put is answered later, from a writer; it has its time noted there.
            if header.type != MessageType.put.rawValue { services.metrics.answered(header.type, since: started) }
        }
        guard hasGreeted || header.type == MessageType.hello.rawValue else {
            let error = LarderError(
                .handshake, "the first frame of a connection must be a handshake, not type \(header.type)")
            try refuse(header.requestID, error)
            return error.message
        }
        guard let type = MessageType(rawValue: header.type) else {
            try refuse(
                header.requestID,
                LarderError(
                    .unknownRequest,
                    "request type \(header.type) is not known to this daemon; the handshake says which version it "
                        + "speaks"
                ))
            return nil
        }
        do throws(LarderError) {
            if let answer = try answer(type, header.requestID, body) { try send(answer) }
            return nil
        } catch {
            if let failure = sendFailure { throw failure }
            try refuse(header.requestID, error)
            return !hasGreeted ? error.message : nil
        }
    }

    /// Refuses a whole request.
    func refuse(_ requestID: UInt64, _ error: LarderError) throws(SystemError) {
        services.counters.count { $0.refusals += 1 }
        services.errors.countRequest(error.code)
        log.debug("refused", metadata: ["code": "\(error.code.name)", "reason": "\(error.message)"])
        try outbox.send(
            Refusal(error.clipped, item: itemAtHand).frame(type: FrameHeader.errorType, requestID: requestID))
    }

    /// A frame to send at once: fields, then a payload.
    struct AnswerFrame {
        let frame: [UInt8]
        var payload = UnsafeRawBufferPointer(start: nil, count: 0)
    }

    private var sendFailure: SystemError?

    private func send(_ answer: AnswerFrame) throws(LarderError) {
        do throws(SystemError) { try outbox.send(answer.frame, payload: answer.payload) } catch {
            sendFailure = error
            throw LarderError(.storage, "\(error)")
        }
    }

    /// The answer to a request; nil if it comes later, from a writer.
    private func answer(_ type: MessageType, _ id: UInt64, _ body: UnsafeRawBufferPointer) throws(LarderError)
        -> AnswerFrame?
    {
        switch type {
        case .hello: return try answer(id, body, greet)
        case .declareModel: return try answer(id, body, declareModel)
        case .openSession: return try answer(id, body, openSession)
        case .put:
            try put(id, body)
            return nil
        case .get: return try get(id, body)
        case .resume: return try answer(id, body, resume)
        case .truncate: return try answer(id, body, truncate)
        case .planSnapshots: return try answer(id, body, planSnapshots)
        case .match: return try answer(id, body, match)
        case .report: return try answer(id, body, report)
        case .setPrefillRate: return try answer(id, body, setPrefillRate)
        case .explain: return try answer(id, body, explain)
        case .fork: return try answer(id, body, fork)
        case .drop: return try answer(id, body, drop)
        case .listModels: return try answer(id, body, listModels)
        case .listSessions: return try answer(id, body, listSessions)
        case .listChunks: return try answer(id, body, listChunks)
        case .stat: return try answer(id, body, stat)
        case .sync: return try answer(id, body, sync)
        case .verify: return try answer(id, body, verify)
        case .openArena:
            try openArena(id, body)
            return nil
        case .registerArena: return try answer(id, body, registerArena)
        case .closeArena: return try answer(id, body, closeArena)
        case .getInto: return try getInto(id, body)
        case .prefetch: return try answer(id, body, prefetch)
        case .configureNamespace: return try answer(id, body, configureNamespace)
        case .listNamespaces: return try answer(id, body, listNamespaces)
        case .configureSession: return try answer(id, body, configureSession)
        case .hint: return try answer(id, body, hint)
        case .setCap: return try answer(id, body, setCap)
        case .tree: return try answer(id, body, tree)
        case .repair: return try answer(id, body, repair)
        case .backup: return try backup(id, body)
        }
    }

    private func answer<R: Request>(
        _ requestID: UInt64, _ body: UnsafeRawBufferPointer, _ handle: (R) throws(LarderError) -> R.Answer
    ) throws(LarderError) -> AnswerFrame {
        let answer = try handle(try R(body: body))
        let frame = answer.frame(type: R.type.rawValue | FrameHeader.answerBit, requestID: requestID)
        guard frame.count - FrameHeader.byteCount <= Limits.frameBytes else {
            throw LarderError(
                .tooLarge,
                "the answer has \(frame.count) bytes, over the limit of \(Limits.frameBytes) for a frame; ask for less")
        }
        return AnswerFrame(frame: frame)
    }

    private func greet(_ hello: Hello) throws(LarderError) -> Welcome {
        guard !hasGreeted else { throw LarderError(.handshake, "this connection has had its handshake; send it once") }
        guard hello.oldestVersion <= WireProtocol.newestVersion, hello.newestVersion >= WireProtocol.oldestVersion,
            hello.oldestVersion <= hello.newestVersion
        else {
            throw LarderError(
                .protocolVersion,
                "the client speaks versions \(hello.oldestVersion) to \(hello.newestVersion), this daemon "
                    + "\(WireProtocol.oldestVersion) to \(WireProtocol.newestVersion); upgrade the older one"
            )
        }
        try Names.validate(hello.clientName, what: "client name")
        hasGreeted = true
        clientName.withLock { $0 = hello.clientName }
        log.debug("handshake", metadata: ["client": "\(hello.clientName)"])
        return Welcome(
            version: min(hello.newestVersion, WireProtocol.newestVersion),
            features: hello.features & WireProtocol.features,
            frameBytes: UInt32(Limits.frameBytes), batchItems: UInt32(Limits.batchItems),
            requestsInFlight: UInt32(Limits.requestsInFlight), storeID: store.id,
            serverName: "larderd \(LarderVersion.number)")
    }
}

extension PeerCredentials {
    /// Whom the store is asked for.
    var principal: Principal {
        Principal(userID: userID, groupIDs: Set([groupID] + supplementaryGroupIDs))
    }
}

extension LarderError {
    /// The error with its message cut to what an answer may carry.
    var clipped: LarderError {
        guard message.utf8.count > Limits.messageBytes else { return self }
        return LarderError(code, String(message.unicodeScalars.prefix(Limits.messageBytes / 4 - 1)) + "...")
    }
}
