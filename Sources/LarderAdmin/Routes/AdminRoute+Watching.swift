import Hummingbird
import LarderModel
import LarderServer
import LarderStore
import LarderSystem

extension AdminRoute {
    /// What happens, what happened, and what is there.
    static let watching: [AdminRoute] = [
        AdminRoute(.get, "/v1/events") { admin, request in
            let after = try request.number("after")
            let kinds = Set(request.text("kinds")?.split(separator: ",").map { String($0) } ?? [])
            let known = Set(DaemonEvent.Kind.allCases.map(\.rawValue))
            try request.finishQuery()
            if let wrong = kinds.subtracting(known).min() {
                throw AdminError.invalid(
                    "there is no event '\(wrong.clipped)'; there is \(known.sorted().joined(separator: ", "))")
            }
            guard admin.streams.hasRoom else {
                throw AdminError(
                    .serviceUnavailable, "busy",
                    "\(Limits.eventStreams) streams of events are open, the limit; close one, or ask for /v1/events/recent"
                )
            }
            let log = admin.daemon.events
            let stream = EventStream(
                events: log, streams: admin.streams, after: after ?? request.lastEventID ?? log.lastID, kinds: kinds)
            return AdminAnswer(contentType: DeadlineHandler.events, body: .stream(stream.body))
        },
        AdminRoute(.get, "/v1/events/recent") { admin, request in
            let after = try request.number("after") ?? 0
            let limit = try request.limit()
            try request.finishQuery()
            let (events, lost) = admin.daemon.events.events(after: after, limit: limit)
            return try .json(
                EventPage(events: events.map { EventAnswer($0) }, lostEvents: lost, lastId: admin.daemon.events.lastID))
        },
        AdminRoute(.get, "/v1/history") { admin, request in
            let after = try request.number("after") ?? 0
            try request.finishQuery()
            return try .json(HistoryAnswer(admin.history?.samples(after: after) ?? []))
        },
        AdminRoute(.get, "/v1/usage") { admin, request in
            try request.finishQuery()
            return try .json(UsageAnswer(try admin.inventory.inventory(admin.reader), admin.store))
        },
        AdminRoute(.get, "/v1/heat") { admin, request in
            try request.finishQuery()
            return try .json(HeatAnswer(try admin.inventory.inventory(admin.reader)))
        },
    ]
}

struct EventPage: Encodable {
    let events: [EventAnswer]
    let lostEvents: UInt64
    let lastId: UInt64
}

/// The history as columns: for each sample its time, its length, and a value of each figure.
struct HistoryAnswer: Encodable {
    struct Sample: Encodable {
        let seconds: UInt64
        let milliseconds: UInt64
        let values: [UInt64]
    }

    let figures = HistorySample.figures
    let intervalSeconds = Limits.historySeconds
    let samples: [Sample]

    init(_ samples: [HistorySample]) {
        self.samples = samples.map {
            Sample(seconds: $0.seconds, milliseconds: $0.milliseconds, values: $0.values)
        }
    }
}

/// What the store holds, by namespace, model, component and encoding.
struct UsageAnswer: Encodable {
    struct Row: Encodable {
        let namespace: String
        /// 0 where no session says which.
        let model: UInt32
        let modelName: String
        let component: UInt16
        let componentName: String
        let encoding: String
        let chunks: UInt64
        let rawBytes: UInt64
        let storedBytes: UInt64
    }

    let takenSeconds: UInt64
    let damagedChunks: UInt64
    let rows: [Row]

    init(_ inventory: Inventory, _ store: Store) {
        takenSeconds = inventory.seconds
        damagedChunks = inventory.damaged
        let models = Dictionary(store.allModels.map { ($0.id, $0.declaration) }) { first, _ in first }
        rows = inventory.kinds.map { kind, sums in
            let model = models[kind.modelID]
            let component = model.flatMap {
                Int(kind.component) < $0.components.count ? $0.components[Int(kind.component)] : nil
            }
            return Row(
                namespace: store.namespace(id: kind.namespaceID)?.namespace.name ?? "", model: kind.modelID,
                modelName: model?.name ?? "", component: kind.component, componentName: component?.name ?? "",
                encoding: kind.encoding.name, chunks: sums.chunks, rawBytes: sums.rawBytes,
                storedBytes: sums.storedBytes)
        }.sorted { ($0.storedBytes, $1.namespace, $1.model) > ($1.storedBytes, $0.namespace, $0.model) }
    }
}

/// The map of heat by age.
struct HeatAnswer: Encodable {
    struct Cell: Encodable {
        /// Index into the bounds; one more than the last for what is older.
        let age: Int
        /// Index into the bounds; one more than the last for what is hotter, -1 for what is not remembered or demoted.
        let heat: Int
        let chunks: UInt64
        let storedBytes: UInt64
    }

    let takenSeconds: UInt64
    let ageBoundsSeconds = Inventory.ageBoundsSeconds
    let heatBounds = Inventory.heatBounds
    let cells: [Cell]

    init(_ inventory: Inventory) {
        takenSeconds = inventory.seconds
        cells = inventory.cells.map { cell, sums in
            Cell(age: cell.age, heat: cell.heat, chunks: sums.chunks, storedBytes: sums.storedBytes)
        }.sorted { ($0.age, $0.heat) < ($1.age, $1.heat) }
    }
}
