import LarderModel
import LarderStore
import LarderSystem
import LarderWire
import Logging

/// The daemon: a store behind the data socket.
public final class Daemon: Sendable {
    struct State {
        var connections: [UInt64: Connection] = [:]
        /// True while workers are turned away for maintenance.
        var isDraining = false
        var isStopping = false
        /// True until it listens, and after.
        var hasStoppedListening = true
    }

    let services: Services
    private let listener: UnixSocket
    private let socketIdentity: FileSystem.Identity?
    let state = Monitor(State())
    let log: Logger
    private let failure: Monitor<Bool>

    /// True if the disk failed in a way that only a new start mends: the daemon has asked itself to end.
    public var hasFailed: Bool { failure.withLock { $0 } }

    /// Opens the store and the socket. Throws ``LarderError`` that says which of them refused, and why.
    public init(_ configuration: Configuration, log: Logger) throws(LarderError) {
        self.log = log
        let descriptors = Process.raiseDescriptorLimit()
        guard descriptors >= Limits.descriptorsMinimum else {
            throw LarderError(
                .storage,
                "the daemon may open \(descriptors) files, too few to serve; raise the limit (ulimit -n, LimitNOFILE) to "
                    + "\(Limits.descriptorsMinimum) at least")
        }
        let failure = Monitor(false)
        self.failure = failure
        var stored = configuration.store
        stored.onFailure = {
            failure.withLock { $0 = true }
            Process.requestTermination()
        }
        let metrics = ServerMetrics()
        stored.noteCommit = { metrics.committed(nanoseconds: $0) }
        let store = try Store(stored, log: log)
        let recorder: TraceRecorder?
        do {
            recorder = try Self.recorder(configuration, log)
            if let slash = configuration.socket.lastIndex(of: "/"), slash != configuration.socket.startIndex {
                try FileSystem.makeDirectory(String(configuration.socket[..<slash]), mode: 0o755)
            }
            listener = try UnixSocket.listen(at: configuration.socket)
            try FileSystem.setAccess(
                configuration.socket, mode: configuration.socketMode,
                group: configuration.socketGroup.isEmpty ? nil : configuration.socketGroup)
            socketIdentity = FileSystem.identity(configuration.socket)
        } catch {
            store.close()
            throw Self.listeningError(error)
        }
        services = Services(
            store: store,
            memory: InlineMemory(bytes: configuration.inlineBytes, userBytes: configuration.userInlineBytes),
            arenas: ArenaBudget(
                bytes: configuration.arenaBytes, userBytes: configuration.userArenaBytes,
                locksMemory: configuration.privileges.locksMemory), counters: ServerCounters(), metrics: metrics,
            events: EventLog(),
            startedNanoseconds: Clock.now(), configuration: configuration, recorder: recorder)
        let wanted = configuration.maxConnections * (1 + Limits.arenasPerConnection) + 64
        if descriptors < wanted {
            log.warning(
                "few descriptors: peers beyond them will wait for others to close",
                metadata: ["may_open": "\(descriptors)", "max_connections_may_need": "\(wanted)"])
        }
        log.notice(
            "serving",
            metadata: [
                "socket": "\(configuration.socket)", "data_dir": "\(configuration.dataDirectory)",
                "store": "\(store.id)",
                "cap_bytes": "\(configuration.capBytes)",
            ])
    }

    private static func recorder(_ configuration: Configuration, _ log: Logger) throws(LarderError) -> TraceRecorder? {
        if configuration.tracePath.isEmpty { return nil }
        return try TraceRecorder(path: configuration.tracePath, byteLimit: configuration.traceBytes, log: log)
    }

    private static func listeningError(_ error: any Error) -> LarderError {
        if let error = error as? LarderError { return error }
        guard let error = error as? SystemError else { return LarderError(.storage, "\(error)") }
        switch error.code {
        case SystemError.addressInUse:
            return LarderError(
                .storage, "\(error.subject) is served by another daemon; stop it, or choose another socket")
        case SystemError.exists:
            return LarderError(
                .storage, "\(error.subject) exists and is no socket; move it away, or choose another path")
        default: return LarderError(.storage, "the socket cannot be opened: \(error)")
        }
    }

    /// Starts to accept connections, on a thread of its own.
    public func start() throws(LarderError) {
        state.withLock { $0.hasStoppedListening = false }
        do { try WorkerThread(name: "accept") { self.acceptConnections() }.detach() } catch {
            state.signal { $0.hasStoppedListening = true }
            throw LarderError(.storage, "\(error)")
        }
    }

