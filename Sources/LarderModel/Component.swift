/// What kind of state a component holds, and hence what a resume point needs of it.
public enum ComponentKind: UInt8, Sendable, CaseIterable, Codable {
    /// Bytes per token; needed whole, from token 0.
    case attention = 1
    /// Bytes per token; only the last `window` tokens before the resume point are needed.
    case sliding = 2
    /// A state of fixed size, valid at exactly one offset (Mamba, KDA, DeltaNet).
    case recurrent = 3
}

/// One kind of state in a model.
///
/// A chunk's bytes are laid out `[layers][planes][tokens][rowBytes]` (recurrent: `[layers][planes][rowBytes]`),
/// so that a layer is contiguous. K and V are two planes.
public struct Component: Sendable, Hashable, Codable {
    /// Name, unique in the model: 1 to ``Limits/nameBytes`` bytes of UTF-8.
    public var name: String
    /// Attention, sliding or recurrent.
    public var kind: ComponentKind
    /// Number format of the state.
    public var elementType: ElementType
    /// Layers that this component covers.
    public var layers: UInt32
    /// Planes in a layer: 2 for K and V, 1 for a joint latent.
    public var planes: UInt32
    /// Bytes of one token in one plane of one layer; for recurrent components the bytes of one plane's state.
    public var rowBytes: UInt32
    /// Tokens that matter before the resume point; 0 unless the kind is sliding.
    public var window: UInt32

    /// A component; see the properties for units. Checked by ``ModelDeclaration/validate()``, not here.
    public init(
        name: String, kind: ComponentKind, elementType: ElementType, layers: UInt32, planes: UInt32 = 2,
        rowBytes: UInt32, window: UInt32 = 0
    ) {
        self.name = name
        self.kind = kind
        self.elementType = elementType
        self.layers = layers
        self.planes = planes
        self.rowBytes = rowBytes
        self.window = window
    }

    /// Rows of `rowBytes` in one plane of a chunk of `tokens` tokens.
    public func rows(tokens: UInt32) -> Int { kind == .recurrent ? 1 : Int(tokens) }

    /// Raw bytes of a chunk of `tokens` tokens (recurrent: of the state, whatever `tokens` says).
    public func byteCount(tokens: UInt32) -> Int {
        Int(layers) * Int(planes) * Int(rowBytes) * rows(tokens: tokens)
    }
}
