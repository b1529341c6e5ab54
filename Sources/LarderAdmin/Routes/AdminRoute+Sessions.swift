import Hummingbird
import LarderModel
import LarderServer
import LarderStore

extension AdminRoute {
    /// One session, and what paging has saved.
    static let sessions: [AdminRoute] = [
        AdminRoute(.get, "/v1/sessions/{session}") { admin, request in
            let id = try request.id("session")
            try request.finishQuery()
            return try .json(SessionAnswer(try admin.reader.session(id)))
        },
        AdminRoute(.get, "/v1/sessions/{session}/tree") { admin, request in
            let id = try request.id("session")
            try request.finishQuery()
            return try .json(SessionTree(session: id, try admin.reader.tree(session: id)))
        },
        AdminRoute(.get, "/v1/sessions/{session}/chunks") { admin, request in
            try .json(try ChunkPage(request, admin.reader))
        },
        AdminRoute(.get, "/v1/sessions/{session}/explain") { admin, request in
            let id = try request.id("session")
            let at = try request.number("at", in: 0...Limits.offsetTokens) ?? .max
            let model = try request.number("model", in: 1...UInt64(UInt32.max)) ?? 0
            try request.finishQuery()
            let found = try admin.reader.explain(session: id, atMost: at, modelID: UInt32(model))
            return try .json(ExplainPage(session: id, found))
        },
        AdminRoute(.get, "/v1/sessions/{session}/report") { admin, request in
            let id = try request.id("session")
            try request.finishQuery()
            return try .json(ReportPage(try admin.reader.savings(session: id), admin))
        },
        AdminRoute(.get, "/v1/report") { admin, request in
            var query = SavingsQuery()
            query.from = try request.number("from") ?? 0
            query.to = try request.number("to") ?? 0
            query.namespace = request.text("namespace") ?? ""
            query.modelID = UInt32(try request.number("model", in: 1...UInt64(UInt32.max)) ?? 0)
            query.after = try request.number("cursor") ?? 0
            try request.finishQuery()
            return try .json(ReportPage(try admin.reader.savings(query), admin))
        },
    ]
}

/// The lines of a session's tree. A fork's line names the line that it left and where.
struct SessionTree: Encodable {
    struct Line: Encodable {
        let line: UInt64
        let parent: UInt64?
        let forkedAtTokens: UInt64
        let endTokens: UInt64
        let session: UInt64?
        let name: String?
        let chunks: UInt64
        let rawBytes: UInt64
        let storedBytes: UInt64
        let changedSeconds: UInt64
    }

    let session: UInt64
    /// Parents before their children.
    let lines: [Line]
    /// False if there are more lines than one answer shows.
    let whole: Bool

    init(session: UInt64, _ tree: (lines: [StoredLine], complete: Bool)) {
        self.session = session
        whole = tree.complete
        // The parent of the topmost line that is shown is not: then it is named all the same.
        lines = tree.lines.map { line in
            Line(
                line: line.id, parent: line.parent == 0 ? nil : line.parent,
                forkedAtTokens: line.parent == 0 ? 0 : min(line.offset, Limits.offsetTokens), endTokens: line.end,
                session: line.session == 0 ? nil : line.session, name: line.session == 0 ? nil : line.name,
                chunks: line.totals.chunks, rawBytes: line.totals.rawBytes, storedBytes: line.totals.storedBytes,
                changedSeconds: line.changedSeconds)
        }
    }
}

/// A page of what a session sees, in order of rank, component and offset.
struct ChunkPage: Encodable {
    struct Chunk: Encodable {
        let rank: UInt16
        let component: UInt16
        let offsetTokens: UInt64
        let tokens: UInt32
        let rawBytes: Int
        let storedBytes: Int
        let encoding: String
        let createdSeconds: UInt64
    }

    let chunks: [Chunk]
    let nextCursor: String?

