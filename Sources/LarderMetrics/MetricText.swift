/// The text exposition format of Prometheus, version 0.0.4.
public enum MetricText {
    /// The content type of what ``render(_:)`` gives.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// Families as text, in their order.
    public static func render(_ families: [MetricFamily]) -> String {
        var text = ""
        for family in families where !family.samples.isEmpty {
            text += "# HELP \(family.name) \(escaped(family.help, quote: false))\n"
            text += "# TYPE \(family.name) \(family.kind.rawValue)\n"
            for sample in family.samples {
                text += sample.name
                if !sample.labels.isEmpty {
                    let labels = sample.labels.map { "\($0.name)=\"\(escaped($0.value, quote: true))\"" }
                    text += "{" + labels.joined(separator: ",") + "}"
                }
                text += " " + number(sample.value) + "\n"
            }
        }
        return text
    }

    /// The shortest text that is read back as the same number.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        if let whole = Int64(exactly: value) { return "\(whole)" }
        return "\(value)"
    }

    private static func escaped(_ text: String, quote: Bool) -> String {
        var escaped = ""
        for character in text.unicodeScalars {
            switch character {
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            case "\"" where quote: escaped += "\\\""
            default: escaped.unicodeScalars.append(character)
            }
        }
        return escaped
    }

    /// A name that the format allows: what it does not is an underscore.
    static func name(_ label: String) -> String {
        var name = ""
        for character in label.unicodeScalars {
            let isAllowed =
                character.isASCII && (character.properties.isAlphabetic || character == "_" || character == ":")
            let isDigit = ("0"..."9").contains(character)
            name.unicodeScalars.append(isAllowed || (isDigit && !name.isEmpty) ? character : "_")
        }
        return name.isEmpty ? "_" : name
    }
}
