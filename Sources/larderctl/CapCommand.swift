import ArgumentParser
import LarderClient
import LarderModel
import LarderWire

struct CapCommand: ParsableCommand {
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
    @Argument(
        help: ArgumentHelp("The new cap, such as 50GiB.", valueName: "size"),
        transform: { text in
            do { return UInt64(try Quantity.bytes(text)) } catch let error as LarderError {
                throw ValidationError(error.message)
            }
        })
    var size: UInt64?

    private struct Report: Encodable {
        let capBytes: UInt64
        let diskBytes: UInt64
        let aboveBytes: UInt64
        let changed: Bool
        let givesBack: Bool
    }

    func run() throws {
        try connection.withClient { client in
            if let size { try client.setCap(size) }
            let stat = try client.stat()
            let cap = stat["cap_bytes"]
            let disk = stat["disk_bytes"]
            let above = disk > cap ? disk - cap : 0
            let givesBack = stat["shards_without_holes"] == 0
            if connection.json {
                let report = Report(
                    capBytes: cap, diskBytes: disk, aboveBytes: above, changed: size != nil, givesBack: givesBack)
                print(try Format.json(report))
                return
            }
            print("cap      \(Format.bytes(cap))" + (size == nil ? "" : ", in force until the daemon restarts"))
            print("disk     \(Format.bytes(disk))" + (above == 0 ? "" : ", \(Format.bytes(above)) above the cap"))
            if above > 0 && givesBack {
                print("         coming down: state goes, coldest first, and its space with it")
            }
            if !givesBack {
                print(
                    "         the file system takes no space back: the cap holds for what is stored, and the files keep "
                        + "their size")
            }
            if size != nil { print("to keep it, set cap in the daemon's configuration") }
        }
    }
}
