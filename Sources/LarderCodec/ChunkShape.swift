import LarderModel

/// How a chunk's raw bytes are laid out, `[layers][planes][rows][rowBytes]`, and how they are cut into blocks.
///
/// A block never crosses a plane, so that each has one set of channels and a layer can be read by itself.
public struct ChunkShape: Sendable, Hashable {
    /// Number format.
    public let elementType: ElementType
    /// Tokens that the chunk covers; 0 for a recurrent state.
    public let tokens: UInt32
    /// Layers.
    public let layers: Int
    /// Planes in a layer.
    public let planes: Int
    /// Rows in a plane: tokens, or 1 for a recurrent state.
    public let rows: Int
    /// Bytes of a row.
    public let rowBytes: Int

    /// The shape of a chunk of `tokens` tokens of `component`.
    public init(_ component: Component, tokens: UInt32) {
        self.init(
            elementType: component.elementType, tokens: component.kind == .recurrent ? 0 : tokens,
            layers: Int(component.layers), planes: Int(component.planes), rows: component.rows(tokens: tokens),
            rowBytes: Int(component.rowBytes))
    }

    /// A shape from its fields.
    public init(elementType: ElementType, tokens: UInt32, layers: Int, planes: Int, rows: Int, rowBytes: Int) {
        self.elementType = elementType
        self.tokens = tokens
        self.layers = layers
        self.planes = planes
        self.rows = rows
        self.rowBytes = rowBytes
    }

    /// Bytes of one plane.
    public var planeBytes: Int { rows * rowBytes }
    /// Bytes of one layer.
    public var layerBytes: Int { planes * planeBytes }
    /// Bytes of the whole chunk.
    public var rawBytes: Int { layers * layerBytes }
    /// Bytes of every block of a plane but the last: whole rows where a row fits in a block.
    public var blockBytes: Int {
        rowBytes <= Limits.blockBytes ? Limits.blockBytes / rowBytes * rowBytes : Limits.blockBytes
    }
    /// Blocks of one plane.
    public var blocksPerPlane: Int { (planeBytes + blockBytes - 1) / blockBytes }
    /// Blocks of the whole chunk.
    public var blockCount: Int { layers * planes * blocksPerPlane }

    /// Where block `index` lies in the raw bytes.
    public func blockRange(_ index: Int) -> Range<Int> {
        let (plane, piece) = index.quotientAndRemainder(dividingBy: blocksPerPlane)
        let start = plane * planeBytes + piece * blockBytes
        return start..<min(start + blockBytes, (plane + 1) * planeBytes)
    }

    /// The blocks of a range of layers.
    public func blocks(ofLayers range: Range<Int>) -> Range<Int> {
        range.lowerBound * planes * blocksPerPlane..<range.upperBound * planes * blocksPerPlane
    }

    /// True if every field is within ``Limits`` and the sizes agree, whatever wrote them.
    var isWithinLimits: Bool {
        guard (1...Int(Limits.layers)).contains(layers), (1...Int(Limits.planes)).contains(planes),
            (1...Int(Limits.rowBytes)).contains(rowBytes), rows >= 1, rows <= Int(Limits.tokensPerChunk),
            tokens == 0 ? rows == 1 : Int(tokens) == rows,
            rowBytes % elementType.byteCount == 0
        else { return false }
        return rawBytes <= Limits.chunkBytes && blockCount <= Limits.blocksPerChunk
    }
}
