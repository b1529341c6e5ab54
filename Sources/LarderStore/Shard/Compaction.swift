import LarderLMDB
import LarderModel
import LarderSystem

/// Makes a data file shorter before it is opened: LMDB writes what is in use to a second file, which then takes its place.
/// Only where both fit the cap together. A crash leaves either file whole; a second file that is left over is removed when the
/// shard is opened next.
enum Compaction {
    /// Where the second file is.
    static func path(_ directory: String) -> String { "\(directory)/data.mdb.new" }

    /// Shortens the file, which has been checked. Returns the pages that it then has, or nil where it stays as it is: there is
    /// no room, or the file system refuses, and the shard is lowered while it is open.
    static func run(_ directory: String, pages: Int, usedPages: Int, _ configuration: StoreConfiguration) -> Int? {
        let part = configuration.partBytes
        guard 2 * usedPages * 4_096 < part else { return nil }
        let target = path(directory)
        do {
            let isCopied = try copy(directory, to: target, usedPages: usedPages, pages: pages, configuration)
            guard isCopied, let size = FileSystem.size(target), size > 0 else {
                try FileSystem.remove(target)
                return nil
            }
            try FileSpace.replace("\(directory)/data.mdb", with: target)
            return size / 4_096
        } catch {
            try? FileSystem.remove(target)
            return nil
        }
    }

    /// False if both files do not fit the cap, with all that the first can give back given back.
    private static func copy(
        _ directory: String, to target: String, usedPages: Int, pages: Int, _ configuration: StoreConfiguration
    ) throws -> Bool {
        let environment = try Environment(
            path: directory, mapBytes: pages * 4_096, databases: 1, readers: configuration.readers)
        let descriptor = environment.dataDescriptor
        var scan = Environment.FreePagesScan()
        try environment.freePages(&scan) { first, count in
            try FileSpace.punchHole(descriptor: descriptor, at: first * 4_096, bytes: count * 4_096)
            return true
        }
        let allocated = try FileSpace.allocatedBytes(descriptor: descriptor)
        let copied = usedPages * 4_096 / StoreConfiguration.extentsPerBlock * (StoreConfiguration.extentsPerBlock + 1)
        guard allocated + copied + 8_192 <= configuration.partBytes else { return false }
        try environment.copyCompacted(to: target)
        return true
    }
}
