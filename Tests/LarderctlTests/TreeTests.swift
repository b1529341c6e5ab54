import Foundation
import LarderClient
import LarderModel
import LarderTestSupport
import LarderWire
import Testing

/// `larderctl tree`: who leaves whom, where, and what each holds of its own.
@Suite struct TreeTests {
    @Test func drawsForksAndTruncates() throws {
        let fixture = try Fixture()
        let client = fixture.client
        let main = try fixture.fill("main", seed: 1)
        let branch = try client.fork(session: main, offset: 192, name: "branch")
        try fixture.fill("branch", chunks: 3..<5, seed: 50)
        let twig = try client.fork(session: branch, offset: 256, name: "twig")
        let early = try client.fork(session: main, offset: 64, name: "early")
        try fixture.fill("apart", seed: 9)
        let answer = try client.tree(session: twig)
        #expect(answer.complete && answer.lines.count == 4)
        let lines = Dictionary(uniqueKeysWithValues: answer.lines.map { ($0.session, $0) })
        #expect(lines[main]?.parent == 0 && lines[main]?.chunks == 8 && lines[main]?.end == 256)
        #expect(lines[branch]?.parent == lines[main]?.line && lines[branch]?.offset == 192)
        #expect(lines[branch]?.chunks == 4 && lines[branch]?.end == 320)
        #expect(lines[twig]?.parent == lines[branch]?.line && lines[twig]?.offset == 256 && lines[twig]?.chunks == 0)
        #expect(lines[early]?.parent == lines[main]?.line && lines[early]?.offset == 64)
        // The path of the session that was asked about comes first, from the root.
        #expect(answer.lines.prefix(3).map(\.session) == [main, branch, twig])
        #expect(answer.lines.allSatisfy { $0.parent < $0.line })
        let drawn = try fixture.ctl("tree", "agents/twig")
        #expect(drawn.code == 0)
        let rows = drawn.output.split(separator: "\n")
        #expect(rows.contains { $0.hasPrefix("main (\(main)) ") })
        #expect(rows.contains { $0.hasPrefix("├─ early (\(early)) ") && $0.contains(" 64 ") })
        #expect(rows.contains { $0.hasPrefix("└─ branch (\(branch)) ") && $0.contains(" 192 ") })
        #expect(rows.contains { $0.hasPrefix("   └─ twig (\(twig)) <") })
        #expect(!drawn.output.contains("apart") && drawn.output.contains("4 sessions on 4 lines"))
        let report = try fixture.json("tree", "\(early)")
        #expect((report["lines"] as? [[String: Any]])?.count == 4)
        // A session that is dropped leaves its line to those that see it.
        try client.drop(session: main)
        let after = try client.tree(session: early).lines
        #expect(after.first?.session == 0 && after.first?.name.isEmpty == true && after.count == 4)
        #expect(try fixture.ctl("tree", "agents/early").output.contains("(no session)"))
        #expect(try fixture.ctl("tree", "agents/main").code == 2)
        #expect(throws: ClientError.self) { try client.tree(session: main) }
    }

    @Test func drawsDeepTreesInBoundedWidth() throws {
        let fixture = try Fixture()
        var last = try fixture.fill("s0", chunks: 0..<1, seed: 1)
        for depth in 1...60 {
            last = try fixture.client.fork(session: last, offset: UInt64(depth) * 64, name: "s\(depth)")
            try fixture.fill("s\(depth)", chunks: depth..<depth + 1, seed: UInt64(depth) * 100)
        }
        let drawn = try fixture.ctl("tree", "agents/s60")
        #expect(drawn.code == 0 && drawn.output.contains("s60 (\(last)) <") && drawn.output.contains("+60 "))
        #expect(drawn.output.split(separator: "\n").allSatisfy { $0.count < 160 })
        #expect(try fixture.client.tree(session: last).lines.count == 61)
    }
}
