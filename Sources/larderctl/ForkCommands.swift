import ArgumentParser
import LarderClient
import LarderModel
import LarderWire

struct Fork: SessionCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a session that shares another's state up to an offset.",
        discussion: """
            Shared are the chunks that end at OFFSET at most, as they are now; nothing is copied. From then on each session \
            goes its own way, and either may be dropped. The new one is in the same namespace.
            """)
    @OptionGroup var target: SessionOptions
    @Argument(help: "In tokens; at most where the session's last chunk ends.")
    var offset: UInt64
    @Argument(help: "The new session's name, without its namespace.")
    var name: String

    struct Report: CommandReport {
        let session: UInt64
        let namespace: String
        let name: String
        let parent: UInt64
        let parentName: String
        let offset: UInt64
        let resumePoint: UInt64

        func printOut() {
            print(
                "forked \(namespace)/\(parentName) at \(offset): \(namespace)/\(name) (\(session)), resume point "
                    + "\(resumePoint) tokens")
        }
    }

    func report(_ client: Client, _ session: SessionSummary) throws -> Report {
        let id = try client.fork(session: session.session, offset: offset, name: name)
        return Report(
            session: id, namespace: session.namespace, name: name, parent: session.session, parentName: session.name,
            offset: offset, resumePoint: try client.resume(session: id).offset)
    }
}

struct Truncate: SessionCommand {
    static let configuration = CommandConfiguration(
        abstract: "Forget a session's state from an offset on.",
        discussion: "A chunk that begins before OFFSET and ends after it goes whole. Forks of the session keep theirs.")
    @OptionGroup var target: SessionOptions
    @Argument(help: "In tokens.")
    var offset: UInt64

    struct Report: CommandReport {
        let session: UInt64
        let name: String
        let offset: UInt64
        let resumePoint: UInt64

        func printOut() { print("truncated \(name) at \(offset): resume point \(resumePoint) tokens") }
    }

    func report(_ client: Client, _ session: SessionSummary) throws -> Report {
        try client.truncate(session: session.session, offset: offset)
        return Report(
            session: session.session, name: session.path, offset: offset,
            resumePoint: try client.resume(session: session.session).offset)
    }
}

struct Drop: SessionCommand {
    static let configuration = CommandConfiguration(
        abstract: "Forget a session and all its state.", discussion: "Forks of it keep what they see.")
    @OptionGroup var target: SessionOptions

    struct Report: CommandReport {
        let dropped: UInt64
        let name: String
        let chunks: UInt64
        let storedBytes: UInt64

        func printOut() { print("dropped \(name): \(chunks) chunks, \(Format.bytes(storedBytes))") }
    }

    func report(_ client: Client, _ session: SessionSummary) throws -> Report {
        try client.drop(session: session.session)
        return Report(
            dropped: session.session, name: session.path, chunks: session.chunks, storedBytes: session.storedBytes)
    }
}
