import LarderClient
import LarderModel
import LarderSystem
import LarderWire

/// What a soak has done so far.
struct SoakTotals: Sendable {
    var turns = 0
    var puts = 0
    var pagedIn = 0
    var forks = 0
    var truncates = 0
    var drops = 0
    /// Turns that found less than the session had: the rest was evicted.
    var shortened = 0
    /// Chunks that were gone between the resume that named them and their page-in; a lease forbids it.
    var lostUnderLease = 0
    /// Requests or chunks that were refused because the store was full or busy.
    var refused = 0
    var wrongBytes = 0

    mutating func add(_ other: SoakTotals) {
        turns += other.turns
        puts += other.puts
        pagedIn += other.pagedIn
        forks += other.forks
        truncates += other.truncates
        drops += other.drops
        shortened += other.shortened
        lostUnderLease += other.lostUnderLease
        refused += other.refused
        wrongBytes += other.wrongBytes
    }
}

/// A worker that does at random what workers do, and knows what every chunk of its sessions must hold: one of a set's.
/// Used by one thread at a time.
final class SoakWorker: @unchecked Sendable {
    /// Chunks of the longest session, sessions that are kept, and chunks of one page-out at most.
    private static let sessionChunks = 48
    private static let sessionCount = 24
    private static let batchChunks = 8

    private struct Session {
        let id: UInt64
        /// Which of the set's chunks lies at each place.
        var content: [Int]
    }

    private let client: Client
    private let arena: Arena
    private let set: ChunkSet
    private let modelID: UInt32
    private let chunkBytes: Int
    private let tokens: UInt64
    private let number: Int
    private var names = 0
    private var sessions: [Session] = []
    private var generator: SplitMix
    private(set) var totals = SoakTotals()

    init(_ daemon: DaemonProcess, _ set: ChunkSet, number: Int, seed: UInt64) throws {
        self.set = set
        self.number = number
        client = try daemon.connect(name: "larder-soak")
        chunkBytes = set.chunks[0].range.count
        tokens = UInt64(set.chunks[0].tokens)
        arena = try client.openArena(byteCount: chunkBytes * Self.sessionChunks)
        modelID = try client.declare(set.model).modelID
        generator = SplitMix(state: seed &+ UInt64(number) << 40)
    }

    /// Takes a turn in a session, or forks, truncates or drops one. A refusal of a full or busy store is counted.
    func step() throws {
        do {
            switch Int.random(in: 0..<100, using: &generator) {
            case 0..<70: try turn()
            case 70..<85: try fork()
            case 85..<93: try truncate()
            default: try drop()
            }
        } catch ClientError.refused(let error) where error.code == .busy || error.code == .full {
            totals.refused += 1
        }
    }

    private func pick() -> Int? { sessions.indices.randomElement(using: &generator) }

    private func open() throws {
        let opened = try client.openSession(namespace: "soak", name: name(), modelID: modelID)
        sessions.append(Session(id: opened.session, content: []))
    }

    private func name() -> String {
        names += 1
        return "worker-\(number)-\(names)"
    }

    /// Pages a session in as far as it goes, compares it, and pages out behind it.
    private func turn() throws {
        totals.turns += 1
        if sessions.count < Self.sessionCount { try open() }
        guard let index = pick() else { return }
        try pageIn(index)
        let first = sessions[index].content.count
        let count = min(Int.random(in: 1...Self.batchChunks, using: &generator), Self.sessionChunks - first)
        if count > 0 { try pageOut(index, first..<first + count) }
    }

    private func pageIn(_ index: Int) throws {
        let id = sessions[index].id
        let resume = try client.resume(session: id)
        let reach = Int(resume.offset / tokens)
        let chunks = resume.chunks.enumerated().map { place, chunk in
            ArenaPageIn(item: GetItem(name: chunk.name), destination: slice(place))
        }
        for (chunk, result) in zip(chunks, try client.get(chunks)) {
            switch result {
            case .success:
                totals.pagedIn += 1
                let expected = set.bytes(of: set.chunks[sessions[index].content[Int(chunk.item.name.offset / tokens)]])
                let found = UnsafeRawBufferPointer(chunk.destination.bytes)
                if !found.elementsEqual(expected) {
                    totals.wrongBytes += zip(found, expected).reduce(0) { $0 + ($1.0 == $1.1 ? 0 : 1) }
                }
            case .failure(let error) where error.code == .miss: totals.lostUnderLease += 1
            case .failure(let error) where error.code == .busy: totals.refused += 1
            case .failure(let error): throw error
            }
        }
        guard reach < sessions[index].content.count else { return }
        // What lies behind what was lost is computed anew, and may come out otherwise.
        totals.shortened += 1
        try client.truncate(session: id, offset: UInt64(reach) * tokens)
        sessions[index].content.removeSubrange(reach...)
    }

    private func pageOut(_ index: Int, _ places: Range<Int>) throws {
        var chunks: [ArenaPageOut] = []
        var content: [Int] = []
        for place in places {
            let which = set.chunks.indices.randomElement(using: &generator)!
            let slice = slice(place)
            slice.bytes.copyMemory(from: set.bytes(of: set.chunks[which]))
            let name = ChunkName(session: sessions[index].id, component: 0, offset: UInt64(place) * tokens)
            chunks.append(ArenaPageOut(name: name, tokens: UInt32(tokens), source: slice))
            content.append(which)
        }
        for (which, result) in zip(content, try client.put(chunks)) {
            switch result {
            case .success:
                totals.puts += 1
                sessions[index].content.append(which)
            case .failure(let error) where error.code == .busy || error.code == .full:
                // What follows has no past: the next turn truncates it.
                totals.refused += 1
                sessions[index].content.append(which)
            case .failure(let error): throw error
            }
        }
    }

    private func slice(_ place: Int) -> ArenaSlice { arena.slice(place * chunkBytes..<(place + 1) * chunkBytes) }

    private func fork() throws {
        guard let index = pick(), sessions.count < 2 * Self.sessionCount else { return }
        // As far as the state goes now; the resume keeps it there.
        let resume = try client.resume(session: sessions[index].id)
        let count = Int.random(in: 0...Int(resume.offset / tokens), using: &generator)
        let id = try client.fork(session: sessions[index].id, offset: UInt64(count) * tokens, name: name())
        sessions.append(Session(id: id, content: Array(sessions[index].content.prefix(count))))
        totals.forks += 1
    }

    private func truncate() throws {
        guard let index = pick() else { return }
        let count = Int.random(in: 0...sessions[index].content.count, using: &generator)
        try client.truncate(session: sessions[index].id, offset: UInt64(count) * tokens)
        sessions[index].content.removeSubrange(count...)
        totals.truncates += 1
    }

    private func drop() throws {
        guard let index = pick() else { return }
        try client.drop(session: sessions[index].id)
        sessions.remove(at: index)
        totals.drops += 1
    }
}
