import LarderLMDB
import LarderModel
import LarderSystem
import Logging

// How a shard's writer follows a cap that changes. A higher one moves the map. A lower one holds at once for what is put;
// the writer then sweeps down to it, a little a transaction, and gives the blocks of free pages back to the file system.
extension ShardWriter {
    /// How far a data file is lowered.
    struct Lowering {
        /// How far free pages were given back.
        var returned = Environment.FreePagesScan()
        /// Commits since the last that may have freed pages: two of them, and those can be given back.
        var advances = 0
        /// Where the sweep goes on, and whether it spares what is hot.
        var place: (at: UInt64, sparesHot: Bool) = (0, true)
    }

    /// Gives the data file another part of the cap. Returns when that is in force for what is put from now on.
    ///
    /// Throws `busy` if the map cannot be moved because readers never pause, `storage` if it cannot be larger.
    func set(partBytes: Int) throws(LarderError) {
        queue.signal { queue in
            queue.wantedPart = partBytes
            queue.partAnswer = nil
        }
        let answer = queue.wait { queue -> Result<Void, LarderError>? in
            queue.partAnswer ?? (queue.hasStopped ? .failure(LarderError(.shuttingDown, "the daemon stops")) : nil)
        }!
        try answer.get()
    }

    /// On the writer's thread: see ``set(partBytes:)``.
    func change(part bytes: Int) {
        let wanted = StoreConfiguration.mapBytes(partBytes: bytes)
        var answer = Result<Void, LarderError>.success(())
        do throws(LarderError) {
            if wanted / 4_096 > shard.space.filePages { try raiseMap(bytes: wanted) }
            if bytes < shard.space.partBytes { try comeDown(partBytes: bytes) }
            shard.space.partBytes = bytes
        } catch { answer = .failure(error) }
        shrinkMap()
        lowering = Lowering()
        barren = 0
        let isAbove = shard.isLowered || usedPages > shard.usablePages
        queue.signal { queue in
            queue.partAnswer = answer
            queue.lowersAt = isAbove ? 0 : nil
            queue.isSweeping = true
        }
    }

    /// Sweeps until a lower cap leaves room for the commits that go on from there, where the file has so few blocks that it
    /// would be reached at once: from then on nothing may pass it, not even what frees.
    private func comeDown(partBytes: Int) throws(LarderError) {
        let mapPages = StoreConfiguration.mapBytes(partBytes: partBytes) / 4_096
        guard mapPages < shard.space.filePages, shard.allocatedPages <= partBytes / 4_096 else { return }
        let target = Shard.passablePages(mapPages: mapPages, filePages: shard.space.filePages)
        let deadline = Clock.deadline(seconds: Double(waitSeconds))
        while usedPages > target {
            guard Clock.now() < deadline, lowerBySweep(pages: usedPages - target) else {
                throw LarderError(
                    .busy,
                    "what is stored could not be brought down to a cap so close to it, because it is leased or reserved; "
                        + "try again in \(Limits.leaseSeconds) s")
            }
        }
        returnAllSpace(until: deadline)
    }

    private func raiseMap(bytes: Int) throws(LarderError) {
        for attempt in 1...Limits.remapTries {
            if try moveMap(bytes: bytes, milliseconds: min(attempt, 5) * Limits.remapMilliseconds) { return }
            // Those who waited at the gate go first.
            Clock.sleep(milliseconds: Limits.remapMilliseconds / 4)
        }
        throw LarderError(.busy, "the store was read without a pause, so that its map could not be moved; try again")
    }

    /// Brings the map down to the cap, or to the data file's length if that is more; later, if readers are in the way, or if
    /// more is in use than the cap allows: there may be no free page yet, and what frees needs some.
    private func shrinkMap() {
        guard shard.isLowered, usedPages <= shard.usablePages,
            let last = try? shard.environment.information().lastPage,
            last + 1 < shard.space.filePages
        else { return }
        _ = try? moveMap(bytes: shard.mapPages * 4_096, milliseconds: Limits.remapMilliseconds)
    }

    /// False if readers were in the way.
    private func moveMap(bytes: Int, milliseconds: Int) throws(LarderError) -> Bool {
        let deadline = Clock.now() + UInt64(milliseconds) * 1_000_000
        do throws(LMDBError) {
            guard let found = try shard.environment.setMap(bytes: bytes, until: deadline) else { return false }
            shard.space.filePages = found / 4_096
            return true
        } catch {
            throw LarderError(
                .storage, "\(bytes) bytes of \(shard.directory)/data.mdb cannot be mapped: \(error); set a smaller cap")
        }
    }

    /// One step down to a cap that was lowered: frees a little, or gives back what is free.
    func lower() {
        var isBusy = false
        if usedPages > shard.highPages {
            isBusy = lowerBySweep(pages: usedPages - shard.lowPages)
        }
        if shard.isLowered, !isBusy {
            shrinkMap()
            // What the last steps freed can be given back only after another commit.
            if isAboveCap { makeFreedPagesUsable() }
            isBusy = !returnSpace()
            if !isBusy { lowering.returned = Environment.FreePagesScan() }
        }
        let isDone = usedPages <= shard.highPages && !isAboveCap
        let pause = UInt64(Limits.loweringMilliseconds) * 1_000_000
        queue.withLock { queue in
            if isDone {
                queue.lowersAt = nil
                queue.isSweeping = true
            } else {
                queue.lowersAt = isBusy ? 0 : Clock.now() + pause
            }
        }
    }

