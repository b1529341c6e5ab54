import ArgumentParser
import LarderClient
import LarderModel
import LarderStore
import LarderSystem
import LarderWire

struct BackupCommand: DaemonCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Copy the store to a directory while the daemon serves.",
        discussion: """
            The copy is of one moment: all that was committed before it, in all shards alike, and nothing later. The daemon \
            writes it, as its own user, on its own machine; larderctl restore makes a store of it. It is whole when the \
            command has ended with 0: a backup that was interrupted leaves nothing.

            While a shard is copied, what evictions free in it cannot be used again: a store at its cap may refuse puts as full \
            for as long. For root and the daemon's own user.
            """)
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "A new or an empty directory, outside data_dir.", completion: .directory)
    var directory: String

    struct Report: CommandReport {
        let directory: String
        let shards: UInt32
        let bytes: UInt64
        let createdSeconds: UInt64

        func printOut() {
            print("backed up \(Format.bytes(bytes)) in \(shards) \(shards == 1 ? "shard" : "shards") to \(directory)")
            print("as of \(Moment.text(createdSeconds)); larderctl restore \(directory) DATA_DIR makes a store of it")
        }
    }

    /// A disk may take minutes to have it all.
    var timeoutSeconds: Int { 0 }

    func report(_ client: Client) throws -> Report {
        let path = FileSystem.absolute(directory)
        let bar = ProgressBar.bytes("backing up")
        let answer = try client.backup(to: path) { bar.update($0.copiedBytes, of: $0.totalBytes) }
        return Report(
            directory: path, shards: answer.shards, bytes: answer.bytes, createdSeconds: answer.createdSeconds)
    }
}

struct RestoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore",
        abstract: "Make a store of a backup, for a daemon that is stopped.",
        discussion: """
            Copies the backup to DATA_DIR, which must be new or empty, and checks every byte against the backup's checksums and \
            the structure of each file. If it fails, DATA_DIR is as it was. Run as root, the files get the owner of DATA_DIR. \
            Then start larderd with that data_dir, and the number of shards that the backup has.
            """)
    @OptionGroup var output: OutputOptions
    @Argument(help: "What larderctl backup wrote.", completion: .directory)
    var backup: String
    @Argument(help: "The data_dir of the daemon to be.", completion: .directory)
    var dataDir: String

    struct Report: CommandReport {
        let dataDir: String
        let storeID: String
        let shards: Int
        let bytes: Int
        let createdSeconds: UInt64

        func printOut() {
            print("restored \(Format.bytes(UInt64(bytes))) to \(dataDir), as of \(Moment.text(createdSeconds))")
            print("start larderd with data_dir \(dataDir) and shards \(shards)")
        }
    }

    func run() throws {
        let bar = ProgressBar.bytes("restoring")
        let path = FileSystem.absolute(dataDir)
        let manifest = try Failure.reported {
            try BackupRestore.run(from: FileSystem.absolute(backup), to: path) { copied, total in
                bar.update(UInt64(copied), of: UInt64(total))
            }
        }
        bar.clear()
        try output.show(
            Report(
                dataDir: path, storeID: "\(manifest.storeID)", shards: manifest.files.count, bytes: manifest.bytes,
                createdSeconds: manifest.createdSeconds))
    }
}
