import LarderCodec
import LarderLMDB
import LarderModel
import LarderSystem

/// The copy of one shard: LMDB writes the snapshot into a pipe on a thread of its own, and this side takes it out, so that it
/// can be counted, checksummed and given up.
final class ShardCopy: @unchecked Sendable {
    private let shard: Shard
    private let pipe: Pipe
    /// The end of LMDB's part: nil while it goes on, then what went wrong, if anything.
    private let outcome = Monitor<Result<Void, LMDBError>?>(nil)
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Limits.backupBytes, alignment: 4_096)
    private var buffered = 0
    private var isAtEnd = false

    /// Begins to copy.
    init(_ shard: Shard) throws(SystemError) {
        self.shard = shard
        pipe = try Pipe()
        do throws(SystemError) {
            try WorkerThread(name: "backup-\(shard.index)") { [shard, pipe, outcome] in
                let result: Result<Void, LMDBError>
                do throws(LMDBError) {
                    result = .success(try shard.environment.copyCompacted(toDescriptor: pipe.writingDescriptor))
                } catch { result = .failure(error) }
                pipe.closeWriting()
                outcome.signal { $0 = result }
            }.detach()
        } catch {
            outcome.withLock { $0 = .success(()) }
            throw error
        }
    }

    deinit {
        // LMDB's part ends when nobody reads, and the environment must outlive it.
        pipe.closeReading()
        _ = outcome.wait { $0 == nil ? nil : true }
        buffer.deallocate()
    }

    /// Returns when the moment has passed that this is a copy of: with the first bytes.
    func waitForSnapshot() throws(SystemError) { try fill() }

    private func fill() throws(SystemError) {
        guard !isAtEnd, buffered < buffer.count else { return }
        let count = try pipe.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[buffered...]))
        buffered += count
        isAtEnd = count == 0
    }

    /// Writes the copy to a new file at `path` that survives power loss, and returns its length and checksum.
    ///
    /// - Parameter progress: told the bytes of each part that was written; what it throws ends the copy.
    func write(
        to path: String, progress: (Int) throws(LarderError) -> Void
    ) throws -> BackupManifest.File {
        let file = try Descriptor.create(path)
        var written = BackupManifest.File(bytes: 0, checksum: 0)
        while true {
            while buffered < buffer.count, !isAtEnd { try fill() }
            if buffered == 0 { break }
            let part = UnsafeRawBufferPointer(rebasing: buffer[..<buffered])
            written.checksum = CRC32C.checksum(part, continuing: written.checksum)
            do { try file.write(part) } catch { throw SystemError(error.operation, path, code: error.code) }
            written.bytes += buffered
            try progress(buffered)
            buffered = 0
        }
        try outcome.wait { $0 }!.get()
        do { try file.synchroniseData() } catch { throw SystemError(error.operation, path, code: error.code) }
        return written
    }
}
