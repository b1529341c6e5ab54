import LarderLMDB
import LarderModel

/// What a session leaves behind when it is truncated, or forked before its end: an agent that rewound, or went on from a
/// compressed context, seldom comes back to it. It loses the weight that hints and use gave it, until it is used again.
///
/// A fork may also be a helper's, whose parent goes on: then the parent's next use, or a retention that it asks for after
/// the fork, gives the weight back.
struct LeftBehind {
    let shard: Shard
    let session: UInt64
    let offset: UInt64
    /// The lines that the session saw beyond the offset.
    let lines: [UInt64]

    func loseWeight() {
        shard.retentions.cut(session: session, at: offset)
        shard.heat.forget(lines: lines, from: offset)
    }
}

extension WriteContext {
    /// What a session leaves behind at an offset; at most ``Limits/holeDepth`` lines of it.
    func leftBehind(by session: UInt64, head: UInt64, at offset: UInt64) throws -> LeftBehind {
        var lines: [UInt64] = []
        var next = head
        var view = LineView()
        while next != 0, view.limit > offset, lines.count < Limits.holeDepth, let record = try? line(next) {
            lines.append(next)
            view = view.through(record.view)
            next = record.parent
        }
        return LeftBehind(shard: shard, session: session, offset: offset, lines: lines)
    }
}
