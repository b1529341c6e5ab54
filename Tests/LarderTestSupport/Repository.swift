import LarderSystem

/// Where the tests find what is in the repository.
public enum Repository {
    /// The repository's root, from the place of this source file.
    public static let root: String = {
        let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        return parts.dropLast(3).joined(separator: "/")
    }()

    /// The sample of real state.
    public static let sampleDirectory = root + "/bench/data/kv"

    /// The whole of the measured state, outside the repository; nil where it is absent.
    public static let fullStateDirectory: String? = {
        let path = root + "/../shared/data/kv"
        return FileSystem.isDirectory(path) ? path : nil
    }()

    /// The Mooncake conversation trace, outside the repository; nil where it is absent.
    public static let conversationTrace: String? = {
        let path = root + "/../shared/data/traces/conversation_trace.jsonl"
        return FileSystem.exists(path) ? path : nil
    }()
}
