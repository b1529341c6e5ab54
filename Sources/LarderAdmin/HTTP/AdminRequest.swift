import Hummingbird
import HummingbirdCore
import LarderModel

/// A request as a route sees it: what its path names, its query, and its body.
final class AdminRequest {
    private let parameters: [String: String]
    private var query: [String: String]
    private let body: [UInt8]
    /// The last event that a reader which comes back knows of, by the header of that name.
    let lastEventID: UInt64?

    /// - Parameter parameters: what the path names, by the names in the route's pattern.
    init(parameters: [String: String], query: [String: String], body: [UInt8], lastEventID: UInt64?) {
        self.lastEventID = lastEventID
        self.parameters = parameters
        self.query = query
        self.body = body
    }

    /// What a query says. Throws for a name that is given twice.
    static func queryValues(_ uri: URI) throws(AdminError) -> [String: String] {
        var query: [String: String] = [:]
        for (name, value) in uri.queryParameters {
            guard query.updateValue(String(value), forKey: String(name)) == nil else {
                throw .invalid("'\(String(name).clipped)' is given twice")
            }
        }
        return query
    }

    /// The number that the path names. Throws 404 for anything else: no such thing can be there.
    func id(_ name: String) throws(AdminError) -> UInt64 {
        let text = parameters[name] ?? ""
        guard let id = UInt64(digits: text) else {
            throw AdminError(.notFound, "not_found", "'\(text.clipped)' is no \(name) id; ids are whole numbers")
        }
        return id
    }

    /// The text that the path names.
    func name(_ name: String) -> String { parameters[name] ?? "" }

    /// A value of the query, once; nil if it is not given.
    func text(_ name: String) -> String? { query.removeValue(forKey: name) }

    /// A whole number of the query.
    func number(
        _ name: String, in range: ClosedRange<UInt64> = 0...UInt64(Int64.max)
    ) throws(AdminError) -> UInt64? {
        guard let text = text(name) else { return nil }
        guard let value = UInt64(digits: text), range.contains(value) else {
            throw .invalid(
                "\(name)=\(text.clipped) is not a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// One of the cases of an enumeration by its raw value.
    func choice<Choice: CaseIterable & RawRepresentable<String>>(
        _ name: String, _ standard: Choice
    ) throws(AdminError) -> Choice {
        guard let text = text(name) else { return standard }
        guard let choice = Choice(rawValue: text) else {
            let all = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw .invalid("\(name)=\(text.clipped) is not one of \(all)")
        }
        return choice
    }

    /// Entries that a page is to have.
    func limit() throws(AdminError) -> Int {
        Int(try number("limit", in: 1...UInt64(Limits.pageEntries)) ?? 100)
    }

    /// Throws for what the query has that no one asked for: a mistyped filter must not look like none.
    func finishQuery() throws(AdminError) {
        guard let name = query.keys.min() else { return }
        throw .invalid("there is no parameter '\(name.clipped)' here")
    }

    /// The body, read as a type; a missing one counts as `{}`.
    func decode<Value: Decodable>(_ type: Value.Type) throws(AdminError) -> Value {
        try JSON.decode(type, body.isEmpty ? Array("{}".utf8) : body)
    }
}

extension UInt64 {
    /// A number of decimal digits only.
    init?(digits text: some StringProtocol) {
        guard !text.isEmpty, text.utf8.count <= 20, text.utf8.allSatisfy({ (48...57).contains($0) }),
            let value = UInt64(text)
        else { return nil }
        self = value
    }
}

/// An answer: JSON, text, or a stream.
struct AdminAnswer {
    enum Body {
        case bytes([UInt8])
        case stream(ResponseBody)
    }

    var status = HTTPResponse.Status.ok
    var contentType = "application/json"
    var body: Body
    var headers = HTTPFields()

    /// JSON.
    static func json(_ value: some Encodable, _ status: HTTPResponse.Status = .ok) throws -> AdminAnswer {
        AdminAnswer(status: status, body: .bytes(try JSON.encode(value) + [10]))
    }

    /// Text.
    static func text(_ text: String, type: String = "text/plain; charset=utf-8") -> AdminAnswer {
        AdminAnswer(contentType: type, body: .bytes(Array(text.utf8)))
    }
}
