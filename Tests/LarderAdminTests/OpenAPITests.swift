import Foundation
import LarderAdmin
import LarderClient
import LarderSampleState
import LarderSystem
import LarderTestSupport
import Testing

/// Docs/openapi.json against the live server, both ways: what the file names answers as the file says, field by field, and
/// what the server answers is in the file.
@Suite struct OpenAPITests {
    /// The description, and the checking of values against it.
    private struct Description {
        let root: JSONValue

        init() throws {
            let bytes = try FileSystem.read(Repository.root + "/Docs/openapi.json", limit: 4 << 20)
            root = JSONValue(text: String(decoding: bytes, as: UTF8.self))
            try #require(root.exists)
        }

        /// Methods, paths and what is said of them.
        var operations: [(method: String, path: String, operation: JSONValue)] {
            root["paths"].fields.flatMap { path, methods in
                methods.fields.map { ($0.key.uppercased(), path, $0.value) }
            }
        }

        private func resolved(_ schema: JSONValue) -> JSONValue {
            guard let reference = schema["$ref"].text else { return schema }
            return reference.split(separator: "/").dropFirst().reduce(root) { $0[String($1)] }
        }

        /// What in a value does not fit a schema.
        func faults(_ value: JSONValue, _ schema: JSONValue, at place: String) -> [String] {
            let schema = resolved(schema)
            let types = schema["type"].text.map { [$0] } ?? schema["type"].list.compactMap(\.text)
            guard types.contains(where: { Self.isOf(value, type: $0) }) else { return ["\(place) is no \(types)"] }
            let allowed = schema["enum"].list.compactMap(\.text)
            if !allowed.isEmpty, !allowed.contains(value.text ?? "") { return ["\(place) is none of \(allowed)"] }
            if case .number(let least) = schema["minimum"], case .number(let number) = value, number < least {
                return ["\(place) is \(number), below \(least)"]
            }
            var found = value.list.enumerated().flatMap {
                faults($0.element, schema["items"], at: "\(place)[\($0.offset)]")
            }
            for name in schema["required"].list.compactMap(\.text) where !value[name].exists {
                found.append("\(place).\(name) is missing")
            }
            for (name, field) in value.fields {
                let property = schema["properties"][name]
                let described = property.exists ? property : schema["additionalProperties"]
                guard case .object = described else {
                    found.append("\(place).\(name) is not described")
                    continue
                }
                found += faults(field, described, at: "\(place).\(name)")
            }
            return found
        }

        private static func isOf(_ value: JSONValue, type: String) -> Bool {
            switch (value, type) {
            case (.object, "object"), (.list, "array"), (.text, "string"), (.bool, "boolean"), (.number, "number"): true
            case (.number(let number), "integer"): number == number.rounded()
            default: false
            }
        }

        /// The schema of an operation's good answer, its status and its content type.
        func answer(_ operation: JSONValue) -> (status: Int, type: String, schema: JSONValue)? {
            guard let (code, response) = operation["responses"].fields.first(where: { $0.key != "default" }),
                let (type, content) = response["content"].fields.first
            else { return nil }
            return (Int(code) ?? 0, type, content["schema"])
        }

        func refusal(_ operation: JSONValue) -> JSONValue {
            resolved(operation["responses"]["default"])["content"]["application/json"]["schema"]
        }
    }

    /// A body for each request that takes one.
    private static func body(_ method: String, _ path: String, copy: String) -> String? {
        switch (method, path.split(separator: "/").last.map { String($0) } ?? "") {
        case ("POST", "fork"): #"{"offset_tokens":256,"name":"branch"}"#
        case ("POST", "truncate"): #"{"offset_tokens":1024}"#
        case ("POST", "evict"): #"{"from_tokens":1024}"#
        case ("POST", "retain"), ("POST", "pin"): #"{"seconds":1}"#
        case ("PUT", "ttl"): #"{"ttl_seconds":0}"#
        case ("POST", "policy"): #"{"ttl_seconds":86400}"#
        case ("PUT", "prefill_rate"): #"{"tokens_per_second":500}"#
        case ("PUT", "cap"): #"{"cap_bytes":1073741824}"#
        case ("POST", "backup"): #"{"directory":"\#(copy)"}"#
        case ("PUT", "log_level"): #"{"level":"info"}"#
        case ("PUT", "drain"): #"{"draining":false}"#
        case ("POST", _): "{}"
        default: nil
        }
    }

