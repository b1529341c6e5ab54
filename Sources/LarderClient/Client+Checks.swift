import LarderModel
import LarderWire

extension Client {
    /// Has the daemon read and check every chunk of a session.
    ///
    /// - Parameter onPage: told of each answer, as it comes.
    public func verify(
        session: UInt64, onPage: (VerifyAnswer) throws(ClientError) -> Void = { _ throws(ClientError) in }
    ) throws(ClientError) -> VerifyAnswer {
        var total = VerifyAnswer(checked: 0, rawBytes: 0, damaged: [], next: nil)
        var from: ChunkName? = ChunkName(session: session, component: 0, offset: 0)
        while let start = from {
            let page = try transport.ask(Verify(from: start))
            total.checked += page.checked
            total.rawBytes += page.rawBytes
            total.damaged += page.damaged
            try onPage(page)
            from = page.next
        }
        return total
    }

    /// Has the daemon take a chunk out that fails its checks, and with it all that are the same bytes: they are misses then,
    /// and can be put again. What is whole stays.
    public func repair(_ chunk: ChunkName) throws(ClientError) -> RepairAnswer {
        try transport.ask(Repair(chunk: chunk))
    }

    /// The lines that forks and truncates have made of a session's state and of all that shares a past with it.
    public func tree(session: UInt64) throws(ClientError) -> TreeAnswer { try transport.ask(Tree(session: session)) }

    /// Has the daemon copy its store, as it is at one moment, to a directory of its machine, and returns when the copy
    /// survives power loss. For root and the daemon's own user (`forbidden`).
    ///
    /// - Parameters:
    ///   - directory: an absolute path to nothing, or to an empty directory, outside the store.
    ///   - onProgress: told every now and then.
    public func backup(
        to directory: String, onProgress: (BackupProgress) -> Void = { _ in }
    ) throws(ClientError) -> BackupAnswer {
        let id = try transport.send(Backup(directory: directory))
        while true {
            let answer = try transport.receive()
            guard answer.header.requestID == id else {
                throw .violation("it answered request \(answer.header.requestID), not \(id)")
            }
            guard answer.header.type == BackupProgress.frameType else {
                return try transport.decode(answer, as: Backup.self) { body throws(LarderError) in
                    try BackupAnswer(body: body)
                }
            }
            guard let progress = try? BackupProgress(body: answer.body) else {
                throw .violation("a progress frame that cannot be read")
            }
            onProgress(progress)
        }
    }
}
