import Glibc

/// The two clocks that Larder reads.
public enum Clock {
    /// Lets other threads run until `condition` holds, for a few microseconds at most: for what comes sooner than a sleeping
    /// thread can be woken.
    public static func yield(microseconds: Int, until condition: () -> Bool) {
        let deadline = now() + UInt64(microseconds) * 1_000
        while !condition(), now() < deadline { sched_yield() }
    }

    /// CLOCK_MONOTONIC in nanoseconds.
    @inline(__always)
    public static func now() -> UInt64 { read(CLOCK_MONOTONIC) }

    /// A deadline for ``Monitor/wait(until:_:)``, `seconds` from now.
    public static func deadline(seconds: Double) -> UInt64 { now() + UInt64(seconds * 1e9) }

    /// CLOCK_REALTIME in whole seconds since 1970.
    public static func wallSeconds() -> UInt64 { read(CLOCK_REALTIME) / 1_000_000_000 }

    /// The time of day in UTC, as `20261125T030405Z`, strftime(3).
    public static func timestamp() -> String {
        var seconds = time_t(wallSeconds())
        var parts = tm()
        gmtime_r(&seconds, &parts)
        var text = [CChar](repeating: 0, count: 32)
        strftime(&text, text.count, "%Y%m%dT%H%M%SZ", &parts)
        return text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    /// CLOCK_REALTIME in whole milliseconds since 1970.
    public static func wallMilliseconds() -> UInt64 { read(CLOCK_REALTIME) / 1_000_000 }

    /// Lets the thread rest, nanosleep(2).
    public static func sleep(milliseconds: Int) {
        var time = timespec(tv_sec: milliseconds / 1_000, tv_nsec: milliseconds % 1_000 * 1_000_000)
        var left = timespec()
        while nanosleep(&time, &left) == -1 && errno == EINTR { time = left }
    }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}