    @Test func describesEveryRouteAndNoOther() throws {
        let described = Set(try Description().operations.map { "\($0.method) \($0.path)" })
        let served = Set(AdminServer.routes.map { "\($0.method) \($0.path)" })
        #expect(described == served, "only in one: \(described.symmetricDifference(served).sorted())")
    }

    @Test func answersAsDescribed() throws {
        let description = try Description()
        let admin = try AdminDaemon()
        let state = try SampleState.sample()
        let client = try admin.daemon.connect()
        let session = try client.open("gpl", state)
        try client.store(state.pieces(chunkTokens: 256), session: session)
        _ = try client.resume(session: session)
        _ = admin.finished(admin.json("POST", "/v1/verify", "{}", status: 202))
        // What changes least first; the session goes last.
        let order = ["GET", "PUT", "POST", "DELETE"]
        let operations = description.operations.sorted {
            (order.firstIndex(of: $0.method) ?? 9, $0.path) < (order.firstIndex(of: $1.method) ?? 9, $1.path)
        }
        for (method, path, operation) in operations {
            let target = path.replacingOccurrences(of: "{session}", with: "\(session)")
                .replacingOccurrences(of: "{namespace}", with: "1").replacingOccurrences(of: "{model}", with: "1")
                .replacingOccurrences(of: "{job}", with: "1")
                .replacingOccurrences(of: "{file}", with: "dashboard.js")
            let answer = try #require(description.answer(operation), "\(method) \(path) describes no answer")
            if answer.type == "text/event-stream" {
                let stream = try #require(HTTPPeer(socket: admin.socket))
                stream.send(raw: "GET \(target) HTTP/1.1\r\nHost: localhost\r\n\r\n")
                #expect(stream.receiveSome().contains("Content-Type: text/event-stream"))
                continue
            }
            let copy = admin.daemon.directory.path + "/copy"
            let reply = admin.ask(method, target, Self.body(method, path, copy: copy))
            #expect(reply.status == answer.status, "\(method) \(target): \(reply.status) \(reply.body)")
            let type = answer.type == "*/*" ? "text/javascript" : answer.type
            #expect(reply.headers["content-type"]?.hasPrefix(type) ?? false, "\(method) \(path)")
            if answer.type != "application/json" { continue }
            let value = JSONValue(text: reply.body)
            let faults = description.faults(value, answer.schema, at: "\(method) \(path)")
            #expect(faults.isEmpty, "\(faults)")
        }
    }

    /// Every parameter that is described is taken, and each operation refuses in the way that is described.
    @Test func takesTheParametersAndRefusesAsDescribed() throws {
        let description = try Description()
        let admin = try AdminDaemon()
        let state = try SampleState.sample()
        let client = try admin.daemon.connect()
        let session = try client.open("gpl", state)
        for (method, path, operation) in description.operations where method == "GET" {
            let target = path.replacingOccurrences(of: "{session}", with: "\(session)")
                .replacingOccurrences(of: "{job}", with: "1")
                .replacingOccurrences(of: "{file}", with: "dashboard.js")
            let unknown = admin.ask(method, target + "?nonsense=1")
            #expect(unknown.status == 400 || path.contains("{job}"), "\(path): \(unknown.status)")
            #expect(description.faults(JSONValue(text: unknown.body), description.refusal(operation), at: path).isEmpty)
            for parameter in operation["parameters"].list where parameter["in"].text == "query" {
                let name = parameter["name"].text ?? ""
                let schema = parameter["schema"]
                // A cursor is not to be made up, and a stream does not end.
                if name == "cursor" || path == "/v1/events" { continue }
                let all = schema["enum"].list.compactMap(\.text)
                let values = all.isEmpty ? [schema["type"].text == "integer" ? "1" : "x"] : all
                for value in values {
                    let reply = admin.ask(method, "\(target)?\(name)=\(value)")
                    #expect(reply.status == 200, "\(target)?\(name)=\(value): \(reply.body)")
                }
            }
        }
    }
}
