import LarderCodec
import LarderModel
import LarderSampleState

/// Chunks of one model with their raw bytes in memory, one after another: what a benchmark pages.
///
/// Written only while it is made, so that threads may share it.
final class ChunkSet: @unchecked Sendable {
    /// One chunk.
    struct Chunk: Sendable {
        let component: UInt16
        /// First token.
        let offset: UInt64
        let tokens: UInt32
        /// Where its raw bytes lie in the set's.
        let range: Range<Int>
    }

    let model: ModelDeclaration
    let chunks: [Chunk]
    /// Raw bytes of all chunks.
    let bytes: UnsafeMutableRawBufferPointer

    /// Lays out `chunks`, which say component, offset and tokens, and has `fill` write the bytes of each.
    private init(
        _ model: ModelDeclaration, _ chunks: [(component: UInt16, offset: UInt64, tokens: UInt32)],
        fill: (Int, UnsafeMutableRawBufferPointer) -> Void
    ) {
        self.model = model
        var end = 0
        self.chunks = chunks.map { chunk in
            let count = model.components[Int(chunk.component)].byteCount(tokens: chunk.tokens)
            defer { end += count }
            return Chunk(
                component: chunk.component, offset: chunk.offset, tokens: chunk.tokens, range: end..<end + count)
        }
        bytes = .allocate(byteCount: end, alignment: 4_096)
        for index in chunks.indices {
            fill(index, UnsafeMutableRawBufferPointer(rebasing: bytes[self.chunks[index].range]))
        }
    }

    deinit { bytes.deallocate() }

    /// The raw bytes of one chunk.
    func bytes(of chunk: Chunk) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[chunk.range]) }

    /// The layout of one chunk.
    func shape(of chunk: Chunk) -> ChunkShape {
        ChunkShape(model.components[Int(chunk.component)], tokens: chunk.tokens)
    }

    /// memcpy(3) of everything, chunk by chunk, to memory that is at least as large.
    func copy(to target: UnsafeMutableRawPointer) {
        for chunk in chunks {
            (target + chunk.range.lowerBound).copyMemory(
                from: bytes.baseAddress! + chunk.range.lowerBound, byteCount: chunk.range.count)
        }
    }
}

extension ChunkSet {
    /// The real state as it is, in chunks of 256 tokens.
    convenience init(_ state: SampleState) {
        let pieces = state.pieces(chunkTokens: 256)
        self.init(state.model, pieces.map { ($0.component, UInt64($0.offset), UInt32($0.tokens)) }) { index, bytes in
            bytes.copyBytes(from: pieces[index].bytes)
        }
    }

    /// The chunks of `set`, again and again, each time 2^20 tokens further, until they are at least `byteCount` bytes: for
    /// work out of cache.
    convenience init(repeating set: ChunkSet, byteCount: Int) {
        let copies = (byteCount + set.bytes.count - 1) / set.bytes.count
        let chunks = (0..<copies).flatMap { copy in
            set.chunks.map { ($0.component, $0.offset + UInt64(copy) << 20, $0.tokens) }
        }
        self.init(set.model, chunks) { index, bytes in
            bytes.copyMemory(from: set.bytes(of: set.chunks[index % set.chunks.count]))
        }
    }

    /// Chunks of one attention component with K and V, made of the values of `state`: each plane is one of the state's,
    /// begun at another row and with some lowest bits changed, so that no two are equal.
    convenience init(valuesOf state: SampleState, chunks: Int, layers: Int, tokens: Int) {
        let rowBytes = SampleState.rowElements * 2
        let model = ModelDeclaration(
            name: "real-\(layers)-layers",
            components: [
                Component(
                    name: "kv", kind: .attention, elementType: state.model.components[0].elementType,
                    layers: UInt32(layers), rowBytes: UInt32(rowBytes))
            ])
        let planes = Array(state.planes.joined())
        let all = (0..<chunks).map { (UInt16(0), UInt64($0 * tokens), UInt32(tokens)) }
        self.init(model, all) { index, target in
            let planeBytes = tokens * rowBytes
            for plane in 0..<2 * layers {
                let source = planes[(index * layers * 2 + plane) % planes.count]
                let first = (index * 37 + plane * 11) * rowBytes % source.count
                let seed = UInt64(index * 2 * layers + plane)
                Self.fill(target[plane * planeBytes..<(plane + 1) * planeBytes], source, first: first, seed: seed)
            }
        }
    }

    /// Copies `source` round and round, from byte `first` on, and flips the lowest bit of one 16-bit value in 64.
    private static func fill(
        _ target: Slice<UnsafeMutableRawBufferPointer>, _ source: [UInt8], first: Int, seed: UInt64
    ) {
        let target = UnsafeMutableRawBufferPointer(rebasing: target)
        var done = 0
        while done < target.count {
            let start = (first + done) % source.count
            let count = min(source.count - start, target.count - done)
            source.withUnsafeBytes {
                (target.baseAddress! + done).copyMemory(from: $0.baseAddress! + start, byteCount: count)
            }
            done += count
        }
        var generator = SplitMix(state: seed)
        for start in stride(from: 0, to: target.count, by: 128) {
            target[start + Int(generator.next() % 64) * 2] ^= 1
        }
    }

    /// Chunks of bytes that nothing shrinks.
    convenience init(incompressible chunks: Int, chunkBytes: Int) {
        let model = ModelDeclaration(
            name: "random-\(chunkBytes)",
            components: [
                Component(
                    name: "kv", kind: .attention, elementType: .bytes, layers: 1, planes: 1, rowBytes: 1_024)
            ])
        let tokens = chunkBytes / 1_024
        let all = (0..<chunks).map { (UInt16(0), UInt64($0 * tokens), UInt32(tokens)) }
        self.init(model, all) { index, bytes in
            var generator = SplitMix(state: UInt64(index) << 32)
            for word in 0..<bytes.count / 8 {
                bytes.storeBytes(of: generator.next(), toByteOffset: word * 8, as: UInt64.self)
            }
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): numbers that are the same in every run.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return Self.mixed(state)
    }

    /// A number that spreads every bit of another over all.
    static func mixed(_ number: UInt64) -> UInt64 {
        var mixed = number
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
