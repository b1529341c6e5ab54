// What waits for a shard's writer, in lanes: one for each connection. The user who was served least goes first, and of
// that user's lanes the one that was served least, so that a worker that floods the writer delays itself. Whoever takes
// much of the room in the queue finds less of it: there is always some left for who comes next.

/// Whose mutations a lane holds.
public struct Lane: Hashable, Sendable {
    /// The user at the other end of the connection.
    public var userID: UInt32
    /// A number that no other reader has; 0 for none.
    public var reader: UInt64

    /// A lane from its fields.
    public init(userID: UInt32, reader: UInt64) {
        self.userID = userID
        self.reader = reader
    }

    /// The lane of what no put brings: forks, drops, and the store's own work.
    public static let control = Lane(userID: .max, reader: 0)
}

/// A bounded queue that serves its lanes evenly, by bytes, and keeps the order of each session's mutations.
public struct FairQueue<Element> {
    /// An element, with what the queue goes by.
    private struct Entry {
        let element: Element
        let byteCount: Int
        let session: UInt64?
        let arrival: UInt64
    }

    private struct LaneState {
        var waiting: [Entry] = []
        /// Bytes for which there is room taken: of what waits, of what will come, and of what is being written.
        var heldBytes = 0
        /// Bytes served, counted from where the others stood when the lane began to wait.
        var served: Int
    }

    private struct UserState {
        var lanes: [Lane: LaneState] = [:]
        var heldBytes = 0
        var waitingCount = 0
        var served: Int
        /// What the lane that was served last had been served until then.
        var now = 0
    }

    /// Bytes that the queue has room for.
    public let capacity: Int
    /// Bytes of it that one user may hold; what is larger goes alone.
    public let userLimit: Int
    /// Bytes that an element costs its lane at least: small ones take a commit's time, too.
    private let minimumCost: Int
    private var users: [UInt32: UserState] = [:]
    /// What the user who was served last had been served until then.
    private var now = 0
    /// Where each session's mutations wait, and how many.
    private var sessions: [UInt64: (lane: Lane, count: Int)] = [:]
    /// Bytes for which there is room taken.
    public private(set) var bytes = 0
    /// Elements that were ever queued.
    public private(set) var arrivals: UInt64 = 0
    /// Elements that wait.
    public private(set) var count = 0

    /// An empty queue with room for so many bytes.
    public init(capacity: Int, userLimit: Int? = nil, minimumCost: Int = 0) {
        self.capacity = capacity
        self.userLimit = userLimit ?? capacity
        self.minimumCost = minimumCost
    }

    /// True if nothing waits.
    public var isEmpty: Bool { count == 0 }

    // MARK: room

    /// Takes room for `byteCount` bytes. False if there is none now: a lane may hold as much as is left for others, a user
    /// twice that. What is larger than all of it goes alone.
    public mutating func reserve(_ byteCount: Int, _ lane: Lane) -> Bool {
        let user = users[lane.userID]
        let free = capacity - bytes
        let held = user?.lanes[lane]?.heldBytes ?? 0
        let isFirst = user?.heldBytes ?? 0 == 0 && byteCount <= free
        let isWithin = (user?.heldBytes ?? 0) + byteCount <= userLimit
        let isFair = isWithin && byteCount <= free - held && byteCount <= 2 * free - (user?.heldBytes ?? 0)
        guard bytes == 0 || isFirst || isFair else { return false }
        bytes += byteCount
        change(lane) { $0.heldBytes += byteCount }
        users[lane.userID]!.heldBytes += byteCount
        return true
    }

    /// Returns room that was reserved.
    public mutating func giveBack(_ byteCount: Int, _ lane: Lane) {
        bytes -= byteCount
        change(lane) { $0.heldBytes -= byteCount }
        users[lane.userID]!.heldBytes -= byteCount
        forgetIfIdle(lane)
    }

    // MARK: elements

