import Glibc

/// A terminal as a screen: its own page, without a cursor, keys read one by one. Everything is put back when the object goes.
///
/// SIGINT, SIGTERM and SIGHUP are taken from the default, which would leave the terminal as it is: ``key(milliseconds:)`` says
/// that one came.
public final class TerminalScreen {
    private var saved = termios()

    /// What came from a person.
    public enum Key: Sendable, Equatable {
        /// A character.
        case character(Character)
        /// The end: end of input, or a signal.
        case end
    }

    /// Takes the terminal that standard input and output are; nil if they are none.
    public init?() {
        guard isatty(0) == 1, isatty(1) == 1, tcgetattr(0, &saved) == 0 else { return nil }
        var mode = saved
        // Keys at once, unseen, control-C as a key.
        mode.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG)
        tcsetattr(0, TCSANOW, &mode)
        var set = Self.signals
        sigprocmask(SIG_BLOCK, &set, nil)
        Output.text("\u{1B}[?1049h\u{1B}[?25l")
    }

    deinit {
        Output.text("\u{1B}[?25h\u{1B}[?1049l")
        tcsetattr(0, TCSANOW, &saved)
    }

    private static var signals: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&set, signal) }
        return set
    }

    /// The next key; nil if none comes in time, or the window changes its size.
    public func key(milliseconds: Int) -> Key? {
        var set = Self.signals
        var none = timespec()
        if sigtimedwait(&set, nil, &none) > 0 { return .end }
        var input = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
        guard poll(&input, 1, Int32(clamping: milliseconds)) > 0 else { return nil }
        var byte: UInt8 = 0
        guard read(0, &byte, 1) == 1, byte != 3, byte != 4 else { return .end }
        return .character(Character(UnicodeScalar(byte)))
    }
}
