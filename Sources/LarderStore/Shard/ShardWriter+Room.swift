import LarderLMDB
import LarderModel
import LarderSystem
import Logging

// How a shard's writer keeps room: it sweeps beside the puts that pass the high watermark, and on in its idle moments down
// to the low one; and where a put finds no room, it frees what it may before it says so.
extension ShardWriter {
    /// Sweeps in a transaction that took what is in use above the high watermark: about as much as twice what it put.
    func sweepBeside(_ context: inout WriteContext, bytes: Int) throws {
        guard context.usedPages > shard.highPages else { return }
        // Where all is wanted, the next look waits until there is something else to see.
        if barren > shard.mapPages * 4_096 / 2 {
            waiting += bytes
            guard waiting > shard.mapPages * 4_096 / 64 else { return }
            waiting = 0
        }
        // Where puts wait for the writer, it rewrites less.
        shard.heat.spareWrites(isPressed: queue.withLock { $0.mutations.bytes > queueBytes / 3 })
        let excess = (context.usedPages - shard.lowPages) * 4_096
        let wanted = min(excess, 2 * bytes + Limits.smallSweepBytes)
        guard steppingOver > 0 else {
            _ = try sweep(&context, bytes: wanted, .paced, lastGrowing)
            queue.withLock { $0.isSweeping = true }
            return
        }
        // Lately there was no run of pages to rewrite what is hot to: it is left where it is for a while.
        steppingOver -= 1
        let outcome = try sweep(&context, bytes: wanted, .urgent(from: steppedTo, sparesHot: true), lastGrowing)
        steppedTo = outcome.isAtEnd ? 0 : outcome.next
        queue.withLock { $0.isSweeping = true }
    }

    /// Sweeps a little, and notes whether that was enough.
    func sweepIdly() {
        let excess = (usedPages - shard.lowPages) * 4_096
        let outcome = excess > 0 ? sweepStep(bytes: min(excess, shard.batchBytes / 4), .paced, lastGrowing) : nil
        if outcome?.didNothing ?? true || barren > shard.mapPages * 4_096 / 2 {
            queue.withLock { $0.isSweeping = false }
        }
    }

    /// Has namespaces that a batch takes above their maximum give way with what is oldest of their own.
    func makeRoomInQuotas(_ batch: [any Mutation], until deadline: UInt64) {
        var incoming: [UInt32: Int] = [:]
        for mutation in batch { incoming.merge(mutation.incomingBytes, uniquingKeysWith: +) }
        for (namespaceID, bytes) in incoming {
            var excess = shard.quotas.excess(namespaceID, with: bytes)
            var place = quotaPlaces[namespaceID] ?? QuotaPlace()
            // Where a whole search found nothing, the next waits: others' puts are not to wait for it.
            guard excess.bytes > 0, bytes <= excess.maximum, place.restsUntil < Clock.now() else { continue }
            for _ in 0..<Limits.quotaSteps where excess.bytes > 0 && Clock.now() < deadline {
                let manner = Sweep.Manner.urgent(from: place.at, sparesHot: place.sparesHot)
                guard let outcome = sweepStep(bytes: excess.bytes, manner, growing(batch), only: namespaceID) else {
                    break
                }
                excess = shard.quotas.excess(namespaceID, with: bytes)
                place.found += outcome.freedBytes
                place.at = outcome.next
                if !outcome.isAtEnd { continue }
                let isFruitless = !place.sparesHot && place.found == 0
                place = QuotaPlace(sparesHot: !place.sparesHot)
                if isFruitless {
                    place.restsUntil = Clock.deadline(seconds: 1)
                    break
                }
            }
            if quotaPlaces.count >= Limits.activeQuotas { quotaPlaces = [:] }
            quotaPlaces[namespaceID] = place
        }
    }

    /// Where the search through the log for a namespace's own state stands.
    struct QuotaPlace {
        var at: UInt64 = 0
        var sparesHot = true
        /// Bytes freed since the log's old end.
        var found = 0
        /// A reading of ``Clock/now()``.
        var restsUntil: UInt64 = 0
    }

    /// Frees what was dropped, and then sweeps, until there is room for `bytes` more.
    func makeRoom(bytes: Int, growing: Set<UInt64>, until deadline: UInt64) {
        let pages = bytes / 4_096 + 2 * Limits.putsPerCommit
        // What can never fit is not worth anything that is stored.
        guard pages < shard.usablePages else { return }
        var freed = false
        var moved = 0
        var manner = Sweep.Manner.paced
        room: while usedPages + pages > shard.usablePages, Clock.now() < deadline {
            if reapStep() {
                freed = true
                continue
            }
            let wanted = (usedPages + pages - shard.usablePages) * 4_096
            freed = true
            guard let outcome = sweepStep(bytes: wanted, manner, growing) else {
                // There was no run of pages to rewrite what is hot to; stepping over it needs none.
                guard case .paced = manner else { break }
                makeFreedPagesUsable()
                manner = .urgent(from: 0, sparesHot: true)
                continue
            }
            switch manner {
            case .paced:
                moved += outcome.movedBytes
                // Rewriting much to free little takes longer than a page-out waits.
                if outcome.didNothing || moved > 8 * bytes + Limits.smallSweepBytes {
                    manner = .urgent(from: 0, sparesHot: true)
                }
            case .urgent(_, let sparesHot):
                if outcome.isAtEnd && !sparesHot { break room }
                manner =
                    outcome.isAtEnd
                    ? .urgent(from: 0, sparesHot: false) : .urgent(from: outcome.next, sparesHot: sparesHot)
            }
        }
        if freed { makeFreedPagesUsable() }
    }

