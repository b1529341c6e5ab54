import Glibc

/// Lines to the standard streams, for executables.
public enum Output {
    /// A line to standard error.
    public static func error(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = bytes.withUnsafeBytes { write(2, $0.baseAddress!, $0.count) }
    }

    /// True if standard output is a terminal.
    public static var isTerminal: Bool { isatty(1) == 1 }
}
