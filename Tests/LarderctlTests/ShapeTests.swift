import Foundation
import LarderSystem
import LarderTestSupport
import Testing

/// What all commands have in common: JSON, exit codes, no colour where it does not belong, pages and completions.
@Suite struct ShapeTests {
    @Test func printsOneDocumentWithJSON() throws {
        let fixture = try Fixture()
        try fixture.fill("main", seed: 1)
        let commands: [[String]] = [
            ["status"], ["models"], ["sessions"], ["show", "agents/main"], ["tree", "agents/main"],
            ["explain", "agents/main"], ["report"], ["fork", "agents/main", "64", "f"], ["truncate", "agents/f", "0"],
            ["retain", "agents/main"], ["demote", "agents/main"], ["prefetch", "agents/main"],
            ["ttl", "agents/main", "1h"], ["namespace", "list"], ["namespace", "show", "agents"],
            ["namespace", "set", "agents", "--ttl", "1h"],
            ["prefill-rate", "hybrid", "1000"], ["cap"], ["verify"], ["verify", "--repair"],
            ["export", "agents/main", "-o", fixture.path("e")], ["import", fixture.path("e"), "--name", "i"],
            ["import", "--check", fixture.path("e")], ["backup", fixture.path("b")], ["drop", "agents/f"],
        ]
        for command in commands {
            let result = try fixture.ctl(command + ["--json"])
            #expect(result.code == 0, "\(command): \(result.output)")
            let document = try? JSONSerialization.jsonObject(with: Data(result.output.utf8))
            #expect(document != nil, "\(command): \(result.output)")
        }
        let restored = try TestDaemon.run(
            "larderctl", ["restore", fixture.path("b"), fixture.path("r"), "--json"])
        #expect((try? JSONSerialization.jsonObject(with: Data(restored.output.utf8))) != nil, "\(restored.output)")
    }

    @Test func endsWithItsExitCodes() throws {
        let fixture = try Fixture()
        #expect(try fixture.ctl("sessions").code == 0)
        #expect(try fixture.ctl("show", "agents/none").code == 2)
        #expect(try fixture.ctl("nonsense").code == 64)
        #expect(try fixture.ctl("cap", "much").code == 64)
        let commands = [
            ["status"], ["export", "--all", "-o", fixture.path("x")], ["backup", "/tmp/none"],
            ["top", "--once", "--admin-socket", fixture.path("no.sock")],
        ]
        for arguments in commands {
            let gone = try TestDaemon.run("larderctl", arguments + ["--socket", fixture.path("no.sock")])
            #expect(gone.code == 3 && gone.output.contains("no.sock"), "\(arguments): \(gone.output)")
        }
        #expect(!FileSystem.exists(fixture.path("x")))
    }

    @Test func isPlainWhereThereIsNoTerminal() throws {
        let fixture = try Fixture()
        try fixture.fill("main", seed: 1)
        for command in [["sessions"], ["tree", "agents/main"], ["verify"], ["status"], ["--help"]] {
            let result = try command == ["--help"] ? TestDaemon.run("larderctl", command) : fixture.ctl(command)
            #expect(result.code == 0 && !result.output.contains("\u{1B}") && !result.output.contains("\r"))
        }
    }

    @Test func writesManualPagesThatRoffTakes() throws {
        let directory = try TemporaryDirectory()
        let report = try TestDaemon.run(
            "larderctl", ["man", "-o", directory.path + "/man", "--date", "2026-11-01", "--json"])
        #expect(report.code == 0)
        let names = try #require(FileSystem.names(in: directory.path + "/man"))
        #expect(names.contains("larderctl.1") && names.contains("larderctl-namespace-set.1") && names.count > 25)
        // The same again at every run.
        let first = try names.map { try FileSystem.read(directory.path + "/man/" + $0, limit: 1 << 20) }
        #expect(
            try TestDaemon.run("larderctl", ["man", "-o", directory.path + "/man", "--date", "2026-11-01"]).code == 0)
        #expect(try names.map { try FileSystem.read(directory.path + "/man/" + $0, limit: 1 << 20) } == first)
        for (name, bytes) in zip(names, first) {
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(text.hasPrefix(".TH ") && text.contains("\n.SH NAME\n"), "\(name)")
            #expect(text.contains("\n.SH SYNOPSIS\n"), "\(name)")
        }
        #expect(try TestDaemon.run("larderctl", ["man", "-o", directory.path, "--date", "soon"]).code == 64)
        guard let groff = LarderSystem.Process.find(program: "groff") else {
            print("writesManualPagesThatRoffTakes: pages not formatted, there is no groff")
            return
        }
        for name in names {
            let output = directory.path + "/warnings"
            try? FileSystem.remove(output)
            let page = directory.path + "/man/" + name
            // To a device without output: what is left are warnings.
            let code = try ChildProcess(groff, ["-man", "-ww", "-z", "-Tutf8", page], output: output).wait()
            let warnings = String(decoding: (try? FileSystem.read(output, limit: 1 << 20)) ?? [], as: UTF8.self)
            #expect(code == 0 && warnings.isEmpty, "\(name): \(warnings)")
        }
    }

    @Test func completesInShells() throws {
        for shell in ["bash", "zsh", "fish"] {
            let script = try TestDaemon.run("larderctl", ["completion", shell])
            #expect(script.code == 0 && script.output.contains("larderctl"))
            for word in ["export", "namespace", "backup"] { #expect(script.output.contains(word), "\(shell): \(word)") }
            guard let program = LarderSystem.Process.find(program: shell) else {
                print("completesInShells: the script for \(shell) is not run, there is no \(shell)")
                continue
            }
            let directory = try TemporaryDirectory()
            try FileSystem.write(Array(script.output.utf8), to: directory.path + "/script")
            #expect(try ChildProcess(program, ["-n", directory.path + "/script"]).wait() == 0)
        }
        #expect(try TestDaemon.run("larderctl", ["completion", "tcsh"]).code == 64)
    }
}
