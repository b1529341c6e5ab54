import LarderModel
import LarderSystem

/// Chunks that were newly written, their raw and their stored bytes, by the encoding of most of each.
public struct EncodingTally: Sendable {
    /// The sums of one encoding.
    public struct Sums: Sendable, Hashable {
        /// Chunks.
        public var chunks: UInt64 = 0
        /// Bytes before encoding.
        public var rawBytes: UInt64 = 0
        /// Bytes in the store.
        public var storedBytes: UInt64 = 0
    }

    private var raw = Sums()
    private var lz4 = Sums()
    private var cascade = Sums()

    init() {}

    /// The sums of an encoding.
    public internal(set) subscript(encoding: Encoding) -> Sums {
        get {
            switch encoding {
            case .raw: raw
            case .lz4: lz4
            case .cascade: cascade
            }
        }
        set {
            switch encoding {
            case .raw: raw = newValue
            case .lz4: lz4 = newValue
            case .cascade: cascade = newValue
            }
        }
    }

    mutating func add(_ record: ChunkRecord) {
        self[record.encoding].chunks += 1
        self[record.encoding].rawBytes += UInt64(record.rawBytes)
        self[record.encoding].storedBytes += UInt64(record.storedBytes)
    }
}

/// The sum of what puts wrote, since the store was opened.
final class EncodingCounts: Sendable {
    private let sums = Monitor(EncodingTally())

    var total: EncodingTally { sums.withLock { $0 } }

    func add(_ tally: EncodingTally) {
        sums.withLock { sums in
            for encoding in Encoding.allCases {
                sums[encoding].chunks &+= tally[encoding].chunks
                sums[encoding].rawBytes &+= tally[encoding].rawBytes
                sums[encoding].storedBytes &+= tally[encoding].storedBytes
            }
        }
    }
}
