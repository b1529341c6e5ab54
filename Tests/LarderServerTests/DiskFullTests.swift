import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// A file system that fills up under the daemon, which believes that it has room.
@Suite struct DiskFullTests {
    /// Mounting takes privileges that a developer's shell may lack.
    private static let mayMount: Bool = {
        guard let probe = try? SmallFileSystem(bytes: 1 << 20) else {
            print("DiskFullTests: skipped, mounting a small file system is not permitted here")
            return false
        }
        withExtendedLifetime(probe) {}
        return true
    }()

    private final class SmallFileSystem {
        let directory: TemporaryDirectory

        init(bytes: Int) throws {
            directory = try TemporaryDirectory()
            let mount = try ChildProcess(
                "/bin/mount", ["-t", "tmpfs", "-o", "size=\(bytes)", "tmpfs", directory.path], output: "/dev/null")
            guard mount.wait() == 0 else { throw SystemError("mount", directory.path) }
        }

        deinit {
            if let unmount = try? ChildProcess("/bin/umount", ["-l", directory.path], output: "/dev/null") {
                _ = unmount.wait()
            }
        }
    }

    @Test(.enabled(if: mayMount)) func answersFullAndRecovers() throws {
        let disk = try SmallFileSystem(bytes: 12 << 20)
        let daemon = try TestDaemon.started(arguments: ["--data-dir", disk.directory.path + "/store", "--cap", "1GiB"])
        let client = try daemon.connect()
        let session = try client.openSession(
            namespace: "test", name: "flood", modelID: try client.declare(Wide.model).modelID
        ).session
        var generator = SeededGenerator(seed: 6)
        let pieces = (0..<24).map { Wide.piece($0, generator.bytes(Wide.bytes)) }
        var stored: [SampleState.Piece] = []
        var refusals: [ErrorCode] = []
        for piece in pieces {
            let result = try client.put([piece], session: session)[0]
            if let code = result.errorCode { refusals.append(code) } else { stored.append(piece) }
        }
        #expect(stored.count >= 4)
        #expect(!refusals.isEmpty && refusals.allSatisfy { $0 == .full })
        for piece in stored { #expect(try client.get(piece, session: session) == piece.bytes) }
        // Room again: here by dropping, as by an admin who empties the disk.
        try client.drop(session: session)
        let next = try client.openSession(namespace: "test", name: "next", modelID: 1).session
        var outcome: ErrorCode? = .full
        for _ in 0..<200 where outcome != nil {
            outcome = try client.put([pieces[0]], session: next)[0].errorCode
            if outcome != nil { Clock.sleep(milliseconds: 20) }
        }
        #expect(outcome == nil)
        #expect(try client.get(pieces[0], session: next) == pieces[0].bytes)
        #expect(try client.verify(session: next).damaged.isEmpty)
    }
}
