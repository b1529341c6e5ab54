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

    /// Sets shards of the store in `directory` aside, and removes what of them was set aside before, but for `sparing`. Where
    /// the disk has no room for a new shard beside it, it is removed itself. Returns the new names.
    static func move(_ shards: [Int], in directory: String, sparing: [String]) throws(SystemError) -> [String] {
        var names: [String] = []
        for shard in shards where FileSystem.exists("\(directory)/shard-\(shard)") {
            let older = entries(in: directory).filter { $0.hasSuffix("-shard-\(shard)") && !sparing.contains($0) }
            let name = freeName(shard, in: directory)
            try FileSystem.rename("\(directory)/shard-\(shard)", to: "\(directory)/\(name)")
            names.append(name)
            for old in older { FileSystem.removeTree("\(directory)/\(old)") }
        }
        try FileSystem.synchronise(directory)
        for name in names {
            let bytes = FileSpace.allocatedBytes("\(directory)/\(name)")
            if FileSystem.availableBytes(directory) ?? .max < bytes { FileSystem.removeTree("\(directory)/\(name)") }
        }
        return names
    }

    private static func freeName(_ shard: Int, in directory: String) -> String {
        let time = Clock.timestamp()
        var number = 1
        while true {
            let name = "\(prefix)\(time)\(number > 1 ? ".\(number)" : "")-shard-\(shard)"
            if !FileSystem.exists("\(directory)/\(name)") { return name }
            number += 1
        }
    }

    /// Bytes of the disk that what was set aside takes.
    static func bytes(in directory: String) -> Int {
        entries(in: directory).reduce(0) { $0 + FileSpace.allocatedBytes("\(directory)/\($1)") }
    }

    private static func entries(in directory: String) -> [String] {
        (FileSystem.names(in: directory) ?? []).filter { $0.hasPrefix(prefix) }
    }
}
