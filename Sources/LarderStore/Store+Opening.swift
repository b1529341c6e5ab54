import LarderModel
import LarderSystem
import Logging

extension Store {
    /// Opens all shards and the catalog. Where one is damaged and the configuration says so, sets it aside and goes on
    /// with an empty one; the whole store, where shard 0 is, for it holds the models and namespaces of all.
    static func open(
        _ configuration: StoreConfiguration, leases: LeaseTable, quotas: Quotas, turns: TurnClock, log: Logger
    ) throws(LarderError) -> ([Shard], Catalog) {
        let directory = configuration.directory
        var setAside: [String] = []
        for _ in 0...configuration.shards {
            var shards: [Shard] = []
            let failure: OpeningFailure
            do throws(OpeningFailure) {
                try openShards(configuration, &shards, leases: leases, quotas: quotas, turns: turns, log: log)
                return (shards, try catalog(shards, directory))
            } catch { failure = error }
            guard failure.isDamage else { throw failure.error }
            guard configuration.onCorruption == .reset else {
                throw LarderError(
                    .storeUnusable,
                    "\(failure.error); restore a copy, or start with on_corruption = \"reset\", which sets it aside")
            }
            // The shard after those that are open. All of them: it was the catalog.
            let damaged = shards.count % configuration.shards
            shards = []
            quotas.forgetUsage()
            do {
                let names = try SetAside.move(
                    damaged == 0 ? Array(0..<configuration.shards) : [damaged], in: directory, sparing: setAside)
                setAside += names
                log.critical(
                    "damaged state was set aside; what it held has to be computed again",
                    metadata: [
                        "damage": "\(failure.error)", "data_dir": "\(directory)",
                        "set_aside": "\(names.joined(separator: ", "))",
                    ])
            } catch {
                throw LarderError(.storeUnusable, "\(failure.error); it could not be set aside: \(error)")
            }
        }
        throw LarderError(.storeUnusable, "\(directory) is damaged as soon as it is made; look at the disk")
    }

    private static func openShards(
        _ configuration: StoreConfiguration, _ shards: inout [Shard], leases: LeaseTable, quotas: Quotas,
        turns: TurnClock, log: Logger
    ) throws(OpeningFailure) {
        let held = (0..<configuration.shards).map {
            FileSystem.size("\(configuration.directory)/shard-\($0)/data.mdb") ?? 0 > 0
        }
        let isNew = !held.contains(true)
        let missing = try requireWhole(held, configuration)
        var identity = Shard.Identity(storeID: StoreID())
        for index in 0..<configuration.shards {
            let directory = "\(configuration.directory)/shard-\(index)"
            let shard = try Shard(
                index: index, directory: directory, configuration: configuration, identity, leases: leases,
                quotas: quotas, turns: turns)
            if index == 0 {
                identity.storeID = shard.storeID
                if !isNew { identity = identity.replacing() }
                // Not before: with a wrong number of shards none is missing, and shard 0 says so.
                if !missing.isEmpty {
                    log.critical(
                        "shards are missing, and are made anew, empty",
                        metadata: ["data_dir": "\(configuration.directory)", "missing": "\(missing)"])
                }
            }
            guard shard.storeID == identity.storeID else {
                let error = LarderError(
                    .storeUnusable,
                    "\(directory) belongs to store \(shard.storeID), not \(identity.storeID); put its own shard back")
                throw OpeningFailure(error: error, isDamage: false)
            }
            shards.append(shard)
        }
        // The names of what was made: fsync(2) of a file does not see to them.
        do {
            try FileSystem.synchronise(configuration.directory)
        } catch { throw Shard.openingFailure(error, configuration.directory) }
    }

    /// Throws where shard 0 is gone, which all others need, and, in a store that is not to be reset, where any is. Else
    /// returns the names of what is missing and is to be made anew; empty for a new store.
    private static func requireWhole(
        _ held: [Bool], _ configuration: StoreConfiguration
    ) throws(OpeningFailure) -> String {
        let missing = held.indices.filter { !held[$0] }.map { "shard-\($0)" }.joined(separator: ", ")
        guard held.contains(true), held.contains(false) else { return "" }
        guard held[0], configuration.onCorruption == .reset else {
            throw OpeningFailure(
                error: LarderError(
                    .storeUnusable, "\(missing) of \(configuration.directory) holds nothing, and other shards do"),
                isDamage: true)
        }
        return missing
    }

    private static func catalog(_ shards: [Shard], _ directory: String) throws(OpeningFailure) -> Catalog {
        do { return try Catalog(shards) } catch {
            throw OpeningFailure(
                error: LarderError(.storeUnusable, "the catalog of \(directory) cannot be read: \(error)"),
                isDamage: Shard.openingFailure(error, directory).isDamage)
        }
    }
}
