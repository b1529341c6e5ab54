import LarderCodec
import LarderModel
import LarderSystem

/// The file that a backup ends with: what it is of, and each file's length and CRC32C. Without it a backup is not whole.
public struct BackupManifest: Sendable, Hashable {
    /// A copied data file.
    public struct File: Sendable, Hashable {
        /// Bytes.
        public var bytes: Int
        /// CRC32C of all of them.
        public var checksum: UInt32
    }

    /// The manifest's name in a backup's directory.
    public static let name = "larder-backup"
    private static let title = "larder-backup 1"

    /// The store that it is a copy of.
    public var storeID: StoreID
    /// The moment that it is a copy of, seconds since 1970.
    public var createdSeconds: UInt64
    /// The data file of each shard, in order: `shard-0/data.mdb` and so on.
    public var files: [File]

    /// Bytes of all files.
    public var bytes: Int { files.reduce(0) { $0 + $1.bytes } }

    /// The path of a shard's data file in a backup or a store.
    static func path(_ directory: String, shard: Int) -> String { "\(directory)/shard-\(shard)/data.mdb" }

    /// The manifest as text: a line each, the last with the CRC32C of those before it.
    var text: [UInt8] {
        var lines = "\(Self.title)\nstore \(storeID)\ncreated \(createdSeconds)\n"
        for (shard, file) in files.enumerated() {
            lines += "shard \(shard) \(file.bytes) \(Self.hexadecimal(file.checksum))\n"
        }
        let checksum = Array(lines.utf8).withUnsafeBytes { CRC32C.checksum($0) }
        return Array((lines + "end \(Self.hexadecimal(checksum))\n").utf8)
    }

    private static func hexadecimal(_ value: UInt32) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }

    init(storeID: StoreID, createdSeconds: UInt64, files: [File]) {
        self.storeID = storeID
        self.createdSeconds = createdSeconds
        self.files = files
    }

    /// Reads the manifest of the backup in `directory`. Throws ``LarderError`` with `storeUnusable` if there is none that is
    /// whole, `storage` where it cannot be read.
    public init(in directory: String) throws(LarderError) {
        let path = "\(directory)/\(Self.name)"
        guard FileSystem.exists(path) else {
            throw LarderError(
                .storeUnusable,
                "\(directory) holds no backup, or one that was not completed: there is no file \(Self.name) in it; name the "
                    + "directory that larderctl backup wrote, or make a new backup")
        }
        let bytes: [UInt8]
        do { bytes = try FileSystem.read(path, limit: Limits.backupManifestBytes) } catch {
            throw LarderError(.storage, "\(error); read it as a user who may")
        }
        guard let manifest = BackupManifest(text: bytes) else {
            throw LarderError(
                .storeUnusable, "\(path) is damaged, or of a later version; use another backup, or a later larderctl")
        }
        self = manifest
    }

    /// Reads text exactly as ``text`` writes it; nil for any other.
    init?(text: [UInt8]) {
        guard let string = String(validating: text, as: UTF8.self) else { return nil }
        let lines = string.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        guard lines.count >= 5, lines[1].count == 2, let id = StoreID(lines[1][1]), lines[2].count == 2,
            let created = UInt64(lines[2][1])
        else { return nil }
        var files: [File] = []
        for line in lines[3..<lines.count - 1] {
            guard line.count == 4, let bytes = Int(line[2]), bytes >= 0, let checksum = UInt32(line[3], radix: 16)
            else { return nil }
            files.append(File(bytes: bytes, checksum: checksum))
        }
        guard (1...Limits.shards).contains(files.count) else { return nil }
        self.init(storeID: id, createdSeconds: created, files: files)
        // Titles, numbers of shards, and the checksum are right if this writes the same again.
        guard self.text == text else { return nil }
    }
}
