import Hummingbird
import LarderSystem
import Logging
import NIOCore

/// What Hummingbird hands along with a request.
struct AdminContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }

    /// Who is at the other end of a Unix socket, as the kernel says (SO_PEERCRED): the layout of struct ucred.
    struct Credentials: Sendable {
        let processID: Int32
        let userID: UInt32
        let groupID: UInt32
    }

    /// See ``Credentials``. Throws where the kernel does not say.
    func credentials() async throws -> Credentials {
        guard let provider = channel as? any SocketOptionProvider else { throw ChannelError.operationUnsupported }
        return try await provider.unsafeGetSocketOption(
            level: .socket, name: NIOBSDSocket.Option(rawValue: Self.peerCredentials)
        ).get()
    }

    /// SO_PEERCRED on Linux.
    private static let peerCredentials: CInt = 17
}
