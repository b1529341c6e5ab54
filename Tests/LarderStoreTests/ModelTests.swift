import LarderModel
import LarderStore
import LarderTestSupport
import Testing

/// What the store makes of declarations.
@Suite struct ModelTests {
    private func model(_ change: (inout ModelDeclaration) -> Void) -> ModelDeclaration {
        var model = StoreFixture.hybrid
        change(&model)
        return model
    }

    @Test func refusesAWindowOfNothing() throws {
        let fixture = try StoreFixture()
        let refused = [
            model { $0.components[1].window = 0 }, model { $0.components[0].window = 64 },
            model { $0.components[2].window = 64 },
        ]
        for declaration in refused {
            #expect(code { _ = try fixture.store.declare(declaration) } == .invalidModel)
        }
        #expect(fixture.store.models(after: 0).isEmpty)
        // A window of one token is the least.
        _ = try fixture.store.declare(model { $0.components[1].window = 1 })
    }

    @Test func keepsModelsOfOneNameApart() throws {
        let fixture = try StoreFixture()
        let layouts = [
            model { _ in }, model { $0.components[0].rowBytes = 128 }, model { $0.components[0].layers = 3 },
            model { $0.components[0].elementType = .f16 }, model { $0.components[1].window = 65 },
            model { $0.components.swapAt(0, 1) }, model { $0.components.removeLast() }, model { $0.pageTokens = 16 },
        ]
        let stored = try layouts.map { try fixture.store.declare($0) }
        #expect(stored.map(\.id) == (1...8).map { UInt32($0) } && Set(stored.map(\.fingerprint)).count == 8)
        #expect(try layouts.map { try fixture.store.declare($0).id } == stored.map(\.id))
        _ = try fixture.session("s", model: layouts[0])
        for other in layouts.dropFirst() {
            #expect(code { _ = try fixture.session("s", model: other) } == .modelMismatch)
        }
        try fixture.reopen()
        #expect(try layouts.map { try fixture.store.declare($0).id } == stored.map(\.id))
        #expect(fixture.store.models(after: 0).map(\.declaration) == layouts)
    }

    @Test func refusesPartsOfAGroupThatDisagree() throws {
        let fixture = try StoreFixture()
        func rank(_ rank: UInt32, _ change: (inout ModelDeclaration) -> Void = { _ in }) -> ModelDeclaration {
            model {
                $0.groupSize = 3
                $0.rank = rank
                change(&$0)
            }
        }
        let session = try fixture.session("s", model: rank(0))
        let disagreeing: [(String, ModelDeclaration)] = [
            ("name", rank(1) { $0.name = "another" }), ("revision", rank(1) { $0.revision = "2" }),
            ("weights", rank(1) { $0.weights = "others" }), ("pageTokens", rank(1) { $0.pageTokens = 16 }),
            ("groupSize", rank(1) { $0.groupSize = 2 }),
        ]
        for (field, declaration) in disagreeing {
            do {
                _ = try fixture.session("s", model: declaration)
                Issue.record("a part with another \(field) was let in")
            } catch let error as LarderError {
                #expect(error.code == .modelMismatch && error.message.contains("differs in \(field)"), "\(error)")
            }
        }
        // Ranks may hold different components; a rank that has opened it keeps to its own.
        #expect(try fixture.session("s", model: rank(1) { $0.components.removeLast() }) == session)
        #expect(code { _ = try fixture.session("s", model: rank(1)) } == .modelMismatch)
        #expect(try fixture.session("s", model: rank(2)) == session)
    }
}
