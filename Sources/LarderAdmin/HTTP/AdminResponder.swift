import HTTPTypes
import Hummingbird
import LarderModel
import LarderSystem
import Logging
import NIOCore

/// Takes a request through the gate to its route. Routes run on threads of their own, a few, that give way to others.
struct AdminResponder: HTTPResponder {
    typealias Context = AdminContext

    let admin: Admin
    let gate: Gatekeeper

    func respond(to request: Request, context: AdminContext) async throws -> Response {
        WorkerThread.giveWay()
        do {
            return Self.response(try await answer(request, context))
        } catch is NIOTooManyBytesError {
            return Self.response(
                AdminError(
                    .contentTooLarge, "too_large", "a body has at most \(Limits.adminBodyBytes) bytes; send less"))
        } catch {
            if let known = AdminError(known: error) { return Self.response(known) }
            // What the parser of HTTP finds is answered by the server.
            admin.log.debug("an admin request failed", metadata: ["error": "\(error)"])
            throw error
        }
    }

    private func answer(_ request: Request, _ context: AdminContext) async throws -> AdminAnswer {
        // Who may not ask is not told what there is.
        let found = Result { () throws(AdminError) in try AdminRoute.find(request.method, request.uri.path) }
        try await gate.check(request, context, isOpen: (try? found.get())?.route.isOpen ?? false)
        let match = try found.get()
        let query = try AdminRequest.queryValues(request.uri)
        let buffer = try await request.body.collect(upTo: Limits.adminBodyBytes)
        let body = Array(buffer.readableBytesView)
        let parameters = match.parameters
        let start = Clock.now()
        defer { admin.note(match.route, nanoseconds: Clock.now() - start) }
        let lastEventID = request.headers[Self.lastEventID].flatMap { UInt64(digits: $0) }
        let route = match.route
        let answer: @Sendable () throws -> AdminAnswer = { [query, admin] in
            try route.answer(
                admin,
                AdminRequest(parameters: parameters, query: query, body: body, lastEventID: lastEventID))
        }
        // Whether the daemon is well must not wait for those who wait for the disk.
        return try await route.isOpen ? answer() : admin.work(answer)
    }

    private static let lastEventID = HTTPField.Name("Last-Event-ID")!

    private static func response(_ answer: AdminAnswer) -> Response {
        var headers = answer.headers
        headers[.contentType] = answer.contentType
        if headers[.cacheControl] == nil { headers[.cacheControl] = "no-store" }
        headers[.xContentTypeOptions] = "nosniff"
        switch answer.body {
        case .bytes(let bytes):
            return Response(
                status: answer.status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
        case .stream(let body): return Response(status: answer.status, headers: headers, body: body)
        }
    }

    private static func response(_ error: AdminError) -> Response {
        let bytes = (try? JSON.encode(error.body)) ?? []
        return response(AdminAnswer(status: error.status, body: .bytes(bytes + [10]), headers: error.headers))
    }
}
