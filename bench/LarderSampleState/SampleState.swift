import LarderModel
import LarderSystem

/// Real attention state of one session, as the bench suite and the tests page it: global and sliding layers with K and V.
///
/// Reads a directory of `sec0_layerNN_K.bin` (global attention, from token 0) and `sec1_layerNN_K.bin` (sliding window, the
/// last tokens), float16, rows of 256; see bench/data/README.md.
public struct SampleState: Sendable {
    /// Elements of a row.
    public static let rowElements = 256
    /// The sliding layers' window in tokens.
    public static let window: UInt32 = 512

    /// The model that the state belongs to: component 0 is global, component 1 sliding.
    public let model: ModelDeclaration
    /// Tokens of the session.
    public let tokens: Int
    /// Planes by component, layer by layer, K before V: each `[tokens][rowElements]` of f16 or bf16.
    public let planes: [[[UInt8]]]
    /// The first token of each component's planes.
    public let firstTokens: [Int]

    /// A piece of a component: what one chunk holds.
    public struct Piece: Sendable {
        /// Component index.
        public let component: UInt16
        /// First token.
        public let offset: Int
        /// Tokens.
        public let tokens: Int
        /// Raw bytes, `[layers][K, V][tokens][row]`.
        public let bytes: [UInt8]

        /// A piece from its fields.
        public init(component: UInt16, offset: Int, tokens: Int, bytes: [UInt8]) {
            self.component = component
            self.offset = offset
            self.tokens = tokens
            self.bytes = bytes
        }
    }

    /// Reads the state in `directory`. Throws ``SystemError`` for a file that cannot be read.
    public init(directory: String, elementType: ElementType = .f16) throws(SystemError) {
        precondition(elementType == .f16 || elementType == .bf16, "the state is kept as 16-bit floats")
        var planes: [[[UInt8]]] = [[], []]
        for section in 0...1 {
            var layer = 0
            while true {
                let number = layer < 10 ? "0\(layer)" : "\(layer)"
                let stem = "\(directory)/sec\(section)_layer\(number)"
                guard layer == 0 || FileSystem.exists("\(stem)_K.bin") else { break }
                for plane in ["K", "V"] {
                    let bytes = try FileSystem.read("\(stem)_\(plane).bin", limit: 64 << 20)
                    planes[section].append(elementType == .bf16 ? Self.bfloat16(fromHalf: bytes) : bytes)
                }
                layer += 1
            }
        }
        let rowBytes = Self.rowElements * 2
        let counts = planes.map { $0[0].count / rowBytes }
        tokens = counts[0]
        firstTokens = [0, counts[0] - counts[1]]
        self.planes = planes
        model = ModelDeclaration(
            name: "gemma-3-270m", revision: "sample", weights: "gemma3-270m-q4-k-m",
            components: [
                Component(
                    name: "global", kind: .attention, elementType: elementType, layers: UInt32(planes[0].count / 2),
                    rowBytes: UInt32(rowBytes)),
                Component(
                    name: "sliding", kind: .sliding, elementType: elementType, layers: UInt32(planes[1].count / 2),
                    rowBytes: UInt32(rowBytes), window: Self.window),
            ])
    }

    /// Cuts the state into chunks that start on multiples of `chunkTokens`.
    public func pieces(chunkTokens: Int) -> [Piece] {
        var pieces: [Piece] = []
        for component in 0...1 {
            var start = firstTokens[component]
            while start < tokens {
                let end = min(tokens, (start / chunkTokens + 1) * chunkTokens)
                pieces.append(piece(component: component, tokens: start..<end))
                start = end
            }
        }
        return pieces
    }

    /// The raw bytes of a token range of a component.
    public func piece(component: Int, tokens range: Range<Int>) -> Piece {
        let rowBytes = Self.rowElements * 2
        let first = firstTokens[component]
        var bytes: [UInt8] = []
        bytes.reserveCapacity(planes[component].count * range.count * rowBytes)
        for plane in planes[component] {
            bytes += plane[(range.lowerBound - first) * rowBytes..<(range.upperBound - first) * rowBytes]
        }
        return Piece(component: UInt16(component), offset: range.lowerBound, tokens: range.count, bytes: bytes)
    }

    /// binary16 values rounded to the nearest bfloat16, ties to even.
    public static func bfloat16(fromHalf bytes: [UInt8]) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: bytes.count)
        bytes.withUnsafeBytes { input in
            output.withUnsafeMutableBytes { output in
                for index in 0..<input.count / 2 {
                    let half = UInt16(littleEndian: input.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self))
                    let single = Self.single(half)
                    let rounded = UInt16(truncatingIfNeeded: (single &+ 0x7FFF &+ (single >> 16 & 1)) >> 16)
                    output.storeBytes(of: rounded.littleEndian, toByteOffset: 2 * index, as: UInt16.self)
                }
            }
        }
        return output
    }

    /// The bits of a finite binary16 as binary32.
    public static func single(_ half: UInt16) -> UInt32 {
        let sign = UInt32(half & 0x8000) << 16
        let exponent = UInt32(half >> 10 & 31)
        let mantissa = UInt32(half & 0x3FF)
        if exponent == 31 { return sign | 0x7F80_0000 | mantissa << 13 }
        if exponent > 0 { return sign | (exponent + 112) << 23 | mantissa << 13 }
        return sign | (Float(mantissa) * 0x1p-24).bitPattern
    }
}
