import LarderSystem

/// Text that stands out, on terminals that show it.
enum Style {
    /// True if standard output is a terminal that may be coloured (https://no-color.org).
    static let isOn =
        Output.isTerminal && (Process.environment("NO_COLOR") ?? "").isEmpty && Process.environment("TERM") != "dumb"

    static func bold(_ text: String) -> String { wrapped(text, "1") }

    static func dim(_ text: String) -> String { wrapped(text, "2") }

    /// What is wrong.
    static func alarm(_ text: String) -> String { wrapped(text, "1;31") }

    private static func wrapped(_ text: String, _ code: String) -> String {
        isOn ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
    }
}

/// How far long work is, on one line of standard error; nothing where that is no terminal.
final class ProgressBar {
    private let label: String
    /// How a count is shown, such as ``Format/bytes(_:)``; its speed is shown where it is of bytes.
    private let showsSpeed: Bool
    private let text: (UInt64) -> String
    private let begun = Clock.now()
    private var drawnAt: UInt64 = 0
    private var isDrawn = false
    private let isOn = Output.isErrorTerminal

    private static let millisecondsBetween: UInt64 = 100
    private static let cells = 24

    /// A bar that counts bytes.
    static func bytes(_ label: String) -> ProgressBar { ProgressBar(label, showsSpeed: true, Format.bytes) }

    /// A bar that counts things.
    static func count(_ label: String) -> ProgressBar { ProgressBar(label, showsSpeed: false) { "\($0)" } }

    private init(_ label: String, showsSpeed: Bool, _ text: @escaping (UInt64) -> String) {
        self.label = label
        self.showsSpeed = showsSpeed
        self.text = text
    }

    deinit { clear() }

    /// Draws it anew, ten times a second at most.
    func update(_ done: UInt64, of total: UInt64?) {
        let now = Clock.now()
        guard isOn, now >= drawnAt + Self.millisecondsBetween * 1_000_000 else { return }
        drawnAt = now
        isDrawn = true
        var line = label
        if let total, total > 0 {
            let share = min(1, Double(done) / Double(total))
            let filled = Int(share * Double(Self.cells))
            line += " [" + String(repeating: "#", count: filled)
            line += String(repeating: ".", count: Self.cells - filled) + "] \(Int(share * 100)) %"
            line += "  \(text(min(done, total))) of \(text(total))"
        } else {
            line += "  \(text(done))"
        }
        let seconds = Double(now - begun) / 1e9
        if showsSpeed, seconds > 0.5 {
            let speed = Double(done) / seconds
            line += "  \(Format.bytes(UInt64(speed)))/s"
            if let total, total > done, speed > 0 { line += "  \(Format.duration(Double(total - done) / speed)) left" }
        }
        Output.errorText("\r\u{1B}[K" + String(line.prefix(max(20, Output.errorColumns - 1))))
    }

    /// Takes it off the screen.
    func clear() {
        if isDrawn { Output.errorText("\r\u{1B}[K") }
        isDrawn = false
    }
}
