import LarderModel
import LarderWire

/// How one kind of frame is built from a vector's fields, and read.
struct MessageTable: Sendable {
    /// A message that was read, and the payloads that followed its fields, in item order.
    struct Decoded {
        let message: any Message
        let payloads: [[UInt8]]

        /// The bytes that say the same again.
        func frame(_ header: FrameHeader) -> [UInt8] {
            let payload = payloads.flatMap { $0 }
            return message.frame(type: header.type, requestID: header.requestID, payloadBytes: payload.count) + payload
        }
    }

    let type: UInt16
    let build: @Sendable (Fields) throws -> any Message
    private let read: @Sendable (UnsafeRawBufferPointer) throws(LarderError) -> Decoded

    /// Reads a body as its receiver does. Throws the refusal that it earns.
    func decode(_ body: [UInt8]) throws(LarderError) -> Decoded {
        // A copy of its own, exactly as long as the body, so that a sanitizer sees reads beyond it.
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: body.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyBytes(from: body)
        return try read(UnsafeRawBufferPointer(copy))
    }

    /// The entry for a message of a vector.
    static func entry(_ message: String, _ kind: ProtocolVectors.Kind) throws -> MessageTable {
        let table =
            switch kind {
            case .request: requests[message]
            case .answer: answers[message]
            case .progress: progress[message]
            case .refusal: refusal
            }
        guard let table else { throw Fields.FieldError(what: "no \(kind) '\(message)'") }
        return table
    }

    /// A message without payloads.
    private init<M: Message>(_: M.Type, type: UInt16, _ build: @escaping @Sendable (Fields) throws -> M) {
        self.type = type
        self.build = build
        read = { body throws(LarderError) in Decoded(message: try M(body: body), payloads: []) }
    }

    /// A message whose fields are followed by payloads.
    private init<M: Message>(
        _: M.Type, type: UInt16, payloads: @escaping @Sendable (M) -> [Payload],
        _ build: @escaping @Sendable (Fields) throws -> M
    ) {
        self.type = type
        self.build = build
        read = { body throws(LarderError) in
            var reader = ByteReader(body)
            let message = try M(from: &reader)
            var found: [[UInt8]] = []
            for payload in payloads(message) {
                found.append(Array(try reader.readBytes(Int(clamping: payload.inlineBytes), "payload")))
            }
            try reader.finish("the message")
            return Decoded(message: message, payloads: found)
        }
    }

    private static func request<R: Request>(_: R.Type, _ build: @escaping @Sendable (Fields) throws -> R)
        -> MessageTable
    {
        MessageTable(R.self, type: R.type.rawValue, build)
    }

    private static func answer<R: Request>(
        to _: R.Type, _ build: @escaping @Sendable (Fields) throws -> R.Answer
    ) -> MessageTable {
        MessageTable(R.Answer.self, type: R.type.rawValue | FrameHeader.answerBit, build)
    }

