import LarderLMDB
import LarderModel
import LarderSystem

/// How lines come and go.
extension WriteContext {
    /// A line as it is seen from a new one below it.
    typealias Seen = (line: UInt64, depth: UInt32, view: LineView)

    /// The youngest line of a head's path that has anything below `limit`, seen up to there and as of now; nil if there is
    /// none. Lines above what is seen fall out of the path, so that going back and on again makes no path longer.
    func view(from head: UInt64, upTo limit: UInt64) throws -> Seen? {
        var id = head
        var view = LineView(limit: limit, asOf: counters.nextBlobID)
        while id != 0 {
            guard let record = try line(id) else { throw damaged(line: id) }
            if !record.isEmpty(upTo: view.limit) { return (id, record.depth, view) }
            view = view.through(record.view)
            id = record.parent
        }
        return nil
    }

    /// A new line that a session writes to from now on.
    mutating func makeLine(on seen: Seen?, head session: UInt64, namespaceID: UInt32) throws -> UInt64 {
        let id = takeLineID()
        try put(
            LineRecord(parent: seen, head: session, namespaceID: namespaceID, changedSeconds: Clock.wallSeconds()),
            line: id)
        if let seen { try adopt(child: id, seen) }
        return id
    }

    /// Lets a session's view of its past end at `limit` from now on: a new head, or the old one moved, if it is empty.
    ///
    /// - Returns: the head.
    mutating func cut(_ session: UInt64, head: UInt64, at limit: UInt64) throws -> UInt64 {
        guard let record = try line(head) else { throw damaged(line: head) }
        let seen = try view(from: head, upTo: limit)
        changedSessions.append(session)
        if record.chunks == 0 && record.children == 0 {
            if record.parent == seen?.line ?? 0 && (seen == nil || record.view.limit <= limit) { return head }
            try put(
                LineRecord(
                    parent: seen, head: session, namespaceID: record.namespaceID, changedSeconds: Clock.wallSeconds()),
                line: head)
            // First the new parent, which may be the old one: it must not look childless in between.
            if let seen { try adopt(child: head, seen) }
            if record.parent == seen?.line ?? 0 {
                try uncount(childOf: record.parent)
            } else if record.parent != 0 {
                try forsake(parent: record.parent, child: head)
            }
            return head
        }
        let id = try makeLine(on: seen, head: session, namespaceID: record.namespaceID)
        try leave(head)
        return id
    }

    /// Lets a line be nobody's head; what nobody sees of it is freed in time.
    mutating func leave(_ head: UInt64) throws {
        guard var record = try line(head) else { return }
        record.head = 0
        try put(record, line: head)
        try bury(.line(head))
    }

    /// Lets a line that is nobody's head see no more of its parent than its children see through it.
    mutating func narrow(_ id: UInt64, _ record: inout LineRecord, to views: [LineView]) throws {
        let most = LineView(limit: views.map(\.limit).max() ?? 0, asOf: views.map(\.asOf).max() ?? 0)
        let narrowed = record.view.through(most)
        guard record.parent != 0, narrowed != record.view else { return }
        record.view = narrowed
        try put(record, line: id)
        try put(narrowed, child: id, of: record.parent)
        if ((try? line(record.parent)) ?? nil)?.head == 0 { try bury(.line(record.parent)) }
    }

    private func put(_ view: LineView, child: UInt64, of parent: UInt64) throws {
        try LineChild.key(parent: parent, child: child).withBytes { key in
            try LineChild.sealed(view, key: key).withUnsafeBytes {
                try transaction.put(shard.databases.children, key, $0)
            }
        }
    }

    /// Takes a line off its parent; what of the parent nobody sees any more is freed in time.
    mutating func forsake(parent: UInt64, child: UInt64) throws {
        _ = try LineChild.key(parent: parent, child: child).withBytes {
            try transaction.delete(shard.databases.children, $0)
        }
        try uncount(childOf: parent)
    }

    private mutating func uncount(childOf parent: UInt64) throws {
        guard var record = (try? line(parent)) ?? nil, record.children > 0 else { return }
        record.children -= 1
        try put(record, line: parent)
        if record.head == 0 { try bury(.line(parent)) }
    }

    private func adopt(child: UInt64, _ seen: Seen) throws {
        guard var parent = try line(seen.line) else { throw damaged(line: seen.line) }
        parent.children += 1
        parent.largestLimit = max(parent.largestLimit, seen.view.limit)
        try put(parent, line: seen.line)
        try put(seen.view, child: child, of: seen.line)
    }

    /// What the children of a line see of it.
    func childViews(of line: UInt64) throws -> [LineView] {
        var views: [LineView] = []
        try WordKey(line, 0).withBytes { start in
            try transaction.scan(shard.databases.children, from: start) { key, value in
                guard WordKey.word(key, 0) == line else { return false }
                // A damaged entry sees all: nothing that may be wanted is freed.
                views.append((try? LineChild.view(value, key: key)) ?? LineView())
                return true
            }
        }
        return views
    }

    /// Where the last chunk of a line's own track ends that a view shows; 0 if there is none.
    func lastEnd(_ line: UInt64, _ rank: UInt16, _ component: UInt8, _ view: LineView) throws -> UInt64 {
        try LinePath.lastEnd(line, rank, component, view, transaction, shard)
    }

    func damaged(line: UInt64) -> LarderError {
        LarderError(
            .damaged,
            "the record of line \(line) is missing or damaged, and with it a part of the session's past; drop "
                + "the session and compute it again")
    }
}
