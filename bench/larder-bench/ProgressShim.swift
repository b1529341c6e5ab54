import LarderClient
import LarderModel

// Stands in for the client's own call of this name until that is there; then this file goes.
extension Client {
    /// Pages into arenas and then calls `onProgress` once.
    func get(
        _ chunks: [ArenaPageIn], layerGroup: UInt32, onProgress: (UInt32) -> Void
    ) throws(ClientError) -> [Result<UInt32, LarderError>] {
        let results = try get(chunks)
        onProgress(layerGroup)
        return results
    }
}
