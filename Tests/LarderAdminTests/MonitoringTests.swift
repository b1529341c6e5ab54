import Foundation
import LarderSystem
import LarderTestSupport
import Testing

/// The alert rules and the dashboard in Docs: rules fire when they should (promtool), and both name only metrics that a
/// daemon has.
@Suite struct MonitoringTests {
    private static let tool: String? = {
        if let path = LarderSystem.Process.find(program: "promtool") { return path }
        print("MonitoringTests: skipped, there is no promtool (Debian: apt-get install prometheus)")
        return nil
    }()

    private func promtool(_ arguments: String...) throws -> (code: Int32, output: String) {
        let directory = try TemporaryDirectory()
        let output = directory.path + "/output"
        let code = try ChildProcess(Self.tool ?? "", arguments, output: output).wait()
        return (code, String(decoding: try FileSystem.read(output, limit: 1 << 20), as: UTF8.self))
    }

    @Test(.enabled(if: tool != nil)) func alertsFireWhenTheyShould() throws {
        let folder = Repository.root + "/Docs/prometheus"
        let checked = try promtool("check", "rules", folder + "/alerts.yml")
        #expect(checked.code == 0, "\(checked.output)")
        let tested = try promtool("test", "rules", folder + "/alerts.test.yml")
        #expect(tested.code == 0, "\(tested.output)")
    }

    /// What a daemon says is in the format that Prometheus reads, and nothing of it looks odd to promtool.
    @Test(.enabled(if: tool != nil)) func expositionIsWellFormed() throws {
        let admin = try AdminDaemon()
        let path = admin.daemon.directory.path
        try FileSystem.write(Array(admin.ask("GET", "/metrics").body.utf8), to: path + "/metrics")
        let command = "exec \(Self.tool ?? "") check metrics < \(path)/metrics"
        let code = try ChildProcess("/bin/sh", ["-c", command], output: path + "/checked").wait()
        let output = String(decoding: try FileSystem.read(path + "/checked", limit: 1 << 20), as: UTF8.self)
        #expect(code == 0 && output.isEmpty, "\(output)")
    }

    @Test func nameOnlyWhatADaemonHas() throws {
        let admin = try AdminDaemon()
        // The first count of what is stored comes some seconds after the start.
        var known = metrics(admin)
        let deadline = Clock.deadline(seconds: 60)
        while !known.contains("larder_heat_stored_bytes"), Clock.now() < deadline {
            Clock.sleep(milliseconds: 200)
            known = metrics(admin)
        }
        for file in ["prometheus/alerts.yml", "grafana/larder.json"] {
            let bytes = try FileSystem.read(Repository.root + "/Docs/" + file, limit: 4 << 20)
            let text = String(decoding: bytes, as: UTF8.self)
            if file.hasSuffix("json") { #expect((try? JSONSerialization.jsonObject(with: Data(bytes))) != nil) }
            let names = Set(text.matches(of: /larder_[a-z_]+/).map { String($0.output) })
            #expect(names.count > 5)
            let unknown = names.filter { name in
                !known.contains(name) && !known.contains(name.replacing("_bucket", with: ""))
            }
            #expect(unknown.isEmpty, "\(file): \(unknown.sorted())")
        }
    }

    private func metrics(_ admin: AdminDaemon) -> Set<String> {
        let lines = admin.ask("GET", "/metrics").body.split(separator: "\n")
        return Set(lines.filter { $0.hasPrefix("# TYPE ") }.map { String($0.split(separator: " ")[2]) })
    }
}
