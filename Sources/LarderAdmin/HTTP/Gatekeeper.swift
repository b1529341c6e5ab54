import Hummingbird
import LarderModel
import LarderSystem

/// Who may ask. On the Unix socket: the file's mode lets a peer connect, and then its user is looked at, too: root, the
/// daemon's own user, and members of the socket's group. On TCP: who sends the token. A browser is kept from asking on
/// behalf of somebody else's page: by the Host that it must have meant, and by what a form cannot send. On the socket, too:
/// it may be forwarded to a port of the browser's machine (ssh -L).
struct Gatekeeper: Sendable {
    enum Door: Sendable {
        /// A Unix socket whose file belongs to a group.
        case socket(groupID: UInt32)
        /// A TCP listener with a token.
        case loopback(token: [UInt8])
    }

    let door: Door
    private let members = Monitor<[UInt32: (isMember: Bool, until: UInt64)]>([:])

    init(_ door: Door) { self.door = door }

    /// Throws unless the request may be answered.
    func check(_ request: Request, _ context: AdminContext, isOpen: Bool) async throws {
        try requireHost(request)
        switch door {
        case .socket(let groupID): try requireUser(try await credentials(context), groupID)
        case .loopback(let token): if !isOpen { try requireToken(request, token) }
        }
        if request.method == .post || request.method == .put { try requireJSON(request) }
    }

    private func credentials(_ context: AdminContext) async throws -> AdminContext.Credentials {
        do { return try await context.credentials() } catch {
            throw AdminError(.forbidden, "forbidden", "the system does not say who is asking")
        }
    }

    private func requireUser(_ peer: AdminContext.Credentials, _ groupID: UInt32) throws(AdminError) {
        if peer.userID == 0 || peer.userID == Process.userID || peer.groupID == groupID { return }
        guard isMember(peer.userID, groupID) else {
            throw AdminError(
                .forbidden, "forbidden",
                "user \(peer.userID) may not use the admin socket; have the operator add the user to the group of the "
                    + "socket (admin_socket_group)")
        }
    }

    /// Remembered for a while: the answer may come from a directory service.
    private func isMember(_ userID: UInt32, _ groupID: UInt32) -> Bool {
        let now = Clock.now()
        let known = members.withLock { members in
            if members.count > 1_024 { members = [:] }
            return members[userID].flatMap { $0.until > now ? $0.isMember : nil }
        }
        if let known { return known }
        let isMember = Users.isMember(userID: userID, groupID: groupID)
        members.withLock { $0[userID] = (isMember, Clock.deadline(seconds: 30)) }
        return isMember
    }

    /// A page that had its name point here (DNS rebinding) still asks for its own name, and says whence it comes.
    private func requireHost(_ request: Request) throws(AdminError) {
        let authority = request.head.authority ?? ""
        guard Self.isOwn(authority) else {
            throw AdminError(
                .misdirectedRequest, "forbidden_host",
                "this listener is \(Self.hosts.joined(separator: ", ")); '\(authority.clipped)' is somebody else")
        }
        if let origin = request.headers[.origin], origin != "http://\(authority)" {
            throw AdminError(.forbidden, "forbidden_origin", "pages of '\(origin.clipped)' may not ask here")
        }
    }

    private static let hosts = ["localhost", "127.0.0.1", "[::1]"]

    private static func isOwn(_ authority: String) -> Bool {
        hosts.contains { host in
            guard authority.hasPrefix(host) else { return false }
            let rest = authority.dropFirst(host.count)
            return rest.isEmpty || (rest.first == ":" && UInt64(digits: rest.dropFirst()) != nil)
        }
    }

    private func requireToken(_ request: Request, _ token: [UInt8]) throws(AdminError) {
        let value = request.headers[.authorization] ?? ""
        let isBearer = value.lowercased().hasPrefix("bearer ")
        let given = Array(value.dropFirst("bearer ".count).drop { $0 == " " }.utf8)
        guard isBearer, FileSystem.areEqual(secret: token, given) else {
            var error = AdminError(
                .unauthorized, "unauthorized", "send 'Authorization: Bearer' and the token of admin_token_file")
            error.headers[.wwwAuthenticate] = "Bearer realm=\"larder\""
            throw error
        }
    }

    /// A form of another page can send only a few content types, and this is none of them.
    private func requireJSON(_ request: Request) throws(AdminError) {
        let type = (request.headers[.contentType] ?? "").prefix { $0 != ";" }.lowercased()
        guard type.trimmingSpaces == "application/json" else {
            throw AdminError(
                .unsupportedMediaType, "unsupported_media_type", "send 'Content-Type: application/json'")
        }
    }
}

extension String {
    fileprivate var trimmingSpaces: String { String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()) }
}
