import LarderClient
import LarderModel
import LarderWire

/// The arena through which chunks go between the daemon and a file: as large as the largest chunk so far, at least
/// 32 MiB.
final class ExchangeArena {
    private let client: Client
    private var arena: Arena?
    /// Bytes that are gathered before they are moved together.
    static let batchBytes = 32 << 20

    init(_ client: Client) { self.client = client }

    deinit { if let arena { try? client.close(arena) } }

    /// The arena, with room for `byteCount` bytes at least. What was in it is gone if it had to grow.
    func room(_ byteCount: Int) throws(ClientError) -> Arena {
        if let arena, arena.bytes.count >= byteCount { return arena }
        guard client.hasArenas else { throw .violation("it shares no memory; use a later larderd") }
        if let arena { try client.close(arena) }
        arena = nil
        let opened = try client.openArena(byteCount: max(Self.batchBytes, (byteCount + 4_095) / 4_096 * 4_096))
        arena = opened
        return opened
    }
}
