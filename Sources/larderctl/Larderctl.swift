import ArgumentParser
import LarderModel

@main
struct Larderctl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "larderctl",
        abstract: "Asks and steers a running larderd.",
        discussion: """
            SESSION is NAMESPACE/NAME or a session's number. With --json, all that a command prints to standard output is one \
            JSON document; messages and progress go to standard error. Progress bars and colour are for terminals only; \
            NO_COLOR turns colour off.

            Exit codes: 0 done; 1 damage found, or not all could be done; 2 refused: nothing was done, the message says why \
            and what to do; 3 the daemon cannot be reached; 64 wrong arguments.
            """,
        version: LarderVersion.number,
        groupedSubcommands: [
            CommandGroup(
                name: "Look",
                subcommands: [
                    Status.self, Models.self, Sessions.self, Show.self, TreeCommand.self, ExplainCommand.self,
                    ReportCommand.self, Simulate.self, TopCommand.self, UsageCommand.self, EventsCommand.self,
                    ConfigCommand.self,
                ]),
            CommandGroup(
                name: "Session",
                subcommands: [
                    Fork.self, Truncate.self, Drop.self, Retain.self, PinCommand.self, Demote.self,
                    PrefetchCommand.self, TimeToLive.self, EvictCommand.self, ExportCommand.self, ImportCommand.self,
                ]),
            CommandGroup(
                name: "Store",
                subcommands: [
                    NamespaceCommand.self, PrefillRateCommand.self, CapCommand.self, Verify.self, BackupCommand.self,
                    RestoreCommand.self, CompactCommand.self, DrainCommand.self, LogLevelCommand.self,
                ]),
            CommandGroup(name: "Shell", subcommands: [CompletionCommand.self, ManualCommand.self]),
        ])
}
