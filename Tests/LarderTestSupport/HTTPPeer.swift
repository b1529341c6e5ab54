import Glibc
import LarderSystem

/// A blocking client of HTTP/1.1, as small as can be, that can also misbehave.
public final class HTTPPeer {
    /// What came back.
    public struct Reply: Sendable {
        /// The status code; 0 if the connection ended without one.
        public var status = 0
        /// Names in lower case.
        public var headers: [String: String] = [:]
        /// The body, put together if it came in chunks.
        public var body = ""
    }

    private let descriptor: Int32

    /// Connects to a Unix socket; nil if nobody listens.
    public init?(socket path: String, timeoutSeconds: Int = 30) {
        descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        // Connecting waits, too, where the backlog is full.
        setTimeout(timeoutSeconds)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8.prefix(107))) }
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        if code != 0 {
            close(descriptor)
            return nil
        }
    }

    /// Connects to a port of 127.0.0.1; nil if nobody listens.
    public init?(port: UInt16, timeoutSeconds: Int = 30) {
        descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        setTimeout(timeoutSeconds)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if code != 0 {
            close(descriptor)
            return nil
        }
    }

    deinit { close(descriptor) }

    private func setTimeout(_ seconds: Int) {
        var time = timeval(tv_sec: seconds, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    /// Sends bytes as they are; false if the peer takes no more.
    @discardableResult
    public func send(raw text: String) -> Bool {
        let bytes = Array(text.utf8)
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress!, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return false }
            done += count
        }
        return true
    }

    /// What comes next, at most 64 KiB; empty at the end, or when the time is up.
    public func receiveSome() -> String {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : ""
    }

    /// Reads to the end of the stream.
    public func receiveReply() -> Reply {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count <= 0 { break }
            bytes += buffer[..<count]
        }
        return Self.reply(bytes)
    }

    /// Sends a request and reads the answer; the connection ends with it.
    public func request(
        _ method: String, _ target: String, body: String? = nil, headers: [String: String] = [:]
    ) -> Reply {
        var fields = ["Host": "localhost", "Connection": "close"]
        if let body {
            fields["Content-Length"] = "\(body.utf8.count)"
            fields["Content-Type"] = "application/json"
        }
        fields.merge(headers) { _, new in new }
        let lines = fields.filter { !$0.value.isEmpty }.map { "\($0.key): \($0.value)\r\n" }.joined()
        send(raw: "\(method) \(target) HTTP/1.1\r\n\(lines)\r\n\(body ?? "")")
        return receiveReply()
    }

    private static func reply(_ bytes: [UInt8]) -> Reply {
        var reply = Reply()
        let separator = Array("\r\n\r\n".utf8)
        guard let end = bytes.indices.first(where: { bytes[$0...].starts(with: separator) }) else { return reply }
        let lines = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n")
        reply.status = lines.first?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            reply.headers[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
        }
        let body = Array(bytes[(end + 4)...])
        let isChunked = reply.headers["transfer-encoding"] == "chunked"
        reply.body = String(decoding: isChunked ? joined(body) : body, as: UTF8.self)
        return reply
    }

    private static func joined(_ chunks: [UInt8]) -> [UInt8] {
        var body: [UInt8] = []
        var at = 0
        while let line = chunks[at...].firstIndex(of: 10) {
            let text = String(decoding: chunks[at..<line], as: UTF8.self).filter(\.isHexDigit)
            guard let count = Int(text, radix: 16), count > 0, line + 1 + count <= chunks.count else { break }
            body += chunks[(line + 1)..<(line + 1 + count)]
            at = min(chunks.count, line + 1 + count + 2)
        }
        return body
    }
}
