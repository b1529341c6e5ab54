import ArgumentParser
import LarderClient
import LarderModel
import LarderWire

struct CapCommand: DaemonCommand {
    static let configuration = CommandConfiguration(
        commandName: "cap",
        abstract: "Show how much of the disk the store may take, or change it until the next restart.",
        discussion: """
            Without SIZE: the cap, what the store takes of the disk, and how far it has come down to a cap that was lowered. \
            With it: the new cap holds at once for what is put; what is stored beyond it goes, coldest first, and its space is \
            given back while the daemon serves.

            After a restart the configuration rules again: set cap there (or --cap) to keep the new one. For root and the \
            daemon's own user.
            """)
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: ArgumentHelp("The new cap, such as 50GiB.", valueName: "size"), transform: Read.size)
    var size: UInt64?

    func report(_ client: Client) throws -> Report {
        if let size { try client.setCap(size) }
        let stat = try client.stat()
        let (cap, disk) = (stat["cap_bytes"], stat["disk_bytes"])
        return Report(
            capBytes: cap, diskBytes: disk, aboveBytes: disk > cap ? disk - cap : 0, changed: size != nil,
            givesBack: stat["shards_without_holes"] == 0)
    }

    struct Report: CommandReport {
        let capBytes: UInt64
        let diskBytes: UInt64
        let aboveBytes: UInt64
        let changed: Bool
        let givesBack: Bool

        func printOut() {
            print("cap      \(Format.bytes(capBytes))" + (changed ? ", in force until the daemon restarts" : ""))
            print(
                "disk     \(Format.bytes(diskBytes))"
                    + (aboveBytes == 0 ? "" : ", \(Format.bytes(aboveBytes)) above the cap"))
            if aboveBytes > 0 && givesBack {
                print("         coming down: state goes, coldest first, and its space with it")
            }
            if !givesBack {
                print(
                    "         the file system takes no space back: the cap holds for what is stored, and the files keep "
                        + "their size")
            }
            if changed { print("to keep it, set cap in the daemon's configuration") }
        }
    }
}
