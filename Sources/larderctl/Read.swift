import ArgumentParser
import LarderModel

/// Reads the values of options; what is wrong is said in one sentence.
enum Read {
    static func sharing(_ text: String) throws -> Sharing { try named(text, Sharing.allCases, \.name) }

    static func admission(_ text: String) throws -> Admission { try named(text, Admission.allCases, \.name) }

    static func size(_ text: String) throws -> UInt64 {
        UInt64(try quantity { () throws(LarderError) in try Quantity.bytes(text) })
    }

    static func bytes(_ text: String) throws -> UInt64 {
        text == "none" ? 0 : try size(text)
    }

    static func seconds(_ text: String) throws -> UInt32 {
        text == "none" ? 0 : try duration(text)
    }

    static func duration(_ text: String) throws -> UInt32 {
        try quantity { () throws(LarderError) in try Quantity.seconds(text) }
    }

    static func ownSeconds(_ text: String) throws -> UInt32 {
        switch text {
        case "default": return 0
        case "never": return NamespacePolicy.never
        default:
            let seconds = try seconds(text)
            guard seconds > 0 else { throw ValidationError("say never, or default for what the namespace says") }
            return seconds
        }
    }

    static func count(_ text: String) throws -> UInt32 {
        if text == "none" { return 0 }
        guard let count = UInt32(text) else { throw ValidationError("'\(text.clipped)' is not a count, nor none") }
        return count
    }

    static func salt(_ text: String) throws -> [UInt8] {
        let digits = text.compactMap(\.hexDigitValue)
        guard digits.count == text.count, text.allSatisfy(\.isASCII), digits.count % 2 == 0, !digits.isEmpty,
            digits.count <= 2 * Limits.saltBytes
        else { throw ValidationError("a salt is 2 to \(2 * Limits.saltBytes) hexadecimal digits, an even number") }
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }

    private static func named<Value>(_ text: String, _ all: [Value], _ name: (Value) -> String) throws -> Value {
        guard let value = all.first(where: { name($0) == text }) else {
            throw ValidationError("'\(text.clipped)' is not \(all.map(name).joined(separator: " or "))")
        }
        return value
    }

    private static func quantity<Value>(_ read: () throws(LarderError) -> Value) throws -> Value {
        do { return try read() } catch { throw ValidationError(error.message) }
    }
}
