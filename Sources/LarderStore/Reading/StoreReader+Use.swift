import LarderModel

extension StoreReader {
    /// Remembers that sessions are in use up to the ends of chunks: with that, all that they see before.
    func noteUse(_ chunks: some Sequence<(session: UInt64, end: UInt64)>) {
        // Offsets are a peer's word: they are cut to what can be.
        let chunks = chunks.lazy.map { (session: $0.session, end: min($0.end, Limits.offsetTokens)) }
        var last: (session: UInt64, end: UInt64)?
        for chunk in chunks {
            if let known = last, known.session == chunk.session {
                last = (chunk.session, max(known.end, chunk.end))
            } else {
                if let last { note(last) }
                last = chunk
            }
        }
        if let last { note(last) }
    }

    private func note(_ use: (session: UInt64, end: UInt64)) {
        guard use.end > 0, let context = try? context(use.session) else { return }
        store.shards[context.shard].heat.use(
            lines: context.path.segments.prefix(Limits.holeDepth).lazy.map { ($0.line, min($0.view.limit, use.end)) })
    }
}
