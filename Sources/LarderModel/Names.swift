/// Checks of the names that peers choose.
public enum Names {
    /// Throws unless `name` is 1 to ``Limits/nameBytes`` bytes without control characters.
    public static func validate(_ name: String, what: String, code: ErrorCode = .invalidArgument) throws(LarderError) {
        if name.isEmpty { throw LarderError(code, "the \(what) is empty; give it 1 to \(Limits.nameBytes) bytes") }
        if name.utf8.count > Limits.nameBytes {
            throw LarderError(
                code,
                "the \(what) '\(name.clipped)' has \(name.utf8.count) bytes; at most \(Limits.nameBytes) are allowed")
        }
        if name.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
            throw LarderError(code, "the \(what) '\(name.clipped)' contains a control character; leave it out")
        }
    }
}

extension String {
    /// The string cut to a length that suits a message, with control characters replaced.
    public var clipped: String {
        let clean = String(unicodeScalars.prefix(64).map { $0.value < 0x20 || $0.value == 0x7F ? "?" : Character($0) })
        return unicodeScalars.count > 64 ? clean + "..." : clean
    }
}
