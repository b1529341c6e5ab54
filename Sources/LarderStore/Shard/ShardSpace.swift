import LarderLMDB
import LarderModel
import LarderSystem
import Synchronization

// What a shard's data file may take of the disk. As a rule its map is as large as its part of the cap, so that LMDB itself
// cannot pass it. Where the cap was lowered below what the file has, the file is *lowered*: LMDB cannot cut it, so it keeps
// its length and its blocks are given back where it has free pages, and each commit is checked beforehand.

/// The numbers of a shard's space that may change while it is open. Set by its writer.
final class ShardSpace: Sendable {
    private let part: Atomic<Int>
    private let file: Atomic<Int>
    private let refuses = Atomic<Bool>(false)

    init(partBytes: Int, filePages: Int) {
        part = Atomic(partBytes)
        file = Atomic(filePages)
    }

    /// Bytes that the data file may take of the disk.
    var partBytes: Int {
        get { part.load(ordering: .relaxed) }
        set { part.store(newValue, ordering: .relaxed) }
    }

    /// Pages that LMDB's map has: the data file is never longer.
    var filePages: Int {
        get { file.load(ordering: .relaxed) }
        set { file.store(newValue, ordering: .relaxed) }
    }

    /// True once the file system has said that it takes no blocks back.
    var cannotGiveBack: Bool {
        get { refuses.load(ordering: .relaxed) }
        set { refuses.store(newValue, ordering: .relaxed) }
    }
}

/// A commit that the cap has no blocks for: nothing was written.
struct BlockShortage: Error {
    /// Pages that are missing.
    let pages: Int
}

/// What a commit is for, and so how far into the room that is kept for making room it may go.
enum CommitPurpose {
    /// Makes pages that were freed usable, and nothing else: all the way.
    case advances
    /// Frees: so far that the one above stays possible.
    case frees
    /// Changes records: half the way.
    case changes
    /// Stores chunks: not at all.
    case stores
}

extension Shard {
    /// Pages that the cap leaves the data file, less what the file system takes to find them.
    var mapPages: Int { StoreConfiguration.mapBytes(partBytes: space.partBytes) / 4_096 }

    /// True while the data file is, or may become, longer than the cap leaves it.
    var isLowered: Bool { space.filePages > mapPages }

    /// Pages of the disk that the data file has.
    var allocatedPages: Int {
        let bytes = try? FileSpace.allocatedBytes(descriptor: environment.dataDescriptor)
        return ((bytes ?? 0) + 4_095) / 4_096
    }

    /// Pages that data may take: the rest is what LMDB needs to copy pages that it changes.
    var usablePages: Int {
        Self.usablePages(mapPages: mapPages, filePages: space.filePages)
    }

    /// See ``usablePages``, of a cap that leaves `mapPages` to a file of `filePages`.
    static func usablePages(mapPages: Int, filePages: Int) -> Int {
        let usable =
            mapPages - max(mapPages / Limits.sparePart, min(mapPages / Limits.sparePartSmall, Limits.sparePages))
        guard filePages > mapPages else { return usable }
        // Beside that, what was freed and not given back yet, and what one commit may write before it can be.
        let list = WriteTransaction.freeListPages(filePages: filePages)
        return usable - keptPages(for: .stores, mapPages: mapPages, filePages: filePages)
            - batchBytes(mapPages: mapPages) / 4_096 - 2 * list
    }

    /// Pages that data may take of a lowered file at most, if commits that free are to have room.
    static func passablePages(mapPages: Int, filePages: Int) -> Int {
        mapPages - 2 * keptPages(for: .frees, mapPages: mapPages, filePages: filePages)
            - min(mapPages / 16, Limits.reservedPages)
    }

    /// Pages of a lowered file that a commit leaves, so that what makes room can always commit: two commits that make freed
    /// pages usable, at the least.
    ///
    /// - Parameter freeTreePages: pages of the tree that holds the list of free pages.
    private static func keptPages(
        for purpose: CommitPurpose, mapPages: Int, filePages: Int, freeTreePages: Int = 8
    ) -> Int {
        let least = 3 * WriteTransaction.freeListPages(filePages: filePages) + 4 * freeTreePages + 64
        let more = min(mapPages / 16, Limits.reservedPages)
        return switch purpose {
        case .advances: 0
        case .frees: least
        case .changes: least + more / 2
        case .stores: least + more
        }
    }

    /// Bytes that one transaction commits together, unless a single chunk is larger: few enough that what it frees, which
    /// can be used two commits later, is not missed.
    var batchBytes: Int { Self.batchBytes(mapPages: mapPages) }

    private static func batchBytes(mapPages: Int) -> Int {
        min(Limits.bytesPerCommit, max(mapPages * 4_096 / 32, 256 << 10))
    }

    /// Throws ``BlockShortage`` where a commit might take a lowered file above its part of the cap. While the file is above
    /// it, because the cap has only just been lowered, only what frees goes on; and so it does where more is in use than
    /// leaves room for that, which a store has only if it was opened with a cap just below what it holds.
    ///
    /// - Parameter usedPages: pages in use before the transaction.
    func requireBlocks(
        _ transaction: borrowing WriteTransaction, _ purpose: CommitPurpose, usedPages: Int
    ) throws {
        guard isLowered, !space.cannotGiveBack else { return }
        let limit = space.partBytes / 4_096
        let allocated = allocatedPages
        if purpose == .frees || purpose == .advances {
            let passable = Self.passablePages(mapPages: mapPages, filePages: space.filePages)
            if allocated > limit || usedPages > passable { return }
        }
        let dirty = try transaction.dirtyPagesAtMost(databases.all, filePages: space.filePages)
        let kept = Self.keptPages(
            for: purpose, mapPages: mapPages, filePages: space.filePages,
            freeTreePages: try transaction.freeTreePages() + 2)
        // Each page may be an extent of its own.
        let missing = allocated + dirty + dirty / StoreConfiguration.extentsPerBlock + 1 + kept - limit
        if missing > 0 { throw BlockShortage(pages: missing) }
    }
}
