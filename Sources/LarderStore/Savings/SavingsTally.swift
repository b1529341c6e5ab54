import LarderModel

/// What paging brought and took: sums over an hour of a model in a namespace, or over a session.
public struct SavingsTally: Sendable, Hashable {
    /// Tokens of chunks that were newly stored.
    public var storedTokens: UInt64 = 0
    /// Tokens of chunks that were paged in, each time.
    public var restoredTokens: UInt64 = 0
    /// Tokens that were paged in after a resume, up to its offset, each once a resume.
    public var notRecomputedTokens: UInt64 = 0
    /// Raw bytes of chunks that were newly stored, of all components and ranks.
    public var rawBytesOut: UInt64 = 0
    /// Bytes that those took in the store: none for a chunk whose bytes were there under its prefix key.
    public var storedBytesOut: UInt64 = 0
    /// Raw bytes that were paged in.
    public var rawBytesIn: UInt64 = 0
    /// Bytes in the store that were decoded for them.
    public var storedBytesIn: UInt64 = 0

    /// Nothing counted yet.
    public init() {}

    /// Adds another's sums. They wrap rather than trap: a record may say anything.
    public static func += (sum: inout SavingsTally, other: SavingsTally) {
        sum.storedTokens &+= other.storedTokens
        sum.restoredTokens &+= other.restoredTokens
        sum.notRecomputedTokens &+= other.notRecomputedTokens
        sum.rawBytesOut &+= other.rawBytesOut
        sum.storedBytesOut &+= other.storedBytesOut
        sum.rawBytesIn &+= other.rawBytesIn
        sum.storedBytesIn &+= other.storedBytesIn
    }

    /// A chunk that was newly stored.
    init(stored record: ChunkRecord, countsTokens: Bool) {
        storedTokens = countsTokens ? UInt64(record.tokens) : 0
        rawBytesOut = UInt64(record.rawBytes)
        // A chunk that came without bytes of its own has a sequence of its own.
        storedBytesOut = record.sequence == record.blobID ? UInt64(record.storedBytes) : 0
    }

    // MARK: the record

    /// Bytes of a record with its key, about.
    static let recordBytes = 80

    func sealed(key: UnsafeRawBufferPointer) -> [UInt8] {
        var writer = ByteWriter(capacity: 64)
        writer.write(storedTokens)
        writer.write(restoredTokens)
        writer.write(notRecomputedTokens)
        writer.write(rawBytesOut)
        writer.write(storedBytesOut)
        writer.write(rawBytesIn)
        writer.write(storedBytesIn)
        return Record.seal(writer, key: key)
    }

    init(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(LarderError) {
        var reader = try Record.open(value, key: key, "savings")
        storedTokens = try reader.read(UInt64.self, "stored tokens")
        restoredTokens = try reader.read(UInt64.self, "restored tokens")
        notRecomputedTokens = try reader.read(UInt64.self, "not recomputed tokens")
        rawBytesOut = try reader.read(UInt64.self, "raw bytes out")
        storedBytesOut = try reader.read(UInt64.self, "stored bytes out")
        rawBytesIn = try reader.read(UInt64.self, "raw bytes in")
        storedBytesIn = try reader.read(UInt64.self, "stored bytes in")
        try reader.finish("a savings record")
    }
}

/// Whose savings are counted: a model in a namespace.
struct SavingsAccount: Hashable, Sendable {
    let modelID: UInt32
    let namespaceID: UInt32
}

/// An hour of an account: the key of a record.
struct SavingsBucket: Hashable, Sendable {
    /// Hours since 1970.
    let hour: UInt64
    let account: SavingsAccount

    init(hour: UInt64, _ account: SavingsAccount) {
        self.hour = hour
        self.account = account
    }

    /// Nil for the key of another record (``PrefillRate``).
    init?(_ key: UnsafeRawBufferPointer) {
        guard key.count == 16, WordKey.word(key, 0) != PrefillRate.hour else { return nil }
        hour = WordKey.word(key, 0)
        let ids = WordKey.word(key, 1)
        account = SavingsAccount(
            modelID: UInt32(truncatingIfNeeded: ids >> 32), namespaceID: UInt32(truncatingIfNeeded: ids))
    }

    var words: WordKey { WordKey(hour, UInt64(account.modelID) << 32 | UInt64(account.namespaceID)) }
}

/// What one request counts for a session.
struct SessionTally: Sendable {
    let session: UInt64
    let account: SavingsAccount
    var tally: SavingsTally
}

extension [SessionTally] {
    /// Adds to the last entry, if that is the session's own; chunks of one session come together.
    mutating func add(_ tally: SavingsTally, session: UInt64, _ account: SavingsAccount) {
        if let last, last.session == session, last.account == account {
            self[count - 1].tally += tally
        } else {
            append(SessionTally(session: session, account: account, tally: tally))
        }
    }
}
