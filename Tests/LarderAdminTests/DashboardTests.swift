import Foundation
import LarderModel
import LarderSystem
import LarderTestSupport
import Testing

/// The page as it is served: the files of the repository byte for byte, with headers that let nothing else in. What it
/// does in a browser is tested by Tests/Dashboard.
@Suite struct DashboardTests {
    private static let folder = Repository.root + "/Sources/LarderAdmin/Dashboard"

    private static let forbidden = [
        "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=\"", "https://",
    ]

    private func policy(_ reply: HTTPPeer.Reply) -> [String: String] {
        let parts = (reply.headers["content-security-policy"] ?? "").split(separator: ";").map {
            $0.split(separator: " ", maxSplits: 1).map { String($0) }
        }
        return Dictionary(parts.map { ($0[0], $0.count > 1 ? $0[1] : "") }) { first, _ in first }
    }

    @Test func servesTheFilesOfTheRepository() throws {
        let admin = try AdminDaemon()
        let types = ["html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"]
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder)
        #expect(names.count > 10)
        for name in names {
            let target = name == "dashboard.html" ? "/" : "/dashboard/\(name)"
            let reply = admin.ask("GET", target)
            let bytes = try FileSystem.read(Self.folder + "/" + name, limit: 1 << 20)
            #expect(reply.status == 200 && Array(reply.body.utf8) == bytes, "\(target) is not the file")
            let type = try #require(types[String(name.split(separator: ".").last ?? "")])
            #expect(reply.headers["content-type"]?.hasPrefix(type) ?? false, "\(target)")
            #expect(reply.headers["x-content-type-options"] == "nosniff")
            #expect(reply.headers["referrer-policy"] == "no-referrer")
            #expect(reply.headers["cache-control"] == "no-store")
        }
        for target in ["/dashboard/dashboard.html", "/dashboard/nothing.js", "/dashboard/..", "/dashboard/"] {
            #expect(admin.ask("GET", target).status == 404, "\(target)")
        }
        #expect(admin.ask("POST", "/", "{}").status == 405)
        #expect(admin.ask("GET", "/?x=1").status == 400)
    }

    @Test func letsNothingElseIn() throws {
        let admin = try AdminDaemon()
        let policy = policy(admin.ask("GET", "/"))
        #expect(policy["default-src"] == "'none'" && policy["frame-ancestors"] == "'none'")
        #expect(policy["base-uri"] == "'none'" && policy["form-action"] == "'none'")
        #expect(policy["require-trusted-types-for"] == "'script'")
        let all = policy.values.joined(separator: " ")
        for wrong in ["unsafe", "http", "data:", "blob:", "*"] { #expect(!all.contains(wrong), "\(all)") }
        // Nothing inline, and nothing of elsewhere, stands in the files: the policy would break the page.
        for name in try FileManager.default.contentsOfDirectory(atPath: Self.folder) {
            let text = String(decoding: try FileSystem.read(Self.folder + "/" + name, limit: 1 << 20), as: UTF8.self)
            for wrong in Self.forbidden { #expect(!text.contains(wrong), "\(name) has \(wrong)") }
        }
    }

    /// Whoever had a name of theirs point to a forwarded socket (DNS rebinding) is no user of it.
    @Test func answersOnlyToItsOwnNamesOnTheSocket() throws {
        let admin = try AdminDaemon()
        for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example"] {
            for target in ["/", "/v1/status", "/healthz"] {
                let reply = admin.ask("GET", target, headers: ["Host": host])
                #expect(reply.status == 421, "\(target) for \(host)")
            }
        }
        for host in ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080"] {
            #expect(admin.ask("GET", "/v1/status", headers: ["Host": host]).status == 200, "\(host)")
        }
        let foreign = admin.ask("GET", "/v1/status", headers: ["Origin": "http://evil.example"])
        #expect(foreign.status == 403 && JSONValue(text: foreign.body)["error"]["code"].text == "forbidden_origin")
    }
}
