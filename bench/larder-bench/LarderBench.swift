import ArgumentParser

@main
struct LarderBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "larder-bench", abstract: "Measures Larder, and shows it at work.",
        subcommands: [
            Demo.self, Codec.self, Page.self, Forks.self, Flood.self, Churn.self, Soak.self, AdminBench.self,
            LimitsCommand.self,
            Snapshots.self, ReplayCommand.self, Echo.self,
        ])
}
