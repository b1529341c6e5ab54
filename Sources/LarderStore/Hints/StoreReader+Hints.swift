import LarderLMDB
import LarderModel
import LarderSystem

// Hints, as far as this store can follow them. Sources: vLLM RFCs 51428 (the five actions and the five outcomes), 52113
// (seconds until an agent is back; branches that are done) and 57103 (targets with half-open ranges, answers that name
// what bounded them), SGLang 27574.
extension StoreReader {
    /// Takes up hints one by one, and says of each what was made of it. Pins die with this reader.
    ///
    /// Throws only what concerns them all: `storage`, `shuttingDown`, `internal`.
    public func hint(_ hints: [Hint]) throws(LarderError) -> [HintResult] {
        let request = store.hintRequests.withLock { count in
            count += 1
            return count
        }
        var budget = Limits.chunksPerHints
        var results: [HintResult] = []
        for hint in hints {
            do throws(LarderError) { results.append(try take(hint, request, &budget)) } catch {
                results.append(try HintResult(refusal: error))
            }
        }
        return results
    }

    private func take(_ hint: Hint, _ request: UInt64, _ budget: inout Int) throws(LarderError) -> HintResult {
        try requireWrite(hint.target)
        if hint.kind == .retain || hint.kind == .pin, hint.seconds == 0 { return try end(hint) }
        switch (hint.kind, hint.target) {
        case (.share, .track(let session, let from, let to, let rank, let component, let keys)):
            return try share(session: session, from: from, to: to, rank: rank, component: component, keys: keys)
        case (.share, _):
            throw LarderError(.invalidArgument, "a share needs a track: a session's component, and its prefix keys")
        case (_, .track):
            throw LarderError(.invalidArgument, "a \(hint.kind.name) needs a session or prefix keys, not a track")
        case (.prefetch, .session(let session, let from, let to)):
            // One chunk says that there is something.
            let scope = try scope(session: session, from: from, to: to, limit: 1)
            let result = HintResult(.accepted, from: scope.from, to: to)
            return try prefetch(.session(session, from: from, to: to), result)
        case (.retain, _), (.pin, _), (.demote, _), (.prefetch, _): break
        }
        guard budget > 0 else {
            return HintResult(
                .deferred, .count,
                reason: "the hints of one request look at \(Limits.chunksPerHints) chunks; send this one by itself")
        }
        let scope = try scope(hint.target, budget)
        budget -= max(1, scope.chunks.count)
        switch hint.kind {
        case .pin: return try pin(hint, scope, request)
        case .prefetch:
            return try prefetch(.blobs(scope.chunks.map { ($0.shard, $0.blobID) }), scope.result())
        case .retain where hint.priority >= 0: return retain(hint, scope, request)
        case .retain, .demote, .share: return try demote(scope)
        }
    }

    /// Throws `forbidden` for state that the user may only read; what it may not see is found missing later.
    private func requireWrite(_ target: HintTarget) throws(LarderError) {
        switch target {
        case .session(let session, _, _), .track(let session, _, _, _, _, _): try context(session).requireWrite()
        case .keys(let name, _, _, _):
            if let space = namespace(named: name) { try store.requireWrite(space, principal) }
        }
    }

    private func scope(_ target: HintTarget, _ budget: Int) throws(LarderError) -> HintScope {
        switch target {
        case .session(let session, let from, let to), .track(let session, let from, let to, _, _, _):
            try scope(session: session, from: from, to: to, limit: min(Limits.chunksPerHint, budget))
        case .keys(let namespace, let modelID, let component, let keys):
            try scope(namespace: namespace, modelID: modelID, component: component, keys: keys)
        }
    }

    /// Leaves a wish with the prefetcher; `result` is what is said of it if no other comes before it.
    private func prefetch(_ wish: Prefetcher.Wish, _ result: HintResult) throws(LarderError) -> HintResult {
        var result = result
        do throws(LarderError) {
            if try store.prefetcher.add(wish, store) { return result }
            (result.outcome, result.bound, result.reason) = (.deferred, .queue, "others are prefetched before it")
            return result
        } catch {
            guard error.code == .busy else { throw error }
            return HintResult(.rejected, .queue, from: result.from, to: result.from, reason: error.message)
        }
    }

    // MARK: retain and pin

    /// Ends what earlier hints retain, or what they pinned on this connection.
    private func end(_ hint: Hint) throws(LarderError) -> HintResult {
        switch hint.target {
        case .session(let session, let from, let to), .track(let session, let from, let to, _, _, _):
            try requireRange(from, to)
            let shard = try context(session).shard
            if hint.kind == .pin {
                pins.removeAll { $0.owner == .session(session) }
            } else {
                store.shards[shard].retentions.end(.session(session))
            }
            return HintResult(.accepted, from: from, to: to)
        case .keys(let namespace, let modelID, let component, let keys):
            let scope = try scope(namespace: namespace, modelID: modelID, component: component, keys: keys)
            if hint.kind == .pin {
                let blobs = Set(scope.chunks.map(\.blob))
                pins.removeAll { $0.owner == .keys && $0.pin.holds(anyOf: blobs) }
            } else {
                for (shard, chunks) in scope.byShard {
                    store.shards[shard].retentions.end(.keys, keys: chunks.map(\.heatKey))
                }
            }
            return scope.result()
        }
    }

