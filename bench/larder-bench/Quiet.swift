import Foundation
import LarderSystem

/// Watches whether a benchmark had the machine for itself.
struct Quiet {
    private let start = Clock.now()
    private let busy = Processors.busySeconds()
    private let own = Process.processorSeconds

    /// Says on standard error if others took more than a tenth of the processors since this was made. Every child process
    /// has been waited for.
    func warn() {
        let seconds = Double(Clock.now() - start) / 1e9 * Double(ProcessInfo.processInfo.processorCount)
        let others = Processors.busySeconds() - busy - (Process.processorSeconds - own)
        guard others > seconds / 10 else { return }
        Output.error(
            "the machine was not quiet: others took \(formatted(100 * others / seconds, 0)) % of its processors, "
                + "so figures of several threads are too low")
    }
}
