extension RequestTrace {
    /// The same requests in the order of their timestamps; those of one stay as they are.
    public var orderedByTime: RequestTrace {
        let order = requests.indices.sorted { (requests[$0].timestamp, $0) < (requests[$1].timestamp, $1) }
        return RequestTrace(requests: order.map { requests[$0] }, uniqueBlocks: uniqueBlocks)
    }

    private init(requests: [Request], uniqueBlocks: Int) {
        self.requests = requests
        self.uniqueBlocks = uniqueBlocks
    }
}
