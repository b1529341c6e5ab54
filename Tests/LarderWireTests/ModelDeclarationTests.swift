import LarderModel
import Testing

/// Every bound of a declaration: the last value within it passes, the first beyond it is refused by name.
@Suite struct ModelDeclarationTests {
    private static let attention = Component(name: "kv", kind: .attention, elementType: .bf16, layers: 2, rowBytes: 256)
    private static let model = ModelDeclaration(name: "m", components: [attention])

    private func model(_ change: (inout ModelDeclaration) -> Void) -> ModelDeclaration {
        var model = Self.model
        change(&model)
        return model
    }

    private func component(_ change: (inout Component) -> Void) -> ModelDeclaration {
        model { change(&$0.components[0]) }
    }

    private func accept(_ model: ModelDeclaration, _ location: SourceLocation = #_sourceLocation) {
        #expect(throws: Never.self, sourceLocation: location) { try model.validate() }
    }

    private func refuse(_ model: ModelDeclaration, naming field: String, _ location: SourceLocation = #_sourceLocation)
    {
        let error = #expect(throws: LarderError.self, sourceLocation: location) { try model.validate() }
        #expect(error?.code == .invalidModel, sourceLocation: location)
        #expect(error?.message.contains(field) == true, "\(error?.message ?? "")", sourceLocation: location)
    }

    @Test func texts() {
        let longest = String(repeating: "n", count: Limits.nameBytes)
        accept(model { $0.name = longest })
        refuse(model { $0.name = longest + "n" }, naming: "model name")
        refuse(model { $0.name = "" }, naming: "model name")
        refuse(model { $0.name = "a\u{7}" }, naming: "model name")
        accept(model { $0.revision = longest })
        refuse(model { $0.revision = longest + "n" }, naming: "revision")
        accept(model { $0.weights = longest })
        refuse(model { $0.weights = longest + "n" }, naming: "weights")
        refuse(model { $0.revision = String(repeating: "é", count: 128) }, naming: "revision")
    }

    @Test func pageTokens() {
        accept(model { $0.pageTokens = 1 })
        accept(model { $0.pageTokens = Limits.tokensPerChunk })
        refuse(model { $0.pageTokens = 0 }, naming: "pageTokens 0")
        refuse(model { $0.pageTokens = Limits.tokensPerChunk + 1 }, naming: "pageTokens")
        refuse(model { $0.pageTokens = .max }, naming: "pageTokens")
    }

    @Test func group() {
        accept(
            model {
                $0.groupSize = Limits.groupSize; $0.rank = Limits.groupSize - 1
            })
        refuse(model { $0.groupSize = 0 }, naming: "group size 0")
        refuse(model { $0.groupSize = Limits.groupSize + 1 }, naming: "group size")
        refuse(
            model {
                $0.groupSize = 4; $0.rank = 4
            }, naming: "rank 4")
        refuse(model { $0.rank = .max }, naming: "rank")
    }

    @Test func componentList() {
        func components(_ count: Int) -> ModelDeclaration {
            model {
                $0.components = (0..<count).map { index in
                    var component = Self.attention
                    component.name = "c\(index)"
                    return component
                }
            }
        }
        refuse(components(0), naming: "no component")
        accept(components(1))
        accept(components(Limits.components))
        refuse(components(Limits.components + 1), naming: "\(Limits.components + 1) components")
        refuse(model { $0.components = [Self.attention, Self.attention] }, naming: "one name")
    }

    @Test func componentNames() {
        accept(component { $0.name = String(repeating: "c", count: Limits.nameBytes) })
        refuse(component { $0.name = String(repeating: "c", count: Limits.nameBytes + 1) }, naming: "component name")
        refuse(component { $0.name = "" }, naming: "component name")
        refuse(component { $0.name = "a\tb" }, naming: "component name")
    }

    @Test func layersAndPlanes() {
        accept(component { $0.layers = Limits.layers })
        refuse(component { $0.layers = 0 }, naming: "0 layers")
        refuse(component { $0.layers = Limits.layers + 1 }, naming: "layers")
        refuse(component { $0.layers = .max }, naming: "layers")
        accept(component { $0.planes = Limits.planes })
        refuse(component { $0.planes = 0 }, naming: "0 planes")
        refuse(component { $0.planes = Limits.planes + 1 }, naming: "planes")
    }

    @Test func rowBytes() {
        accept(
            component {
                $0.rowBytes = Limits.rowBytes; $0.layers = 1
            })
        refuse(component { $0.rowBytes = 0 }, naming: "rows of 0")
        refuse(
            component {
                $0.rowBytes = Limits.rowBytes + 2; $0.layers = 1; $0.planes = 1
            }, naming: "rows")
        refuse(component { $0.rowBytes = .max }, naming: "rows")
    }

    @Test(arguments: ElementType.allCases) func rowsHoldWholeElements(elementType: ElementType) {
        let width = UInt32(elementType.byteCount)
        accept(
            component {
                $0.elementType = elementType; $0.rowBytes = 3 * width
            })
        if width > 1 {
            refuse(
                component {
                    $0.elementType = elementType; $0.rowBytes = 3 * width - 1
                }, naming: "multiple of the \(width)")
        }
    }

    @Test func windows() {
        accept(
            component {
                $0.kind = .sliding; $0.window = 1
            })
        accept(
            component {
                $0.kind = .sliding; $0.window = .max
            })
        refuse(
            component {
                $0.kind = .sliding; $0.window = 0
            }, naming: "window")
        refuse(component { $0.window = 1 }, naming: "window")
        refuse(
            component {
                $0.kind = .recurrent; $0.window = 1
            }, naming: "window")
        accept(component { $0.kind = .recurrent })
    }

    @Test func oneTokenFitsAChunk() {
        let row = UInt32(Limits.chunkBytes / 16)
        accept(
            component {
                $0.layers = 4; $0.planes = 4; $0.rowBytes = row
            })
        refuse(
            component {
                $0.layers = 4; $0.planes = 4; $0.rowBytes = row + 2
            }, naming: "one token")
        refuse(
            component {
                $0.layers = Limits.layers; $0.planes = Limits.planes; $0.rowBytes = Limits.rowBytes
            }, naming: "one token")
    }

    @Test func byteCounts() {
        #expect(Self.attention.byteCount(tokens: 0) == 0)
        #expect(Self.attention.byteCount(tokens: 3) == 2 * 2 * 3 * 256)
        var state = Self.attention
        state.kind = .recurrent
        #expect(state.byteCount(tokens: 0) == 2 * 2 * 256 && state.rows(tokens: 9) == 1)
    }

    @Test func firstDifferenceNamesTheField() {
        #expect(Self.model.firstDifference(from: Self.model) == nil)
        let others: [(ModelDeclaration, String)] = [
            (model { $0.name = "other" }, "name"), (model { $0.revision = "2" }, "revision"),
            (model { $0.weights = "w" }, "weights"), (model { $0.pageTokens = 16 }, "pageTokens"),
            (model { $0.groupSize = 2 }, "groupSize"), (model { $0.rank = 1 }, "rank"),
            (model { $0.components = [] }, "component count"), (component { $0.layers = 7 }, "component 'kv'"),
        ]
        for (other, field) in others { #expect(Self.model.firstDifference(from: other)?.hasPrefix(field) == true) }
    }

    @Test func ranksShareAGroup() {
        let first = model { $0.groupSize = 2 }
        let second = model {
            $0.groupSize = 2; $0.rank = 1; $0.components[0].name = "mine"
        }
        #expect(first.sharesGroup(with: second))
        #expect(!first.sharesGroup(with: Self.model))
        #expect(
            !first.sharesGroup(
                with: model {
                    $0.groupSize = 2; $0.weights = "w"
                }))
    }
}
