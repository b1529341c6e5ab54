import ArgumentParser

struct CompletionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "completion",
        abstract: "Print a script that completes larderctl's words in a shell.",
        discussion: """
            bash: larderctl completion bash > /etc/bash_completion.d/larderctl
            zsh:  larderctl completion zsh > "${fpath[1]}/_larderctl"
            fish: larderctl completion fish > ~/.config/fish/completions/larderctl.fish
            """)

    enum Shell: String, ExpressibleByArgument, CaseIterable {
        case bash, zsh, fish
    }

    @Argument(help: "bash, zsh or fish.")
    var shell: Shell

    func run() throws {
        let shell: CompletionShell =
            switch shell {
            case .bash: .bash
            case .zsh: .zsh
            case .fish: .fish
            }
        print(Larderctl.completionScript(for: shell))
    }
}
