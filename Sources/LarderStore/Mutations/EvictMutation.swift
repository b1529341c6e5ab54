import LarderLMDB
import LarderModel
import LarderSystem

/// Takes one chunk out of the line that holds it, and so out of every session that sees it, and remembers that.
final class EvictMutation: AwaitedMutation<Void>, Mutation, @unchecked Sendable {
    private let session: UInt64
    var orderedSession: UInt64? { session }
    private let track: LinePath.Track
    private let offset: UInt64
    private let rule: EvictionRule

    init(session: UInt64, _ track: LinePath.Track, offset: UInt64, rule: EvictionRule) {
        self.session = session
        self.track = track
        self.offset = offset
        self.rule = rule
    }

    func apply(_ context: inout WriteContext) throws {
        guard let record = try context.session(session) else { throw LarderError.unknown(session: session) }
        let path = try LinePath(head: record.head, context.transaction, context.shard)
        guard let (key, chunk) = try path.find(track, offset, context.transaction, context.shard),
            var line = try context.line(key.line)
        else { throw LarderError(.miss, "no chunk starts at \(offset)") }
        guard try context.evict(key, chunk, from: &line, rule: rule) != nil else {
            throw LarderError(.busy, "the chunk at \(offset) is being paged in; evict it later")
        }
        try context.put(line, line: key.line)
        value = ()
    }
}

extension Store {
    /// Evicts one chunk that a session sees; `offset` is where it starts. Throws `miss` if there is none, `busy` while it is
    /// under lease.
    public func evict(
        session: UInt64, rank: UInt16 = 0, component: UInt16, offset: UInt64, rule: EvictionRule, reader: StoreReader
    ) throws(LarderError) {
        let (_, description) = try reader.context(session).component(rank: rank, component)
        let track = LinePath.Track(
            rank: rank, component: UInt8(component), isState: description.kind == .recurrent)
        try writer(of: session).perform(EvictMutation(session: session, track, offset: offset, rule: rule))
    }
}
