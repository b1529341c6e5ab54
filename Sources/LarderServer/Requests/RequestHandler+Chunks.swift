import LarderModel
import LarderPolicy
import LarderStore
import LarderWire

extension RequestHandler {
    /// Page out: the answer comes when the acknowledgement asked for is reached, perhaps from a writer's thread.
    func put(_ requestID: UInt64, _ body: UnsafeRawBufferPointer) throws(LarderError) {
        var fields = ByteReader(body)
        let request = try Put(from: &fields)
        var items: [PageOutItem] = []
        items.reserveCapacity(request.items.count)
        for item in request.items {
            itemAtHand = UInt32(items.count)
            var isKnown = false
            var key: PrefixKey?
            switch item.naming {
            case .none: break
            case .key(let prefix): key = prefix
            case .known(let prefix): (key, isKnown) = (prefix, true)
            }
            items.append(
                PageOutItem(
                    session: item.name.session, rank: item.name.rank, component: item.name.component,
                    offset: item.name.offset, tokens: item.tokens,
                    bytes: isKnown ? nil : try bytes(of: item, items.count, &fields), prefixKey: key))
        }
        itemAtHand = nil
        try fields.finish("the put")
        guard outbox.beginRequest(items: items.count) else {
            throw LarderError(.shuttingDown, "the connection is closing")
        }
        let rawBytes = items.map { UInt64($0.bytes?.count ?? 0) }
        let traced = traced(items)
        store.pageOut(items, encoding: request.encoding, acknowledgement: request.acknowledgement, reader: reader) {
            [outbox, services, recorder = services.recorder, started] results in
            recorder?.note(zip(traced, results).compactMap { event, result in (try? result.get()).map { _ in event } })
            let answer = PutAnswer(
                results: results.map { result in
                    switch result {
                    case .success(let stored): PutResult(status: ItemStatus(nil), storedBytes: UInt64(stored))
                    case .failure(let error): PutResult(status: ItemStatus(error.clipped), storedBytes: 0)
                    }
                })
            services.errors.countItems(results.compactMap { $0.refusal?.code })
            services.counters.count { values in
                for (result, raw) in zip(results, rawBytes) {
                    guard case .success(let stored) = result else { continue }
                    values.chunksOut += 1
                    values.rawBytesOut += raw
                    // What was put by its key alone came without bytes, and takes none.
                    values.storedBytesOut += raw == 0 ? 0 : UInt64(stored)
                }
            }
            let type = Put.type.rawValue | FrameHeader.answerBit
            services.metrics.answered(Put.type.rawValue, since: started)
            outbox.post(answer.frame(type: type, requestID: requestID), items: results.count)
        }
    }

    /// What a recording is told of each item once it is stored; nothing without a recording.
    private func traced(_ items: [PageOutItem]) -> [TraceEvent] {
        if services.recorder == nil { return [] }
        return items.map {
            let chunk = TracedChunk(
                component: $0.component, offset: $0.offset, tokens: $0.tokens, prefixKey: $0.prefixKey)
            return .put(connection: connection, session: $0.session, chunk)
        }
    }

    /// The raw bytes of an item: a region of an arena, or the next bytes of the frame.
    private func bytes(
        of item: PutItem, _ index: Int, _ fields: inout ByteReader
    ) throws(LarderError) -> UnsafeRawBufferPointer {
        if let region = item.payload.region {
            return UnsafeRawBufferPointer(try arenas.region(region, byteCount: item.payload.byteCount))
        }
        guard item.payload.byteCount <= UInt64(fields.remaining) else {
            throw LarderError(
                .malformed,
                "the payload of item \(index) has \(item.payload.byteCount) bytes, but \(fields.remaining) are "
                    + "left in the frame"
            )
        }
        return try fields.readBytes(Int(item.payload.byteCount), "payload")
    }

    /// Page in: decodes into the connection's payload buffer, from which the answer is sent.
    func get(_ requestID: UInt64, _ body: UnsafeRawBufferPointer) throws(LarderError) -> AnswerFrame {
        let request = try Get(body: body)
        // Fields take their part of the frame too, and the messages of items that fail.
        let room = Limits.frameBytes - request.items.count * (64 + Limits.messageBytes)
        var places: [Range<Int>?] = Array(repeating: nil, count: request.items.count)
        let outcomes = reader.pageIn(request.items.map { PageInItem($0) }) { found in
            var end = 0
            for one in found where end + one.rawBytes <= room {
                places[one.index] = end..<end + one.rawBytes
                end += one.rawBytes
            }
            guard let memory = payload.append(end) else {
                let error = LarderError(.busy, "no memory for an answer of \(end) bytes; ask again later, or for less")
                return found.map { _ in .failure(error) }
            }
            return found.map { one in
                guard let place = places[one.index] else {
                    return .failure(
                        LarderError(
                            .tooLarge,
                            "this answer is full; ask for this chunk in a request of its own, or for fewer layers"))
                }
                return .success(UnsafeMutableRawBufferPointer(rebasing: memory[place]))
            }
        }
        keepServed(places, outcomes)
        let results = outcomes.map { outcome in
            switch outcome {
            case .success(let found):
                GetResult(
                    status: ItemStatus(nil), tokens: found.tokens, payload: Payload(byteCount: UInt64(found.rawBytes)))
            case .failure(let error): GetResult(failure: error)
            }
        }
        count(results)
        let answer = GetAnswer(results: results)
        return AnswerFrame(
            frame: answer.frame(
                type: Get.type.rawValue | FrameHeader.answerBit, requestID: requestID, payloadBytes: payload.count),
            payload: payload.bytes)
    }

