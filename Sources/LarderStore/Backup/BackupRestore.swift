import LarderCodec
import LarderLMDB
import LarderModel
import LarderSystem
import Logging

/// Makes a store of a backup.
public enum BackupRestore {
    /// Copies the backup in `backup` to `target`, the `data_dir` of a daemon that is stopped: checks every byte against the
    /// backup's checksums, then the structure of each file, then that the store can be opened. The new files get the owner
    /// that the directory has (or, if it is new, the one above it) where this user may give files away.
    ///
    /// - Parameters:
    ///   - target: nothing, or an empty directory.
    ///   - progress: told how many bytes are copied, of how many.
    ///
    /// Throws ``LarderError``: `exists` for a directory that is not empty, `storeUnusable` for a backup that is not whole,
    /// `storage` where the file system refuses. What was copied by then is removed.
    public static func run(
        from backup: String, to target: String, progress: (_ copiedBytes: Int, _ totalBytes: Int) -> Void
    ) throws(LarderError) -> BackupManifest {
        var directory = target
        while directory.count > 1, directory.last == "/" { directory.removeLast() }
        let manifest = try BackupManifest(in: backup)
        let isNew = !FileSystem.exists(directory)
        do { try FileSystem.makeDirectory(directory) } catch {
            throw LarderError(.storage, "\(error); name a directory that you may write")
        }
        guard let names = FileSystem.names(in: directory) else {
            throw LarderError(.storage, "\(directory) cannot be read; name a directory that you may use")
        }
        guard names.isEmpty else {
            throw LarderError(
                .exists,
                "\(directory) is not empty: it holds \(names[0].clipped); name an empty directory, or move what is there aside"
            )
        }
        do {
            let lock = try LockFile.acquire("\(directory)/larderd.lock")
            try copy(manifest, backup, directory, progress)
            // The check takes the lock itself; a daemon that is started now finds the files, whole.
            _ = consume lock
            try check(directory)
            copyHeat(manifest, backup, directory)
            try handOver(directory, isNew: isNew)
            return manifest
        } catch {
            for shard in manifest.files.indices { FileSystem.removeTree("\(directory)/shard-\(shard)") }
            try? FileSystem.remove("\(directory)/larderd.lock")
            if isNew { try? FileSystem.removeDirectory(directory) }
            throw restoreError(error)
        }
    }

    private static func copy(
        _ manifest: BackupManifest, _ backup: String, _ directory: String, _ progress: (Int, Int) -> Void
    ) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Limits.backupBytes, alignment: 4_096)
        defer { buffer.deallocate() }
        var copied = 0
        for (shard, file) in manifest.files.enumerated() {
            let path = BackupManifest.path(backup, shard: shard)
            let target = BackupManifest.path(directory, shard: shard)
            try FileSystem.makeDirectory("\(directory)/shard-\(shard)")
            let source = try Descriptor.reading(path)
            let copy = try Descriptor.create(target)
            var found = BackupManifest.File(bytes: 0, checksum: 0)
            while true {
                let count = try source.read(into: buffer, at: found.bytes)
                if count == 0 { break }
                let part = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                found.checksum = CRC32C.checksum(part, continuing: found.checksum)
                found.bytes += count
                guard found.bytes <= file.bytes else { break }
                do { try copy.write(part) } catch { throw SystemError(error.operation, target, code: error.code) }
                copied += count
                progress(copied, manifest.bytes)
            }
            guard found == file else {
                throw LarderError(
                    .storeUnusable,
                    found.bytes == file.bytes
                        ? "\(path) is damaged: its checksum is not that of the backup; use another backup"
                        : "\(path) is not as long as it was made, \(file.bytes) bytes; use another backup")
            }
            try copy.synchroniseData()
            try FileSystem.synchronise("\(directory)/shard-\(shard)")
        }
        try FileSystem.synchronise(directory)
    }

    /// Opens the new store to look at it: the structure of its files is checked, their format, and that they belong together.
    private static func check(_ directory: String) throws {
        let store = try Store(
            StoreConfiguration.inspecting(directory), log: Logger(label: "restore") { _ in SwiftLogNoOpLogHandler() })
        store.close()
    }

    /// Copies what is remembered of the use of chunks. It has checksums of its own; without it, all is learned anew.
    private static func copyHeat(_ manifest: BackupManifest, _ backup: String, _ directory: String) {
        for shard in manifest.files.indices {
            guard let heat = try? FileSystem.read("\(backup)/shard-\(shard)/heat", limit: Limits.heatFileBytes) else {
                continue
            }
            try? FileSystem.write(heat, to: "\(directory)/shard-\(shard)/heat")
        }
    }

    /// Gives root's new files to the one whose directory they are in.
    private static func handOver(_ directory: String, isNew: Bool) throws {
        guard Process.userID == 0 else { return }
        let parent = directory.lastIndex(of: "/").map { String(directory[..<$0]) } ?? "."
        guard let owner = FileSystem.owner(isNew ? (parent.isEmpty ? "/" : parent) : directory) else { return }
        func give(_ path: String) throws {
            try FileSystem.give(path, to: owner)
            for name in FileSystem.names(in: path) ?? [] { try give("\(path)/\(name)") }
        }
        try give(directory)
    }

    private static func restoreError(_ error: any Error) -> LarderError {
        switch error {
        case let error as LarderError: error
        case is LockFile.Failure:
            LarderError(.storeUnusable, "another process has begun to use the directory; stop it, and restore again")
        case let error as SystemError where error.lacksRoom:
            LarderError(.storage, "\(error); free some of the disk")
        case let error as SystemError: LarderError(.storage, "\(error); use files and directories that you may use")
        default: LarderError(.storage, "\(error)")
        }
    }
}
