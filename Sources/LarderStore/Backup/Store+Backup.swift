import LarderLMDB
import LarderModel
import LarderSystem

/// What a backup has come to.
public struct BackupSummary: Sendable {
    /// Shards that were copied.
    public let shards: Int
    /// Bytes of the copy.
    public let bytes: Int
    /// The moment that it is a copy of, seconds since 1970.
    public let createdSeconds: UInt64
}

extension Store {
    /// Copies the store, as it is at one moment, to `directory`: what was committed before it began is in it, what is
    /// committed later is not, in all shards alike. Others read and write meanwhile. Returns when the copy survives power
    /// loss.
    ///
    /// The copy is as long as what is in use. Until a shard is copied, the pages that evictions free in it cannot be used
    /// again: at its cap the store may be `full` for as long.
    ///
    /// - Parameters:
    ///   - directory: an absolute path to nothing or to an empty directory, outside the store's own.
    ///   - progress: told every now and then how many bytes are copied, of about how many; what it throws ends the backup.
    ///
    /// Throws ``LarderError``: `invalidArgument` for the directory, `exists` for one that is not empty, `busy` while another
    /// backup is made or writers do not stand still, `storage` where the file system refuses. What was copied by then is
    /// removed.
    public func backup(
        to directory: String, progress: (_ copiedBytes: Int, _ totalBytes: Int) throws(LarderError) -> Void
    ) throws(LarderError) -> BackupSummary {
        guard backingUp.tryEnter() else {
            throw LarderError(.busy, "another backup is being made; wait until it is done")
        }
        defer { backingUp.leave() }
        let isNew = try prepare(directory)
        do {
            return try copy(to: directory, progress: progress)
        } catch {
            for shard in shards.indices { FileSystem.removeTree("\(directory)/shard-\(shard)") }
            try? FileSystem.remove("\(directory)/\(BackupManifest.name)")
            if isNew { try? FileSystem.removeDirectory(directory) }
            throw Self.backupError(error, directory)
        }
    }

    /// Throws `invalidArgument` for what can be no backup's directory, whatever there is: a path that is not absolute, or
    /// leads into the store's own.
    public func requireBackupTarget(_ directory: String) throws(LarderError) {
        guard directory.hasPrefix("/"), directory.utf8.count <= Limits.pathBytes, !directory.utf8.contains(0) else {
            throw LarderError(
                .invalidArgument,
                "'\(directory.clipped)' is no absolute path of at most \(Limits.pathBytes) bytes; give one on the daemon's "
                    + "machine")
        }
        var parent = directory
        while !FileSystem.exists(parent), let slash = parent.lastIndex(of: "/") { parent = String(parent[..<slash]) }
        let own = FileSystem.resolved(configuration.directory) ?? configuration.directory
        let found = FileSystem.resolved(parent.isEmpty ? "/" : parent) ?? "/"
        guard found != own, !found.hasPrefix(own + "/") else {
            throw LarderError(
                .invalidArgument,
                "\(directory) is inside the store's own \(own), whose size the cap bounds; name another")
        }
    }

    /// Makes the directory, or sees that it is empty. Returns whether it is new.
    private func prepare(_ directory: String) throws(LarderError) -> Bool {
        try requireBackupTarget(directory)
        let isNew = !FileSystem.exists(directory)
        do { try FileSystem.makeDirectory(directory) } catch {
            throw LarderError(.storage, "\(error); name a directory that the daemon's user may write")
        }
        func refuse(_ code: ErrorCode, _ message: String) -> LarderError {
            if isNew { try? FileSystem.removeDirectory(directory) }
            return LarderError(code, message)
        }
        guard let names = FileSystem.names(in: directory) else {
            throw refuse(.storage, "\(directory) cannot be read; name a directory that the daemon's user may use")
        }
        guard names.isEmpty else {
            throw LarderError(
                .exists, "\(directory) is not empty: it holds \(names[0].clipped); name a new or an empty directory")
        }
        return isNew
    }

    private func copy(
        to directory: String, progress: (Int, Int) throws(LarderError) -> Void
    ) throws -> BackupSummary {
        for index in shards.indices { try FileSystem.makeDirectory("\(directory)/shard-\(index)") }
        let (copies, created, total) = try beginCopies()
        var copied = 0
        var toldAt: UInt64 = 0
        try progress(0, total)
        var files: [BackupManifest.File] = []
        for (index, copy) in copies.enumerated() {
            let path = BackupManifest.path(directory, shard: index)
            files.append(
                try copy.write(to: path) { bytes throws(LarderError) in
                    copied += bytes
                    guard Clock.now() >= toldAt else { return }
                    toldAt = Clock.now() + UInt64(Limits.backupProgressMilliseconds) * 1_000_000
                    try progress(copied, max(total, copied))
                })
            // Not needed to use the copy, but then nothing has to be learned anew.
            try? shards[index].heat.save("\(directory)/shard-\(index)/heat")
            try FileSystem.synchronise("\(directory)/shard-\(index)")
        }
        let manifest = BackupManifest(storeID: id, createdSeconds: created, files: files)
        let path = "\(directory)/\(BackupManifest.name)"
        try manifest.text.withUnsafeBytes { bytes in try FileSystem.writeThrough(bytes, to: path) }
        try FileSystem.synchronise(directory)
        log.notice("a backup was made", metadata: ["directory": "\(directory)", "bytes": "\(manifest.bytes)"])
        return BackupSummary(shards: shards.count, bytes: manifest.bytes, createdSeconds: created)
    }

    /// Begins the copies of all shards, of one moment. Returns them with that moment and the bytes that they take, about.
    private func beginCopies() throws -> (copies: [ShardCopy], createdSeconds: UInt64, bytes: Int) {
        var total = 0
        for shard in shards { total += try shard.usedPages(try ReadTransaction.renewed(shard.environment)) * 4_096 }
        // One shard's snapshot is of one moment by itself.
        let still = shards.count == 1 ? nil : try StandStill.begin(writers)
        defer { still?.end() }
        let copies = try shards.map { try ShardCopy($0) }
        for copy in copies { try copy.waitForSnapshot() }
        return (copies, configuration.wallSeconds(), total)
    }

    private static func backupError(_ error: any Error, _ directory: String) -> LarderError {
        switch error {
        case let error as LarderError: error
        case let error as SystemError where error.lacksRoom:
            LarderError(.storage, "\(error); name a directory on a disk with more room")
        case let error as SystemError:
            LarderError(.storage, "\(error); name a directory that the daemon's user may write")
        default: LarderError(.storage, "the backup to \(directory) failed: \(error); look at the daemon's log and disk")
        }
    }
}
