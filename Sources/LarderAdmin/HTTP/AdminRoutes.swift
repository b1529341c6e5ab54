import Hummingbird
import HummingbirdCore
import LarderMetrics
import LarderModel
import LarderServer
import Logging

/// The routes without HTTP before them: no socket, no gate, no threads of their own. For what tests them.
package final class AdminRoutes: Sendable {
    /// What a request was answered with.
    package struct Answer {
        /// The HTTP status.
        package let status: Int
        /// The media type of the body.
        package let contentType: String
        /// nil for a stream, of which nothing is read.
        package let body: [UInt8]?
    }

    private let admin: Admin

    /// Routes over a daemon that runs with `loaded`.
    package init(_ daemon: Daemon, _ loaded: LoadedConfiguration, metrics: MetricsRegistry, log: Logger) {
        admin = Admin(daemon, loaded, registry: metrics, log: log)
        MetricsCollector.install(in: metrics, admin)
    }

    /// The path of a request's target, by which its route is chosen.
    package static func path(of target: String) -> String { URI(target).path }

    /// Answers a request, on this thread. Throws errors that nobody foresaw, which HTTP answers with status 500.
    package func answer(method: String, target: String, body: [UInt8]) throws -> Answer {
        guard let method = HTTPRequest.Method(rawValue: method) else {
            return Answer(status: 400, contentType: "", body: nil)
        }
        let answer: AdminAnswer
        do {
            let uri = URI(target)
            let match = try AdminRoute.find(method, uri.path)
            let request = AdminRequest(
                parameters: match.parameters, query: try AdminRequest.queryValues(uri), body: body, lastEventID: nil)
            answer = try match.route.answer(admin, request)
        } catch {
            guard let known = AdminError(known: error) else { throw error }
            return Answer(
                status: known.status.code, contentType: "application/json", body: try JSON.encode(known.body))
        }
        guard case .bytes(let bytes) = answer.body else {
            return Answer(status: answer.status.code, contentType: answer.contentType, body: nil)
        }
        return Answer(status: answer.status.code, contentType: answer.contentType, body: bytes)
    }

    /// Ends streams, jobs and threads.
    package func stop() {
        admin.stopStreams()
        admin.stop()
    }
}