    static let requests: [String: MessageTable] = [
        "hello": request(Hello.self) {
            Hello(
                clientName: try $0["client_name"].text(), oldestVersion: try $0["oldest_version"].number(),
                newestVersion: try $0["newest_version"].number(), features: try $0["features"].number())
        },
        "declare_model": request(DeclareModel.self) {
            DeclareModel(declaration: try ModelDeclaration($0["declaration"]))
        },
        "open_session": request(OpenSession.self) {
            OpenSession(
                namespace: try $0["namespace"].text(), name: try $0["name"].text(),
                modelID: try $0["model_id"].number(),
                create: try $0["create"].flag())
        },
        "put": MessageTable(Put.self, type: Put.type.rawValue, payloads: { $0.items.map(\.payload) }, Put.init),
        "get": request(Get.self) { Get(items: try $0["items"].list(GetItem.init)) },
        "resume": request(Resume.self) {
            Resume(
                session: try $0["session"].number(), atMost: try $0["at_most"].number(),
                prefillRate: try $0["prefill_rate"].number())
        },
        "truncate": request(Truncate.self) {
            Truncate(session: try $0["session"].number(), offset: try $0["offset"].number())
        },
        "drop": request(Drop.self) { Drop(session: try $0["session"].number()) },
        "list_models": request(ListModels.self) { ListModels(after: try $0["after"].number()) },
        "list_sessions": request(ListSessions.self) {
            ListSessions(namespace: try $0["namespace"].text(), after: try $0["after"].number())
        },
        "list_chunks": request(ListChunks.self) { ListChunks(from: try ChunkName($0["from"])) },
        "stat": request(Stat.self) { _ in Stat() },
        "sync": request(Sync.self) { _ in Sync() },
        "verify": request(Verify.self) { Verify(from: try ChunkName($0["from"])) },
        "open_arena": request(OpenArena.self) { OpenArena(byteCount: try $0["arena_bytes"].number()) },
        "register_arena": request(RegisterArena.self) { RegisterArena(byteCount: try $0["arena_bytes"].number()) },
        "close_arena": request(CloseArena.self) { CloseArena(arena: try $0["arena"].number()) },
        "get_into": request(GetInto.self) {
            GetInto(layerGroup: try $0["layer_group"].number(), items: try $0["items"].list(GetIntoItem.init))
        },
        "plan_snapshots": request(PlanSnapshots.self) {
            PlanSnapshots(
                session: try $0["session"].number(), length: try $0["length"].number(),
                resumedAt: try $0["resumed_at"].number(), boundary: try $0["boundary"].number(),
                stride: try $0["stride"].number(), budget: try $0["budget"].number())
        },
        "match": request(Match.self) {
            Match(
                namespace: try $0["namespace"].text(), modelID: try $0["model_id"].number(),
                component: try $0["component"].number(),
                keys: try $0["keys"].list { try PrefixKey(hexadecimal: $0.text()) })
        },
        "explain": request(Explain.self) {
            Explain(
                session: try $0["session"].number(), atMost: try $0["at_most"].number(),
                modelID: try $0["model_id"].number())
        },
        "fork": request(Fork.self) {
            Fork(
                session: try $0["session"].number(), offset: try $0["offset"].number(), name: try $0["name"].text())
        },
        "report": request(Report.self) {
            Report(
                session: try $0["session"].number(), from: try $0["from"].number(), to: try $0["to"].number(),
                namespace: try $0["namespace"].text(), modelID: try $0["model_id"].number(),
                after: try $0["after"].number())
        },
        "set_prefill_rate": request(SetPrefillRate.self) {
            SetPrefillRate(
                modelID: try $0["model_id"].number(), prefillRate: try $0["prefill_rate"].number())
        },
        "prefetch": request(Prefetch.self) {
            Prefetch(session: try $0["session"].number(), atMost: try $0["at_most"].number())
        },
        "configure_namespace": request(ConfigureNamespace.self) {
            ConfigureNamespace(namespace: try $0["namespace"].text(), change: try NamespaceChange($0["change"]))
        },
        "list_namespaces": request(ListNamespaces.self) { ListNamespaces(after: try $0["after"].number()) },
        "configure_session": request(ConfigureSession.self) {
            ConfigureSession(session: try $0["session"].number(), ttlSeconds: try $0["ttl_seconds"].number())
        },
        "hint": request(GiveHints.self) { GiveHints(hints: try $0["hints"].list(Hint.init)) },
        "set_cap": request(SetCap.self) { SetCap(capBytes: try $0["cap_bytes"].number()) },
        "tree": request(Tree.self) { Tree(session: try $0["session"].number()) },
        "repair": request(Repair.self) { Repair(chunk: try ChunkName($0["chunk"])) },
        "backup": request(Backup.self) { Backup(directory: try $0["directory"].text()) },
    ]

