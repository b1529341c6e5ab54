import LarderModel
import LarderStore
import LarderSystem

/// The last inventory of the store: taken when it is asked for, by one at a time, and given again for a while.
final class InventoryCache: Sendable {
    private struct State {
        var last: (inventory: Inventory, untilNanoseconds: UInt64)?
        var isTaking = false
    }

    private let state = Monitor(State())

    /// The last one, however old; nil if there was none yet.
    var known: Inventory? { state.withLock { $0.last?.inventory } }

    /// An inventory that is at most ``Limits/inventorySeconds`` old, or, where taking one takes long, ten times as long as
    /// that. Who asks while one is taken gets the one before, or `busy` if there is none.
    func inventory(_ reader: StoreReader) throws(LarderError) -> Inventory {
        let start = Clock.now()
        let known = try state.withLock { state throws(LarderError) -> Inventory? in
            if let last = state.last, start < last.untilNanoseconds || state.isTaking { return last.inventory }
            guard !state.isTaking else {
                throw LarderError(.busy, "what the store holds is being counted; ask again in a moment")
            }
            state.isTaking = true
            return nil
        }
        if let known { return known }
        do throws(LarderError) {
            let inventory = try reader.inventory()
            let now = Clock.now()
            let life = max(UInt64(Limits.inventorySeconds) * 1_000_000_000, 10 * (now - start))
            state.withLock {
                $0.last = (inventory, now + life)
                $0.isTaking = false
            }
            return inventory
        } catch {
            state.withLock { $0.isTaking = false }
            throw error
        }
    }
}
