import LarderModel
import LarderSystem

/// The memory that frames of all connections may take together, beyond the small buffer that each keeps.
final class InlineMemory: Sendable {
    private struct State {
        var free: Int
        var held: [UInt32: Int] = [:]
    }

    private let state: Monitor<State>
    /// Bytes that one user may hold.
    private let userLimit: Int

    init(bytes: Int, userBytes: Int) {
        state = Monitor(State(free: bytes))
        userLimit = userBytes
    }

    /// Takes bytes, waiting for them for a bounded time. False if there were none.
    func take(_ bytes: Int, userID: UInt32, waitSeconds: Int) -> Bool {
        state.wait(until: Clock.deadline(seconds: Double(waitSeconds))) { [userLimit] state -> Bool? in
            let held = state.held[userID] ?? 0
            guard state.free >= bytes, held + bytes <= userLimit else { return nil }
            state.free -= bytes
            state.held[userID] = held + bytes
            return true
        } ?? false
    }

    func giveBack(_ bytes: Int, userID: UInt32) {
        if bytes == 0 { return }
        state.signal { state in
            state.free += bytes
            let left = (state.held[userID] ?? 0) - bytes
            state.held[userID] = left == 0 ? nil : left
        }
    }

    var freeBytes: Int { state.withLock { $0.free } }
}

/// A buffer that grows for one frame and shrinks after it. Used by one thread.
final class FrameBuffer {
    /// Bytes that a connection keeps between frames, once it has needed them.
    static let keptBytes = 256 << 10

    private let memory: InlineMemory
    private let userID: UInt32
    private var storage = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    /// Mapped where it is more than a connection keeps, so that a large frame leaves nothing behind in the heap.
    private var isMapped = false
    private var taken = 0
    /// Bytes in use.
    private(set) var count = 0

    init(_ memory: InlineMemory, userID: UInt32) {
        self.memory = memory
        self.userID = userID
    }

    deinit {
        free()
        memory.giveBack(taken, userID: userID)
    }

    private func free() {
        if isMapped { Memory.unmap(storage) } else { storage.deallocate() }
        storage = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        isMapped = false
    }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: storage[..<count]) }

    /// `bytes` more, after what is in use. Nil if the memory was not to be had within `waitSeconds`.
    func append(_ bytes: Int, waitSeconds: Int = 0) -> UnsafeMutableRawBufferPointer? {
        let needed = count + bytes
        if needed > storage.count {
            // Doubling, so that an answer of many chunks is not copied again for each of them.
            let capacity = max(needed, min(2 * storage.count, Limits.frameBytes), 4_096)
            let share = max(0, capacity - Self.keptBytes) - taken
            if share > 0 {
                guard memory.take(share, userID: userID, waitSeconds: waitSeconds) else { return nil }
                taken += share
            }
            let mustMap = capacity > Self.keptBytes
            guard let larger = mustMap ? Memory.map(capacity) : .allocate(byteCount: capacity, alignment: 16) else {
                return nil
            }
            if count > 0 { larger.baseAddress!.copyMemory(from: storage.baseAddress!, byteCount: count) }
            free()
            storage = larger
            isMapped = mustMap
        }
        defer { count = needed }
        return UnsafeMutableRawBufferPointer(rebasing: storage[count..<needed])
    }

    /// Moves bytes towards the front.
    func move(_ range: Range<Int>, to start: Int) {
        guard range.lowerBound != start, !range.isEmpty else { return }
        (storage.baseAddress! + start).copyMemory(from: storage.baseAddress! + range.lowerBound, byteCount: range.count)
    }

    /// Takes back what was appended last.
    func removeLast(_ bytes: Int) { count -= bytes }

    /// Empties the buffer and gives back what is more than a connection keeps.
    func reset() {
        count = 0
        guard taken > 0 else { return }
        free()
        memory.giveBack(taken, userID: userID)
        taken = 0
    }
}
