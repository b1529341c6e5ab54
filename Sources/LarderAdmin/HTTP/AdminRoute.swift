import Hummingbird
import LarderModel

/// One thing that the admin side answers: a method, a path with names in braces, and how.
struct AdminRoute: Sendable {
    typealias Answer = @Sendable (Admin, AdminRequest) throws -> AdminAnswer

    let method: HTTPRequest.Method
    /// `/v1/sessions/{session}`.
    let path: String
    /// True for what may be asked without a token, and tells nothing.
    var isOpen = false
    let answer: Answer

    init(_ method: HTTPRequest.Method, _ path: String, isOpen: Bool = false, _ answer: @escaping Answer) {
        self.method = method
        self.path = path
        self.isOpen = isOpen
        self.answer = answer
    }

    /// Every route.
    static let all: [AdminRoute] =
        basics + listings + sessions + verbs + maintenance + watching + dashboard

    /// The route of a request and what its path names. Throws 404 where nothing is, 405 where only other methods are.
    static func find(
        _ method: HTTPRequest.Method, _ path: String
    ) throws(AdminError) -> (route: AdminRoute, parameters: [String: String]) {
        let matches = matching(path)
        if let match = matches.first(where: { $0.route.method == method }) { return match }
        guard !matches.isEmpty else {
            throw AdminError(.notFound, "not_found", "there is nothing at '\(path.clipped)'")
        }
        let allowed = matches.map { $0.route.method.rawValue }.joined(separator: ", ")
        var error = AdminError(.methodNotAllowed, "method_not_allowed", "'\(path.clipped)' takes \(allowed)")
        error.headers[.allow] = allowed
        throw error
    }

    /// The routes whose path matches, whatever their method, and what the path names.
    private static func matching(_ path: String) -> [(route: AdminRoute, parameters: [String: String])] {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        return all.compactMap { route in
            let wanted = route.path.split(separator: "/", omittingEmptySubsequences: false)
            guard wanted.count == parts.count else { return nil }
            var parameters: [String: String] = [:]
            for (want, part) in zip(wanted, parts) {
                if want.hasPrefix("{") {
                    if part.isEmpty { return nil }
                    parameters[String(want.dropFirst().dropLast())] = String(part)
                } else if want != part {
                    return nil
                }
            }
            return (route, parameters)
        }
    }
}