    init(_ request: AdminRequest, _ reader: StoreReader) throws {
        let id = try request.id("session")
        let limit = try request.limit()
        let cursor = request.text("cursor")
        try request.finishQuery()
        let found = try reader.chunks(session: id, from: try cursor.map { try Self.position($0) } ?? ChunkPosition())
        chunks = found.prefix(limit).map {
            Chunk(
                rank: $0.rank, component: $0.component, offsetTokens: $0.offset, tokens: $0.tokens,
                rawBytes: $0.rawBytes, storedBytes: $0.storedBytes, encoding: $0.encoding.name,
                createdSeconds: $0.createdSeconds)
        }
        // A page is full, or holds all that is left.
        if found.count > limit {
            nextCursor = "\(found[limit].rank)-\(found[limit].component)-\(found[limit].offset)"
        } else if found.count == Limits.pageEntries, let last = found.last {
            nextCursor = "\(last.rank)-\(last.component)-\(last.offset + 1)"
        } else {
            nextCursor = nil
        }
    }

    private static func position(_ cursor: String) throws(AdminError) -> ChunkPosition {
        let parts = cursor.split(separator: "-", omittingEmptySubsequences: false).map { UInt64(digits: $0) }
        guard parts.count == 3, let rank = parts[0].flatMap({ UInt16(exactly: $0) }),
            let component = parts[1].flatMap({ UInt16(exactly: $0) }), component <= UInt8.max,
            let offset = parts[2], offset < Limits.offsetTokens
        else { throw .invalid("'\(cursor.clipped)' is no cursor; send next_cursor of the page before") }
        return ChunkPosition(rank: rank, component: component, offset: offset)
    }
}

/// Why a session's resume point is where it is.
struct ExplainPage: Encodable {
    struct Track: Encodable {
        let rank: UInt16
        let component: UInt16
        let reachTokens: UInt64
        let cause: String
        let missingFromTokens: UInt64
        let missingToTokens: UInt64
        let evictionRule: String?
        let evictedSeconds: UInt64?
    }

    let session: UInt64
    let atTokens: UInt64
    let endTokens: UInt64
    let offsetTokens: UInt64
    let missingRanks: [UInt16]
    let modelDifference: String?
    let tracks: [Track]

    init(session: UInt64, _ found: Explanation) {
        self.session = session
        atTokens = found.at
        endTokens = found.end
        offsetTokens = found.offset
        missingRanks = found.missingRanks
        modelDifference = found.modelDifference.isEmpty ? nil : found.modelDifference
        tracks = found.tracks.map {
            Track(
                rank: $0.rank, component: $0.component, reachTokens: $0.reach, cause: "\($0.cause)".snakeCased,
                missingFromTokens: $0.missing.lowerBound, missingToTokens: $0.missing.upperBound,
                evictionRule: $0.eviction?.rule.name, evictedSeconds: $0.eviction?.seconds)
        }
    }
}

/// What paging has saved, by namespace and model.
struct ReportPage: Encodable {
    struct Row: Encodable {
        let namespace: String
        let model: UInt32
        let storedTokens: UInt64
        let restoredTokens: UInt64
        let notRecomputedTokens: UInt64
        let pageOutRawBytes: UInt64
        let pageOutStoredBytes: UInt64
        let pageInRawBytes: UInt64
        let pageInStoredBytes: UInt64
        let prefillTokensPerSecond: UInt32
        let prefillRateOrigin: String
        let prefillAvoidedMilliseconds: UInt64
    }

    let fromSeconds: UInt64
    let toSeconds: UInt64
    let gpuHourPriceMicros: UInt64
    let rows: [Row]
    let nextCursor: String?

    init(_ report: SavingsReport, _ admin: Admin) {
        fromSeconds = report.from
        toSeconds = report.to
        gpuHourPriceMicros = admin.loaded.configuration.gpuHourPriceMicros
        nextCursor = report.next == 0 ? nil : "\(report.next)"
        rows = report.rows.map {
            Row(
                namespace: $0.namespace.name, model: $0.modelID, storedTokens: $0.tally.storedTokens,
                restoredTokens: $0.tally.restoredTokens, notRecomputedTokens: $0.tally.notRecomputedTokens,
                pageOutRawBytes: $0.tally.rawBytesOut, pageOutStoredBytes: $0.tally.storedBytesOut,
                pageInRawBytes: $0.tally.rawBytesIn, pageInStoredBytes: $0.tally.storedBytesIn,
                prefillTokensPerSecond: $0.prefillRate, prefillRateOrigin: "\($0.rateOrigin)".snakeCased,
                prefillAvoidedMilliseconds: $0.prefillAvoidedMilliseconds)
        }
    }
}
