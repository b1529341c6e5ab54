import LarderModel
import LarderSystem
import LarderWire

/// Bytes of shared memory that all connections hold, bounded for the daemon and for each user.
final class ArenaBudget: Sendable {
    private struct State {
        var bytes = 0
        var bytesByUser: [UInt32: Int] = [:]
        var arenas = 0
    }

    private let limit: Int
    /// What one user may hold, so that it cannot shut the others out.
    private let userLimit: Int
    /// True if arenas are to stay in memory.
    let locksMemory: Bool
    private let state = Monitor(State())

    init(bytes: Int, userBytes: Int, locksMemory: Bool) {
        limit = bytes
        userLimit = userBytes
        self.locksMemory = locksMemory
    }

    func take(_ bytes: Int, userID: UInt32) throws(LarderError) {
        try state.withLock { state throws(LarderError) in
            guard bytes <= userLimit, state.bytesByUser[userID, default: 0] <= userLimit - bytes else {
                throw LarderError(
                    .busy,
                    "an arena of \(bytes) bytes is over what user \(userID) may share, \(userLimit) bytes; close "
                        + "arenas, or raise user_arena_memory"
                )
            }
            guard state.bytes <= limit - bytes else {
                throw LarderError(
                    .busy,
                    "an arena of \(bytes) bytes is over what the daemon shares, \(limit) bytes; close arenas, or "
                        + "raise arena_memory"
                )
            }
            state.bytes += bytes
            state.arenas += 1
            state.bytesByUser[userID, default: 0] += bytes
        }
    }

    func giveBack(_ bytes: Int, userID: UInt32) {
        state.withLock { state in
            state.bytes -= bytes
            state.arenas -= 1
            let left = state.bytesByUser[userID, default: 0] - bytes
            state.bytesByUser[userID] = left == 0 ? nil : left
        }
    }

    var held: (arenas: Int, bytes: Int) { state.withLock { ($0.arenas, $0.bytes) } }
}

/// The arenas of one connection. Used by its thread; gone with it, and the memory with them.
final class ArenaTable {
    private final class Arena {
        let memory: SharedMemory

        init(_ memory: consuming SharedMemory) { self.memory = memory }
    }

    private let budget: ArenaBudget
    private let userID: UInt32
    private var arenas: [UInt32: Arena] = [:]
    private var nextNumber: UInt32 = 1

    init(_ budget: ArenaBudget, userID: UInt32) {
        self.budget = budget
        self.userID = userID
    }

    deinit { for arena in arenas.values { budget.giveBack(arena.memory.bytes.count, userID: userID) } }

    /// Makes an arena and hands its memory to `send`, which tells the peer.
    func open(
        byteCount: UInt64, send: (UInt32, borrowing SharedMemory) throws(SystemError) -> Void
    ) throws(LarderError) {
        let bytes = try admit(byteCount)
        do throws(SystemError) {
            let memory = try SharedMemory.create(name: "larder-arena", byteCount: bytes)
            if budget.locksMemory { try lock(memory) }
            let arena = Arena(memory)
            let number = add(arena)
            try send(number, arena.memory)
        } catch {
            budget.giveBack(bytes, userID: userID)
            throw LarderError(.storage, "no shared memory of \(bytes) bytes: \(error); ask for less")
        }
    }

    /// Takes a client's own memory as an arena.
    func register(_ descriptor: consuming Descriptor, byteCount: UInt64) throws(LarderError) -> UInt32 {
        let bytes = try admit(byteCount)
        do throws(SharedMemory.Refusal) {
            let memory = try SharedMemory.adopt(descriptor, byteCount: bytes)
            if budget.locksMemory {
                do throws(SystemError) { try lock(memory) } catch { throw SharedMemory.Refusal.system(error) }
            }
            return add(Arena(memory))
        } catch {
            budget.giveBack(bytes, userID: userID)
            switch error {
            case .notSealable:
                throw LarderError(
                    .invalidArgument,
                    "the descriptor is no memfd; send one made with memfd_create and MFD_ALLOW_SEALING")
            case .notSealed:
                throw LarderError(.invalidArgument, "the memfd is not sealed; add F_SEAL_SHRINK and F_SEAL_GROW")
            case .size(let size):
                throw LarderError(
                    .invalidArgument,
                    "the memfd has \(size) bytes, not the \(bytes) that the request says; send its size")
            case .system(let error): throw LarderError(.storage, "the memfd cannot be mapped: \(error)")
            }
        }
    }

    /// Keeps an arena out of swap.
    private func lock(_ memory: borrowing SharedMemory) throws(SystemError) {
        do throws(SystemError) { try memory.lock() } catch {
            throw SystemError(
                "mlock", "lock_memory needs a higher limit of locked memory (LimitMEMLOCK, ulimit -l)", code: error.code
            )
        }
    }

    /// Gives an arena back.
    func close(_ number: UInt32) throws(LarderError) {
        guard let arena = arenas.removeValue(forKey: number) else { throw unknown(number) }
        budget.giveBack(arena.memory.bytes.count, userID: userID)
    }

    /// The bytes of a region. Throws `invalidArgument` unless all of it lies in the arena.
    func region(_ region: ArenaRegion, byteCount: UInt64) throws(LarderError) -> UnsafeMutableRawBufferPointer {
        guard let arena = arenas[region.arena] else { throw unknown(region.arena) }
        let size = UInt64(arena.memory.bytes.count)
        guard region.offset <= size, byteCount <= size - region.offset else {
            throw LarderError(
                .invalidArgument,
                "bytes \(region.offset) and \(byteCount) on are not within the \(size) of arena \(region.arena)")
        }
        let start = Int(region.offset)
        return UnsafeMutableRawBufferPointer(rebasing: arena.memory.bytes[start..<start + Int(byteCount)])
    }

    private func admit(_ byteCount: UInt64) throws(LarderError) -> Int {
        guard byteCount > 0, byteCount <= UInt64(Int.max / 2) else {
            throw LarderError(
                .invalidArgument, "an arena of \(byteCount) bytes cannot be; ask for more than 0 and less than 2^62")
        }
        guard arenas.count < Limits.arenasPerConnection else {
            throw LarderError(.busy, "the connection has \(Limits.arenasPerConnection) arenas, its limit; close one")
        }
        try budget.take(Int(byteCount), userID: userID)
        return Int(byteCount)
    }

    private func add(_ arena: Arena) -> UInt32 {
        defer { nextNumber += 1 }
        arenas[nextNumber] = arena
        return nextNumber
    }

    private func unknown(_ number: UInt32) -> LarderError {
        LarderError(.invalidArgument, "this connection has no arena \(number); open or register one")
    }
}
