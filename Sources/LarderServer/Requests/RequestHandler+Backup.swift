import LarderModel
import LarderStore
import LarderSystem
import LarderWire

extension RequestHandler {
    /// Copies the store, with word of its progress; a peer that is gone ends it.
    func backup(_ requestID: UInt64, _ body: UnsafeRawBufferPointer) throws(LarderError) -> AnswerFrame {
        let request = try Backup(body: body)
        try requireOperator("a backup is made")
        let summary = try store.backup(to: request.directory) { copied, total throws(LarderError) in
            let progress = BackupProgress(copiedBytes: UInt64(copied), totalBytes: UInt64(total))
            do throws(SystemError) { try outbox.send(progress.frame(requestID: requestID)) } catch {
                throw LarderError(.shuttingDown, "the connection that asked for the backup has ended: \(error)")
            }
        }
        let answer = BackupAnswer(
            shards: UInt32(summary.shards), bytes: UInt64(summary.bytes), createdSeconds: summary.createdSeconds)
        return AnswerFrame(
            frame: answer.frame(type: Backup.type.rawValue | FrameHeader.answerBit, requestID: requestID))
    }
}
