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

        /// - Parameter kind: tmpfs, which is bounded and makes holes, or ramfs, which does neither.
        init(bytes: Int, kind: String = "tmpfs") throws {
            directory = try TemporaryDirectory()
            let mount = try ChildProcess(
                "/bin/mount", ["-t", kind, "-o", "size=\(bytes)", kind, directory.path], output: "/dev/null")
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

    /// Another process fills the disk: reading goes on, also for those who come then; nothing is evicted; and when there is
    /// room again, puts work by themselves.
    @Test(.enabled(if: mayMount)) func lastsUntilAnotherFreesTheDisk() throws {
        let disk = try SmallFileSystem(bytes: 48 << 20)
        let daemon = try TestDaemon.started(arguments: ["--data-dir", disk.directory.path + "/store", "--cap", "32MiB"])
        let client = try daemon.connect()
        let session = try client.openSession(
            namespace: "test", name: "first", modelID: try client.declare(Wide.model).modelID
        ).session
        var generator = SeededGenerator(seed: 8)
        let pieces = (0..<40).map { Wide.piece($0, generator.bytes(Wide.bytes)) }
        for result in try client.put(Array(pieces[..<12]), session: session) { _ = try result.get() }
        let other = disk.directory.path + "/other"
        func fillUp() throws { try FileSpace.reserve(other, bytes: FileSystem.availableBytes(disk.directory.path)!) }
        func evicted() throws -> UInt64 {
            try client.stat().counters.filter { $0.name.hasPrefix("evicted_") }.reduce(0) { $0 + $1.value }
        }
        try fillUp()
        let refusals = try (12..<24).compactMap { try client.put([pieces[$0]], session: session)[0].errorCode }
        #expect(refusals.count > 8 && refusals.allSatisfy { $0 == .full })
        #expect(try evicted() == 0)
        // Each new connection takes a slot in LMDB's table of readers, which is a mapped file.
        let readers = try (0..<100).map { try daemon.connect(name: "reader-\($0)") }
        for (index, reader) in readers.enumerated() {
            #expect(try reader.get(pieces[index % 12], session: session) == pieces[index % 12].bytes)
            #expect(try reader.resume(session: session).offset >= 12 * 16)
        }
        try FileSystem.remove(other)
        #expect(try client.put([pieces[24]], session: session)[0].errorCode == nil)
        // The same with a file that has holes: what LMDB writes into them meets the full disk.
        try client.setCap(10 << 20)
        let deadline = Clock.deadline(seconds: 40)
        while try client.stat()["disk_bytes"] > 10 << 20, Clock.now() < deadline { Clock.sleep(milliseconds: 20) }
        #expect(FileSpace.allocatedBytes(disk.directory.path + "/store") <= 10 << 20)
        try fillUp()
        let before = try evicted()
        let next = try? client.openSession(namespace: "test", name: "next", modelID: 1).session
        if let next {
            let codes = try (25..<30).compactMap { try client.put([pieces[$0]], session: next)[0].errorCode }
            // None is refused where the sweep has left free pages whose blocks it has not given back yet.
            #expect(codes.allSatisfy { $0 == .full })
        }
        print("lastsUntilAnotherFreesTheDisk: \(try evicted() - before) chunks evicted while the disk was full")
        try FileSystem.remove(other)
        let late = try client.openSession(namespace: "test", name: "late", modelID: 1).session
        #expect(try client.put([pieces[30]], session: late)[0].errorCode == nil)
        #expect(try client.get(pieces[30], session: late) == pieces[30].bytes)
        #expect(daemon.isRunning)
    }

    /// A file system without holes: a lower cap holds for what is stored, and the daemon says that the file stays.
    @Test(.enabled(if: mayMount)) func saysThatAFileSystemMakesNoHoles() throws {
        let disk = try SmallFileSystem(bytes: 64 << 20, kind: "ramfs")
        let path = disk.directory.path + "/store"
        let daemon = try TestDaemon.started(arguments: ["--data-dir", path, "--cap", "32MiB"])
        let client = try daemon.connect()
        let model = try client.declare(Wide.model).modelID
        var generator = SeededGenerator(seed: 9)
        let pieces = (0..<24).map { Wide.piece($0, generator.bytes(Wide.bytes)) }
        for (number, piece) in pieces.enumerated() {
            let session = try client.openSession(namespace: "test", name: "s\(number)", modelID: model).session
            #expect(try client.put([piece], session: session)[0].errorCode == nil)
        }
        let length = try client.stat()["file_bytes"]
        try client.setCap(12 << 20)
        let deadline = Clock.deadline(seconds: 20)
        while try client.stat()["used_bytes"] > 12 << 20, Clock.now() < deadline { Clock.sleep(milliseconds: 10) }
        #expect(try client.stat()["used_bytes"] <= 12 << 20)
        for number in 30..<50 {
            let session = try client.openSession(namespace: "test", name: "s\(number)", modelID: model).session
            #expect(try client.put([pieces[number % 24]], session: session)[0].errorCode == nil)
            #expect(try client.get(pieces[number % 24], session: session) == pieces[number % 24].bytes)
            #expect(try client.stat()["used_bytes"] <= 12 << 20)
        }
        // What frees may make it a little longer before anything is free.
        #expect(try client.stat()["file_bytes"] <= length + (4 << 20))
        let shown = try TestDaemon.run("larderctl", ["cap", "--socket", daemon.socket])
        #expect(shown.code == 0 && shown.output.contains("takes no space back"))
        #expect(daemon.log.contains("takes no space back"))
    }
}
