import ArgumentParser
import LarderClient
import LarderSystem

/// How soon the first layer of a session is there, against the whole of it: 32 layers, 256 MiB, in one request.
enum FirstLayer: RowGroup {
    static let names = ["first_layer_over_whole", "first_layer", "whole_session"]
    private static let layers = 32

    static func measure(_ bench: PageBench) throws -> [Measurement] {
        let set = ChunkSet(valuesOf: bench.state, chunks: 16, layers: layers, tokens: 512)
        return try bench.withDaemon { daemon, _ in
            let worker = try Worker(daemon, set)
            let session = try worker.pageOut()
            let requests = worker.pageIns(session)
            var first = 0.0
            let times = try Stopwatch.inTurn(
                bench.longRuns,
                {
                    first = 0
                    let start = Clock.now()
                    let results = try worker.client.get(requests, layerGroup: 1) { _ in
                        if first == 0 { first = Double(Clock.now() - start) }
                    }
                    let whole = Double(Clock.now() - start)
                    for result in results { _ = try result.get() }
                    if first == 0 { throw ValidationError("the daemon reported no progress") }
                    return whole
                },
                { first })
            worker.arena.bytes.initializeMemory(as: UInt8.self, repeating: 0)
            for result in try worker.client.get(requests, layerGroup: 1, onProgress: { _ in }) { _ = try result.get() }
            try worker.compare()
            let detail = ["layers": "\(layers)", "chunks": "\(set.chunks.count)", "bytes": "\(set.bytes.count)"]
            return [
                Measurement(
                    names[0], times[1] / times[0], unit: "ratio", goal: 0.10, better: .lower, detail: detail),
                Measurement(names[1], times[1] / 1e6, unit: "ms", better: .lower),
                Measurement(names[2], times[0] / 1e6, unit: "ms", better: .lower),
            ]
        }
    }
}