    /// Moves what was served together, where something between it was not.
    private func keepServed(_ places: [Range<Int>?], _ outcomes: [Result<PagedIn, LarderError>]) {
        var end = 0
        for (place, outcome) in zip(places, outcomes) {
            guard let place, case .success = outcome else { continue }
            payload.move(place, to: end)
            end += place.count
        }
        payload.removeLast(payload.count - end)
    }

    /// Counts what a page-in served and what it did not.
    func count(_ results: [GetResult]) {
        services.counters.count { values in
            for result in results {
                if result.status.error == nil {
                    values.chunksIn += 1
                    values.rawBytesIn += result.payload.byteCount
                } else if result.status.error?.code == .miss {
                    values.misses += 1
                } else {
                    values.notServed += 1
                }
            }
        }
        services.errors.countItems(results.compactMap { $0.status.error?.code })
    }

    func resume(_ request: Resume) throws(LarderError) -> ResumeAnswer {
        let plan = try reader.resume(
            session: request.session, atMost: request.atMost, prefillRate: request.prefillRate)
        services.counters.count {
            $0.resumes += 1
            $0.tokensResumed += plan.offset
            $0.tokensAsked += plan.asked
            if let shortfall = plan.shortfall { $0.missed[shortfall.reason] += plan.asked - plan.offset }
        }
        services.metrics.resumed(at: plan.offset)
        services.recorder?.note(.resume(connection: connection, session: request.session, offset: plan.offset))
        return ResumeAnswer(
            offset: plan.offset,
            reaches: plan.reaches.map { ComponentReach(rank: $0.rank, component: $0.component, offset: $0.offset) },
            chunks: plan.chunks.prefix(Limits.resumeChunks).map { ChunkSummary($0, session: request.session) },
            complete: plan.chunks.count <= Limits.resumeChunks, rawBytes: UInt64(plan.rawBytes),
            loadMicroseconds: UInt64(plan.loadNanoseconds / 1_000), cheapestOffset: plan.cheapestOffset,
            prefillRate: plan.prefillRate)
    }

    func planSnapshots(_ request: PlanSnapshots) throws(LarderError) -> SnapshotPlan {
        let planner = SnapshotPlanner(
            boundary: UInt64(request.boundary), stride: UInt64(request.stride), budget: Int(request.budget))
        return SnapshotPlan(
            offsets: try reader.snapshots(
                session: request.session, length: request.length, resumedAt: request.resumedAt, planner: planner))
    }

    func match(_ request: Match) throws(LarderError) -> MatchAnswer {
        let count = try reader.match(
            namespace: request.namespace, modelID: request.modelID, component: request.component, keys: request.keys)
        services.counters.count {
            $0.keysMatched += UInt64(count)
            $0.keysMissed += UInt64(request.keys.count - count)
        }
        services.recorder?.note(.match(connection: connection))
        return MatchAnswer(matched: UInt32(count))
    }

    func explain(_ request: Explain) throws(LarderError) -> ExplainAnswer {
        let found = try reader.explain(session: request.session, atMost: request.atMost, modelID: request.modelID)
        return ExplainAnswer(
            at: found.at, end: found.end, offset: found.offset, missingRanks: found.missingRanks,
            modelDifference: found.modelDifference,
            tracks: found.tracks.map { track in
                TrackExplanation(
                    rank: track.rank, component: track.component, reach: track.reach, cause: track.cause,
                    missingFrom: track.missing.lowerBound, missingTo: track.missing.upperBound,
                    rule: track.eviction?.rule, evictedSeconds: track.eviction?.seconds ?? 0)
            })
    }

    func listChunks(_ request: ListChunks) throws(LarderError) -> ChunkList {
        let chunks = try reader.chunks(session: request.from.session, from: ChunkPosition(request.from))
        return ChunkList(chunks: chunks.map { ChunkSummary($0, session: request.from.session) })
    }

    func verify(_ request: Verify) throws(LarderError) -> VerifyAnswer {
        let session = request.from.session
        let found = try reader.verify(session: session, from: ChunkPosition(request.from))
        return VerifyAnswer(
            checked: UInt64(found.checked), rawBytes: UInt64(found.rawBytes),
            damaged: found.damaged.map {
                DamagedChunk(name: ChunkName($0.position, session: session), reason: $0.reason)
            },
            next: found.next.map { ChunkName($0, session: session) })
    }
}

extension GetResult {
    init(failure error: LarderError) {
        self.init(status: ItemStatus(error.clipped), tokens: 0, payload: Payload(byteCount: 0))
    }
}

extension Result where Failure == LarderError {
    /// Why there is no success; nil if there is.
    fileprivate var refusal: LarderError? { if case .failure(let error) = self { error } else { nil } }
}

extension ChunkPosition {
    init(_ name: ChunkName) { self.init(rank: name.rank, component: name.component, offset: name.offset) }
}

extension ChunkName {
    init(_ position: ChunkPosition, session: UInt64) {
        self.init(session: session, rank: position.rank, component: position.component, offset: position.offset)
    }
}

extension ChunkSummary {
    init(_ entry: StoredChunkEntry, session: UInt64) {
        self.init(
            name: ChunkName(session: session, rank: entry.rank, component: entry.component, offset: entry.offset),
            tokens: entry.tokens, rawBytes: UInt64(entry.rawBytes), storedBytes: UInt64(entry.storedBytes),
            encoding: entry.encoding, createdSeconds: entry.createdSeconds)
    }
}