    /// Queues an element for which room was reserved, behind what waits for the same session.
    public mutating func append(_ element: Element, _ byteCount: Int, _ lane: Lane, session: UInt64?) {
        let place = session.flatMap { sessions[$0]?.lane } ?? lane
        if let session { sessions[session, default: (place, 0)].count += 1 }
        arrivals += 1
        let entry = Entry(element: element, byteCount: byteCount, session: session, arrival: arrivals)
        let isIdle = users[place.userID]?.waitingCount ?? 0 == 0
        change(place) { $0.waiting.append(entry) }
        if isIdle { users[place.userID]!.served = max(users[place.userID]!.served, now) }
        users[place.userID]!.waitingCount += 1
        count += 1
    }

    /// Takes what is next in turn: at least one element, and more as long as they are below `byteLimit` together, or, if
    /// `isStrict`, at most that.
    public mutating func takeBatch(byteLimit: Int, countLimit: Int, isStrict: Bool) -> [Element] {
        var batch: [Element] = []
        var taken = 0
        while batch.count < countLimit, let lane = next() {
            let byteCount = users[lane.userID]!.lanes[lane]!.waiting[0].byteCount
            guard batch.isEmpty || (isStrict ? taken + byteCount <= byteLimit : taken < byteLimit) else { break }
            batch.append(take(lane))
            taken += byteCount
        }
        return batch
    }

    /// True once all of the first `mark` elements (``arrivals``) have been taken.
    public func hasTaken(upTo mark: UInt64) -> Bool {
        users.values.allSatisfy { user in
            user.lanes.values.allSatisfy { $0.waiting.first.map { $0.arrival > mark } ?? true }
        }
    }

    /// Bytes that the lane that holds most has room for.
    public var largestHeldBytes: Int {
        users.values.reduce(0) { max($0, $1.lanes.values.reduce(0) { max($0, $1.heldBytes) }) }
    }

    /// Bytes that a lane has room for.
    public func heldBytes(_ lane: Lane) -> Int { users[lane.userID]?.lanes[lane]?.heldBytes ?? 0 }

    private func next() -> Lane? {
        let user = users.lazy.filter { $0.value.waitingCount > 0 }.min {
            ($0.value.served, $0.key) < ($1.value.served, $1.key)
        }
        return user?.value.lanes.lazy.filter { !$0.value.waiting.isEmpty }
            .min { ($0.value.served, $0.key.reader) < ($1.value.served, $1.key.reader) }?.key
    }

    private mutating func take(_ lane: Lane) -> Element {
        let entry = users[lane.userID]!.lanes[lane]!.waiting.removeFirst()
        now = users[lane.userID]!.served
        users[lane.userID]!.now = users[lane.userID]!.lanes[lane]!.served
        let cost = max(entry.byteCount, minimumCost)
        users[lane.userID]!.served += cost
        users[lane.userID]!.waitingCount -= 1
        change(lane) { $0.served += cost }
        count -= 1
        if let session = entry.session {
            sessions[session]!.count -= 1
            if sessions[session]!.count == 0 { sessions[session] = nil }
        }
        forgetIfIdle(lane)
        return entry.element
    }

    private mutating func change(_ lane: Lane, _ body: (inout LaneState) -> Void) {
        var user = users.removeValue(forKey: lane.userID) ?? UserState(served: now)
        var state = user.lanes.removeValue(forKey: lane) ?? LaneState(served: user.now)
        if state.waiting.isEmpty { state.served = max(state.served, user.now) }
        body(&state)
        user.lanes[lane] = state
        users[lane.userID] = user
    }

    private mutating func forgetIfIdle(_ lane: Lane) {
        guard let user = users[lane.userID], let state = user.lanes[lane] else { return }
        guard state.waiting.isEmpty, state.heldBytes == 0 else { return }
        users[lane.userID]!.lanes[lane] = nil
        if users[lane.userID]!.lanes.isEmpty { users[lane.userID] = nil }
    }
}
