import ArgumentParser
import Foundation
import LarderModel
import LarderSystem

struct ManualCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "man",
        abstract: "Write the manual pages of this program, one a command.",
        discussion: "Made from what the program itself says of its commands, for section 1: larderctl.1 and others.")
    @OptionGroup var output: OutputOptions
    @Option(
        name: [.customShort("o"), .customLong("output")],
        help: ArgumentHelp("The directory, such as /usr/local/share/man/man1.", valueName: "dir"),
        completion: .directory)
    var directory: String
    @Option(help: ArgumentHelp("The date that the pages bear. Default: today.", valueName: "yyyy-mm-dd"))
    var date: String?

    struct Report: CommandReport {
        let directory: String
        let pages: [String]

        func printOut() {
            print("\(pages.count) pages in \(directory); man -l \(directory)/larderctl.1 shows the first")
        }
    }

    func validate() throws {
        if let date, Moment.seconds(date, now: 0) == nil || date.count != 10 {
            throw ValidationError("'\(date.clipped)' is no date; write 2026-11-01")
        }
    }

    func run() throws {
        let date = date ?? String(Moment.text(Clock.wallSeconds()).prefix(10))
        let pages = try ManualPages(dump: Data(Larderctl._dumpHelp().utf8), date: date).pages
        try Failure.reported {
            try FileSystem.makeDirectory(directory, mode: 0o755)
            for page in pages {
                try FileSystem.write(Array(page.text.utf8), to: "\(directory)/\(page.name).1", mode: 0o644)
            }
        }
        try output.show(Report(directory: directory, pages: pages.map { "\($0.name).1" }))
    }
}
