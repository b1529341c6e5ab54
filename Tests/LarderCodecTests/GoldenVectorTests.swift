import Foundation
import LarderCodec
import LarderModel
import LarderSampleState
import LarderTestSupport
import Testing

/// Docs/vectors/chunks.json: chunks that an implementation in Python made from Docs/FORMAT.md.
struct GoldenChunk: Decodable, Sendable, CustomTestStringConvertible {
    struct Bytes: Decodable, Sendable {
        struct Slice: Decodable, Sendable {
            let file: String
            let range: Range<Int>

            init(from decoder: any Decoder) throws {
                var fields = try decoder.unkeyedContainer()
                file = try fields.decode(String.self)
                let offset = try fields.decode(Int.self)
                range = offset..<offset + (try fields.decode(Int.self))
            }
        }

        let base64: String?
        let file: String?
        let `repeat`: String?
        let bytes: Int?
        let crc32c: String?
        let state: [Slice]?
        let convert: String?

        /// The bytes; nil where only a digest is kept.
        func load() throws -> [UInt8]? {
            if let base64 { return Array(try #require(Data(base64Encoded: base64))) }
            if let file { return try Array(contents(vectorDirectory + file)) }
            if let `repeat`, let bytes {
                let pattern = Array(try #require(Data(base64Encoded: `repeat`)))
                return (0..<bytes).map { pattern[$0 % pattern.count] }
            }
            guard let state else { return nil }
            let half = try state.flatMap { try contents(Repository.sampleDirectory + "/" + $0.file)[$0.range] }
            return convert == "bf16" ? SampleState.bfloat16(fromHalf: half) : half
        }

        private func contents(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }
    }

    private struct File: Decodable {
        let vectors: [GoldenChunk]
    }

    static let vectorDirectory = Repository.root + "/Docs/vectors/"

    let name: String
    let elementType: String
    let tokens: UInt32
    let layers: Int
    let planes: Int
    let rows: Int
    let rowBytes: Int
    let blobId: UInt64
    let choice: String
    let encodings: [String]
    let exact: Bool
    let raw: Bytes
    let chunk: Bytes

    var testDescription: String { name }

    var shape: ChunkShape {
        let type = ElementType.allCases.first { $0.name == elementType }!
        return ChunkShape(
            elementType: type, tokens: tokens, layers: layers, planes: planes, rows: rows, rowBytes: rowBytes)
    }

    var encodingChoice: EncodingChoice { EncodingChoice.allCases.first { "\($0)" == choice }! }

    /// Every vector; empty, and then a test fails, if the file cannot be read.
    static let all: [GoldenChunk] = {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        guard let data = FileManager.default.contents(atPath: vectorDirectory + "chunks.json") else { return [] }
        return (try? decoder.decode(File.self, from: data).vectors) ?? []
    }()
}

@Suite("Golden chunks")
struct GoldenVectorTests {
    @Test("There are vectors for every encoding and float type")
    func coverage() {
        #expect(GoldenChunk.all.count >= 50)
        #expect(Set(GoldenChunk.all.flatMap(\.encodings)) == ["raw", "lz4", "cascade"])
        for type in ["bf16", "f16", "f32"] {
            #expect(GoldenChunk.all.contains { $0.elementType == type && $0.encodings.contains("cascade") })
        }
    }

    @Test("A vector decodes to its raw bytes", arguments: GoldenChunk.all)
    func decodes(_ vector: GoldenChunk) throws {
        let raw = try #require(try vector.raw.load())
        guard let bytes = try vector.chunk.load() else { return }
        try expectSame(decodeChunk(bytes, blobID: vector.blobId), raw)
        let places = BlockPlace.all(in: bytes)
        #expect(places.map { Encoding(rawValue: $0.encoding)?.name } == vector.encodings)
    }

    @Test("Every kernel decodes a vector's cascades", arguments: GoldenChunk.all)
    func everyKernelDecodes(_ vector: GoldenChunk) throws {
        let raw = try #require(try vector.raw.load())
        guard let bytes = try vector.chunk.load() else { return }
        let scratch = CodecScratch()
        for place in BlockPlace.all(in: bytes) where place.encoding == Encoding.cascade.rawValue {
            for kernel in CascadeKernel.all {
                let decoded = CascadeRun.decode(
                    Array(bytes[place.stored]), vector.shape.elementType, rawBytes: place.raw.count, kernel, scratch)
                expectSame(decoded, Array(raw[place.raw]), "kernel \(kernel.name)")
            }
        }
    }

    @Test("Encoding a vector's raw bytes gives its chunk, byte for byte", arguments: GoldenChunk.all.filter(\.exact))
    func encodes(_ vector: GoldenChunk) throws {
        let raw = try #require(try vector.raw.load())
        let chunk = encodeChunk(raw, vector.shape, vector.encodingChoice, blobID: vector.blobId)
        if let bytes = try vector.chunk.load() {
            expectSame(chunk, bytes)
        } else {
            let checksum = chunk.withUnsafeBytes { CRC32C.softwareChecksum($0) }
            #expect(chunk.count == vector.chunk.bytes)
            #expect(checksum == UInt32(try #require(vector.chunk.crc32c), radix: 16))
            try expectSame(decodeChunk(chunk, blobID: vector.blobId), raw)
        }
    }
}
