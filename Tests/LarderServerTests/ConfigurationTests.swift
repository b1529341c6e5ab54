import LarderModel
import LarderServer
import LarderSystem
import LarderTestSupport
import Testing

@Suite struct ConfigurationTests {
    private func file(_ text: String) throws -> (TemporaryDirectory, String) {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/larder.toml"
        try FileSystem.write(Array(text.utf8), to: path)
        return (directory, path)
    }

    @Test func putsFlagsOverEnvironmentOverFileOverDefaults() throws {
        let (directory, path) = try file("cap = \"1GiB\"\nshards = 2\nmax_connections = 5\n")
        defer { withExtendedLifetime(directory) {} }
        let environment = ["LARDER_SHARDS": "3", "LARDER_CAP": "2GiB"]
        let loaded = try LoadedConfiguration(flags: ["cap": "3GiB"], path: path) { environment[$0] }
        #expect(loaded.configuration.capBytes == 3 << 30)
        #expect(loaded.configuration.shards == 3)
        #expect(loaded.configuration.maxConnections == 5)
        #expect(loaded.configuration.drainSeconds == 10)
        #expect(loaded.origins["cap"] == "flag --cap")
        #expect(loaded.origins["shards"] == "environment LARDER_SHARDS")
        #expect(loaded.origins["max_connections"] == "file \(path)")
        #expect(loaded.origins["drain_seconds"] == "default")
    }

    @Test(arguments: [
        ("cap = \"lots\"", "cap"), ("cap = \"1MiB\"", "too small"), ("nonsense = 1", "nonsense"), ("cap = [1]", "cap"),
        ("cap = ", "line 1"), ("log_level = \"loud\"", "log_level"), ("socket_mode = \"999\"", "socket_mode"),
        ("gpu_hour_price = -1", "a price such as 2.5"), ("gpu_hour_price = \"2.\"", "gpu_hour_price"),
        ("gpu_hour_price = 1000000.000001", "gpu_hour_price"), ("gpu_hour_price = \"0.0000001\"", "gpu_hour_price"),
        ("gpu_hour_price = true", "neither a string nor a number"), ("shards = 1.5", "shards"),
        ("policy = \"clock\"", "heat, lru, s3fifo, fifo"), ("high_watermark = 1.5", "high_watermark"),
        ("high_watermark = 0.5\nlow_watermark = 0.6", "below the high one"), ("low_watermark = 0", "watermarks"),
        ("wear_budget = \"much\"", "wear_budget"), ("shards = 0", "shards"), ("cap = \"99999999999TiB\"", "cap"),
    ])
    func namesWhatIsWrong(text: String, part: String) throws {
        let (directory, path) = try file(text)
        defer { withExtendedLifetime(directory) {} }
        do {
            _ = try LoadedConfiguration(flags: [:], path: path) { _ in nil }
            Issue.record("'\(text)' was accepted")
        } catch {
            #expect(error.message.contains(part), "\(error.message)")
        }
    }

    @Test(
        arguments: [
            ("2.5", 2_500_000, "2.5"), ("\"2.50\"", 2_500_000, "2.5"), ("3", 3_000_000, "3"),
            ("\"0.000001\"", 1, "0.000001"),
            ("1000000", 1_000_000_000_000, "1000000"), ("0", 0, "0"),
        ] as [(String, UInt64, String)])
    func readsPrices(text: String, micros: UInt64, shown: String) throws {
        let (directory, path) = try file("gpu_hour_price = \(text)\n")
        defer { withExtendedLifetime(directory) {} }
        let loaded = try LoadedConfiguration(flags: [:], path: path) { _ in nil }
        #expect(loaded.configuration.gpuHourPriceMicros == micros)
        #expect(Setting.all.first { $0.key == "gpu_hour_price" }?.text(loaded.configuration) == shown)
    }

    @Test func refusesAFileThatIsNotThere() {
        #expect(throws: LarderError.self) {
            try LoadedConfiguration(flags: [:], path: "/nowhere/larder.toml") { _ in nil }
        }
    }

    @Test func checksWithoutServing() throws {
        let (directory, path) = try file("cap = \"1GiB\"\n")
        defer { withExtendedLifetime(directory) {} }
        let good = try TestDaemon.run("larderd", ["--config", path, "--check-config", "--shards", "2"])
        #expect(good.code == 0)
        #expect(good.output.contains("cap = \"1073741824\"  # file \(path)"))
        #expect(good.output.contains("shards = \"2\"  # flag --shards"))
        let bad = try TestDaemon.run("larderd", ["--check-config", "--cap", "nothing"])
        #expect(bad.code == 78)
        #expect(bad.output.contains("flag --cap: cap: 'nothing' is not a size"))
    }
}
