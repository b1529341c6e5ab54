import Glibc
import LarderSystem

/// Something that reads hostile bytes, and what must be true whatever they are. A fuzzer calls it with inputs that it
/// makes up (`make fuzz`), the tests with those of the corpus: both the same function.
public struct FuzzTarget: Sendable {
    /// What its corpus and its dictionary are named by.
    public let name: String
    /// The longest input in bytes; what is longer is cut.
    public let inputBytes: Int
    private let memory: GuardedMemory
    private let body: @Sendable (UnsafeRawBufferPointer) throws -> Void

    init(_ name: String, inputBytes: Int, _ body: @escaping @Sendable (UnsafeRawBufferPointer) throws -> Void) {
        self.name = name
        self.inputBytes = inputBytes
        self.body = body
        memory = GuardedMemory(capacity: inputBytes)
    }

    /// Every target. Each may be used by one thread at a time.
    public static let all: [FuzzTarget] = [
        .wire, .chunk, .roundTrip, .cascade, .configuration, .archive, .dataFile, .admin,
    ]

    /// Checks one input. Returns where all held, also where the input was refused; throws ``FuzzFinding`` where
    /// something did not. A read beyond the input faults: it ends at the end of a page.
    public func check(_ input: UnsafeRawBufferPointer) throws {
        let copy = memory.copy(UnsafeRawBufferPointer(rebasing: input[..<min(input.count, inputBytes)]))
        try body(copy)
        try memory.requireUntouched()
    }
}

/// Something that should always hold, and did not.
public struct FuzzFinding: Error, Sendable, CustomStringConvertible {
    /// What was expected, and what was found.
    public let description: String

    init(_ description: String) { self.description = description }
}

/// Throws a finding unless `condition` holds.
func require(_ condition: Bool, _ what: @autoclosure () -> String) throws {
    if !condition { throw FuzzFinding(what()) }
}

/// Throws a finding unless two runs of bytes are equal; it names the first that differ.
func requireSame(
    _ found: some Collection<UInt8>, _ expected: some Collection<UInt8>, _ what: @autoclosure () -> String
) throws {
    if found.elementsEqual(expected) { return }
    let place = zip(found, expected).enumerated().first { $1.0 != $1.1 }?.offset ?? min(found.count, expected.count)
    throw FuzzFinding("\(what()): \(found.count) and \(expected.count) bytes differ from byte \(place) on")
}

/// The bytes of an input that choose how the rest is used. Past its end there are zeroes.
struct Choices {
    private(set) var rest: UnsafeRawBufferPointer

    init(_ input: UnsafeRawBufferPointer) { rest = input }

    mutating func byte() -> Int {
        guard let first = rest.first else { return 0 }
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst())
        return Int(first)
    }

    /// Of `count` bytes, little-endian.
    mutating func number(_ count: Int) -> UInt64 {
        (0..<count).reduce(0) { sum, index in sum | UInt64(byte()) << UInt64(8 * index) }
    }
}

extension UnsafeRawBufferPointer {
    /// The little-endian u32 at `offset`, which the caller has checked.
    func word(_ offset: Int) -> UInt32 {
        UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
}

extension UnsafeMutableRawBufferPointer {
    /// See ``UnsafeRawBufferPointer/word(_:)``.
    func word(_ offset: Int) -> UInt32 { UnsafeRawBufferPointer(self).word(offset) }

    /// Overwrites a little-endian u32.
    func setWord(_ value: UInt32, at offset: Int) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt32.self)
    }
}

/// A directory in TMPDIR that goes with its owner, at the latest when the process exits: for files that a target reads
/// by their paths.
final class ScratchDirectory: Sendable {
    let path: String
    private static let all = Monitor<Set<String>>([])
    private static let removal: Void = {
        atexit { ScratchDirectory.all.withLock { $0 }.forEach { FileSystem.removeTree($0) } }
    }()

    init() {
        do { path = try FileSystem.makeTemporaryDirectory(prefix: "larder-fuzz-") } catch {
            fatalError("no directory for fuzzing: \(error)")
        }
        _ = Self.removal
        Self.all.withLock { _ = $0.insert(path) }
    }

    deinit {
        FileSystem.removeTree(path)
        Self.all.withLock { _ = $0.remove(path) }
    }
}
