/// The layout that a worker declares once: everything that makes its state interchangeable with another worker's.
public struct ModelDeclaration: Sendable, Hashable, Codable {
    /// Name of the model, for people.
    public var name: String
    /// Revision of the model or of the engine's layout.
    public var revision: String
    /// Identity of the weights, best a content hash.
    public var weights: String
    /// Chunk offsets are multiples of this many tokens (the engine's page); 1 allows any.
    public var pageTokens: UInt32
    /// Workers in the tensor- or pipeline-parallel group; 1 for none.
    public var groupSize: UInt32
    /// This worker's place in the group, from 0.
    public var rank: UInt32
    /// The kinds of state that this rank holds, in the order in which chunks name them.
    public var components: [Component]

    /// A declaration; see the properties for units. Checked by ``validate()``, not here.
    public init(
        name: String, revision: String = "", weights: String = "", pageTokens: UInt32 = 1, groupSize: UInt32 = 1,
        rank: UInt32 = 0, components: [Component]
    ) {
        self.name = name
        self.revision = revision
        self.weights = weights
        self.pageTokens = pageTokens
        self.groupSize = groupSize
        self.rank = rank
        self.components = components
    }

    /// Throws ``LarderError`` with ``ErrorCode/invalidModel``, naming the first field that is out of bounds.
    public func validate() throws(LarderError) {
        func require(_ condition: Bool, _ what: @autoclosure () -> String) throws(LarderError) {
            if !condition { throw LarderError(.invalidModel, "model '\(name.clipped)': \(what())") }
        }
        try Names.validate(name, what: "model name", code: .invalidModel)
        for (text, what) in [(revision, "revision"), (weights, "weights id")] {
            try require(text.utf8.count <= Limits.nameBytes, "\(what) is over \(Limits.nameBytes) bytes")
        }
        try require(
            pageTokens >= 1 && pageTokens <= Limits.tokensPerChunk,
            "pageTokens \(pageTokens) is not in 1...\(Limits.tokensPerChunk)")
        try require(
            groupSize >= 1 && groupSize <= Limits.groupSize, "group size \(groupSize) is not in 1...\(Limits.groupSize)"
        )
        try require(rank < groupSize, "rank \(rank) is not below the group size \(groupSize)")
        try require(!components.isEmpty, "it declares no component")
        try require(
            components.count <= Limits.components, "\(components.count) components are over \(Limits.components)")
        try require(
            Set(components.map { Array($0.name.utf8) }).count == components.count, "two components have one name")
        for component in components {
            let label = "component '\(component.name.clipped)'"
            try Names.validate(component.name, what: "component name", code: .invalidModel)
            try require(
                component.layers >= 1 && component.layers <= Limits.layers,
                "\(label) has \(component.layers) layers, not 1...\(Limits.layers)")
            try require(
                component.planes >= 1 && component.planes <= Limits.planes,
                "\(label) has \(component.planes) planes, not 1...\(Limits.planes)")
            try require(
                component.rowBytes >= 1 && component.rowBytes <= Limits.rowBytes,
                "\(label) has rows of \(component.rowBytes) bytes, not 1...\(Limits.rowBytes)")
            try require(
                Int(component.rowBytes) % component.elementType.byteCount == 0,
                "\(label) has rows of \(component.rowBytes) bytes, not a multiple of the "
                    + "\(component.elementType.byteCount) of \(component.elementType.name)"
            )
            try require(
                (component.kind == .sliding) == (component.window > 0),
                "\(label): a window goes with sliding components, and only with them; it is \(component.window)")
            try require(
                component.byteCount(tokens: 1) <= Limits.chunkBytes,
                "\(label) needs \(component.byteCount(tokens: 1)) bytes for one token, over the chunk limit of "
                    + "\(Limits.chunkBytes)"
            )
        }
    }

    /// The name of the first field in which two declarations differ, with both values; nil if they are equal.
    public func firstDifference(from other: ModelDeclaration) -> String? {
        func differs<T: Equatable>(_ name: String, _ path: KeyPath<ModelDeclaration, T>) -> String? {
            self[keyPath: path] == other[keyPath: path]
                ? nil : "\(name) (\(other[keyPath: path]) stored, \(self[keyPath: path]) declared)"
        }
        if let field = differs("name", \.name) ?? differs("revision", \.revision) ?? differs("weights", \.weights)
            ?? differs("pageTokens", \.pageTokens) ?? differs("groupSize", \.groupSize) ?? differs("rank", \.rank)
            ?? differs("component count", \.components.count)
        {
            return field
        }
        for (mine, theirs) in zip(components, other.components) where mine != theirs {
            return "component '\(theirs.name)' (\(theirs) stored, \(mine) declared)"
        }
        return nil
    }

    /// True if both are ranks of one parallel group: the fields that all ranks share are equal.
    public func sharesGroup(with other: ModelDeclaration) -> Bool {
        name == other.name && revision == other.revision && weights == other.weights
            && pageTokens == other.pageTokens && groupSize == other.groupSize
    }
}
