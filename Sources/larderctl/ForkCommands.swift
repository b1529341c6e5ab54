import ArgumentParser
import LarderClient
import LarderModel

struct Fork: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a session that shares another's state up to an offset.",
        discussion: """
            Shared are the chunks that end at OFFSET at most, as they are now; nothing is copied. From then on each session \
            goes its own way, and either may be dropped. The new one is in the same namespace.
            """)
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "NAMESPACE/NAME, or the session's number.")
    var session: String
    @Argument(help: "In tokens; at most where the session's last chunk ends.")
    var offset: UInt64
    @Argument(help: "The new session's name, without its namespace.")
    var name: String

    private struct Report: Encodable {
        let session: UInt64
        let namespace: String
        let name: String
        let parent: UInt64
        let offset: UInt64
        let resumePoint: UInt64
    }

    func run() throws {
        try connection.withClient { client in
            let found = try findSession(session, client)
            let id = try client.fork(session: found.session, offset: offset, name: name)
            let resume = try client.resume(session: id)
            if connection.json {
                let report = Report(
                    session: id, namespace: found.namespace, name: name, parent: found.session, offset: offset,
                    resumePoint: resume.offset)
                print(try Format.json(report))
            } else {
                print(
                    "forked \(found.namespace)/\(found.name) at \(offset): \(found.namespace)/\(name) (\(id)), "
                        + "resume point \(resume.offset) tokens"
                )
            }
        }
    }
}

struct Truncate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Forget a session's state from an offset on.",
        discussion: "A chunk that begins before OFFSET and ends after it goes whole. Forks of the session keep theirs.")
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "NAMESPACE/NAME, or the session's number.")
    var session: String
    @Argument(help: "In tokens.")
    var offset: UInt64

    private struct Report: Encodable {
        let session: UInt64
        let offset: UInt64
        let resumePoint: UInt64
    }

    func run() throws {
        try connection.withClient { client in
            let found = try findSession(session, client)
            try client.truncate(session: found.session, offset: offset)
            let resume = try client.resume(session: found.session)
            if connection.json {
                print(
                    try Format.json(Report(session: found.session, offset: offset, resumePoint: resume.offset)))
            } else {
                print(
                    "truncated \(found.namespace)/\(found.name) at \(offset): resume point \(resume.offset) tokens"
                )
            }
        }
    }
}
