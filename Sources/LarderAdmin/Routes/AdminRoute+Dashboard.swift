import HTTPTypes
import Hummingbird

extension AdminRoute {
    /// The page, and what it is made of. They hold nothing of the store's, so they come without a token; what they ask for
    /// does not.
    static let dashboard: [AdminRoute] = [
        AdminRoute(.get, "/", isOpen: true) { _, request in
            try request.finishQuery()
            return DashboardFile.page.answer
        },
        AdminRoute(.get, "/dashboard/{file}", isOpen: true) { _, request in
            let name = request.name("file")
            try request.finishQuery()
            guard let file = DashboardFile.parts[name] else {
                throw AdminError(.notFound, "not_found", "the page has no part '\(name.clipped)'")
            }
            return file.answer
        },
    ]
}

/// A file of Sources/LarderAdmin/Dashboard, which the build puts into the binary as it is.
struct DashboardFile: Sendable {
    let bytes: [UInt8]
    let contentType: String

    /// What a browser gets for `/`.
    static let page = DashboardFile(bytes: PackageResources.dashboard_html, contentType: "text/html; charset=utf-8")

    /// Everything else, by name.
    static let parts: [String: DashboardFile] = [
        "dashboard.css": DashboardFile(bytes: PackageResources.dashboard_css, contentType: "text/css; charset=utf-8"),
        "icon.svg": DashboardFile(bytes: PackageResources.icon_svg, contentType: "image/svg+xml"),
        "api.js": script(PackageResources.api_js),
        "chart.js": script(PackageResources.chart_js),
        "dashboard.js": script(PackageResources.dashboard_js),
        "dom.js": script(PackageResources.dom_js),
        "events.js": script(PackageResources.events_js),
        "format.js": script(PackageResources.format_js),
        "history.js": script(PackageResources.history_js),
        "holdings.js": script(PackageResources.holdings_js),
        "overview.js": script(PackageResources.overview_js),
        "session.js": script(PackageResources.session_js),
        "sessions.js": script(PackageResources.sessions_js),
        "tree.js": script(PackageResources.tree_js),
    ]

    private static func script(_ bytes: [UInt8]) -> DashboardFile {
        DashboardFile(bytes: bytes, contentType: "text/javascript; charset=utf-8")
    }

    var answer: AdminAnswer {
        var answer = AdminAnswer(contentType: contentType, body: .bytes(bytes))
        answer.headers[.contentSecurityPolicy] = Self.policy
        answer.headers[Self.referrerPolicy] = "no-referrer"
        answer.headers[Self.openerPolicy] = "same-origin"
        answer.headers[Self.resourcePolicy] = "same-origin"
        // A newer daemon's page must not be put together with an older one's scripts.
        answer.headers[.cacheControl] = "no-store"
        return answer
    }

    /// Nothing from elsewhere, nothing inline, nothing evaluated; markup is not made of text; nobody frames it.
    static let policy = [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ].joined(separator: "; ")

    private static let referrerPolicy = HTTPField.Name("Referrer-Policy")!
    private static let openerPolicy = HTTPField.Name("Cross-Origin-Opener-Policy")!
    private static let resourcePolicy = HTTPField.Name("Cross-Origin-Resource-Policy")!
}
