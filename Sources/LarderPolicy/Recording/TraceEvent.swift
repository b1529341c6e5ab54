import LarderModel

/// What the recording of a trace is told of a request.
public enum TraceEvent: Sendable {
    /// A worker asked which prefix of a prompt is stored.
    case match(connection: UInt64)
    /// A worker asked how far a session can be restored, and was told.
    case resume(connection: UInt64, session: UInt64, offset: UInt64)
    /// A chunk was stored.
    case put(connection: UInt64, session: UInt64, TracedChunk)
    /// A session was made that shares another's past.
    case fork(parent: UInt64, offset: UInt64, child: UInt64)
    /// A session's state from an offset on is gone.
    case truncate(session: UInt64, offset: UInt64)
    /// A session is gone.
    case drop(session: UInt64)
    /// A connection is gone.
    case end(connection: UInt64)
}

/// A chunk as a trace needs it.
public struct TracedChunk: Sendable {
    /// Component index.
    public let component: UInt16
    /// Its first token.
    public let offset: UInt64
    /// Tokens; 0 for a recurrent state.
    public let tokens: UInt32
    /// The worker's name for all up to the chunk's end, if it gave one; 0 for none.
    public let key: UInt64

    var end: UInt64 { offset + UInt64(tokens) }

    /// A chunk from its fields.
    public init(component: UInt16, offset: UInt64, tokens: UInt32, key: UInt64) {
        self.component = component
        self.offset = offset
        self.tokens = tokens
        self.key = key
    }

    /// A chunk with the key that the worker gave it.
    public init(component: UInt16, offset: UInt64, tokens: UInt32, prefixKey: PrefixKey?) {
        self.init(
            component: component, offset: offset, tokens: tokens,
            key: prefixKey.map { key in (0..<4).reduce(1) { TracedSession.mix($0, key.words[$1]) } } ?? 0)
    }
}
