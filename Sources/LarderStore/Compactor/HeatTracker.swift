import LarderModel
import LarderPolicy
import LarderSystem
import Synchronization

/// Time as the heat of chunks counts it: a tick for each turn, which is a resume or a match, and one for each
/// ``chunksPerTick`` chunks put or paged in, for workers that ask for neither.
final class TurnClock: Sendable {
    private static let chunksPerTick: UInt64 = 64
    private let turns = Atomic<UInt64>(1)
    private let chunks = Atomic<UInt64>(0)

    /// The time now.
    var now: UInt64 {
        turns.load(ordering: .relaxed) + chunks.load(ordering: .relaxed) / Self.chunksPerTick
    }

    /// A worker begins a turn.
    func countTurn() { turns.wrappingAdd(1, ordering: .relaxed) }

    /// A chunk is put or paged in.
    func countChunk() { chunks.wrappingAdd(1, ordering: .relaxed) }

    /// Goes on from an earlier process's time.
    func advance(to time: UInt64) {
        let now = turns.load(ordering: .relaxed)
        if time > now { turns.wrappingAdd(time - now, ordering: .relaxed) }
    }
}

/// How likely the chunks of a shard are to be wanted again: their uses, in memory, with those of chunks that were evicted.
/// Nothing here writes to the store.
final class HeatTracker: Sendable {
    /// The last use of a line, by whichever session: all that lies before its end is in use, even what a worker has no
    /// need to page in.
    fileprivate struct Activity {
        var tick: UInt64
        var end: UInt64
        /// Seconds since 1970.
        var seconds: UInt64
    }

    fileprivate struct State {
        var rule: SweepRule
        var lines: [UInt64: Activity] = [:]
        /// What is not among them was not in use since, for all that is known. Seconds since 1970.
        var forgottenSeconds = Clock.wallSeconds()
        var budgetIsShort = false
        var isPressed = false
    }

    private let state: Monitor<State>
    private let turns: TurnClock
    private let lineLimit: Int

    init(_ configuration: SweepRule.Configuration, _ turns: TurnClock) {
        state = Monitor(State(rule: SweepRule(configuration)))
        lineLimit = max(1_024, configuration.keys / 16)
        self.turns = turns
    }

    /// Keys that are remembered at most, about.
    var keys: Int { state.withLock { $0.rule.configuration.keys } }

    /// What is remembered of chunks, for a file.
    var bytes: [UInt8] { state.withLock { $0.rule.bytes } }

    /// Goes on from what an earlier process remembered; bytes that none wrote are ignored.
    func restore(_ bytes: [UInt8]) {
        state.withLock { state in
            guard let rule = try? SweepRule(bytes: bytes, state.rule.configuration) else { return }
            state.rule = rule
            turns.advance(to: rule.clock)
        }
    }

    /// Has less rewritten than usual while the device's budget is short, or puts wait.
    func spareWrites(budgetIsShort: Bool? = nil, isPressed: Bool? = nil) {
        state.withLock { state in
            state.budgetIsShort = budgetIsShort ?? state.budgetIsShort
            state.isPressed = isPressed ?? state.isPressed
            let isSparing = state.budgetIsShort || state.isPressed
            state.rule.quantile = isSparing ? Self.sparingQuantile : state.rule.configuration.quantile
        }
    }

    /// The share of residents that a chunk must be hotter than to be rewritten, while writes are spared.
    private static let sparingQuantile = 0.8

    /// A chunk was paged in, or put where it was stored already: perhaps as part of a turn that was counted.
    ///
    /// - Parameter turn: when that turn began (``StoreReader/turn``); nil for a worker that began none.
    func refresh(_ key: UInt64, turn: UInt64?) {
        if turn == nil { turns.countChunk() }
        state.withLock { state in
            state.rule.advance(to: turns.now)
            state.rule.refresh(key, turn: turn ?? turns.now)
        }
    }

    /// Chunks were put, or a resume or a match named them.
    ///
    /// - Parameter hasTurn: false for chunks that a worker put without having begun a turn: then they are its clock.
    func use(_ keys: some Sequence<UInt64>, hasTurn: Bool = true) {
        state.withLock { state in
            for key in keys {
                if !hasTurn { turns.countChunk() }
                state.rule.advance(to: turns.now)
                state.rule.use(key)
            }
        }
    }

