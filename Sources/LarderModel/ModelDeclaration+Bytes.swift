extension ModelDeclaration {
    /// The canonical bytes (Docs/PROTOCOL.md, "Model declaration"): on the wire, on disk, and what the fingerprint hashes.
    public func write(to writer: inout ByteWriter) {
        writer.write(name)
        writer.write(revision)
        writer.write(weights)
        writer.write(pageTokens)
        writer.write(groupSize)
        writer.write(rank)
        writer.write(UInt16(clamping: components.count))
        for component in components {
            writer.write(component.name)
            writer.write(component.kind.rawValue)
            writer.write(component.elementType.rawValue)
            writer.write(component.layers)
            writer.write(component.planes)
            writer.write(component.rowBytes)
            writer.write(component.window)
        }
    }

    /// Reads what ``write(to:)`` wrote. Checks form, not meaning: call ``validate()`` after it.
    public init(from reader: inout ByteReader) throws(LarderError) {
        name = try reader.readString("model name")
        revision = try reader.readString("model revision")
        weights = try reader.readString("weights id")
        pageTokens = try reader.read(UInt32.self, "page tokens")
        groupSize = try reader.read(UInt32.self, "group size")
        rank = try reader.read(UInt32.self, "rank")
        let count = Int(try reader.read(UInt16.self, "component count"))
        if count > Limits.components {
            throw LarderError(.invalidModel, "\(count) components are over the limit of \(Limits.components)")
        }
        components = []
        for _ in 0..<count { components.append(try Component(from: &reader)) }
    }
}

extension Component {
    init(from reader: inout ByteReader) throws(LarderError) {
        name = try reader.readString("component name")
        kind = try reader.read(ComponentKind.self, "component kind")
        elementType = try reader.read(ElementType.self, "element type")
        layers = try reader.read(UInt32.self, "layers")
        planes = try reader.read(UInt32.self, "planes")
        rowBytes = try reader.read(UInt32.self, "row bytes")
        window = try reader.read(UInt32.self, "window")
    }
}
