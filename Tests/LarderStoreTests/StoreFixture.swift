import LarderModel
import LarderStore
import LarderSystem
import LarderTestSupport
import Logging

/// A store in a directory of its own, and the few calls that tests make over and over.
final class StoreFixture {
    let directory: TemporaryDirectory
    private(set) var configuration: StoreConfiguration
    /// What leases, pins and retentions end by.
    let clock = TestClock()
    private(set) var store: Store
    private(set) var reader: StoreReader

    static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// Attention, sliding and recurrent state, small enough for many chunks.
    static let hybrid = ModelDeclaration(
        name: "hybrid",
        components: [
            Component(name: "attention", kind: .attention, elementType: .bf16, layers: 2, rowBytes: 64),
            Component(name: "sliding", kind: .sliding, elementType: .f16, layers: 1, rowBytes: 32, window: 64),
            Component(name: "recurrent", kind: .recurrent, elementType: .f32, layers: 2, planes: 1, rowBytes: 256),
        ])

    init(
        capBytes: Int = 64 << 20, shards: Int = 1, directory: TemporaryDirectory? = nil,
        adjust: (inout StoreConfiguration) -> Void = { _ in }
    ) throws {
        self.directory = try directory ?? TemporaryDirectory()
        var configuration = StoreConfiguration(
            directory: self.directory.path + "/store", capBytes: capBytes, shards: shards, queueBytes: 8 << 20,
            readers: 32)
        adjust(&configuration)
        configuration.now = { [clock] in clock.now }
        self.configuration = configuration
        store = try Store(configuration, log: Self.silent)
        reader = StoreReader(store, userID: 1_000)
    }

    deinit { store.close() }

    /// Waits until what was let go of is freed.
    func settle() throws {
        let deadline = Clock.deadline(seconds: 60)
        while true {
            let graves = store.statistics().first { $0.name == "graves" }!.value
            if graves == 0 { return }
            guard Clock.now() < deadline else { throw LarderError(.internal, "\(graves) graves are left") }
            Clock.sleep(milliseconds: 1)
        }
    }

    /// Closes the store and opens it again, after `meanwhile`, with another cap if one is given.
    func reopen(capBytes: Int? = nil, _ meanwhile: () throws -> Void = {}) throws {
        store.close()
        try meanwhile()
        configuration.capBytes = capBytes ?? configuration.capBytes
        reader = StoreReader(try Self.placeholder(), userID: 0)
        store = try Self.placeholder()
        store = try Store(configuration, log: Self.silent)
        reader = StoreReader(store, userID: 1_000)
    }

    /// A store that stands in while the real one is closed, so that its lock is released.
    private static func placeholder() throws -> Store {
        let directory = try TemporaryDirectory()
        let store = try Store(
            StoreConfiguration(directory: directory.path + "/none", capBytes: 8 << 20, readers: 8), log: silent)
        store.close()
        return store
    }

    func session(_ name: String, model: ModelDeclaration = hybrid, namespace: String = "test") throws -> UInt64 {
        let model = try store.declare(model)
        return try store.openSession(
            namespace: namespace, name: name, modelID: model.id, create: true, by: Principal(userID: 1_000)
        )
        .id
    }

    @discardableResult
    func put(
        _ session: UInt64, component: UInt16, offset: UInt64, tokens: UInt32, _ bytes: [UInt8],
        acknowledgement: Acknowledgement = .committed, encoding: EncodingChoice = .auto
    ) throws -> Int {
        let outcome = Monitor<[Store.PageOutResult]?>(nil)
        bytes.withUnsafeBytes { raw in
            store.pageOut(
                [
                    PageOutItem(
                        session: session, rank: 0, component: component, offset: offset, tokens: tokens, bytes: raw)
                ],
                encoding: encoding, acknowledgement: acknowledgement, reader: reader
            ) { results in outcome.signal { $0 = results } }
        }
        return try outcome.wait { $0 }![0].get()
    }

    /// Puts a chunk of attention by its key alone; returns why it was refused.
    func put(_ session: UInt64, offset: UInt64, tokens: UInt32, key: PrefixKey) throws -> ErrorCode? {
        let outcome = Monitor<Store.PageOutResult?>(nil)
        let item = PageOutItem(
            session: session, rank: 0, component: 0, offset: offset, tokens: tokens, bytes: nil, prefixKey: key)
        store.pageOut([item], encoding: .auto, acknowledgement: .committed, reader: reader) { results in
            outcome.signal { $0 = results[0] }
        }
        return code { _ = try outcome.wait { $0 }!.get() }
    }

    /// A chunk's bytes. Never inlined: where a caller ignores the array, the optimizer (6.3.1) frees it before the copy
    /// into it, as the address sanitizer found.
    @inline(never)
    func get(_ session: UInt64, component: UInt16, offset: UInt64, firstLayer: UInt32 = 0, layers: UInt32 = 0) throws
        -> [UInt8]
    {
        var buffer: UnsafeMutableRawBufferPointer?
        defer { buffer?.deallocate() }
        let item = PageInItem(
            session: session, rank: 0, component: component, offset: offset, firstLayer: firstLayer, layers: layers)
        let results = reader.pageIn([item]) { found in
            found.map { one in
                buffer = .allocate(byteCount: one.rawBytes, alignment: 64)
                return .success(buffer!)
            }
        }
        _ = try results[0].get()
        return Array(buffer!)
    }
}

/// The machine's clock, and what a test puts it forward by.
final class TestClock: Sendable {
    private let ahead = Monitor<UInt64>(0)

    var now: UInt64 { Clock.now() + ahead.withLock { $0 } }

    func advance(seconds: UInt64) { ahead.withLock { $0 += seconds * 1_000_000_000 } }
}

/// The code of the ``LarderError`` that `body` throws; nil if it throws none.
func code(_ body: () throws -> Void) -> ErrorCode? {
    do {
        try body()
        return nil
    } catch let error as LarderError {
        return error.code
    } catch {
        return .internal
    }
}
