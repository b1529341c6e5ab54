import CLarderSystem
import Glibc

/// The standard streams, for executables.
public enum Output {
    /// A line to standard error.
    public static func error(_ line: String) { errorText(line + "\n") }

    /// Text to standard error, as it is.
    public static func errorText(_ text: String) { write(text, to: 2) }

    /// Text to standard output, as it is and at once.
    public static func text(_ text: String) { write(text, to: 1) }

    private static func write(_ text: String, to descriptor: Int32) {
        let bytes = Array(text.utf8)
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + done, $0.count - done) }
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return }
            done += count
        }
    }

    /// True if standard output is a terminal.
    public static var isTerminal: Bool { isatty(1) == 1 }

    /// True if standard error is a terminal.
    public static var isErrorTerminal: Bool { isatty(2) == 1 }

    /// Columns of the terminal that standard error is; 80 if it is none.
    public static var errorColumns: Int { size(of: 2)?.columns ?? 80 }

    /// Rows and columns of the terminal that standard output is, ioctl_tty(2), TIOCGWINSZ; nil if it is none.
    public static var size: (rows: Int, columns: Int)? { size(of: 1) }

    private static func size(of descriptor: Int32) -> (rows: Int, columns: Int)? {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return nil }
        return (Int(size.ws_row), Int(size.ws_col))
    }
}