    /// Stops accepting, lets requests in flight finish, commits all that was accepted, makes it durable. A peer that does
    /// not read its answers within half of the configured time loses them; what it put is safe all the same.
    public func stop() {
        let deadline = Clock.deadline(seconds: Double(services.configuration.drainSeconds) / 2)
        // The path goes first, and only if it is still this daemon's: a successor may serve there by now.
        if FileSystem.identity(services.configuration.socket) == socketIdentity {
            try? FileSystem.remove(services.configuration.socket)
        }
        let connections = state.signal { state in
            state.isStopping = true
            return Array(state.connections.values)
        }
        listener.shutdown()
        for connection in connections { connection.stopReading() }
        let drained =
            state.wait(until: deadline) { $0.connections.isEmpty && $0.hasStoppedListening ? true : nil } ?? false
        if !drained { for connection in state.withLock({ Array($0.connections.values) }) { connection.abort() } }
        services.store.close()
        services.recorder?.stop()
        log.notice("stopped", metadata: ["drained": "\(drained)"])
    }

    private func acceptConnections() {
        var number: UInt64 = 0
        while !state.withLock({ $0.isStopping }) {
            do throws(SystemError) {
                let socket = try listener.accept()
                number += 1
                try serve(socket, number)
            } catch {
                if state.withLock({ $0.isStopping }) { break }
                log.error("a connection was not accepted", metadata: ["error": "\(error)"])
                // Out of descriptors or memory: what is served goes on, and new peers wait in the backlog.
                Clock.sleep(milliseconds: 100)
            }
        }
        state.signal { $0.hasStoppedListening = true }
    }

    private func serve(_ socket: consuming UnixSocket, _ number: UInt64) throws(SystemError) {
        let limit = services.configuration.maxConnections
        let (count, isDraining, isStopping) = state.withLock {
            ($0.connections.count, $0.isDraining, $0.isStopping)
        }
        if isStopping { return }
        if isDraining {
            let error = LarderError(.shuttingDown, "the daemon is drained for maintenance; connect again later")
            return try refuse(socket, error)
        }
        guard count < limit else {
            let error = LarderError(
                .tooManyConnections,
                "the daemon serves \(limit) connections, its limit; close some, or raise max_connections")
            return try refuse(socket, error)
        }
        let peer = try socket.peerCredentials()
        let userLimit = services.configuration.userConnections
        let ofUser = state.withLock { $0.connections.values.count { $0.peer.userID == peer.userID } }
        guard ofUser < userLimit else {
            let error = LarderError(
                .tooManyConnections,
                "user \(peer.userID) has \(ofUser) connections, the limit for one user; close some, or have the operator "
                    + "raise user_connections")
            return try refuse(socket, error)
        }
        let connection = try Connection(number: number, socket: socket, peer: peer, services: services, log: log)
        // Under the lock that stop() takes to tell all connections: none slips in after it.
        let isLate = state.withLock { state in
            let isLate = state.isStopping || state.isDraining
            if !isLate { state.connections[number] = connection }
            return isLate
        }
        if isLate { return }
        services.counters.count {
            $0.connections += 1
            $0.connectionsTotal += 1
        }
        let event: [String: DaemonEvent.Value] = [
            "connection": .number(number), "uid": .number(UInt64(peer.userID)),
            "pid": .number(UInt64(peer.processID.magnitude)),
        ]
        services.events.note(.connected, event)
        let end: @Sendable () -> Void = { [self] in
            services.events.note(.disconnected, event)
            state.signal { _ = $0.connections.removeValue(forKey: number) }
            services.counters.count { $0.connections -= 1 }
        }
        do throws(SystemError) {
            try WorkerThread(name: "connection-\(number)") {
                connection.serve()
                end()
            }.detach()
        } catch {
            end()
            throw error
        }
    }

    /// Tells a peer why it is not served.
    private func refuse(_ socket: borrowing UnixSocket, _ error: LarderError) throws(SystemError) {
        services.counters.count { $0.refusals += 1 }
        services.errors.countRequest(error.code)
        try socket.setTimeouts(receiveSeconds: 1, sendSeconds: 1)
        let frame = Refusal(error).frame(type: FrameHeader.errorType, requestID: 0)
        try frame.withUnsafeBufferPointer { buffer throws(SystemError) in
            try socket.send(UnsafeRawBufferPointer(buffer))
        }
    }
}
