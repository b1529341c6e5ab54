import Foundation
import LarderModel
import LarderStore

/// By what sessions are sorted.
enum SessionOrder: String, CaseIterable {
    /// By id: as they were made, in each shard.
    case id
    /// By stored bytes.
    case bytes
    /// By last use.
    case used
    /// By name, as bytes.
    case name
}

enum Direction: String, CaseIterable {
    case ascending = "asc"
    case descending = "desc"
}

/// Which sessions are asked for, and in which order.
struct SessionQuery {
    /// Where a session stands in an order.
    struct Place: Hashable {
        let number: UInt64
        let name: [UInt8]
        let id: UInt64
    }

    let namespace: String
    /// A part of the name; empty for any.
    let name: String
    let modelID: UInt32?
    let order: SessionOrder
    let direction: Direction
    let limit: Int
    /// The place of the last session of the page before.
    let after: Place?

    init(_ request: AdminRequest) throws(AdminError) {
        namespace = request.text("namespace") ?? ""
        name = request.text("name") ?? ""
        modelID = try request.number("model", in: 1...UInt64(UInt32.max)).map { UInt32($0) }
        order = try request.choice("sort", .id)
        direction = try request.choice("order", .ascending)
        limit = try request.limit()
        after = try request.text("cursor").map { text throws(AdminError) in
            guard let place = Place(cursor: text) else {
                throw AdminError.invalid("'\(text.clipped)' is no cursor; send next_cursor of the page before")
            }
            return place
        }
        try request.finishQuery()
    }

    func matches(_ session: StoredSession) -> Bool {
        if !name.isEmpty && !session.name.utf8.contains(name.utf8) { return false }
        return modelID == nil || session.models.contains { $0.modelID == modelID }
    }

    func place(_ session: StoredSession) -> Place {
        switch order {
        case .id: Place(number: 0, name: [], id: session.id)
        case .bytes: Place(number: session.totals.storedBytes, name: [], id: session.id)
        case .used: Place(number: session.usedSeconds, name: [], id: session.id)
        case .name: Place(number: 0, name: Array(session.name.utf8), id: session.id)
        }
    }

    /// True if one place comes before another in the order that is asked for.
    func isBefore(_ one: Place, _ other: Place) -> Bool {
        direction == .ascending ? one < other : other < one
    }
}

extension SessionQuery.Place: Comparable {
    static func < (one: Self, other: Self) -> Bool {
        if one.number != other.number { return one.number < other.number }
        if one.name != other.name { return one.name.lexicographicallyPrecedes(other.name) }
        return one.id < other.id
    }

    /// A text that can stand in a URL as it is.
    var cursor: String {
        let bytes = Data("\(id):\(number):".utf8) + Data(name)
        return bytes.base64EncodedString().replacingOccurrences(of: "+", with: "-")
            .replacingOccurrences(of: "/", with: "_").replacingOccurrences(of: "=", with: "")
    }

    /// What ``cursor`` gave; nil for anything else.
    init?(cursor: String) {
        guard cursor.utf8.count <= 2 * Limits.nameBytes else { return nil }
        let standard = cursor.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
        let padded = standard + String(repeating: "=", count: (4 - standard.utf8.count % 4) % 4)
        guard let bytes = Data(base64Encoded: padded) else { return nil }
        let parts = bytes.split(separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, let id = UInt64(digits: String(decoding: parts[0], as: UTF8.self)),
            let number = UInt64(digits: String(decoding: parts[1], as: UTF8.self))
        else { return nil }
        self.init(number: number, name: Array(parts[2]), id: id)
    }
}

/// A page of sessions. The whole list is looked through for each page, in small snapshots, and no more than two pages of it
/// are kept: so pages need no memory between them, however many sessions there are.
struct SessionPage: Encodable {
    let sessions: [SessionAnswer]
    /// Sessions that the filter lets through, on all pages.
    let total: Int
    let nextCursor: String?

    init(_ query: SessionQuery, _ reader: StoreReader) throws {
        var kept: [(place: SessionQuery.Place, session: StoredSession)] = []
        var total = 0
        func trim() {
            kept.sort { query.isBefore($0.place, $1.place) }
            if kept.count > query.limit + 1 { kept.removeSubrange((query.limit + 1)...) }
        }
        var next: UInt64 = 0
        repeat {
            let page = try reader.sessions(namespace: query.namespace, after: next)
            for session in page.sessions where query.matches(session) {
                total += 1
                let place = query.place(session)
                if let after = query.after, !query.isBefore(after, place) { continue }
                // The first of a full page is where later ones must come before.
                if kept.count == 2 * query.limit + 2 { trim() }
                kept.append((place, session))
            }
            next = page.next
        } while next != 0
        trim()
        self.total = total
        sessions = kept.prefix(query.limit).map { SessionAnswer($0.session) }
        nextCursor = kept.count > query.limit ? kept[query.limit - 1].place.cursor : nil
    }
}

/// A session, without its chunks.
struct SessionAnswer: Encodable {
    struct RankModel: Encodable {
        let rank: UInt16
        let model: UInt32
    }

    let id: UInt64
    let namespace: String
    let name: String
    let ownerUid: UInt32
    let models: [RankModel]
    /// Chunks that only this session sees, and their bytes.
    let chunks: UInt64
    let rawBytes: UInt64
    let storedBytes: UInt64
    let createdSeconds: UInt64
    let changedSeconds: UInt64
    let usedSeconds: UInt64
    let ttlSeconds: UInt32

    init(_ session: StoredSession) {
        id = session.id
        namespace = session.namespace.name
        name = session.name
        ownerUid = session.namespace.ownerUserID
        models = session.models.map { RankModel(rank: $0.rank, model: $0.modelID) }
        chunks = session.totals.chunks
        rawBytes = session.totals.rawBytes
        storedBytes = session.totals.storedBytes
        createdSeconds = session.createdSeconds
        changedSeconds = session.changedSeconds
        usedSeconds = session.usedSeconds
        ttlSeconds = session.ttlSeconds
    }
}
