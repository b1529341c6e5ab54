import LarderModel
import LarderWire
import Testing

/// Each message decoded from its vector, field by field, against values written out here.
@Suite struct DecodedFieldTests {
    private func decode<M>(_ name: String, as _: M.Type = M.self) throws -> M {
        let vector = try ProtocolVectors.golden(name)
        let body = Array(vector.frameBytes.dropFirst(FrameHeader.byteCount))
        return try #require(try MessageTable.entry(vector.message, vector.kind).decode(body).message as? M)
    }

    @Test func handshake() throws {
        let hello: Hello = try decode("hello_later_client_request")
        #expect(
            hello.oldestVersion == 1 && hello.newestVersion == 7 && hello.features == .max && hello.clientName == "日本")
        let welcome: Welcome = try decode("hello_answer")
        #expect(welcome.version == 1 && welcome.features == 0)
        #expect(welcome.frameBytes == 67_108_864 && welcome.batchItems == 4_096 && welcome.requestsInFlight == 64)
        #expect(welcome.storeID == StoreID(high: 0x0011_2233_4455_6677, low: 0x8899_AABB_CCDD_EEFF))
        #expect("\(welcome.storeID)" == "00112233445566778899aabbccddeeff" && welcome.serverName == "larderd 0.1.0")
    }

    @Test func models() throws {
        let declaration = try decode("declare_model_request", as: DeclareModel.self).declaration
        #expect(declaration.name == "Qwen-é漢🦊" && declaration.revision == "v2" && declaration.weights == "sha256:00ff")
        #expect(declaration.pageTokens == 16 && declaration.groupSize == 4 && declaration.rank == 3)
        #expect(
            declaration.components == [
                Component(name: "global", kind: .attention, elementType: .bf16, layers: 2, planes: 2, rowBytes: 4),
                Component(
                    name: "local", kind: .sliding, elementType: .f16, layers: 5, planes: 1, rowBytes: 256, window: 512),
                Component(name: "delta", kind: .recurrent, elementType: .f32, layers: 6, planes: 3, rowBytes: 8_192),
            ])
        try declaration.validate()
        let declared: ModelDeclared = try decode("declare_model_top_answer")
        #expect(declared.modelID == .max && declared.fingerprint == Array(0..<32))
        let models = try decode("list_models_answer", as: ModelList.self).models
        #expect(models.map(\.modelID) == [1, .max] && models[0].declaration == declaration)
        #expect(models[0].fingerprint == (try decode("declare_model_answer", as: ModelDeclared.self).fingerprint))
        try models[1].declaration.validate()
        #expect(try decode("list_models_top_request", as: ListModels.self).after == .max)
    }

    @Test func unicodeIsNotNormalised() throws {
        let name = try decode("declare_model_wide_request", as: DeclareModel.self).declaration.name
        #expect(Array(name.utf8) == [0x65, 0xCC, 0x81])
    }

    @Test func openSession() throws {
        let open: OpenSession = try decode("open_session_not_created_request")
        #expect(open.namespace == "ñ" && open.name.utf8.count == 252 && open.modelID == .max && !open.create)
        #expect(try decode("open_session_request", as: OpenSession.self).create)
        let opened: SessionOpened = try decode("open_session_answer")
        #expect(opened.session == 65 && opened.created)
    }

    @Test func put() throws {
        let put: Put = try decode("put_two_items_request")
        #expect(put.acknowledgement == .durable && put.encoding == .cascade)
        #expect(
            put.items.map(\.name) == [
                ChunkName(session: 65, rank: 2, component: 1, offset: 1_024),
                ChunkName(session: 66, rank: 1, component: 2, offset: 1_536),
            ])
        #expect(put.items.map(\.tokens) == [7, 0] && put.items.map(\.payload.byteCount) == [4, 12])
        let results = try decode("put_mixed_answer", as: PutAnswer.self).results
        #expect(
            results.map(\.status.error) == [
                LarderError(.conflict, "stored with other bytes"), nil, LarderError(.storeUnusable, ""),
            ])
        #expect(results.map(\.storedBytes) == [0, .max, 7])
    }

    @Test func get() throws {
        let items = try decode("get_layers_request", as: Get.self).items
        #expect(items[0].name == ChunkName(session: 65, rank: 3, component: 1, offset: 1_024))
        #expect(items[1].name == ChunkName(session: .max, rank: .max, component: .max, offset: .max))
        #expect(items.map(\.firstLayer) == [2, .max] && items.map(\.layers) == [1, .max - 1])
        let results = try decode("get_mixed_answer", as: GetAnswer.self).results
        #expect(results.map(\.status.error?.code) == [nil, .miss, nil, .damaged, nil])
        #expect(results.map(\.tokens) == [1, 0, .max, 0, 2] && results.map(\.payload.byteCount) == [4, 0, 0, 0, 12])
    }

    @Test func payloadsFollowInItemOrder() throws {
        for name in ["put_two_items_request", "get_mixed_answer"] {
            let vector = try ProtocolVectors.golden(name)
            let body = Array(vector.frameBytes.dropFirst(FrameHeader.byteCount))
            let payloads = try MessageTable.entry(vector.message, vector.kind).decode(body).payloads.filter {
                !$0.isEmpty
            }
            #expect(payloads == [[0, 1, 2, 3], Array(100..<112)])
        }
    }

    @Test func resume() throws {
        let resume: Resume = try decode("resume_request")
        #expect(resume.session == 65 && resume.atMost == 1_600)
        let answer: ResumeAnswer = try decode("resume_answer")
        #expect(answer.offset == 1_536 && answer.complete)
        #expect(
            answer.reaches == [
                ComponentReach(rank: 3, component: 0, offset: 1_540),
                ComponentReach(rank: 3, component: 1, offset: 1_536),
                ComponentReach(rank: 1_023, component: 63, offset: .max),
            ])
        #expect(
            answer.chunks[1]
                == ChunkSummary(
                    name: ChunkName(session: 65, rank: 3, component: 1, offset: 1_024), tokens: 512, rawBytes: 655_360,
                    storedBytes: 400_000, encoding: .cascade, createdSeconds: 1_700_000_002))
    }

    @Test func truncateAndDrop() throws {
        let truncate: Truncate = try decode("truncate_request")
        #expect(truncate.session == 65 && truncate.offset == 1_536)
        #expect(try decode("drop_request", as: Drop.self).session == 65)
        _ = try decode("drop_answer", as: Done.self)
    }

    @Test func listSessions() throws {
        let request: ListSessions = try decode("list_sessions_request")
        #expect(request.namespace == "agents" && request.after == 65)
        let answer: SessionList = try decode("list_sessions_answer")
        #expect(answer.next == 129)
        #expect(
            answer.sessions == [
                SessionSummary(
                    session: 65, namespace: "agents", name: "branch 7", ownerUserID: 1_000,
                    models: [SessionModel(rank: 0, modelID: 4), SessionModel(rank: 3, modelID: 1)], chunks: 3,
                    rawBytes: 802_864, storedBytes: 409_176, createdSeconds: 1_700_000_000,
                    changedSeconds: 1_700_000_003, ttlSeconds: 7_200),
                SessionSummary(
                    session: .max, namespace: "", name: "漢", ownerUserID: .max, models: [], chunks: .max - 1,
                    rawBytes: .max - 2, storedBytes: .max - 3, createdSeconds: .max - 4, changedSeconds: .max - 5,
                    ttlSeconds: .max - 1),
            ])
    }

    @Test func namespaces() throws {
        let request: ConfigureNamespace = try decode("configure_namespace_request")
        var change = NamespaceChange()
        change.sharing = .off
        change.salt = Array(200..<232)
        change.ttlSeconds = 86_400
        change.minBytes = 10 << 30
        change.maxBytes = 100 << 30
        change.maxSessions = 1_000
        change.admission = .secondTouch
        #expect(request.namespace == "agents" && request.change == change)
        #expect(try decode("configure_namespace_nothing_request", as: ConfigureNamespace.self).change.isEmpty)
        let removed = try decode("configure_namespace_salt_removed_request", as: ConfigureNamespace.self).change
        #expect(removed.salt == [] && !removed.isEmpty && removed.operatorFields.isEmpty)
        let policy = PolicySummary(change.applied(to: NamespacePolicy()))
        #expect(try decode("configure_namespace_answer") == policy && policy.hasSalt)
        let list = try decode("list_namespaces_answer", as: NamespaceList.self).namespaces
        #expect(
            list[0]
                == NamespaceSummary(
                    namespaceID: 8, name: "agents", ownerUserID: 1_000, sessions: 12, policy: policy))
        #expect(list[1].namespaceID == .max && list[1].sessions == .max && list[1].policy.minBytes == .max - 1)
        #expect(list[1].policy.maxBytes == .max - 2 && list[1].policy.maxSessions == .max - 3 && list[1].name == "漢")
        let session: ConfigureSession = try decode("configure_session_request")
        #expect(session.session == 65 && session.ttlSeconds == 7_200)
    }

    @Test func listChunksAndVerify() throws {
        let from = ChunkName(session: 65, rank: 3, component: 1, offset: 1_025)
        #expect(try decode("list_chunks_request", as: ListChunks.self).from == from)
        let chunks = try decode("list_chunks_answer", as: ChunkList.self).chunks
        #expect(chunks.map(\.encoding) == [.raw, .cascade, .lz4, .raw] && chunks[3].createdSeconds == .max - 2)
        #expect(try decode("verify_request", as: Verify.self).from == ChunkName(session: 65, component: 0, offset: 0))
        let verified: VerifyAnswer = try decode("verify_answer")
        let damaged = ChunkName(session: 65, rank: 3, component: 1, offset: 1_024)
        #expect(verified.checked == 12 && verified.rawBytes == 34_567)
        #expect(verified.damaged == [DamagedChunk(name: damaged, reason: "block 2: checksum")])
        #expect(verified.next == ChunkName(session: 65, rank: 3, component: 2, offset: 1_536))
        #expect(try decode("verify_last_page_answer", as: VerifyAnswer.self).next == nil)
    }

    @Test func statAndSync() throws {
        _ = try decode("stat_request", as: Stat.self)
        let answer: StatAnswer = try decode("stat_answer")
        #expect(answer.facts == [StatAnswer.Fact("version", "0.1.0"), StatAnswer.Fact("data_dir", "/var/lib/lärder")])
        #expect(answer.counters == [Counter("file_bytes", 40_960), Counter("", .max)])
        #expect(answer["file_bytes"] == 40_960 && answer["absent"] == 0)
        _ = try decode("sync_request", as: Sync.self)
        _ = try decode("sync_answer", as: Done.self)
    }

    @Test func refusals() throws {
        let whole: Refusal = try decode("refusal")
        #expect(whole.error == LarderError(.modelMismatch, "it differs in weights (a → b)") && whole.item == nil)
        let item: Refusal = try decode("refusal_of_item")
        #expect(item.error == LarderError(.wrongLength, "item 7") && item.item == 7)
    }

    @Test func hints() throws {
        let hints = try decode("hint_request", as: GiveHints.self).hints
        #expect(hints.map(\.kind) == [.retain, .pin, .prefetch, .demote, .share])
        #expect(hints.map(\.priority) == [100, 0, -1, -128, 127] && hints.map(\.seconds) == [40, 600, 0, .max, 1])
        #expect(hints[0].target == .session(65, from: 1_536, to: .max))
        let keys = [PrefixKey(Array(0..<32))!, PrefixKey(Array(64..<96))!]
        #expect(hints[1].target == .keys(namespace: "agents", modelID: 7, component: 2, keys: keys))
        #expect(hints[4].target == .track(66, from: 0, to: 1_024, rank: 3, component: 1, keys: keys))
        let results = try decode("hint_answer", as: HintResults.self).results
        #expect(results.map(\.outcome) == [.accepted, .clipped, .deferred, .rejected, .missing])
        #expect(results[0] == HintResult(.accepted, from: 1_536, to: 1_700, seconds: 40))
        #expect(results[4] == HintResult(.missing, .stored, from: .max, to: .max - 1, seconds: .max, reason: "é"))
    }
}