    /// Frees `bytes` more than there is room for, oldest first. Returns false if there was nothing to free.
    ///
    /// - Parameter place: where the last call ended. What is hot goes only after all else.
    func makeRun(
        bytes: Int, growing: Set<UInt64>, from place: inout (at: UInt64, sparesHot: Bool), until deadline: UInt64
    ) -> Bool {
        var freed = 0
        while Clock.now() < deadline, reapStep() { freed += 1 }
        while freed < bytes, Clock.now() < deadline {
            let manner = Sweep.Manner.urgent(from: place.at, sparesHot: place.sparesHot)
            guard let outcome = sweepStep(bytes: bytes - freed, manner, growing) else { break }
            freed += outcome.freedBytes
            place.at = outcome.next
            if outcome.isAtEnd {
                if !place.sparesHot { break }
                place = (0, false)
            }
        }
        if freed > 0 { makeFreedPagesUsable() }
        return freed > 0
    }

    /// One step of the sweep in a transaction of its own; nil if it failed.
    func sweepStep(
        bytes: Int, _ manner: Sweep.Manner, _ growing: Set<UInt64>, only: UInt32? = nil,
        mayRetry: Bool = true
    ) -> Sweep.Outcome? {
        do {
            var context = try WriteContext.begin(shard, scratch)
            let outcome = try sweep(&context, bytes: bytes, manner, growing, only: only)
            if outcome.didNothing { return outcome }
            let used = context.usedPages
            try context.commit()
            usedPages = used
            lowering.advances = 0
            totals.withLock { $0.commits += 1 }
            returnSpace()
            return outcome
        } catch is BlockShortage {
            returnAllSpace(until: Clock.now() + UInt64(Limits.relieveMilliseconds) * 1_000_000)
            return mayRetry ? sweepStep(bytes: bytes / 4, manner, growing, only: only, mayRetry: false) : nil
        } catch {
            noteFailure(error)
            let isFull = (error as? LMDBError)?.isMapFull ?? false
            log.log(
                level: isFull ? .debug : .error, "a sweep failed",
                metadata: ["shard": "\(shard.index)", "error": "\(error)"])
            return nil
        }
    }

    private func sweep(
        _ context: inout WriteContext, bytes: Int, _ manner: Sweep.Manner, _ growing: Set<UInt64>, only: UInt32? = nil
    ) throws -> Sweep.Outcome {
        let outcome = try Sweep.step(&context, bytes: bytes, manner, growing: growing, only: only)
        barren = outcome.freedBytes > 0 ? 0 : barren + outcome.movedBytes
        totals.withLock {
            $0.sweptBytes += UInt64(outcome.freedBytes)
            $0.movedBytes += UInt64(outcome.movedBytes)
            for (rule, count) in outcome.evicted { $0.evicted[rule] += UInt64(count) }
        }
        return outcome
    }

    /// Commits twice: pages that transaction N freed can be used from N + 2 on, and only a commit that changes something
    /// counts. Without it a store that is too full to commit anything else would never get at the room it has.
    func makeFreedPagesUsable() {
        for _ in 0..<2 {
            do {
                var context = try WriteContext.begin(shard, scratch)
                context.countEmptyCommit()
                try context.commit(.advances)
                lowering.advances += 1
                returnSpace()
            } catch is BlockShortage {
                returnSpace()
            } catch {
                noteFailure(error)
                log.error("a commit failed", metadata: ["shard": "\(shard.index)", "error": "\(error)"])
            }
        }
    }

    /// Frees a few blobs of the graveyard in one transaction. Returns false if there was nothing to free.
    @discardableResult
    func reapStep() -> Bool {
        do {
            var context = try WriteContext.begin(shard, scratch)
            let freed = try Reaper.step(&context)
            if freed.graves == 0 && freed.blobs == 0 {
                queue.withLock { $0.mayHaveGraves = false }
                return false
            }
            let used = context.usedPages
            try context.commit()
            lowering.advances = 0
            failedReaps = 0
            usedPages = used
            totals.withLock { $0.blobsFreed += UInt64(freed.blobs) }
            returnSpace()
            return true
        } catch is BlockShortage {
            // Whoever sweeps next tries again.
            returnAllSpace(until: Clock.now() + UInt64(Limits.relieveMilliseconds) * 1_000_000)
            return false
        } catch {
            noteFailure(error)
            log.error("freeing dropped state failed", metadata: ["shard": "\(shard.index)", "error": "\(error)"])
            failedReaps += 1
            // A full map may need a moment: what was freed last cannot be used yet.
            if failedReaps < 3 {
                makeFreedPagesUsable()
            } else {
                failedReaps = 0
                queue.withLock { $0.mayHaveGraves = false }
            }
            return false
        }
    }
}