    private func retain(_ hint: Hint, _ asked: HintScope, _ request: UInt64) -> HintResult {
        var scope = asked
        let seconds = min(hint.seconds, Limits.retainSeconds)
        if seconds < hint.seconds {
            scope.note(.limit, "a retention lasts at most \(Limits.retainSeconds) s; renew it in time")
        } else if hint.priority > Limits.hintPriority {
            scope.note(.limit, "priorities end at \(Limits.hintPriority)")
        }
        for (index, chunks) in asked.byShard {
            let shard = store.shards[index]
            let wish = RetentionTable.Wish(
                owner: scope.owner, namespaceID: scope.namespaceID, request: request,
                priority: min(hint.priority, Limits.hintPriority), deadline: deadline(seconds),
                pieces: chunks.map {
                    RetentionTable.Piece(
                        line: $0.line, heatKey: $0.heatKey, offset: $0.start, end: $0.end, bytes: $0.bytes)
                })
            let bounds = shard.hintedBytes
            let taken = shard.retentions.add(wish, bytes: bounds.all, namespaceBytes: bounds.namespace)
            let reason =
                taken.bound == .bytes
                ? "a namespace retains at most \(bounds.namespace) bytes of a shard, and all together \(bounds.all)"
                : "there are as many retentions as there may be; end one, or give this one a higher priority"
            scope.keep(first: taken.count, ofShard: index, taken.bound, reason)
        }
        return scope.result(seconds: seconds)
    }

    private func pin(_ hint: Hint, _ first: HintScope, _ request: UInt64) throws(LarderError) -> HintResult {
        let seconds = min(hint.seconds, Limits.pinSeconds)
        let now = store.configuration.now()
        pins.removeAll { $0.pin.deadline <= now }
        for attempt in 0..<Limits.resumeAttempts {
            let evictions = store.leases.evictions
            // What was looked up before the count was taken is looked up again.
            var scope = try scope(hint.target, Limits.chunksPerHint)
            let blobs = Set(scope.chunks.map(\.blob))
            func isReplaced(_ held: HeldPin) -> Bool {
                held.owner == scope.owner && held.request != request
                    && (scope.owner != .keys || held.pin.holds(anyOf: blobs))
            }
            let others = pins.count { !isReplaced($0) }
            guard others + scope.byShard.count <= Limits.pinsPerConnection else {
                return HintResult(
                    .rejected, .count, from: scope.from, to: scope.from,
                    reason: "a connection holds at most \(Limits.pinsPerConnection) pins; end one first")
            }
            guard let taken = pinned(&scope, since: evictions, deadline: deadline(seconds)) else {
                if attempt > 2 { Clock.sleep(milliseconds: 1) }
                continue
            }
            if scope.bound == .none, seconds < hint.seconds {
                scope.note(.limit, "a pin lasts at most \(Limits.pinSeconds) s; renew it in time")
            }
            if scope.chunks.isEmpty { return scope.result() }
            pins.removeAll(where: isReplaced)
            pins += taken.map { HeldPin(owner: scope.owner, request: request, pin: $0) }
            return scope.result(seconds: seconds)
        }
        throw LarderError(.busy, "its chunks were evicted all the while that they were to be pinned; ask again")
    }

    /// Pins what a scope covers, and cuts it to what the bounds leave room for. Nil if an eviction came between.
    private func pinned(_ scope: inout HintScope, since evictions: UInt64, deadline: UInt64) -> [Pin]? {
        var taken: [Pin] = []
        for (index, chunks) in scope.byShard {
            let bounds = store.shards[index].hintedBytes
            let items = chunks.map {
                PinTable.Item(blob: $0.blob, namespaceID: scope.namespaceID, bytes: $0.bytes)
            }
            let limits = PinTable.Bounds(bytes: bounds.all, namespaceBytes: bounds.namespace)
            guard let held = store.leases.pin(items, since: evictions, deadline: deadline, limits) else { return nil }
            taken.append(held.pin)
            let reason =
                held.bound == .bytes
                ? "a namespace pins at most \(bounds.namespace) bytes of a shard, and all together \(bounds.all)"
                : "\(Limits.pinnedBlobs) chunks are pinned, the limit"
            scope.keep(first: held.count, ofShard: index, held.bound, reason)
        }
        return taken
    }

