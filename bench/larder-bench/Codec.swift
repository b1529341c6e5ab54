import ArgumentParser
import Foundation
import LarderCodec
import LarderModel
import LarderSampleState
import LarderSystem

/// Ratio and speed of every exact encoding on real state, in this process, on one core.
struct Codec: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ratio and speed of the exact encodings on real state.",
        discussion:
            "f32, fp8 and int8 state is made from the f16 state by conversion, as a cache of that type would hold it.")
    @Option(help: "A directory of state files, as bench/data/README.md describes them.")
    var data = "bench/data/kv"
    @Option(help: "Runs of which the median counts.")
    var runs = 7
    @Flag(help: "Print JSON instead of text.")
    var json = false

    func run() throws {
        let sample = try SampleState(directory: data)
        var measurements: [Measurement] = []
        for type in [ElementType.bf16, .f16, .f32, .f8e4m3, .f8e5m2, .i8] {
            let state = ConvertedState(sample, type)
            for choice in [EncodingChoice.raw, .lz4, .cascade, .auto] {
                for plane in ["k", "v", "all"] { measurements += try measure(state, choice, plane: plane) }
            }
        }
        if json {
            try Measurement.printJSON(measurements)
        } else {
            printTable(measurements)
        }
    }

    private func measure(_ state: ConvertedState, _ choice: EncodingChoice, plane: String) throws -> [Measurement] {
        let planes = state.planes.filter { plane == "all" || $0.name == plane }
        let scratch = CodecScratch()
        let total = planes.reduce(0) { $0 + $1.bytes.count }
        let stored: [UnsafeMutableRawBufferPointer] = planes.map {
            .allocate(byteCount: ChunkEncoder.bound($0.shape), alignment: 64)
        }
        let output = UnsafeMutableRawBufferPointer.allocate(byteCount: planes.map(\.bytes.count).max()!, alignment: 64)
        defer {
            stored.forEach { $0.deallocate() }
            output.deallocate()
        }
        var counts = [Int](repeating: 0, count: planes.count)
        let encode = Stopwatch.median(runs) {
            for (index, plane) in planes.enumerated() {
                counts[index] = plane.bytes.withUnsafeBytes {
                    ChunkEncoder.encode($0, shape: plane.shape, choice: choice, into: stored[index], scratch: scratch)
                }
            }
        }
        for (index, plane) in planes.enumerated() {
            ChunkHeader.stamp(stored[index].baseAddress!, blocks: plane.shape.blockCount, blobID: 1)
        }
        let decode = try Stopwatch.median(runs) {
            for (index, plane) in planes.enumerated() {
                let bytes = UnsafeRawBufferPointer(rebasing: stored[index][..<counts[index]])
                let target = UnsafeMutableRawBufferPointer(rebasing: output[..<plane.bytes.count])
                try StoredChunk(bytes, blobID: 1).decode(
                    layers: 0..<plane.shape.layers, into: target, scratch: scratch)
            }
        }
        let name = "\(state.type.name)_\(choice)_\(plane)"
        let detail = ["bytes": "\(total)", "type": state.type.name, "encoding": "\(choice)", "planes": plane]
        let goal: Double? =
            choice != .auto || plane != "all" ? nil : state.type == .f16 ? 1.16 : state.type == .bf16 ? 1.47 : nil
        return [
            Measurement(
                "codec_ratio_\(name)", Double(total) / Double(counts.reduce(0, +)), unit: "ratio", goal: goal,
                detail: detail),
            Measurement("codec_encode_\(name)", Double(total) / encode, unit: "GB/s", detail: detail),
            Measurement("codec_decode_\(name)", Double(total) / decode, unit: "GB/s", detail: detail),
        ]
    }

    private func printTable(_ measurements: [Measurement]) {
        print("type    encoding  planes   ratio   encode GB/s   decode GB/s")
        for index in stride(from: 0, to: measurements.count, by: 3) {
            let (ratio, encode, decode) = (measurements[index], measurements[index + 1], measurements[index + 2])
            print(
                ratio.detail["type"]!.left(8) + ratio.detail["encoding"]!.left(10) + ratio.detail["planes"]!.left(7)
                    + formatted(ratio.value, 3).right(7) + formatted(encode.value, 2).right(14)
                    + formatted(decode.value, 2).right(14))
        }
    }
}

/// The sample's planes, converted to another element type.
struct ConvertedState {
    struct Plane {
        let name: String
        let shape: ChunkShape
        let bytes: [UInt8]
    }

    let type: ElementType
    let planes: [Plane]

    init(_ sample: SampleState, _ type: ElementType) {
        self.type = type
        planes = sample.planes.joined().enumerated().map { index, half in
            let bytes = Self.convert(half, to: type)
            let rowBytes = SampleState.rowElements * type.byteCount
            let rows = bytes.count / rowBytes
            return Plane(
                name: index % 2 == 0 ? "k" : "v",
                shape: ChunkShape(
                    elementType: type, tokens: UInt32(rows), layers: 1, planes: 1, rows: rows, rowBytes: rowBytes),
                bytes: bytes)
        }
    }

    private static func convert(_ half: [UInt8], to type: ElementType) -> [UInt8] {
        if type == .f16 { return half }
        if type == .bf16 { return SampleState.bfloat16(fromHalf: half) }
        let values = stride(from: 0, to: half.count, by: 2).map {
            Float(bitPattern: SampleState.single(UInt16(half[$0]) | UInt16(half[$0 + 1]) << 8))
        }
        switch type {
        case .f32:
            return values.flatMap { value in withUnsafeBytes(of: noisy(value).bitPattern.littleEndian) { Array($0) } }
        case .f8e4m3: return values.map { eightBits($0, exponentBits: 4, mantissaBits: 3) }
        case .f8e5m2: return values.map { eightBits($0, exponentBits: 5, mantissaBits: 2) }
        default: return quantised(values)
        }
    }

    /// The value with mantissa bits below those that f16 keeps, as arithmetic in f32 would have left them.
    private static func noisy(_ value: Float) -> Float {
        let mixed = value.bitPattern &* 0x9E37_79B1
        return Float(bitPattern: value.bitPattern | (mixed ^ mixed >> 15) & 0x1FFF)
    }

    /// An 8-bit float: rounded to nearest, overflow saturated.
    private static func eightBits(_ value: Float, exponentBits: Int, mantissaBits: Int) -> UInt8 {
        let bias = (1 << (exponentBits - 1)) - 1
        let sign: UInt8 = value.sign == .minus ? 0x80 : 0
        let magnitude = abs(value)
        if magnitude == 0 { return sign }
        let exponent = max(Int(magnitude.exponent), 1 - bias)
        let steps = Int((magnitude / Float(sign: .plus, exponent: exponent - mantissaBits, significand: 1)).rounded())
        let code = steps + (exponent + bias - 1) << mantissaBits
        return sign | UInt8(min(max(code, 0), 0x7E))
    }

    /// 8-bit integers with one scale for each row.
    private static func quantised(_ values: [Float]) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(values.count)
        for start in stride(from: 0, to: values.count, by: SampleState.rowElements) {
            let row = values[start..<min(start + SampleState.rowElements, values.count)]
            let scale = max(row.map { abs($0) }.max()! / 127, .leastNormalMagnitude)
            for value in row { output.append(UInt8(bitPattern: Int8((value / scale).rounded()))) }
        }
        return output
    }
}
