import LarderLMDB
import LarderModel
import LarderSystem

extension Store {
    /// The most bytes that the store may take now: what it was opened with, or what ``setCap(_:)`` set.
    public var capBytes: Int { cap.load(ordering: .relaxed) }

    /// Bytes that the files of the store, and their directories, take of the disk.
    public var diskBytes: Int {
        FileSpace.allocatedBytes(configuration.directory) - SetAside.bytes(in: configuration.directory)
    }

    /// Changes the cap, until the store is opened again. Returns when it holds for all that is put from then on; where it is
    /// lower than what the store takes, that comes down to it in the background.
    ///
    /// Throws ``LarderError``: `invalidArgument` for a cap below the smallest workable store, above the largest, or below
    /// what namespaces are to keep; `busy` if readers never pause; `storage` if so much cannot be mapped.
    public func setCap(_ bytes: Int) throws(LarderError) {
        try changingCap.withLock { _ throws(LarderError) in
            var changed = configuration
            changed.capBytes = bytes
            try changed.validate()
            for shard in shards {
                try changed.requireWorkable(path: "\(shard.directory)/data.mdb", filePages: shard.filePages)
            }
            try requireMinima(changed)
            for (index, writer) in writers.enumerated() {
                do throws(LarderError) { try writer.set(partBytes: changed.partBytes) } catch {
                    // All shards or none. What was raised goes back, which cannot fail.
                    changed.capBytes = capBytes
                    for writer in writers[..<index] { try? writer.set(partBytes: changed.partBytes) }
                    throw error
                }
            }
            cap.store(bytes, ordering: .relaxed)
            log.notice("the cap was changed", metadata: ["cap_bytes": "\(bytes)"])
        }
    }

    /// Throws unless a cap leaves room for what namespaces are to keep.
    private func requireMinima(_ changed: StoreConfiguration) throws(LarderError) {
        let usable = shards.reduce(0) {
            $0 + Shard.usablePages(mapPages: changed.mapBytes / 4_096, filePages: $1.filePages) * 4_096
        }
        var minima: UInt64 = 0
        for namespace in catalog.namespaces {
            minima = minima.addingReportingOverflow(namespace.policy.minBytes).partialValue
        }
        guard minima <= UInt64(max(0, usable)) else {
            throw LarderError(
                .invalidArgument,
                "a cap of \(changed.capBytes) bytes leaves \(max(0, usable)) for data, and namespaces are to keep "
                    + "\(minima); lower a namespace's minimum first")
        }
    }
}

extension Shard {
    /// Pages that the data file is long.
    fileprivate var filePages: Int { (FileSystem.size("\(directory)/data.mdb") ?? 0) / 4_096 }
}
