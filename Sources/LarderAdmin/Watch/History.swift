import LarderCodec
import LarderModel
import LarderSystem
import Logging

/// What the main figures were in one interval: gauges as they stood at its end, everything else what it added.
struct HistorySample: Sendable, Equatable {
    /// Names of the figures, in the order in which they are kept. A change here is a new version of the file.
    static let figures: [String] =
        [
            "requests", "resumes", "asked_tokens", "resumed_tokens", "stored_tokens", "restored_tokens",
            "not_recomputed_tokens", "page_in_bytes", "page_out_bytes",
        ] + EvictionRule.allCases.map { "evicted_\($0.name)_chunks" } + [
            "swept_bytes", "moved_bytes", "put_bytes", "device_write_bytes", "used_bytes", "disk_bytes",
            "usable_bytes", "cap_bytes", "sessions", "connections", "page_in_p50_nanoseconds",
            "page_in_p99_nanoseconds", "page_out_p50_nanoseconds", "page_out_p99_nanoseconds",
        ]

    /// Seconds since 1970 at its end.
    var seconds: UInt64
    /// Milliseconds that it took.
    var milliseconds: UInt64
    var values: [UInt64]
}

/// The last hours of the main figures: a ring in a file beside the store, so that a restart shows them. Each sample has a
/// place by its time, and a checksum; what is damaged is not shown. It is not synced: after a power loss some may be missing.
final class History: Sendable {
    /// "LARDERH2" in little-endian order.
    private static let magic: UInt64 = 0x3248_5245_4452_414C
    /// Magic, time, length, figures, checksum.
    private static let slotBytes = 8 * (HistorySample.figures.count + 4)

    private let ring: Monitor<[HistorySample?]>
    private let file: Descriptor?

    /// Opens or creates the file; without it, what is new is remembered all the same.
    init(path: String, log: Logger) {
        let slots = Limits.historySamples
        precondition(Self.slotBytes * slots <= Limits.historyBytes, "the history's file is larger than its bound")
        do { file = try Descriptor.openOrCreate(path) } catch {
            file = nil
            log.warning("the history is not kept", metadata: ["error": "\(error)"])
        }
        var samples: [HistorySample?] = Array(repeating: nil, count: slots)
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.slotBytes * slots, alignment: 8)
        defer { bytes.deallocate() }
        let count = (try? file?.read(into: bytes, at: 0)) ?? 0
        var damaged = 0
        for slot in 0..<count / Self.slotBytes {
            let part = UnsafeRawBufferPointer(rebasing: bytes[slot * Self.slotBytes..<(slot + 1) * Self.slotBytes])
            samples[slot] = Self.sample(part, slot: slot)
            // A place where nothing was ever written is all zeros.
            if samples[slot] == nil, part.contains(where: { $0 != 0 }) { damaged += 1 }
        }
        if damaged > 0 {
            log.warning(
                "parts of the history are damaged, or of another version, and are not shown",
                metadata: ["file": "\(path)", "samples": "\(damaged)"])
        }
        ring = Monitor(samples)
    }

    /// Adds a sample, in place of the one whose place it takes.
    func add(_ sample: HistorySample) {
        let slot = Self.slot(sample.seconds)
        ring.withLock { $0[slot] = sample }
        guard let bytes = try? Self.bytes(sample) else { return }
        try? file?.write(bytes, at: slot * Self.slotBytes)
    }

    /// The samples of the last hours after a moment, in order of time.
    func samples(after seconds: UInt64) -> [HistorySample] {
        let oldest = Clock.wallSeconds() - UInt64(Limits.historySamples * Limits.historySeconds)
        return ring.withLock { $0.compactMap { $0 } }.filter { $0.seconds > max(seconds, oldest) }
            .sorted { $0.seconds < $1.seconds }
    }

    private static func slot(_ seconds: UInt64) -> Int {
        Int(seconds / UInt64(Limits.historySeconds) % UInt64(Limits.historySamples))
    }

    private static func bytes(_ sample: HistorySample) throws -> [UInt8] {
        var writer = ByteWriter(capacity: slotBytes)
        for word in [magic, sample.seconds, sample.milliseconds] + sample.values { writer.write(word) }
        let checksum = writer.bytes.withUnsafeBytes { CRC32C.checksum($0) }
        writer.write(UInt64(checksum))
        return writer.bytes
    }

    private static func sample(_ bytes: UnsafeRawBufferPointer, slot: Int) -> HistorySample? {
        let count = 3 + HistorySample.figures.count
        let words = (0..<bytes.count / 8).map {
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self))
        }
        let checksum = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<(8 * count)]))
        guard words[0] == magic, words[count] == UInt64(checksum), Self.slot(words[1]) == slot else { return nil }
        return HistorySample(seconds: words[1], milliseconds: words[2], values: Array(words[3..<count]))
    }
}
