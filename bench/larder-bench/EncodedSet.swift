import ArgumentParser
import LarderCodec
import LarderSystem
import Synchronization

/// A chunk set encoded in this process: the codec's own speed, without a daemon.
final class EncodedSet: @unchecked Sendable {
    /// A layer of a chunk: what a thread takes at a time.
    private struct Piece {
        let chunk: Int
        let layer: Int
    }

    private let set: ChunkSet
    private let rooms: [UnsafeMutableRawBufferPointer]
    private let counts: UnsafeMutableBufferPointer<Int>
    private let pieces: [Piece]

    /// Encodes `set` as a page-out with encoding auto does.
    init(_ set: ChunkSet) {
        self.set = set
        rooms = set.chunks.map { .allocate(byteCount: ChunkEncoder.bound(set.shape(of: $0)), alignment: 64) }
        counts = .allocate(capacity: set.chunks.count)
        pieces = set.chunks.enumerated().flatMap { index, chunk in
            (0..<set.shape(of: chunk).layers).map { Piece(chunk: index, layer: $0) }
        }
        encode(CodecScratch())
    }

    deinit {
        rooms.forEach { $0.deallocate() }
        counts.deallocate()
    }

    /// Bytes that the chunks take.
    var storedBytes: Int { counts.reduce(0, +) }

    /// Encodes all chunks, on this thread.
    func encode(_ scratch: CodecScratch) { for index in rooms.indices { encode(index, scratch) } }

    /// Encodes all chunks `passes` times on `threads` threads. Returns the nanoseconds of a pass.
    func encode(threads: Int, passes: Int) throws -> Double {
        try share(passes * rooms.count, threads, passes) { job, scratch in
            self.encode(job % self.rooms.count, scratch)
        }
    }

    /// Decodes all chunks, on this thread, to memory laid out like the set's.
    func decode(to target: UnsafeMutableRawPointer, _ scratch: CodecScratch) throws {
        for (index, chunk) in set.chunks.enumerated() {
            let stored = try StoredChunk(UnsafeRawBufferPointer(rebasing: rooms[index][..<counts[index]]), blobID: 1)
            let output = UnsafeMutableRawBufferPointer(
                start: target + chunk.range.lowerBound, count: chunk.range.count)
            try stored.decode(layers: 0..<stored.shape.layers, into: output, scratch: scratch)
        }
    }

    /// Decodes all chunks `passes` times on `threads` threads, which share the layers. Returns the nanoseconds of a pass.
    func decode(to target: UnsafeMutableRawBufferPointer, threads: Int, passes: Int) throws -> Double {
        nonisolated(unsafe) let base = target.baseAddress!
        return try share(passes * pieces.count, threads, passes) { job, scratch in
            let piece = self.pieces[job % self.pieces.count]
            let room = self.rooms[piece.chunk][..<self.counts[piece.chunk]]
            let stored = try StoredChunk(UnsafeRawBufferPointer(rebasing: room), blobID: 1)
            let bytes = stored.shape.layerBytes
            let start = base + self.set.chunks[piece.chunk].range.lowerBound + piece.layer * bytes
            try stored.decode(
                layers: piece.layer..<piece.layer + 1,
                into: UnsafeMutableRawBufferPointer(start: start, count: bytes), scratch: scratch)
        }
    }

    /// Has `threads` threads take jobs 0 ..< `jobs` in turn. Returns the nanoseconds of each of `passes`.
    private func share(
        _ jobs: Int, _ threads: Int, _ passes: Int, _ body: @escaping @Sendable (Int, CodecScratch) throws -> Void
    ) throws -> Double {
        let next = Counter()
        return try Threads.run(threads) { _ in
            let scratch = CodecScratch()
            while let job = next.take(below: jobs) { try body(job, scratch) }
        } / Double(passes)
    }

    private func encode(_ index: Int, _ scratch: CodecScratch) {
        let chunk = set.chunks[index]
        let shape = set.shape(of: chunk)
        counts[index] = ChunkEncoder.encode(
            set.bytes(of: chunk), shape: shape, choice: .auto, into: rooms[index], scratch: scratch)
        ChunkHeader.stamp(rooms[index].baseAddress!, blocks: shape.blockCount, blobID: 1)
    }
}

/// Numbers that threads take, each once.
private final class Counter: Sendable {
    private let next = Atomic(0)

    /// The next number, or nil if it is not below `limit`.
    func take(below limit: Int) -> Int? {
        let number = next.wrappingAdd(1, ordering: .relaxed).oldValue
        return number < limit ? number : nil
    }
}
