import LarderModel
import Testing

@Suite struct NamesTests {
    @Test(arguments: ["a", " ", "日本", "🦊", "a/b:c", "\u{80}", "e\u{301}", String(repeating: "x", count: 255)])
    func accepts(name: String) {
        #expect(throws: Never.self) { try Names.validate(name, what: "name") }
    }

    @Test(arguments: [
        "", "\0", "a\n", "\u{1F}", "a\u{7F}b", "\r\n", String(repeating: "x", count: 256),
        String(repeating: "é", count: 128),
    ])
    func refuses(name: String) {
        let error = #expect(throws: LarderError.self) { try Names.validate(name, what: "pantry name") }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains("pantry name") == true)
        #expect(error?.message.utf8.contains { $0 < 0x20 || $0 == 0x7F } == false)
    }

    @Test func theCodeIsTheCallers() {
        let error = #expect(throws: LarderError.self) { try Names.validate("", what: "name", code: .invalidModel) }
        #expect(error?.code == .invalidModel)
    }

    @Test func clippedSuitsAMessage() {
        #expect("short".clipped == "short")
        #expect("a\nb\u{7F}".clipped == "a?b?")
        #expect(String(repeating: "x", count: 64).clipped == String(repeating: "x", count: 64))
        #expect(String(repeating: "x", count: 65).clipped == String(repeating: "x", count: 64) + "...")
    }
}