    private func deadline(_ seconds: UInt32) -> UInt64 { store.configuration.now() + UInt64(seconds) * 1_000_000_000 }

    // MARK: demote

    /// Makes the next to go what a scope covers; of a session, what no other sees.
    private func demote(_ asked: HintScope) throws(LarderError) -> HintResult {
        var scope = asked
        if case .session(let session) = scope.owner {
            let context = try context(session)
            let (own, isEnd) = (try ownLines(context), try isEnd(scope, context))
            let before = scope.chunks.count
            let shared = try sharedBlobs(scope)
            scope.keep { chunk in own[chunk.line].map { chunk.end > $0 } ?? false && !shared.contains(chunk.blobID) }
            if scope.chunks.count < before {
                scope.note(
                    .shared, "\(before - scope.chunks.count) chunks stay as they are: other sessions see them too")
            }
            let shard = store.shards[context.shard]
            shard.retentions.cut(session: session, at: scope.from)
            if isEnd { for (line, bound) in own { shard.heat.forget(lines: [line], from: max(scope.from, bound)) } }
        } else {
            for (shard, chunks) in scope.byShard {
                store.shards[shard].retentions.end(.keys, keys: chunks.map(\.heatKey))
            }
        }
        for (shard, chunks) in scope.byShard { store.shards[shard].heat.demote(chunks.map(\.heatKey)) }
        return scope.result()
    }

    /// True if a session has nothing beyond what a scope covers.
    private func isEnd(_ scope: HintScope, _ context: SessionContext) throws(LarderError) -> Bool {
        guard scope.bound != .count else { return false }
        for track in context.tracks {
            let isOver = try read(shard: context.shard) { transaction, shard in
                try context.path.walk(
                    track, from: track.isState ? scope.to + 1 : scope.to, transaction, shard, damaged: { _ in }
                ) { _, _ in false }
            }
            if !isOver { return false }
        }
        return true
    }

    /// The lines of a session's path of which it sees what no other session does, and from which offset on.
    func ownLines(_ context: SessionContext) throws(LarderError) -> [UInt64: UInt64] {
        var own: [UInt64: UInt64] = [:]
        for segment in context.path.segments {
            let record = try read(shard: context.shard) { transaction, shard in
                try WordKey(segment.line).withBytes { key in
                    try transaction.get(shard.databases.lines, key).map { try LineRecord($0, key: key) }
                }
            }
            let isHead = segment.line == context.record.head
            guard let record, isHead || (record.head == 0 && record.children == 1) else { break }
            own[segment.line] = isHead && record.children > 0 ? record.largestLimit : 0
            if isHead && record.children > 0 { break }
        }
        return own
    }

    /// The covered blobs that other chunks are too.
    private func sharedBlobs(_ scope: HintScope) throws(LarderError) -> Set<UInt64> {
        var shared: Set<UInt64> = []
        for chunk in scope.chunks where chunk.isShared {
            let owners = try read(shard: chunk.shard) { try BlobLog.owners(of: chunk.blobID, limit: 2, $0, $1) }
            if owners.count > 1 { shared.insert(chunk.blobID) }
        }
        return shared
    }
}

extension HintScope.Chunk {
    var blob: LeaseTable.Blob { LeaseTable.Blob(shard: shard, id: blobID) }
}

extension Shard {
    /// Stored bytes that may be retained, and likewise pinned, by all and by one namespace.
    var hintedBytes: (all: Int, namespace: Int) {
        (usablePages * 4_096 / Limits.hintedPart, usablePages * 4_096 / Limits.hintedPartOfNamespace)
    }
}

extension HintResult {
    /// What a refusal means for one hint; throws it where it concerns them all.
    fileprivate init(refusal error: LarderError) throws(LarderError) {
        switch error.code {
        case .unknownSession, .miss: self.init(.missing, .stored, reason: error.message)
        case .forbidden: self.init(.rejected, .policy, reason: error.message)
        case .conflict: self.init(.rejected, .conflict, reason: error.message)
        case .full: self.init(.rejected, .bytes, reason: error.message)
        case .damaged: self.init(.rejected, .stored, reason: error.message)
        case .busy: self.init(.deferred, .queue, reason: error.message)
        case .invalidArgument, .unknownComponent, .unknownModel: self.init(.rejected, .argument, reason: error.message)
        default: throw error
        }
    }
}

extension Store {
    /// Counters of what hints hold.
    var hintStatistics: [(name: String, value: UInt64)] {
        let retained = shards.map(\.retentions.totals)
        let pinned = leases.pinned
        return [
            ("retentions", UInt64(retained.reduce(0) { $0 + $1.count })),
            ("retained_bytes", UInt64(retained.reduce(0) { $0 + $1.bytes })),
            ("pinned_blobs", UInt64(pinned.blobs)), ("pinned_bytes", UInt64(pinned.bytes)),
        ]
    }
}
