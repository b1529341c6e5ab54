// A fuzzer: libFuzzer around one of the targets. `make fuzz` builds and runs it; the build needs the compiler's
// coverage counters in all code, so it is no part of the package's other builds.
import Glibc
import LarderFuzzTargets
import LarderSystem

/// libFuzzer's main function for programs that have their own.
@_silgen_name("LLVMFuzzerRunDriver")
func runDriver(
    _ count: UnsafeMutablePointer<Int32>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

/// `larder-fuzz TARGET [ARGUMENT ...]`: the arguments are libFuzzer's.
@main
enum Fuzzer {
    /// Chosen before the first input.
    private nonisolated(unsafe) static var target: FuzzTarget?

    static func main() {
        target = FuzzTarget.all.first { $0.name == CommandLine.arguments.dropFirst().first }
        guard target != nil else {
            let names = FuzzTarget.all.map(\.name).joined(separator: ", ")
            Output.error("usage: larder-fuzz TARGET [ARGUMENT ...]; there is \(names)")
            exit(64)
        }
        // libFuzzer looks at what follows the first argument, which it takes for the program's name.
        CommandLine.unsafeArgv[1] = CommandLine.unsafeArgv[0]
        var count = CommandLine.argc - 1
        var arguments = CommandLine.unsafeArgv + 1
        exit(
            runDriver(&count, &arguments) { bytes, size in
                do { try Fuzzer.target?.check(UnsafeRawBufferPointer(start: bytes, count: size)) } catch {
                    Output.error("FINDING: \(error)")
                    abort()
                }
                return 0
            })
    }
}
