import ArgumentParser
import Foundation
import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderWire

/// The main job on real input: page out, SIGKILL, restart, page in, compare.
struct Demo: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Pages real attention state out, kills the daemon, pages it in again, and compares every bit.")
    @Option(help: "A directory of state files, as bench/data/README.md describes them.")
    var data = "bench/data/kv"
    @Option(help: "What computing the state costs, as measured.")
    var recompute = "bench/data/recompute.json"
    @Option(help: "Tokens of a chunk.")
    var chunkTokens = 256
    @Option(help: "Repetitions of the page-in, of which the median counts.")
    var runs = 9

    private struct Recompute: Decodable {
        let model: String
        let tokens: Int
        let prefill_ms: Double
        let layers: Int
        let state_bytes: Int
    }

    func run() throws {
        let prefill = try JSONDecoder().decode(
            Recompute.self, from: Data(try FileSystem.read(recompute, limit: 1 << 16)))
        let state = try SampleState(directory: data)
        let pieces = state.pieces(chunkTokens: chunkTokens)
        let directory = try FileSystem.makeTemporaryDirectory(prefix: "larder-demo-")
        defer { FileSystem.removeTree(directory) }
        let daemon = DaemonProcess(directory: directory, arguments: ["--cap", "256MiB"])
        defer { daemon.stop() }

        print(
            "Larder demo: \(prefill.model), \(state.tokens) tokens, "
                + "\(state.planes.map { $0.count / 2 }.reduce(0, +)) of its \(prefill.layers) layers, "
                + "\(pieces.count) chunks"
        )
        let out = try pageOut(state, pieces, daemon)
        print("1. paged out, acknowledged as committed")
        try showStatus(daemon)
        daemon.kill()
        print("2. killed the daemon with SIGKILL")
        let client = try daemon.start(name: "larder-demo")
        print("3. restarted it")
        let (milliseconds, resume) = try pageIn(client, out.session, pieces)
        print("4. paged in: every byte is the one that was paged out\n")
        try printTable(state, pieces, try client.chunks(session: out.session))
        let raw = pieces.reduce(0) { $0 + $1.bytes.count }
        print("")
        print(
            "page-out      \(formatted(out.milliseconds, 1)) ms, "
                + "\(formatted(Double(raw) / out.milliseconds / 1e6, 2)) GB/s, to \"committed\" on this disk"
        )
        print(
            "page-in       \(formatted(milliseconds, 1)) ms, \(formatted(Double(raw) / milliseconds / 1e6, 2)) "
                + "GB/s, to shared memory, every checksum verified"
        )
        print("resume point  \(resume) of \(state.tokens) tokens")
        print(
            "recompute     \(formatted(prefill.prefill_ms, 0)) ms for the same \(prefill.tokens) tokens, all "
                + "\(prefill.layers) layers (measured once, on 2 quiet cores; see bench/data/README.md)"
        )
        let whole = milliseconds * Double(prefill.state_bytes) / Double(raw)
        print(
            "              at this page-in speed the whole state's "
                + "\(formatted(Double(prefill.state_bytes) / 1e6, 1)) MB take \(formatted(whole, 1)) ms: "
                + "1/\(Int((prefill.prefill_ms / whole).rounded())) of the prefill"
        )
        guard resume == UInt64(state.tokens) else {
            throw ValidationError("the resume point is \(resume), not \(state.tokens)")
        }
    }

    private func pageOut(
        _ state: SampleState, _ pieces: [SampleState.Piece], _ daemon: DaemonProcess
    ) throws -> (session: UInt64, milliseconds: Double) {
        let client = try daemon.start(name: "larder-demo")
        let model = try client.declare(state.model)
        let session = try client.openSession(namespace: "demo", name: "gpl-3", modelID: model.modelID).session
        let arena = try client.openArena(byteCount: pieces.reduce(0) { $0 + $1.bytes.count })
        var chunks: [ArenaPageOut] = []
        for piece in pieces {
            let start = chunks.last?.source.range.upperBound ?? 0
            let slice = arena.slice(start..<start + piece.bytes.count)
            slice.bytes.copyBytes(from: piece.bytes)
            chunks.append(ArenaPageOut(name: name(of: piece, session), tokens: UInt32(piece.tokens), source: slice))
        }
        let start = Clock.now()
        for result in try client.put(chunks) { _ = try result.get() }
        return (session, Double(Clock.now() - start) / 1e6)
    }

    private func pageIn(
        _ client: Client, _ session: UInt64, _ pieces: [SampleState.Piece]
    ) throws -> (milliseconds: Double, resume: UInt64) {
        let resume = try client.resume(session: session)
        guard resume.chunks.count == pieces.count else {
            throw ValidationError("\(resume.chunks.count) chunks to load where \(pieces.count) were put")
        }
        let arena = try client.openArena(byteCount: resume.chunks.reduce(0) { $0 + Int($1.rawBytes) })
        var chunks: [ArenaPageIn] = []
        for chunk in resume.chunks {
            let start = chunks.last?.destination.range.upperBound ?? 0
            let slice = arena.slice(start..<start + Int(chunk.rawBytes))
            chunks.append(ArenaPageIn(item: GetItem(name: chunk.name), destination: slice))
        }
        let time = try Stopwatch.median(runs) {
            for result in try client.get(chunks) { _ = try result.get() }
        }
        for chunk in chunks {
            let piece = pieces.first { name(of: $0, session) == chunk.item.name }
            guard let piece, chunk.destination.bytes.elementsEqual(piece.bytes) else {
                throw ValidationError("the chunk at \(chunk.item.name.offset) is not what was paged out")
            }
        }
        return (time / 1e6, resume.offset)
    }

    private func showStatus(_ daemon: DaemonProcess) throws {
        let control = String(DaemonProcess.executable.dropLast("larderd".count)) + "larderctl"
        print("   $ larderctl --json status", terminator: "")
        let path = daemon.directory + "/status.json"
        let child = try ChildProcess(control, ["status", "--json", "--socket", daemon.socket], output: path)
        let code = child.wait()
        let text = String(decoding: try FileSystem.read(path, limit: 1 << 20), as: UTF8.self)
        guard code == 0 else { throw ValidationError("larderctl failed: \(text)") }
        struct Report: Decodable { let counters: [String: UInt64] }
        let counters = try JSONDecoder().decode(Report.self, from: Data(text.utf8)).counters
        let shown = ["sessions", "blobs", "page_out_raw_bytes_total", "page_out_stored_bytes_total", "commits"]
        print("  ->  " + shown.map { "\($0) \(counters[$0] ?? 0)" }.joined(separator: ", "))
    }

    private func name(of piece: SampleState.Piece, _ session: UInt64) -> ChunkName {
        ChunkName(session: session, component: piece.component, offset: UInt64(piece.offset))
    }

    private func printTable(_ state: SampleState, _ pieces: [SampleState.Piece], _ chunks: [ChunkSummary]) throws {
        print("component   chunks   tokens      raw bytes   stored bytes   ratio   encoding")
        for (index, component) in state.model.components.enumerated() {
            let mine = chunks.filter { Int($0.name.component) == index }
            let raw = mine.reduce(0) { $0 + $1.rawBytes }
            let stored = mine.reduce(0) { $0 + $1.storedBytes }
            let encodings = Set(mine.map(\.encoding.name)).sorted().joined(separator: ", ")
            print(
                component.name.padding(toLength: 10, withPad: " ", startingAt: 0)
                    + String(
                        format: "%8d%9d%15d%15d%8.3f   ", mine.count, mine.reduce(0) { $0 + Int($1.tokens) }, Int(raw),
                        Int(stored), Double(raw) / Double(stored)) + encodings)
        }
    }
}
