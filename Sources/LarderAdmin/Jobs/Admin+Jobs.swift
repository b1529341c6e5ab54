import LarderModel
import LarderServer
import LarderStore
import LarderSystem

extension Admin {
    /// Reads and checks every chunk of a session, or of all.
    func startVerify(session: UInt64?) throws(LarderError) -> Jobs.Job {
        if let session { try reader.requireAccess(session: session, .read) }
        return try jobs.start(.verify) { [self] handle throws(LarderError) in
            let reader = reader
            let sessions = session == nil ? store.sessionCount : 1
            handle.update {
                $0.unit = "sessions"
                $0.total = UInt64(sessions)
                $0.result = ["checked_chunks": 0, "damaged_chunks": 0, "raw_bytes": 0]
            }
            if let session { return try verify(session, reader, handle) }
            var next: UInt64 = 0
            repeat {
                let page = try reader.sessions(namespace: "", after: next)
                for session in page.sessions where !handle.isCancelled {
                    do throws(LarderError) { try verify(session.id, reader, handle) } catch {
                        // It was dropped meanwhile.
                        if error.code != .unknownSession { throw error }
                    }
                }
                next = handle.isCancelled ? 0 : page.next
            } while next != 0
        }
    }

    private func verify(_ session: UInt64, _ reader: StoreReader, _ handle: Jobs.Handle) throws(LarderError) {
        var next: ChunkPosition? = ChunkPosition()
        while let position = next, !handle.isCancelled {
            let found = try reader.verify(session: session, from: position)
            handle.update { job in
                job.result["checked_chunks", default: 0] += UInt64(found.checked)
                job.result["damaged_chunks", default: 0] += UInt64(found.damaged.count)
                job.result["raw_bytes", default: 0] += UInt64(found.rawBytes)
                for damage in found.damaged where job.findings.count < Jobs.findings {
                    let place = damage.position
                    job.findings.append(
                        "session \(session), rank \(place.rank), component \(place.component), offset \(place.offset): "
                            + damage.reason)
                }
            }
            next = found.next
        }
        handle.update { $0.done += 1 }
    }

    /// Has the compactor free what was dropped and sweep to its low watermark; and, if `bytes` is above 0, evict that much,
    /// oldest first.
    func startCompact(bytes: Int) throws(LarderError) -> Jobs.Job {
        try jobs.start(.compact) { [self] handle throws(LarderError) in
            handle.update {
                $0.unit = "bytes"
                $0.total = UInt64(bytes)
            }
            let freed = try store.compact(bytes: bytes) { freed in
                handle.update { $0.done = UInt64(freed) }
                return !handle.isCancelled
            }
            // What was dropped goes in the writers' idle moments.
            while store.isCompacting, !handle.isCancelled { Clock.sleep(milliseconds: 50) }
            handle.update { $0.result = ["freed_bytes": UInt64(freed)] }
        }
    }

    /// Writes a copy of the store to a new directory on the daemon's machine, while it serves.
    func startBackup(to directory: String) throws(LarderError) -> Jobs.Job {
        try store.requireBackupTarget(directory)
        return try jobs.start(.backup) { [self] handle throws(LarderError) in
            handle.update { $0.unit = "bytes" }
            let made = try store.backup(to: directory) { copied, total throws(LarderError) in
                handle.update {
                    $0.done = UInt64(copied)
                    $0.total = UInt64(total)
                }
                if handle.isCancelled { throw LarderError(.shuttingDown, "the backup was cancelled and removed") }
            }
            handle.update { $0.result = ["bytes": UInt64(made.bytes)] }
        }
    }
}
