import ArgumentParser
import LarderClient
import LarderModel
import LarderSystem
import LarderWire
import Synchronization

/// A client with an arena that has a place for each chunk of a set. Used by one thread at a time.
final class Worker: @unchecked Sendable {
    let set: ChunkSet
    let client: Client
    let arena: Arena
    private let slices: [ArenaSlice]
    private let modelID: UInt32
    private static let sessions = Atomic(0)

    /// Connects, declares the set's model, and fills the arena with the set's bytes.
    init(_ daemon: DaemonProcess, _ set: ChunkSet) throws {
        self.set = set
        client = try daemon.connect(name: "larder-bench")
        let arena = try client.openArena(byteCount: set.bytes.count)
        self.arena = arena
        slices = set.chunks.map { arena.slice($0.range) }
        modelID = try client.declare(set.model).modelID
        copyIn()
    }

    /// Copies the set's bytes to the arena: the memcpy that page-in is compared with.
    func copyIn() { set.copy(to: arena.bytes.baseAddress!) }

    /// A session that nobody has used.
    func newSession() throws -> UInt64 {
        let number = Self.sessions.wrappingAdd(1, ordering: .relaxed).oldValue
        return try client.openSession(namespace: "bench", name: "session-\(number)", modelID: modelID).session
    }

    /// Pages the whole set out of the arena, as one batch.
    func pageOut(
        to session: UInt64, acknowledgement: Acknowledgement = .committed, encoding: EncodingChoice = .auto
    ) throws {
        for result in try client.put(pageOuts(session), acknowledgement: acknowledgement, encoding: encoding) {
            _ = try result.get()
        }
    }

    /// Pages the whole set out to a new session.
    func pageOut(encoding: EncodingChoice = .auto) throws -> UInt64 {
        let session = try newSession()
        try pageOut(to: session, encoding: encoding)
        return session
    }

    /// Pages the whole set into the arena, as one batch.
    func pageIn(from session: UInt64) throws {
        for result in try client.get(pageIns(session)) { _ = try result.get() }
    }

    /// A page-out of each chunk of the set from its place.
    func pageOuts(_ session: UInt64) -> [ArenaPageOut] {
        zip(set.chunks, slices).map { ArenaPageOut(name: name(of: $0, session), tokens: $0.tokens, source: $1) }
    }

    /// A page-in of each chunk of the set to its place.
    func pageIns(_ session: UInt64) -> [ArenaPageIn] {
        zip(set.chunks, slices).map { ArenaPageIn(item: GetItem(name: name(of: $0, session)), destination: $1) }
    }

    /// The name of a chunk in a session.
    func name(of chunk: ChunkSet.Chunk, _ session: UInt64) -> ChunkName {
        ChunkName(session: session, component: chunk.component, offset: chunk.offset)
    }

    /// Zeroes the arena, pages in, and compares every byte.
    func verify(_ session: UInt64) throws {
        arena.bytes.initializeMemory(as: UInt8.self, repeating: 0)
        try pageIn(from: session)
        try compare()
    }

    /// Throws unless the arena holds the set's bytes.
    func compare() throws {
        for (chunk, slice) in zip(set.chunks, slices) where !slice.bytes.elementsEqual(set.bytes(of: chunk)) {
            throw ValidationError("the chunk at \(chunk.offset) is not what was paged out")
        }
    }

    /// Drops the session, waits until the store has freed its chunks, and has everything written to the disk: so that a
    /// measurement that follows finds queue, reaper and disk at rest.
    func settle(dropping session: UInt64) throws {
        try client.drop(session: session)
        let deadline = Clock.deadline(seconds: 30)
        while try client.stat().counters.contains(where: { $0.name == "blobs" && $0.value > 0 }), Clock.now() < deadline
        {
            Clock.sleep(milliseconds: 5)
        }
        try client.synchronise()
    }
}
