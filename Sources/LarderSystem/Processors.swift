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

    /// Binds the calling thread to processors, and with it the threads and processes that it starts from then on.
    /// sched_setaffinity(2).
    public static func bind(to processors: [Int]) throws(SystemError) {
        var mask = [UInt64](repeating: 0, count: words)
        for number in processors { mask[number / 64] |= 1 << UInt64(number % 64) }
        try check("sched_setaffinity") { larder_set_affinity(mask, mask.count) }
    }
}
