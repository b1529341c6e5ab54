// LMDB 0.9 trusts its data file: pages carry no checksum, so a damaged pointer is followed out of the map (SIGSEGV,
// SIGBUS), a damaged count fails an assertion (abort), and a damaged free list lets the next commit overwrite pages
// that are in use. `FileCheck` therefore reads the file before LMDB maps it and accepts it only if every page that the
// newest snapshot reaches is what LMDB would have written there:
//  - both meta pages are headers of one environment, and the newest names trees and counts that the walk finds again;
//  - each tree's pages have legal nodes, keys in order between their parent's separators, and the declared depth;
//  - each page of 2...last is reached at most once, by a tree or by the free list, and those in use are in the file.
// What it cannot see is damage that leaves a legal structure: in the bytes of values, in keys that stay in order, in
// unused space. Values are read for the free list only. It never maps the file and bounds every number before use.
//
// The layout is that of mdb.c 0.9.24 (MDB_page, MDB_node, MDB_db, MDB_meta) on a 64-bit little-endian machine.
import Glibc
import LarderSystem

/// Checks the structure of an LMDB data file before LMDB opens it.
public enum FileCheck {
    /// Reads the data file at `path` (`data.mdb`) and throws unless LMDB can use it safely.
    ///
    /// A file that is absent or has no bytes is a new store and passes. The time is that of reading each index page and
    /// the first page of each large value once. Nothing may write the file meanwhile.
    /// - Throws: ``Failure``; the file is never changed.
    @discardableResult
    public static func check(path: String) throws(Failure) -> Report {
        guard let file = try open(path) else { return Report() }
        var checker = try FileChecker(path: path, file: file)
        return try checker.run()
    }

    /// The file with its size, or nil if it is absent or empty.
    private static func open(_ path: String) throws(Failure) -> SizedFile? {
        do throws(SystemError) {
            let descriptor = try Descriptor.open(path, flags: O_RDONLY)
            let bytes = try descriptor.size()
            return bytes == 0 ? nil : SizedFile(descriptor: descriptor, bytes: bytes)
        } catch {
            if error.operation == "open", error.code == ENOENT { return nil }
            throw .system(SystemError(error.operation, path, code: error.code))
        }
    }
}

/// An open file and its length.
struct SizedFile: ~Copyable {
    let descriptor: Descriptor
    let bytes: Int
}

/// One check of one file: what is known of it so far. The sides of the check are in the extensions.
struct FileChecker: ~Copyable {
    let path: String
    let file: SizedFile
    let meta: MetaPage
    /// A page for each level of a tree, so that a branch's separators stay readable while its children are checked.
    let levels: UnsafeMutableRawBufferPointer
    /// The sizes of a page's nodes, by half their offset. All zero between pages.
    let nodeSizes: UnsafeMutableBufferPointer<UInt16>
    /// For what is read between pages.
    let scratch: UnsafeMutableRawBufferPointer
    let claims: PageClaims

    init(path: String, file: consuming SizedFile) throws(FileCheck.Failure) {
        let meta = try FileChecker.newestMeta(of: file, path: path)
        // A page that is in use lies inside the file, so the file's length bounds the memory, whatever the meta says.
        let pages = min(meta.lastPage + 1, file.bytes / meta.pageBytes)
        guard let claims = PageClaims(pages: pages) else {
            throw .system(SystemError("calloc", path, code: ENOMEM))
        }
        self.path = path
        self.file = file
        self.meta = meta
        self.claims = claims
        levels = .allocate(byteCount: LMDBFormat.maximumDepth * meta.pageBytes, alignment: 16)
        nodeSizes = .allocate(capacity: meta.pageBytes / 2)
        nodeSizes.initialize(repeating: 0)
        scratch = .allocate(byteCount: 64 << 10, alignment: 16)
    }

    deinit {
        levels.deallocate()
        nodeSizes.deallocate()
        scratch.deallocate()
    }

    /// Walks the main tree, the named databases in it, and the free list.
    mutating func run() throws(FileCheck.Failure) -> FileCheck.Report {
        var main = Tree(name: "the main database", role: .main, record: meta.main, source: meta.number)
        try check(&main)
        var databases: [FileCheck.NamedDatabase] = []
        databases.reserveCapacity(main.named.count)
        for named in main.named {
            var tree = named
            try check(&tree)
            databases.append(FileCheck.NamedDatabase(tree))
        }
        let treePages = claims.count
        var free = Tree(name: "the free list", role: .free, record: meta.free, source: meta.number)
        try check(&free)
        let inUse = treePages + free.pages + LMDBFormat.metaPages
        return FileCheck.Report(
            pageBytes: meta.pageBytes, lastTransaction: Int(meta.transaction), pagesInUse: inUse,
            freePages: free.freePages, leakedPages: meta.lastPage + 1 - inUse - free.freePages, databases: databases)
    }

    /// The failure that page `page` is damaged, and what is wrong there.
    func damaged(_ page: Int, _ what: String) -> FileCheck.Failure { .damaged(path: path, page: page, what: what) }

    /// Reads `buffer.count` bytes at `offset`; the caller has checked that the file has them.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileCheck.Failure) {
        let count: Int
        do {
            count = try file.descriptor.read(into: buffer, at: offset)
        } catch {
            throw .system(SystemError(error.operation, path, code: error.code))
        }
        // The file shrank while it was read.
        guard count == buffer.count else {
            throw .truncated(path: path, fileBytes: offset + count, neededBytes: offset + buffer.count)
        }
    }
}
