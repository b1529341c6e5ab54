import Foundation
import LarderServer

/// JSON as the admin side writes and reads it: names in snake case, in a stable order.
enum JSON {
    static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value))
    }

    /// Throws ``AdminError`` that says which field is wrong.
    static func decode<Value: Decodable>(_ type: Value.Type, _ bytes: [UInt8]) throws(AdminError) -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do { return try decoder.decode(type, from: Data(bytes)) } catch let error as DecodingError {
            throw .invalid("the body is not what this request takes: \(Self.reason(error))")
        } catch {
            throw .invalid("the body is not JSON")
        }
    }

    private static func reason(_ error: DecodingError) -> String {
        switch error {
        case .keyNotFound(let key, _): "'\(key.stringValue.snakeCased)' is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            "'\(context.codingPath.map(\.stringValue.snakeCased).joined(separator: "."))' has the wrong type"
        case .dataCorrupted(let context):
            context.codingPath.isEmpty
                ? "it is not JSON"
                : "'\(context.codingPath.map(\.stringValue.snakeCased).joined(separator: "."))' is out of range"
        @unknown default: "it does not fit"
        }
    }
}
