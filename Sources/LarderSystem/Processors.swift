import CLarderSystem
import Glibc

/// The processors that a thread may run on.
public enum Processors {
    /// Words of 64 processors: as many as the kernel's largest mask.
    private static let words = 128

    /// Their numbers, for the calling thread. sched_getaffinity(2).
    public static func allowed() throws(SystemError) -> [Int] {
        var mask = [UInt64](repeating: 0, count: words)
        try check("sched_getaffinity") { larder_get_affinity(&mask, mask.count) }
        return (0..<mask.count * 64).filter { mask[$0 / 64] >> UInt64($0 % 64) & 1 == 1 }
    }

    /// Seconds since the machine's start that all its processors together were at work for anybody, or were kept from it by
    /// a hypervisor: the first line of /proc/stat without idle and iowait, proc(5). 0 if it cannot be read.
    public static func busySeconds() -> Double {
        let line = FileSystem.readProc("/proc/stat")?.split(separator: "\n").first ?? ""
        let ticks = line.split(separator: " ").dropFirst().prefix(8).map { Double($0) ?? 0 }
        guard ticks.count == 8 else { return 0 }
        return (ticks.reduce(0, +) - ticks[3] - ticks[4]) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// Binds the calling thread to processors, and with it the threads and processes that it starts from then on.
    /// sched_setaffinity(2).
    public static func bind(to processors: [Int]) throws(SystemError) {
        var mask = [UInt64](repeating: 0, count: words)
        for number in processors { mask[number / 64] |= 1 << UInt64(number % 64) }
        try check("sched_setaffinity") { larder_set_affinity(mask, mask.count) }
    }
}

extension WorkerThread {
    /// Makes the calling thread give way to others (nice 10), once: for work that may take as long as it takes.
    public static func giveWay() { larder_lower_priority_once(10) }
}
