import LarderLMDB
import LarderModel
import LarderSystem

extension Store {
    /// Throws unless a backup can be begun in `directory`: an absolute path without links to elsewhere in it, that does not
    /// exist, in a directory that does, outside the store's own.
    public func requireBackupTarget(_ directory: String) throws(LarderError) {
        func refuse(_ reason: String) -> LarderError {
            LarderError(.invalidArgument, "'\(directory.clipped)' \(reason)")
        }
        let parts = directory.split(separator: "/", omittingEmptySubsequences: false)
        guard directory.hasPrefix("/"), parts.count > 1,
            !parts.dropFirst().contains(where: { $0.isEmpty || $0 == "." || $0 == ".." }),
            !directory.utf8.contains(0), directory.utf8.count < 1_024
        else { throw refuse("is no absolute path without '.', '..' and empty parts; give one on the daemon's machine") }
        let parent = parts.count == 2 ? "/" : parts.dropLast().joined(separator: "/")
        guard let real = FileSystem.resolved(parent), FileSystem.isDirectory(parent) else {
            throw refuse("is in no directory that exists; make \(parent.clipped) first")
        }
        if FileSystem.exists(directory) { throw refuse("exists; name a new directory") }
        let own = FileSystem.resolved(configuration.directory) ?? configuration.directory
        guard real != own, !real.hasPrefix(own + "/") else {
            throw refuse("is inside the store; choose a place outside \(own)")
        }
    }

    /// Writes a copy of every shard to a new directory of mode 0700, without gaps, while the store is in use, and returns
    /// when it survives power loss. Each shard is copied as it is at one moment; shard 0, which names what others refer to,
    /// last. While a shard is copied, what is freed in it cannot be used again, and the cap cannot be changed.
    ///
    /// - Parameter progress: told after each shard how many are done; false ends it, and removes what there is.
    /// - Returns: bytes written.
    public func backup(to directory: String, progress: (Int) -> Bool) throws(LarderError) -> Int {
        try requireBackupTarget(directory)
        do {
            try FileSystem.createDirectory(directory)
            do {
                for (count, shard) in shards.reversed().enumerated() {
                    let place = "\(directory)/shard-\(shard.index)"
                    try FileSystem.createDirectory(place)
                    try shard.environment.copyLive(to: "\(place)/data.mdb.new")
                    try FileSpace.replace("\(place)/data.mdb", with: "\(place)/data.mdb.new")
                    guard progress(count + 1) else {
                        FileSystem.removeTree(directory)
                        return 0
                    }
                }
            } catch {
                FileSystem.removeTree(directory)
                throw error
            }
        } catch {
            throw LarderError(
                .storage, "the backup to \(directory.clipped) failed and was removed: \(error); look at the disk there")
        }
        let bytes = FileSystem.treeBytes(directory)
        log.notice("backup written", metadata: ["directory": "\(directory)", "bytes": "\(bytes)"])
        return bytes
    }

    /// Sessions in all shards.
    public var sessionCount: Int {
        shards.reduce(0) { sum, shard in
            guard let transaction = try? ReadTransaction.renewed(shard.environment) else { return sum }
            return sum + ((try? transaction.statistics(shard.databases.sessions).entries) ?? 0)
        }
    }

    /// True while a writer has dropped state to free, or sweeps.
    public var isCompacting: Bool { writers.contains { $0.isCompacting } }
}

extension ShardWriter {
    fileprivate var isCompacting: Bool { queue.withLock { $0.mayHaveGraves || $0.isSweeping } }
}
