import LarderCodec
import LarderModel
import LarderStore
import LarderSystem
import LarderWire

// What the admin side reads of a running daemon and asks of it. The data socket's threads wait for none of it.
extension Daemon {
    /// The store behind the data socket.
    public var store: Store { services.store }

    /// What it runs with.
    public var configuration: Configuration { services.configuration }

    /// What has happened lately.
    public var events: EventLog { services.events }

    /// Facts, as names and texts.
    public var facts: [(name: String, value: String)] { services.facts }

    /// Counters of the store and the data socket since the start, and gauges, as `stat` answers them.
    public var counters: [(name: String, value: UInt64)] { services.allCounters }

    /// For each code, how many requests and how many items of batches were refused with it.
    public var errors: [(code: ErrorCode, requests: UInt64, items: UInt64)] { services.errors.list }

    /// A worker's connection.
    public struct Peer: Sendable {
        /// Number, ascending since the start.
        public let number: UInt64
        /// User, group and process of the worker when it connected.
        public let credentials: PeerCredentials
        /// What the worker calls itself; empty before its handshake.
        public let clientName: String
        /// Seconds since 1970.
        public let connectedSeconds: UInt64
    }

    /// The connections of workers now, by number.
    public var peers: [Peer] {
        let connections = state.withLock { Array($0.connections.values) }
        return connections.sorted { $0.number < $1.number }.map {
            Peer(
                number: $0.number, credentials: $0.peer, clientName: $0.clientName.withLock { $0 },
                connectedSeconds: $0.startedSeconds)
        }
    }

    // MARK: maintenance

    /// True while new workers are turned away.
    public var isDraining: Bool { state.withLock { $0.isDraining } }

    /// Turns new workers away with `shuttingDown`, lets requests at hand finish and ends their connections; or serves
    /// again. Idempotent. Returns at once: ``peers`` says who is left.
    public func setDraining(_ isDraining: Bool) {
        let (connections, hasChanged) = state.withLock { state in
            defer { state.isDraining = isDraining }
            return (isDraining ? Array(state.connections.values) : [], state.isDraining != isDraining)
        }
        for connection in connections { connection.stopReading() }
        if hasChanged {
            events.note(isDraining ? .drained : .undrained, ["connections": .number(UInt64(connections.count))])
            log.notice(isDraining ? "draining for maintenance" : "serving again")
        }
    }

    // MARK: sessions

    /// Forks a session, as a worker would, for the daemon's own user. Returns the new one's id.
    public func fork(session: UInt64, offset: UInt64, name: String) throws(LarderError) -> UInt64 {
        try services.fork(session: session, offset: offset, name: name, reader: operatorReader)
    }

    /// Cuts a session, as a worker would.
    public func truncate(session: UInt64, offset: UInt64) throws(LarderError) {
        try services.truncate(session: session, offset: offset, reader: operatorReader)
    }

    /// Drops a session, as a worker would.
    public func drop(session: UInt64) throws(LarderError) {
        try services.drop(session: session, reader: operatorReader)
    }

    private var operatorReader: StoreReader { StoreReader(store, userID: Process.userID) }
}

/// What both sockets ask for.
extension Services {
    func fork(
        session: UInt64, offset: UInt64, name: String, reader: StoreReader
    ) throws(LarderError) -> UInt64 {
        let id = try store.fork(session: session, offset: offset, name: name, reader: reader)
        recorder?.note(.fork(parent: session, offset: offset, child: id))
        events.note(
            .sessionForked,
            ["session": .number(session), "offset_tokens": .number(offset), "fork": .number(id), "name": .text(name)])
        return id
    }

    func truncate(session: UInt64, offset: UInt64, reader: StoreReader) throws(LarderError) {
        try reader.requireAccess(session: session)
        try store.truncate(session: session, offset: offset)
        recorder?.note(.truncate(session: session, offset: offset))
        events.note(.sessionTruncated, ["session": .number(session), "offset_tokens": .number(offset)])
    }

    func drop(session: UInt64, reader: StoreReader) throws(LarderError) {
        try reader.requireAccess(session: session)
        try store.drop(session: session)
        recorder?.note(.drop(session: session))
        events.note(.sessionDropped, ["session": .number(session)])
    }

    var facts: [(name: String, value: String)] {
        [
            ("version", LarderVersion.number), ("pid", "\(Process.identifier)"), ("store_id", "\(store.id)"),
            ("data_dir", configuration.dataDirectory), ("socket", configuration.socket),
            ("cascade_kernel", CodecImplementation.cascadeKernel), ("checksum", CodecImplementation.checksum),
        ]
    }

    var allCounters: [(name: String, value: UInt64)] {
        store.statistics() + counters.list + [
            ("uptime_seconds", (Clock.now() - startedNanoseconds) / 1_000_000_000),
            ("arenas", UInt64(arenas.held.arenas)), ("arena_bytes", UInt64(arenas.held.bytes)),
            ("inline_memory_free_bytes", UInt64(memory.freeBytes)),
        ] + (recorder?.counters ?? [])
    }
}
