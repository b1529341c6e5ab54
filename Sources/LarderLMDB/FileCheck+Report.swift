import LarderSystem

extension FileCheck {
    /// What a sound file holds. All zero for a new store.
    public struct Report: Sendable, Hashable {
        /// Bytes of a page; 0 for a new store.
        public var pageBytes = 0
        /// The number of the newest transaction in the file.
        public var lastTransaction = 0
        /// Pages that LMDB needs: the two meta pages, all trees, and the runs of large values.
        public var pagesInUse = 0
        /// Pages in the free list. They may lie beyond the file's end.
        public var freePages = 0
        /// Pages that are neither in use nor free. LMDB never uses them again; a sound file has none or few.
        public var leakedPages = 0
        /// The named databases, in the order of their names.
        public var databases: [NamedDatabase] = []

        /// Pages of the file, whatever they are for: up to the last that LMDB knows of.
        public var pages: Int { pagesInUse + freePages + leakedPages }
        /// Entries of all named databases.
        public var entries: Int { databases.reduce(0) { $0 + $1.entries } }
    }

    /// A named database, as its record and its tree agree.
    public struct NamedDatabase: Sendable, Hashable {
        /// Its name, repaired if it is not UTF-8.
        public let name: String
        /// How its keys are ordered.
        public let keys: Database.Keys
        /// Entries.
        public let entries: Int
        /// Pages of all kinds.
        public let pages: Int

        init(_ tree: Tree) {
            name = tree.databaseName
            keys = tree.hasIntegerKeys ? .integers : .bytes
            entries = tree.entries
            pages = tree.pages
        }
    }

    /// Why LMDB must not open the file. Each description is one sentence that names the file.
    public enum Failure: Error, Sendable, Hashable, CustomStringConvertible {
        /// The file could not be read.
        case system(SystemError)
        /// A page in use lies beyond the file's end: it needs at least `neededBytes`.
        case truncated(path: String, fileBytes: Int, neededBytes: Int)
        /// A page does not hold what it should.
        case damaged(path: String, page: Int, what: String)
        /// The file does not begin with an LMDB meta page.
        case notLMDB(path: String)
        /// The file has a version of the format that LMDB 0.9 does not read.
        case version(path: String, version: UInt32)

        /// True if the file was one that LMDB could use, and is no longer: not if it cannot be read, or is of another version.
        public var isDamage: Bool {
            switch self {
            case .system: false
            case .truncated, .damaged, .notLMDB: true
            // 2 is that of LMDB 1.0, 999 that of its unreleased versions.
            case .version(_, let version): version != 2 && version != 999
            }
        }

        /// One sentence that says what is wrong with which file.
        public var description: String {
            switch self {
            case .system(let error):
                return error.description
            case .truncated(let path, let fileBytes, let neededBytes):
                return "\(path) is cut short: it has \(fileBytes) bytes and needs at least \(neededBytes)"
            case .damaged(let path, let page, let what):
                return "\(path) is damaged at page \(page): \(what)"
            case .notLMDB(let path):
                return "\(path) is not an LMDB data file: its first page has no LMDB header"
            case .version(let path, let version):
                return "\(path) has version \(version) of LMDB's format, and only \(LMDBFormat.version) can be read"
            }
        }
    }
}
