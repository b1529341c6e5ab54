import LarderSystem

/// A directory that goes with the object.
public final class TemporaryDirectory: Sendable {
    /// Its path.
    public let path: String

    /// Makes one.
    public init() throws { path = try FileSystem.makeTemporaryDirectory(prefix: "larder-test-") }

    deinit { FileSystem.removeTree(path) }
}
