import LarderClient
import LarderSystem
import LarderTestSupport
import Testing

/// What the daemon gives up at its start, as the kernel says of a real one.
@Suite struct PrivilegeTests {
    private func lines(_ daemon: TestDaemon, _ file: String) throws -> [Substring] {
        let cat = try TemporaryDirectory()
        // Of another process, which this one may only look into as root.
        let code = try ChildProcess("/bin/cat", ["/proc/\(daemon.processID)/\(file)"], output: cat.path + "/text")
            .wait()
        #expect(code == 0)
        return String(decoding: try FileSystem.read(cat.path + "/text", limit: 16 << 20), as: UTF8.self).split(
            separator: "\n")
    }

    private func status(_ daemon: TestDaemon, _ key: String) throws -> String {
        let line = try lines(daemon, "status").first { $0.hasPrefix(key + ":") }
        return String(line?.dropFirst(key.count + 1).drop { $0 == "\t" } ?? "")
    }

    @Test func leavesNoCoreAndGainsNothing() throws {
        let daemon = try TestDaemon.started(arguments: ["--core-dumps", "off"])
        let core = try lines(daemon, "limits").first { $0.hasPrefix("Max core file size") }
        #expect(core?.split(separator: " ").dropFirst(4).prefix(2).joined(separator: " ") == "0 0")
        #expect(try status(daemon, "NoNewPrivs") == "1")
        // Only CAP_CHOWN, CAP_DAC_OVERRIDE and CAP_FOWNER, if it was started with them; none is inherited.
        let permitted = UInt64(try status(daemon, "CapPrm"), radix: 16)
        #expect(permitted.map { $0 & ~0b1011 == 0 } == true)
        #expect(UInt64(try status(daemon, "CapInh"), radix: 16) == 0)
        if Process.userID == 0 { #expect(UInt64(try status(daemon, "CapBnd"), radix: 16) == 0b1011) }
    }

    /// PR_SET_DUMPABLE shows in who owns the files of proc: root, once nobody else may look.
    @Test(.enabled(if: OtherUsers.areThere)) func hidesItsMemoryFromItsOwnUser() throws {
        for (setting, owner) in [("off", UInt32(0)), ("on", OtherUsers.owner)] {
            let directory = try TemporaryDirectory()
            try FileSystem.setAccess(directory.path, mode: 0o755, group: nil)
            let user = "\(directory.path)/home"
            try FileSystem.makeDirectory(user)
            try FileSystem.give(user, to: FileSystem.Owner(user: OtherUsers.owner, group: OtherUsers.owner))
            let daemon = TestDaemon.executable("larderd")
            guard FileSystem.exists("/usr/bin/setpriv"), isReadable(daemon) else {
                print("PrivilegeTests: skipped, another user cannot run \(daemon)")
                return
            }
            let words = ["--reuid=\(OtherUsers.owner)", "--regid=\(OtherUsers.owner)", "--clear-groups", daemon]
            let process = try ChildProcess(
                "/usr/bin/setpriv",
                words + ["--socket", user + "/s", "--data-dir", user + "/store", "--core-dumps", setting],
                output: directory.path + "/log")
            let deadline = Clock.deadline(seconds: 60)
            var client: Client?
            while client == nil, Clock.now() < deadline {
                client = try? Client(socketPath: user + "/s", name: "test")
                Clock.sleep(milliseconds: 5)
            }
            #expect(client != nil)
            #expect(FileSystem.owner("/proc/\(process.identifier)/maps")?.user == owner)
            // What it counts of its own writes it still knows.
            #expect(try client?.stat().counters.contains { $0.name == "device_write_bytes" } == true)
            process.signal(9)
            #expect(process.wait() == 137)
        }
    }

    private func isReadable(_ path: String) -> Bool {
        let readable = Monitor(false)
        try? Process.asUser(OtherUsers.owner) { readable.withLock { $0 = FileSystem.isExecutable(path) } }
        return readable.withLock { $0 }
    }

    /// dd: left out of dumps; lo: locked (proc(5), VmFlags of smaps).
    @Test(arguments: ["off", "on"]) func arenasAreLeftOutOfDumpsAndLockedIfAsked(lock: String) throws {
        let daemon = try TestDaemon.started(arguments: ["--lock-memory", lock])
        let client = try daemon.connect()
        let arena = try client.openArena(byteCount: 32 << 10)
        let map = try lines(daemon, "smaps")
        guard let start = map.firstIndex(where: { $0.contains("larder-arena") }),
            let flags = map[start...].first(where: { $0.hasPrefix("VmFlags:") })
        else {
            Issue.record("the arena is not among the daemon's mappings")
            return
        }
        let words = flags.split(separator: " ")
        #expect(words.contains("dd"))
        // Under a sanitizer mlock does nothing, by its own word.
        if Process.environment("LARDER_SANITIZER") == nil {
            #expect(words.contains("lo") == (lock == "on"))
        }
        try client.close(arena)
    }

    @Test func refusesWhatOthersCouldReplace() throws {
        let directory = try TemporaryDirectory()
        let open = directory.path + "/open"
        try FileSystem.makeDirectory(open)
        func start(_ arguments: String...) throws -> (code: Int32, output: String) {
            try TestDaemon.run("larderd", arguments)
        }
        for mode in [UInt32(0o777), 0o770, 0o702] {
            try FileSystem.setAccess(open, mode: mode, group: nil)
            let socket = try start("--socket", open + "/s", "--data-dir", directory.path + "/store")
            #expect(socket.code == 1 && socket.output.contains("chmod go-w \(open)"), "\(socket.output)")
            let data = try start("--socket", directory.path + "/s", "--data-dir", open + "/store")
            #expect(data.code == 1 && data.output.contains("data_dir cannot be trusted"), "\(data.output)")
        }
        // Where names are taken away by their owners only, a socket is safe, and a store is not.
        try FileSystem.setAccess(open, mode: 0o1777, group: nil)
        let sticky = try start("--socket", directory.path + "/s", "--data-dir", open)
        #expect(sticky.code == 1 && sticky.output.contains("data_dir cannot be trusted"))
        let config = directory.path + "/larder.toml"
        try FileSystem.write(Array("shards = 1\n".utf8), to: config)
        try FileSystem.setAccess(config, mode: 0o666, group: nil)
        let written = try start("--config", config, "--check-config")
        #expect(written.code == 78 && written.output.contains("chmod go-w \(config)"))
    }

    @Test(.enabled(if: OtherUsers.areThere)) func becomesTheUserThatIsConfigured() throws {
        guard let nobody = try? Users.userID(named: "nobody") else {
            print("PrivilegeTests: skipped, there is no user nobody")
            return
        }
        let directory = try TemporaryDirectory()
        try FileSystem.setAccess(directory.path, mode: 0o755, group: nil)
        let socket = directory.path + "/run/s"
        let process = try ChildProcess(
            TestDaemon.executable("larderd"),
            ["--socket", socket, "--data-dir", directory.path + "/lib/store", "--user", "nobody"],
            output: directory.path + "/log")
        let deadline = Clock.deadline(seconds: 60)
        var client: Client?
        while client == nil, Clock.now() < deadline, process.isRunning() {
            client = try? Client(socketPath: socket, name: "test")
            Clock.sleep(milliseconds: 5)
        }
        #expect(client != nil)
        let text = String(decoding: try FileSystem.read(directory.path + "/log", limit: 1 << 20), as: UTF8.self)
        #expect(
            FileSystem.owner(socket)?.user == nobody && FileSystem.owner(directory.path + "/lib/store")?.user == nobody,
            "\(text)")
        process.signal(15)
        #expect(process.wait() == 0)
    }
}
