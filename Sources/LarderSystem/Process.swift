import CLarderSystem
import Glibc

/// This process: signals, identity, environment.
public enum Process {
    /// The pid.
    public static var identifier: Int32 { getpid() }

    /// The effective user id.
    public static var userID: UInt32 { geteuid() }

    /// The effective group id.
    public static var groupID: UInt32 { getegid() }

    /// The path of the running executable, /proc/self/exe.
    public static var executablePath: String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        return count > 0 ? String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : ""
    }

    /// Processors that this process may run on, sched_getaffinity(2).
    public static var processors: Int { Int(larder_processors()) }

    /// A variable of the environment.
    public static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// Blocks SIGTERM and SIGINT in this thread and those it starts, and ignores SIGPIPE. Call before any thread starts.
    public static func takeSignals() {
        signal(SIGPIPE, SIG_IGN)
        var set = terminationSignals()
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Waits for one of the signals that ``takeSignals()`` blocked and returns its number, sigwait(3).
    public static func waitForTermination() -> Int32 {
        var set = terminationSignals()
        var number: Int32 = 0
        sigwait(&set, &number)
        return number
    }

    /// Has ``waitForTermination()`` return, kill(2).
    public static func requestTermination() { kill(getpid(), SIGTERM) }

    /// Raises the limit of open descriptors as far as this user may, and returns it. setrlimit(2).
    public static func raiseDescriptorLimit() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
        if limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        return Int(clamping: limit.rlim_cur)
    }

    /// Anonymous memory that a process has resident, in bytes: RssAnon of /proc/PID/status, proc(5). Shared memory and
    /// mapped files are not in it. nil if there is no such process.
    public static func anonymousBytes(of identifier: Int32) -> Int? {
        guard let text = FileSystem.readProc("/proc/\(identifier)/status") else { return nil }
        let line = text.split(separator: "\n").first { $0.hasPrefix("RssAnon:") }
        return line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Int($0) }
            .map { $0 << 10 }
    }

    /// Bytes that a process has written to files: wchar of /proc/PID/io, proc(5). (write_bytes says more than what goes to
    /// the disk: it counts whole folios for a page that is written.) nil if there is no such process, or this user may not
    /// ask.
    public static func writtenBytes(of identifier: Int32 = identifier) -> Int? {
        let isOwn = identifier == Self.identifier
        guard let text = isOwn ? ownCounters() : FileSystem.readProc("/proc/\(identifier)/io") else { return nil }
        let line = text.split(separator: "\n").first { $0.hasPrefix("wchar:") }
        return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }
    }

    /// /proc/self/io, opened while it still is this user's: ``Process/hideMemory()`` gives it to root.
    static let ownCountersFile = open("/proc/self/io", O_RDONLY | O_CLOEXEC)

    private static func ownCounters() -> String? {
        withUnsafeTemporaryAllocation(byteCount: 1_024, alignment: 1) { buffer in
            let count = pread(ownCountersFile, buffer.baseAddress, buffer.count, 0)
            return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
        }
    }

    /// Processor time of this process and of the children that it has waited for, in seconds, getrusage(2).
    public static var processorSeconds: Double {
        [RUSAGE_SELF.rawValue, RUSAGE_CHILDREN.rawValue].reduce(0) { sum, who in
            var usage = rusage()
            getrusage(__rusage_who_t(who), &usage)
            return [usage.ru_utime, usage.ru_stime].reduce(sum) { $0 + Double($1.tv_sec) + Double($1.tv_usec) / 1e6 }
        }
    }

    /// The path of a program that PATH leads to; nil if there is none.
    public static func find(program: String) -> String? {
        (environment("PATH") ?? "").split(separator: ":").map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
    }

    /// Ends the process at once with `code`, without running exit handlers, _exit(2).
    public static func exitNow(_ code: Int32) -> Never { _exit(code) }

    private static func terminationSignals() -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGTERM)
        sigaddset(&set, SIGINT)
        return set
    }
}

/// A child process, for the demo, the bench suite and the tests.
public struct ChildProcess: ~Copyable, Sendable {
    /// The child's pid.
    public let identifier: Int32

    /// Starts `path` with `arguments`, posix_spawn(3). Standard output and error go to the file `output` if one is named.
    public init(_ path: String, _ arguments: [String], output: String? = nil) throws(SystemError) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let output {
            posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
            posix_spawn_file_actions_adddup2(&actions, 1, 2)
        }
        var words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, path, &actions, nil, &words, environ)
        if code != 0 { throw SystemError("posix_spawn", path, code: code) }
        identifier = child
    }

    /// Sends a signal, kill(2).
    public func signal(_ number: Int32) { kill(identifier, number) }

    /// Waits for the child's end; its exit code, or 128 plus the number of the signal that ended it.
    public consuming func wait() -> Int32 {
        var status: Int32 = 0
        while waitpid(identifier, &status, 0) == -1 && errno == EINTR {}
        return larder_wait_status_exited(status) != 0
            ? Int32(larder_wait_exit_code(status)) : 128 + larder_wait_signal(status)
    }

    /// True if the child has not ended yet. Does not reap it.
    public func isRunning() -> Bool {
        var information = siginfo_t()
        information.si_signo = 0
        waitid(P_PID, id_t(identifier), &information, WEXITED | WNOHANG | WNOWAIT)
        return information.si_signo == 0
    }
}