    /// A chunk is stored no longer, but remembered.
    func evicted(_ key: UInt64) { state.withLock { $0.rule.evicted(key) } }

    /// A chunk was rewritten by the sweep.
    func moved(_ key: UInt64) { state.withLock { $0.rule.moved(key) } }

    /// Makes chunks the next to go, until their next use.
    func demote(_ keys: some Sequence<UInt64>) {
        state.withLock { state in for key in keys { state.rule.demote(key) } }
    }

    /// What lies at or beyond an offset of some lines is in use no longer, until its next use.
    func forget(lines: some Sequence<UInt64>, from offset: UInt64) {
        state.withLock { state in
            for line in lines {
                guard let known = state.lines[line], known.end > offset else { continue }
                state.lines[line]!.end = offset
            }
        }
    }

    /// The lines of a session's path are in use, each up to an offset.
    func use(lines: some Sequence<(line: UInt64, end: UInt64)>) {
        let now = turns.now
        let seconds = Clock.wallSeconds()
        state.withLock { state in
            for (line, end) in lines {
                let known = state.lines[line]
                let reach = known.map { $0.tick == now ? max($0.end, end) : end } ?? end
                state.lines[line] = Activity(tick: now, end: reach, seconds: seconds)
            }
            if state.lines.count > lineLimit { state.forgetLines(to: lineLimit / 8 * 7) }
        }
    }

    /// When the last of some places in lines was in use; nil if that is not known.
    func lastUse(of places: [(line: UInt64, offset: UInt64)]) -> UInt64? {
        state.withLock { state in
            places.compactMap { place in
                state.lines[place.line].flatMap { place.offset < $0.end ? $0.tick : nil }
            }.max()
        }
    }

    /// True if a chunk at the old end of the log is worth rewriting, or would be, were it there.
    ///
    /// - Parameters:
    ///   - lastUse: when the line that it is in was in use (``lastUse(of:)``).
    ///   - bias: what it is hotter for its namespace's share (``Quotas/bias(_:)``).
    func keeps(_ key: UInt64, lastUse: UInt64? = nil, bias: Double = 0) -> Bool {
        state.withLock { state in
            state.rule.advance(to: turns.now)
            return state.rule.keeps(key, lastUse: lastUse ?? 0, bias: bias)
        }
    }

    /// Seconds since 1970 at which a line was last in use; for one that is not known the latest that it can have been: when
    /// this memory began, or last forgot.
    func lastUseSeconds(of line: UInt64) -> UInt64 {
        state.withLock { $0.lines[line]?.seconds ?? $0.forgottenSeconds }
    }

    /// Seconds since 1970 at which a line was last in use; nil if that is not known.
    func knownUseSeconds(of line: UInt64) -> UInt64? { state.withLock { $0.lines[line]?.seconds } }

    /// See ``relativeHeats(_:)``; holds the lock that page-ins take.
    func relativeHeats(ofFew keys: ArraySlice<UInt64>) -> [Double?] {
        state.withLock { state in
            let now = Double(turns.now) / state.rule.configuration.tau
            return keys.map { key in
                guard let heat = state.rule.table.heat(of: key), heat > -.infinity else { return nil }
                return heat - now
            }
        }
    }

    /// True if a chunk was put before, or paged in, and is remembered.
    func knows(_ key: UInt64) -> Bool { state.withLock { $0.rule.table.frequency(of: key) != nil } }

    /// Remembers a chunk that was put and not taken in.
    func noteDeclined(_ key: UInt64) {
        state.withLock { state in
            state.rule.advance(to: turns.now)
            state.rule.use(key)
            state.rule.evicted(key)
        }
    }
}

extension HeatTracker.State {
    /// Forgets the lines whose use is longest ago.
    fileprivate mutating func forgetLines(to count: Int) {
        let excess = lines.count - count
        guard excess > 0 else { return }
        forgottenSeconds = Clock.wallSeconds()
        for line in lines.sorted(by: { $0.value.tick < $1.value.tick }).prefix(excess) { lines[line.key] = nil }
    }
}
