// Which pages are spoken for: each page belongs to one tree or to the free list, and to it once.
import Glibc

/// A set of page numbers: a bitmap for the pages in the file, a hash set for the few free pages beyond its end.
final class PageClaims {
    /// Pages that the bitmap covers, from 0.
    let pages: Int
    private let words: UnsafeMutablePointer<UInt64>
    private var beyond: Set<Int> = []
    /// Pages claimed so far.
    private(set) var count = 0

    /// Covers pages `0..<pages`. nil if there is no memory; the zeroes of calloc(3) cost none until they are used.
    init?(pages: Int) {
        guard let words = calloc(pages / 64 + 1, MemoryLayout<UInt64>.stride) else { return nil }
        self.pages = pages
        self.words = words.assumingMemoryBound(to: UInt64.self)
    }

    deinit { free(words) }

    /// Claims `page`. Returns false if it was claimed before.
    @inline(__always)
    func claim(_ page: Int) -> Bool {
        guard page < pages else {
            guard beyond.insert(page).inserted else { return false }
            count += 1
            return true
        }
        let bit: UInt64 = 1 << UInt64(page & 63)
        if words[page >> 6] & bit != 0 { return false }
        words[page >> 6] |= bit
        count += 1
        return true
    }
}

extension FileChecker {
    /// Claims the run of `count` pages from `first` for the tree that is being walked; all must be in the file.
    ///
    /// - Parameter source: the page that names the run, for the message.
    mutating func claim(_ first: UInt64, count: UInt64, source: Int) throws(FileCheck.Failure) -> Int {
        let last = UInt64(meta.lastPage)
        guard first >= UInt64(LMDBFormat.metaPages), first <= last, count <= last - first + 1 else {
            let run = count == 1 ? "page \(first)" : "\(count) pages at \(first)"
            throw damaged(source, "it points to \(run), outside of 2 to \(last)")
        }
        // No overflow: the last page is inside the map, and the map's size is bounded.
        let end = Int(first + count)
        guard end <= file.bytes / meta.pageBytes else {
            throw .truncated(path: path, fileBytes: file.bytes, neededBytes: end * meta.pageBytes)
        }
        for page in Int(first)..<end {
            guard claims.claim(page) else { throw damaged(page, "it is used twice") }
        }
        return Int(first)
    }

    /// Claims a page for the free list. It may lie beyond the file's end: LMDB writes it before it reads it.
    mutating func claimFree(_ page: UInt64, source: Int) throws(FileCheck.Failure) {
        guard page >= UInt64(LMDBFormat.metaPages), page <= UInt64(meta.lastPage) else {
            throw damaged(source, "it lists free page \(page), outside of 2 to \(meta.lastPage)")
        }
        guard claims.claim(Int(page)) else { throw damaged(Int(page), "it is free, and also in use or free again") }
    }
}
