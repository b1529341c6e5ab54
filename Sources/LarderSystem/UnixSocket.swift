import CLarderSystem
import Glibc

/// Who is at the other end of a socket, as the kernel says (SO_PEERCRED).
public struct PeerCredentials: Sendable, Hashable {
    /// Process id at connect time.
    public let processID: Int32
    /// Effective user id at connect time.
    public let userID: UInt32
    /// Effective group id at connect time.
    public let groupID: UInt32
    /// Supplementary groups at connect time (SO_PEERGROUPS); none where the kernel does not say.
    public let supplementaryGroupIDs: [UInt32]
}

/// A stream socket in the Unix domain, unix(7).
public struct UnixSocket: ~Copyable, Sendable {
    private let descriptor: Descriptor
    var number: Int32 { descriptor.number }

    private init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

    /// A listening socket at `path`. A stale socket file is replaced; a live one throws EADDRINUSE, any other file EEXIST.
    public static func listen(at path: String, backlog: Int32 = 128) throws(SystemError) -> UnixSocket {
        try clear(path)
        let socket = try UnixSocket(make())
        let mask = umask(0o177)
        defer { umask(mask) }
        try withAddress(path) { address, length in bind(socket.descriptor.number, address, length) == 0 ? 0 : errno }
        try check("listen", path) { Glibc.listen(socket.descriptor.number, backlog) }
        return socket
    }

    /// Removes a stale socket file. A live one throws EADDRINUSE, any other file EEXIST.
    public static func clear(_ path: String) throws(SystemError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw SystemError("bind", path, code: EEXIST) }
        if (try? UnixSocket.connect(to: path)) != nil { throw SystemError("bind", path, code: EADDRINUSE) }
        try FileSystem.remove(path)
    }

    /// A socket connected to the listener at `path`.
    public static func connect(to path: String) throws(SystemError) -> UnixSocket {
        let socket = try UnixSocket(make())
        try withAddress(path, "connect") { address, length in
            Glibc.connect(socket.descriptor.number, address, length) == 0 ? 0 : errno
        }
        return socket
    }

    /// Waits for a peer, accept4(2). Throws EINVAL once ``shutdown()`` was called on the listener.
    public func accept() throws(SystemError) -> UnixSocket {
        let number = try check("accept") { Glibc.accept(descriptor.number, nil, nil) }
        _ = fcntl(number, F_SETFD, FD_CLOEXEC)
        return UnixSocket(Descriptor(owning: number))
    }

    /// The peer's credentials when it connected.
    public func peerCredentials() throws(SystemError) -> PeerCredentials {
        var raw = larder_peer_credentials()
        try check("getsockopt(SO_PEERCRED)") { larder_peer_credentials_of(descriptor.number, &raw) }
        return PeerCredentials(
            processID: raw.pid, userID: raw.uid, groupID: raw.gid, supplementaryGroupIDs: peerGroups())
    }

    private func peerGroups() -> [UInt32] {
        var room = 32
        // NGROUPS_MAX: no process has more.
        while room <= 65_536 {
            let found: [UInt32]? = withUnsafeTemporaryAllocation(of: UInt32.self, capacity: room) { groups in
                let count = larder_peer_groups_of(descriptor.number, groups.baseAddress!, Int32(room))
                if count < 0 { return errno == ERANGE ? nil : [] }
                return Array(groups[..<Int(count)])
            }
            if let found { return found }
            room *= 8
        }
        return []
    }

    /// Makes a receive that waits longer than `seconds` throw EAGAIN, and a send likewise; 0 waits for ever.
    public func setTimeouts(receiveSeconds: Int, sendSeconds: Int) throws(SystemError) {
        for (option, seconds) in [(SO_RCVTIMEO, receiveSeconds), (SO_SNDTIMEO, sendSeconds)] {
            var time = timeval(tv_sec: seconds, tv_usec: 0)
            try check("setsockopt") {
                setsockopt(descriptor.number, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
            }
        }
    }

    /// Receives until `buffer` is full. Returns the bytes received: fewer only at the end of the stream.
    ///
    /// - Parameters:
    ///   - mayIdle: true to wait without end for the first byte, whatever the receive timeout.
    ///   - deadline: a reading of ``Clock/now()`` after which a peer that still sends throws ETIMEDOUT.
    public func receive(
        into buffer: UnsafeMutableRawBufferPointer, mayIdle: Bool = false, deadline: UInt64 = .max
    ) throws(SystemError) -> Int {
        var done = 0
        while done < buffer.count {
            let count = recv(descriptor.number, buffer.baseAddress! + done, buffer.count - done, Int32(MSG_WAITALL))
            if count == 0 { break }
            if count > 0 {
                done += count
                if done < buffer.count && Clock.now() > deadline { throw SystemError("recv", code: ETIMEDOUT) }
            } else if errno != EINTR && !(mayIdle && done == 0 && errno == EAGAIN) {
                throw SystemError("recv")
            }
        }
        return done
    }

    /// Receives what has come, at least a byte, recv(2); 0 at the end of the stream.
    public func receiveSome(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
        try check("recv") { recv(descriptor.number, buffer.baseAddress, buffer.count, 0) }
    }

    /// Sends all of `bytes`.
    public func send(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
        var done = 0
        while done < bytes.count {
            done += try check("send") {
                Glibc.send(descriptor.number, bytes.baseAddress! + done, bytes.count - done, Int32(MSG_NOSIGNAL))
            }
        }
    }

    /// Sends all of `bytes`, or nothing if the peer's buffer has no room for any of them: false.
    public func sendWithoutWaiting(_ bytes: UnsafeRawBufferPointer) throws(SystemError) -> Bool {
        let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
        let sent = Glibc.send(descriptor.number, bytes.baseAddress!, bytes.count, flags)
        if sent < 0 {
            if errno == EAGAIN || errno == EINTR { return false }
            throw SystemError("send")
        }
        // A frame that was begun must be completed.
        try send(UnsafeRawBufferPointer(rebasing: bytes[sent...]))
        return true
    }

    /// Ends both directions, so that threads blocked on the socket return, shutdown(2).
    public func shutdown() { _ = Glibc.shutdown(descriptor.number, Int32(SHUT_RDWR)) }

    /// Ends the receiving direction only: a blocked receive returns 0.
    public func shutdownReceiving() { _ = Glibc.shutdown(descriptor.number, Int32(SHUT_RD)) }

    /// Ends the sending direction only: the peer reads to the end of the stream.
    public func shutdownSending() { _ = Glibc.shutdown(descriptor.number, Int32(SHUT_WR)) }

    private static func make() throws(SystemError) -> Descriptor {
        Descriptor(
            owning: try check("socket") {
                socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            })
    }

    private static func withAddress(
        _ path: String, _ operation: String = "bind", _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) throws(SystemError) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard !bytes.isEmpty, bytes.count < capacity else { throw SystemError(operation, path, code: ENAMETOOLONG) }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        if code != 0 { throw SystemError(operation, path, code: code) }
    }
}
