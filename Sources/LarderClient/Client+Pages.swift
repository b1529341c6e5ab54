import LarderModel
import LarderWire

extension Client {
    /// One page of a session's chunks, from a name on, in order of rank, component and offset: at most
    /// ``LarderModel/Limits/pageEntries``, and the last if it has fewer.
    public func chunkPage(from: ChunkName) throws(ClientError) -> [ChunkSummary] {
        try transport.ask(ListChunks(from: from)).chunks
    }
}
