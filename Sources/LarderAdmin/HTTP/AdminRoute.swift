import Hummingbird

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

    /// The routes whose path matches, whatever their method, and what the path names.
    static func matching(_ path: String) -> [(route: AdminRoute, parameters: [String: String])] {
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
