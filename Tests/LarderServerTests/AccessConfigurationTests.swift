import LarderModel
import LarderServer
import LarderStore
import LarderSystem
import LarderTestSupport
import Testing

/// The access table of the configuration file.
@Suite struct AccessConfigurationTests {
    private func load(_ text: String) throws -> Configuration {
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let path = directory.path + "/larder.toml"
        try FileSystem.write(Array(text.utf8), to: path)
        return try LoadedConfiguration(flags: [:], path: path) { _ in nil }.configuration
    }

    @Test func readsNamesAndNumbers() throws {
        let configuration = try load(
            """
            cap = "1GiB"

            [[access]]
            namespace = "team-a*"
            users = ["root", 1001]
            rights = "read"

            [[access]]
            namespace = "*"
            groups = ["root", 7]
            rights = "write"
            """)
        #expect(
            configuration.access.rules == [
                AccessTable.Rule(namespace: "team-a*", users: [0, 1_001], rights: .read),
                AccessTable.Rule(namespace: "*", groups: [0, 7], rights: .write),
            ])
        #expect(configuration.store.access == configuration.access && configuration.capBytes == 1 << 30)
        #expect(try load("").access.rules.isEmpty)
    }

    @Test(arguments: [
        ("namespace = \"a\"\nusers = [\"no-such-user\"]\nrights = \"read\"", 4, "getent passwd"),
        ("namespace = \"a\"\ngroups = [\"no-such-group\"]\nrights = \"read\"", 4, "getent group"),
        ("namespace = \"a\"\nusers = [1]\nrights = \"all\"", 5, "\"read\" or \"write\""),
        ("namespace = \"a*b\"\nusers = [1]\nrights = \"read\"", 3, "one * at its end"),
        ("namespace = \"\"\nusers = [1]\nrights = \"read\"", 3, "namespace is to be a name"),
        ("users = [1]\nrights = \"read\"", 2, "namespace is to be a name"),
        ("namespace = \"a\"\nrights = \"read\"", 2, "neither users nor groups"),
        ("namespace = \"a\"\nusers = [-1]\nrights = \"read\"", 4, "-1 is no id"),
        ("namespace = \"a\"\nusers = [4294967295]\nrights = \"read\"", 4, "is no id"),
        ("namespace = \"a\"\nusers = [true]\nrights = \"read\"", 4, "names and numbers"),
        ("namespace = \"a\"\nusers = 1\nrights = \"read\"", 4, "a list of"),
        ("namespace = \"a\"\nuser = [1]\nrights = \"read\"", 4, "no key 'user'"),
    ])
    func namesTheLineAndTheRemedy(table: String, line: Int, part: String) throws {
        do {
            _ = try load("shards = 1\n[[access]]\n\(table)\n")
            Issue.record("'\(table)' was accepted")
        } catch let error as LarderError {
            #expect(error.code == .invalidArgument)
            #expect(error.message.contains("line \(line): ") && error.message.contains(part), "\(error.message)")
        }
    }

    @Test func givesTheMostOfAllRulesThatMatch() {
        let table = AccessTable([
            AccessTable.Rule(namespace: "team-*", groups: [5], rights: .read),
            AccessTable.Rule(namespace: "team-a", users: [61_000], rights: .write),
        ])
        func rights(_ user: UInt32, _ groups: Set<UInt32>, _ name: String, owner: UInt32? = 61_009) -> AccessRights {
            table.rights(Principal(userID: user, groupIDs: groups), namespace: name, owner: owner)
        }
        #expect(rights(61_000, [5], "team-a") == .write && rights(61_000, [5], "team-b") == .read)
        #expect(rights(61_000, [], "team-ab") == .none && rights(61_001, [5], "team-") == .read)
        #expect(rights(61_001, [5], "tea") == .none && rights(61_001, [6], "team-a") == .none)
        // With rules, owning is nothing; without, it is everything.
        #expect(rights(61_009, [], "team-a") == .none && rights(0, [], "any") == .write)
        let none = AccessTable()
        let owner = Principal(userID: 61_009)
        #expect(none.rights(owner, namespace: "a", owner: 61_009) == .write)
        #expect(none.rights(owner, namespace: "a", owner: nil) == .write)
        #expect(none.rights(owner, namespace: "a", owner: 61_000) == .none)
        // Names that a reader would take for one are two.
        let accent = AccessTable([AccessTable.Rule(namespace: "\u{E9}", users: [61_000], rights: .read)])
        #expect(accent.rights(Principal(userID: 61_000), namespace: "e\u{301}", owner: nil) == .none)
    }
}
