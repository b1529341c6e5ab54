import LarderModel
import LarderSystem
import LarderWire

/// A blocking connection to a daemon. One thread at a time; reconnection is the caller's affair.
///
/// Batches are cut into frames and pipelined, so that the daemon works on one while the next is on its way.
public final class Client {
    /// What the handshake agreed on.
    public let welcome: Welcome

    let transport: Transport
    /// Requests that a batch keeps in flight.
    let window: Int

    /// Connects to the daemon at `socketPath` and shakes hands.
    ///
    /// - Parameters:
    ///   - name: the client's name, for the daemon's log.
    ///   - timeoutSeconds: longest wait for the daemon to send or take bytes; 0 for no bound.
    public init(socketPath: String, name: String, timeoutSeconds: Int = 60) throws(ClientError) {
        do throws(SystemError) {
            let socket = try UnixSocket.connect(to: socketPath)
            try socket.setTimeouts(receiveSeconds: timeoutSeconds, sendSeconds: timeoutSeconds)
            transport = Transport(socket)
        } catch { throw .connection(error) }
        welcome = try transport.ask(Hello(clientName: name))
        window = max(1, min(Int(welcome.requestsInFlight), 8))
    }

    // MARK: models and sessions

    /// Declares a model; the answer holds its id and fingerprint. Idempotent.
    public func declare(_ declaration: ModelDeclaration) throws(ClientError) -> ModelDeclared {
        try transport.ask(DeclareModel(declaration: declaration))
    }

    /// Opens a session, or creates it. The namespace becomes this user's if it is new.
    public func openSession(
        namespace: String, name: String, modelID: UInt32, create: Bool = true
    ) throws(ClientError) -> SessionOpened {
        try transport.ask(OpenSession(namespace: namespace, name: name, modelID: modelID, create: create))
    }

    /// How far a session can be restored, up to `atMost` tokens, and which chunks to load for it.
    ///
    /// - Parameter prefillRate: tokens that this worker computes in a second, to be told whether loading is worth it.
    public func resume(
        session: UInt64, atMost: UInt64 = .max, prefillRate: UInt32 = 0
    ) throws(ClientError) -> ResumeAnswer {
        try transport.ask(Resume(session: session, atMost: atMost, prefillRate: prefillRate))
    }

    /// The offsets at which to save recurrent states on the way to `length` tokens, computing from `resumedAt` on.
    ///
    /// - Parameters:
    ///   - boundary: tokens from one place where this worker can save a state to the next; more than 0.
    ///   - stride: tokens from one regular state to the next; 0 for none.
    ///   - budget: most states; 0 for no bound of the worker's own.
    public func planSnapshots(
        session: UInt64, length: UInt64, resumedAt: UInt64 = 0, boundary: UInt32, stride: UInt32 = 0, budget: UInt32 = 0
    ) throws(ClientError) -> [UInt64] {
        try transport.ask(
            PlanSnapshots(
                session: session, length: length, resumedAt: resumedAt, boundary: boundary, stride: stride,
                budget: budget)
        ).offsets
    }

    /// Why a session can be restored as far as it can, up to `atMost` tokens.
    ///
    /// - Parameter modelID: a model that a worker would resume with, to be compared with the session's; 0 for none.
    public func explain(session: UInt64, atMost: UInt64 = .max, modelID: UInt32 = 0) throws(ClientError)
        -> ExplainAnswer
    {
        try transport.ask(Explain(session: session, atMost: atMost, modelID: modelID))
    }

    /// Forgets a session's state beyond `offset` tokens, at once.
    public func truncate(session: UInt64, offset: UInt64) throws(ClientError) {
        _ = try transport.ask(Truncate(session: session, offset: offset))
    }

    /// Makes a session that shares another's past up to `offset` tokens, at once. Returns its id.
    public func fork(session: UInt64, offset: UInt64, name: String) throws(ClientError) -> UInt64 {
        try transport.ask(Fork(session: session, offset: offset, name: name)).session
    }

    /// Forgets a session.
    public func drop(session: UInt64) throws(ClientError) { _ = try transport.ask(Drop(session: session)) }

    /// Has the daemon bring what a resume would load into memory, in the background.
    public func prefetch(session: UInt64, atMost: UInt64 = .max) throws(ClientError) {
        _ = try transport.ask(Prefetch(session: session, atMost: atMost))
    }

    /// Makes everything committed survive power loss.
    public func synchronise() throws(ClientError) { _ = try transport.ask(Sync()) }

    // MARK: questions

    /// Counters and facts of the daemon.
    public func stat() throws(ClientError) -> StatAnswer { try transport.ask(Stat()) }

    /// Every model of the store.
    public func models() throws(ClientError) -> [ModelSummary] {
        var all: [ModelSummary] = []
        while true {
            let page = try transport.ask(ListModels(after: all.last?.modelID ?? 0)).models
            all += page
            if page.count < Limits.pageEntries { return all }
        }
    }

    /// Every session that this user may see; of one namespace if it is named.
    public func sessions(namespace: String = "") throws(ClientError) -> [SessionSummary] {
        var all: [SessionSummary] = []
        var after: UInt64 = 0
        repeat {
            let page = try transport.ask(ListSessions(namespace: namespace, after: after))
            all += page.sessions
            after = page.next
        } while after != 0
        return all
    }

    /// Every chunk of a session, in order of rank, component and offset.
    public func chunks(session: UInt64) throws(ClientError) -> [ChunkSummary] {
        var all: [ChunkSummary] = []
        var from = ChunkName(session: session, component: 0, offset: 0)
        while true {
            let page = try transport.ask(ListChunks(from: from)).chunks
            all += page
            guard page.count == Limits.pageEntries, let last = page.last else { return all }
            from = last.name
            from.offset += 1
        }
    }
}
