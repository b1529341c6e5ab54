import LarderModel

/// Where the admin side listens, and to whom.
public struct AdminConfiguration: Sendable {
    /// An address of this machine's own, and a port.
    public struct Listen: Sendable, Hashable {
        /// `127.0.0.1` or `::1`.
        public let host: String
        /// 0 lets the system choose.
        public let port: Int

        /// Reads `127.0.0.1:9465`, `localhost:9465` or `[::1]:9465`. Throws `invalidArgument` for any other address:
        /// whoever can reach the port can try tokens, so it is not for the network.
        init(_ text: String) throws(LarderError) {
            guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
                throw LarderError(.invalidArgument, "'\(text.clipped)' is not an address such as 127.0.0.1:9465")
            }
            switch text[..<colon] {
            case "127.0.0.1", "localhost": host = "127.0.0.1"
            case "[::1]": host = "::1"
            default:
                throw LarderError(
                    .invalidArgument,
                    "'\(text.clipped)' is not on the loopback interface; give 127.0.0.1, [::1] or localhost, and put a "
                        + "proxy with TLS before it to reach it from elsewhere")
            }
            self.port = Int(port)
        }

        /// As it is written.
        public var text: String { host == "::1" ? "[::1]:\(port)" : "\(host):\(port)" }
    }

    /// Path of the admin socket; empty for `admin.sock` beside the data socket, `off` for none.
    public var socket = ""
    /// Mode of the admin socket's file.
    public var socketMode: UInt32 = 0o660
    /// Group of the admin socket's file, whose members may use it; empty for the daemon's own.
    public var socketGroup = ""
    /// A TCP address to listen at, too; nil for none.
    public var listen: Listen?
    /// The file that holds the token which TCP clients must send.
    public var tokenFile = ""

    /// The defaults.
    public init() {}

    /// Throws `invalidArgument` for a TCP listener without a token.
    func validate() throws(LarderError) {
        guard listen == nil || !tokenFile.isEmpty else {
            throw LarderError(
                .invalidArgument,
                "admin_listen needs admin_token_file: any user of this machine can reach a TCP port; put 32 random "
                    + "characters into a file of mode 0600 and name it")
        }
    }
}

extension Configuration {
    /// The path of the admin socket; nil for none.
    public var adminSocketPath: String? {
        if admin.socket == "off" { return nil }
        if !admin.socket.isEmpty { return admin.socket }
        guard let slash = socket.lastIndex(of: "/") else { return "admin.sock" }
        return socket[...slash] + "admin.sock"
    }

    /// True if anything of the admin side is to run.
    public var hasAdmin: Bool { adminSocketPath != nil || admin.listen != nil }

    /// The file in which the admin side keeps what the last hours were like.
    public var historyPath: String { dataDirectory + "/history" }
}
