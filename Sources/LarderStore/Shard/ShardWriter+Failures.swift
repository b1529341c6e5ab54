import LarderLMDB
import LarderModel
import LarderSystem
import Logging

// What a shard's writer makes of a disk that fails it.
extension ShardWriter {
    /// Makes a batch that was committed durable, if any of it asks for that. What fails then is committed all the same.
    func synchronise(_ batch: [any Mutation], _ refusals: [LarderError?]) -> [LarderError?] {
        totals.withLock {
            $0.commits += 1
            $0.syncs += batch.contains(where: \.isDurable) ? 1 : 0
            $0.putBytes += UInt64(batch.reduce(0) { $0 + $1.storedByteCount })
        }
        guard batch.contains(where: \.isDurable) else { return refusals }
        do { try shard.environment.synchronise() } catch {
            log.error("a sync failed", metadata: ["shard": "\(shard.index)", "error": "\(error)"])
            noteFailure(error)
            let failure = LarderError(
                .storage,
                "it is committed, and may not survive power loss: the disk refused to write it through (\(error))")
            return zip(batch, refusals).map { mutation, refusal in refusal ?? (mutation.isDurable ? failure : nil) }
        }
        return refusals
    }

    /// Says once that nothing more can be read or written until the store is opened anew.
    func noteFailure(_ error: any Error) {
        guard !hasFailed else { return }
        func isFatal(_ error: any Error) -> Bool { (error as? LMDBError)?.isFatal ?? false }
        var isDead = isFatal(error)
        // The commit that meets it only says that the write failed.
        if !isDead { do { _ = try ReadTransaction.renewed(shard.environment) } catch { isDead = isFatal(error) } }
        guard isDead else { return }
        hasFailed = true
        log.critical(
            "the disk failed while a commit was written; the store must be opened anew, what was committed is safe",
            metadata: ["shard": "\(shard.index)"])
        onFailure()
    }

    /// What a failed commit means to the peer. LMDB reports a write that the disk had only part of the room for as EIO.
    func writeFailure(_ error: any Error, bytes: Int) -> LarderError {
        if error is BlockShortage {
            return LarderError(
                .full,
                "the cap was lowered, and the store has not come down to where it has room for this chunk; put again "
                    + "later, or raise the cap")
        }
        if let error = error as? LMDBError, error.isMapFull {
            return LarderError(
                .full,
                "the store has no run of free pages for this chunk, and nothing more that may be evicted: it is pinned, "
                    + "under lease, or reserved for namespaces; release pins, drop sessions, or raise the cap")
        }
        let code = (error as? LMDBError)?.code
        let hasRoom = FileSystem.availableBytes(shard.directory).map { $0 > bytes + (1 << 20) } ?? true
        if code == SystemError.noSpace || code == SystemError.quotaExceeded
            || (code == SystemError.inputOutput && !hasRoom)
        {
            return LarderError(.full, "the disk under the store is full; free some of it, then put again")
        }
        return LarderError(.storage, "the store could not be written: \(error); look at the disk, then try again")
    }
}
