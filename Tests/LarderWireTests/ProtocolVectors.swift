import Foundation
import LarderTestSupport
import Testing

/// Docs/vectors/protocol.json: frames made by an implementation of the protocol that is not this one.
struct ProtocolVectors: Decodable, Sendable {
    /// A message, its field values and its bytes.
    struct Golden: Decodable, Sendable, CustomTestStringConvertible {
        let name: String
        let message: String
        let kind: Kind
        let requestID: UInt64
        let fields: Fields
        let payload: String
        let frame: String

        var payloadBytes: [UInt8] { hexadecimal(payload) }
        var frameBytes: [UInt8] { hexadecimal(frame) }
        var testDescription: String { name }
    }

    /// A frame whose body must be refused.
    struct Hostile: Decodable, Sendable, CustomTestStringConvertible {
        let name: String
        let message: String
        let kind: Kind
        let code: String
        let frame: String

        var frameBytes: [UInt8] { hexadecimal(frame) }
        var testDescription: String { name }
    }

    enum Kind: String, Decodable, Sendable {
        case request, answer, progress, refusal
    }

    let version: Int
    let messageTypes: [String: UInt16]
    let componentKinds: [String: UInt8]
    let elementTypes: [String: UInt8]
    let encodings: [String: UInt8]
    let encodingChoices: [String: UInt8]
    let acknowledgements: [String: UInt8]
    let sharing: [String: UInt8]
    let admissions: [String: UInt8]
    let hintKinds: [String: UInt8]
    let hintOutcomes: [String: UInt8]
    let hintBounds: [String: UInt8]
    let errorCodes: [String: UInt16]
    let limits: [String: UInt64]
    let vectors: [Golden]
    let hostile: [Hostile]

    private enum CodingKeys: String, CodingKey {
        case version, encodings, acknowledgements, sharing, admissions, limits, vectors, hostile
        case messageTypes = "message_types"
        case componentKinds = "component_kinds"
        case elementTypes = "element_types"
        case encodingChoices = "encoding_choices"
        case errorCodes = "error_codes"
        case hintKinds = "hint_kinds"
        case hintOutcomes = "hint_outcomes"
        case hintBounds = "hint_bounds"
    }

    static let all: ProtocolVectors = {
        let path = Repository.root + "/Docs/vectors/protocol.json"
        do {
            return try JSONDecoder().decode(
                ProtocolVectors.self, from: try Data(contentsOf: URL(fileURLWithPath: path)))
        } catch { fatalError("\(path) cannot be read: \(error)") }
    }()

    static func golden(_ name: String) throws -> Golden {
        try #require(all.vectors.first { $0.name == name }, "no vector \(name)")
    }
}

/// A value of a vector's `fields`.
indirect enum Fields: Decodable, Sendable {
    case null
    case flag(Bool)
    case number(UInt64)
    case negative(Int64)
    case text(String)
    case list([Fields])
    case object([String: Fields])

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let flag = try? value.decode(Bool.self) {
            self = .flag(flag)
        } else if let number = try? value.decode(UInt64.self) {
            self = .number(number)
        } else if let number = try? value.decode(Int64.self) {
            self = .negative(number)
        } else if let text = try? value.decode(String.self) {
            self = .text(text)
        } else if let list = try? value.decode([Fields].self) {
            self = .list(list)
        } else {
            self = .object(try value.decode([String: Fields].self))
        }
    }

    /// The field of that name; the test fails where it is absent.
    subscript(_ name: String) -> Fields {
        get throws {
            guard case .object(let fields) = self else {
                throw FieldError(what: "no object where '\(name)' is looked for")
            }
            guard let field = fields[name] else { throw FieldError(what: "no field '\(name)'") }
            return field
        }
    }

    var isNull: Bool { if case .null = self { true } else { false } }

    func number<T: FixedWidthInteger>(_: T.Type = T.self) throws -> T {
        switch self {
        case .number(let value): if let number = T(exactly: value) { return number }
        case .negative(let value): if let number = T(exactly: value) { return number }
        default: break
        }
        throw FieldError(what: "\(self) is no \(T.self)")
    }

    func text() throws -> String {
        guard case .text(let value) = self else { throw FieldError(what: "\(self) is no text") }
        return value
    }

    func flag() throws -> Bool {
        guard case .flag(let value) = self else { throw FieldError(what: "\(self) is no flag") }
        return value
    }

    func list<Item>(_ item: (Fields) throws -> Item) throws -> [Item] {
        guard case .list(let values) = self else { throw FieldError(what: "\(self) is no list") }
        return try values.map(item)
    }

    /// The case of an enumeration that is spelled as its name.
    func named<E: CaseIterable>(_: E.Type = E.self) throws -> E {
        let name = try text()
        guard let value = E.allCases.first(where: { "\($0)" == name }) else {
            throw FieldError(what: "no \(E.self) \(name)")
        }
        return value
    }

    struct FieldError: Error, CustomStringConvertible {
        let what: String
        var description: String { what }
    }
}

func hexadecimal(_ text: String) -> [UInt8] {
    let digits = text.utf8.map { digit in UInt8(Character(UnicodeScalar(digit)).hexDigitValue!) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
}