    /// True while the data file has more blocks than the cap leaves it, and can give some back.
    private var isAboveCap: Bool {
        shard.isLowered && !shard.space.cannotGiveBack && shard.allocatedPages > shard.space.partBytes / 4_096
    }

    /// Sweeps a little, without rewriting anything: first what is cold, then all that may go. False if nothing went.
    private func lowerBySweep(pages: Int, growing: Set<UInt64>? = nil) -> Bool {
        if reapStep() { return true }
        // Sessions that grow are spared as long as others have anything to give.
        let growing = growing ?? (lowering.place.sparesHot ? lastGrowing : [])
        let manner = Sweep.Manner.urgent(from: lowering.place.at, sparesHot: lowering.place.sparesHot)
        guard let outcome = sweepStep(bytes: min(pages * 4_096, shard.batchBytes / 4), manner, growing) else {
            return false
        }
        lowering.place.at = outcome.next
        guard outcome.isAtEnd else { return true }
        // Once more from the start: first without sparing, and then as before, because what is wanted changes.
        lowering.place = (0, !lowering.place.sparesHot)
        return !outcome.didNothing || !lowering.place.sparesHot
    }

    /// Gets `pages` back from the file system for a commit that lacked them: from what is free, waiting for readers that
    /// still see it, and by a sweep only where that would not be enough. False if there is nothing to get.
    func gainBlocks(pages: Int, growing: Set<UInt64>, until deadline: UInt64) -> Bool {
        let wanted = shard.allocatedPages - pages
        // Where it is not even worth beginning.
        guard wanted > Limits.putsPerCommit else { return false }
        var clears = true
        var barrenRounds = 0
        while Clock.now() < deadline, barrenRounds < Limits.barrenRounds {
            returnAllSpace(until: deadline, downTo: wanted)
            if shard.allocatedPages <= wanted { return true }
            let least = usedPages + usedPages / StoreConfiguration.extentsPerBlock + 8
            if least > wanted || usedPages > shard.usablePages {
                if lowerBySweep(pages: max(pages, usedPages - wanted), growing: growing) {
                    barrenRounds = 0
                } else {
                    barrenRounds += 1
                    Clock.sleep(milliseconds: 1)
                }
            } else {
                if clears { _ = try? shard.environment.clearStaleReaders() }
                clears = false
                Clock.sleep(milliseconds: 1)
            }
        }
        let reader = shard.environment.oldestReader().map { "transaction \($0)" } ?? "nobody"
        log.warning(
            "a commit lacks blocks of the disk under the lowered cap",
            metadata: [
                "shard": "\(shard.index)", "pages": "\(pages)", "allocated": "\(shard.allocatedPages)",
                "used": "\(usedPages)", "part": "\(shard.space.partBytes / 4_096)", "oldest_reader": "\(reader)",
            ])
        return false
    }

    /// Gives back what is free, or will be with two more commits: all, unless it has `pages` of the disk before, or the time
    /// is over.
    func returnAllSpace(until deadline: UInt64, downTo pages: Int = 0) {
        makeFreedPagesUsable()
        while !returnSpace(), shard.allocatedPages > pages, Clock.now() < deadline {}
        if shard.allocatedPages <= pages { return }
        // LMDB sorts what it takes and leaves into older lists, and so pages that were not given back yet.
        lowering.returned = Environment.FreePagesScan()
        while !returnSpace(), shard.allocatedPages > pages, Clock.now() < deadline {}
    }

    /// True if the file comes well below the cap with what can be given back now.
    private var mayComeBelow: Bool {
        guard usedPages <= shard.usablePages, lowering.advances >= 2,
            let last = try? shard.environment.information().lastTransaction
        else { return false }
        // The last that freed is the one before those two.
        return Int(clamping: shard.environment.oldestReader() ?? .max) >= last - 1
    }

    /// Gives back what is free for about ``LarderModel/Limits/returnMilliseconds``. True if nothing is left that may be given
    /// back now.
    ///
    /// While more is in use than a new cap allows, or what was freed last cannot be given back yet, the file stays above the
    /// cap: once it is reached, no commit may pass it again, and what frees could not go on.
    @discardableResult
    func returnSpace() -> Bool {
        guard shard.isLowered, !shard.space.cannotGiveBack else { return true }
        let deadline = Clock.now() + UInt64(Limits.returnMilliseconds) * 1_000_000
        var returnable = Int.max
        let above = shard.allocatedPages - shard.space.partBytes / 4_096
        if above > 0, !mayComeBelow { returnable = above - 1 }
        var isHeld = false
        let descriptor = shard.environment.dataDescriptor
        do {
            try shard.environment.freePages(&lowering.returned) { first, count in
                isHeld = count > returnable
                if isHeld || Clock.now() > deadline { return false }
                try FileSpace.punchHole(descriptor: descriptor, at: first * 4_096, bytes: count * 4_096)
                returnable -= count
                return true
            }
            return isHeld || lowering.returned.isAtEnd
        } catch let error as SystemError where error.code == SystemError.unsupported {
            shard.space.cannotGiveBack = true
            log.warning(
                "the file system takes no space back: the cap holds for what is stored, but the file keeps its size",
                metadata: ["file": "\(shard.directory)/data.mdb"])
        } catch {
            log.error("space could not be given back", metadata: ["shard": "\(shard.index)", "error": "\(error)"])
        }
        return true
    }
}
