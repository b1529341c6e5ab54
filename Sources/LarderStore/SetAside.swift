// A shard that is damaged is set aside: its directory gets a dated name beside the others, and an empty one takes its
// place. The newest of each shard is kept, for whoever wants to look at it; the cap does not count it.
import LarderModel
import LarderSystem

/// What the store does with a shard that is damaged.
public enum CorruptionPolicy: String, Sendable, CaseIterable {
    /// Refuse to open the store.
    case refuse
    /// Set the shard aside and go on without what it held.
    case reset
}

enum SetAside {
    private static let prefix = "damaged-"

    /// Sets shards of the store in `directory` aside, and removes what of them was set aside before. Returns the new names.
    static func move(_ shards: [Int], in directory: String) throws(SystemError) -> [String] {
        var names: [String] = []
        for shard in shards where FileSystem.exists("\(directory)/shard-\(shard)") {
            for old in entries(in: directory) where old.hasSuffix("-shard-\(shard)") {
                FileSystem.removeTree("\(directory)/\(old)")
            }
            let name = "\(prefix)\(Clock.timestamp())-shard-\(shard)"
            try FileSystem.rename("\(directory)/shard-\(shard)", to: "\(directory)/\(name)")
            names.append(name)
        }
        try FileSystem.synchronise(directory)
        return names
    }

    /// Bytes of the disk that what was set aside takes.
    static func bytes(in directory: String) -> Int {
        entries(in: directory).reduce(0) { $0 + FileSpace.allocatedBytes("\(directory)/\($1)") }
    }

    private static func entries(in directory: String) -> [String] {
        (FileSystem.names(in: directory) ?? []).filter { $0.hasPrefix(prefix) }
    }
}