    static let answers: [String: MessageTable] = [
        "hello": answer(to: Hello.self, Welcome.init),
        "declare_model": answer(to: DeclareModel.self) {
            ModelDeclared(modelID: try $0["model_id"].number(), fingerprint: hexadecimal(try $0["fingerprint"].text()))
        },
        "open_session": answer(to: OpenSession.self) {
            SessionOpened(session: try $0["session"].number(), created: try $0["created"].flag())
        },
        "put": answer(to: Put.self) {
            PutAnswer(
                results: try $0["results"].list {
                    PutResult(status: try ItemStatus($0["error"]), storedBytes: try $0["stored_bytes"].number())
                })
        },
        "get": MessageTable(
            GetAnswer.self, type: Get.type.rawValue | FrameHeader.answerBit, payloads: { $0.results.map(\.payload) }
        ) {
            GetAnswer(
                results: try $0["results"].list {
                    GetResult(
                        status: try ItemStatus($0["error"]), tokens: try $0["tokens"].number(), payload: try Payload($0)
                    )
                })
        },
        "get_into": answer(to: GetInto.self) {
            GetAnswer(
                results: try $0["results"].list {
                    GetResult(
                        status: try ItemStatus($0["error"]), tokens: try $0["tokens"].number(), payload: try Payload($0)
                    )
                })
        },
        "open_arena": answer(to: OpenArena.self) { ArenaOpened(arena: try $0["arena"].number()) },
        "register_arena": answer(to: RegisterArena.self) { ArenaOpened(arena: try $0["arena"].number()) },
        "close_arena": answer(to: CloseArena.self) { _ in Done() },
        "resume": answer(to: Resume.self, ResumeAnswer.init),
        "truncate": answer(to: Truncate.self) { _ in Done() },
        "plan_snapshots": answer(to: PlanSnapshots.self) {
            SnapshotPlan(offsets: try $0["offsets"].list { try $0.number() })
        },
        "match": answer(to: Match.self) { MatchAnswer(matched: try $0["matched"].number()) },
        "explain": answer(to: Explain.self, ExplainAnswer.init),
        "report": answer(to: Report.self, ReportAnswer.init),
        "set_prefill_rate": answer(to: SetPrefillRate.self) { _ in Done() },
        "fork": answer(to: Fork.self) {
            SessionOpened(session: try $0["session"].number(), created: try $0["created"].flag())
        },
        "drop": answer(to: Drop.self) { _ in Done() },
        "list_models": answer(to: ListModels.self, ModelList.init),
        "list_sessions": answer(to: ListSessions.self) {
            SessionList(sessions: try $0["sessions"].list(SessionSummary.init), next: try $0["next"].number())
        },
        "list_chunks": answer(to: ListChunks.self) { ChunkList(chunks: try $0["chunks"].list(ChunkSummary.init)) },
        "stat": answer(to: Stat.self, StatAnswer.init),
        "sync": answer(to: Sync.self) { _ in Done() },
        "prefetch": answer(to: Prefetch.self) { _ in Done() },
        "verify": answer(to: Verify.self, VerifyAnswer.init),
        "configure_namespace": answer(to: ConfigureNamespace.self, PolicySummary.init),
        "list_namespaces": answer(to: ListNamespaces.self) {
            NamespaceList(namespaces: try $0["namespaces"].list(NamespaceSummary.init))
        },
        "configure_session": answer(to: ConfigureSession.self) { _ in Done() },
        "hint": answer(to: GiveHints.self) { HintResults(results: try $0["results"].list(HintResult.init)) },
        "set_cap": answer(to: SetCap.self) {
            CapAnswer(capBytes: try $0["cap_bytes"].number(), diskBytes: try $0["disk_bytes"].number())
        },
        "tree": answer(to: Tree.self, TreeAnswer.init),
        "repair": answer(to: Repair.self) {
            RepairAnswer(
                removed: try $0["removed"].number(), freedBytes: try $0["freed_bytes"].number(),
                reason: try $0["reason"].text())
        },
        "backup": answer(to: Backup.self) {
            BackupAnswer(
                shards: try $0["shards"].number(), bytes: try $0["bytes"].number(),
                createdSeconds: try $0["created_seconds"].number())
        },
    ]

    static let progress: [String: MessageTable] = [
        "get_into": MessageTable(LayersLanded.self, type: LayersLanded.frameType) {
            LayersLanded(layers: try $0["layers"].number())
        },
        "backup": MessageTable(BackupProgress.self, type: BackupProgress.frameType) {
            BackupProgress(
                copiedBytes: try $0["copied_bytes"].number(), totalBytes: try $0["total_bytes"].number())
        },
    ]

    static let refusal = MessageTable(Refusal.self, type: FrameHeader.errorType, Refusal.init)
}
