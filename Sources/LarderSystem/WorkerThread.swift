import CLarderSystem
import Glibc

/// A POSIX thread with a name and a stated stack, joined by its owner or detached.
public struct WorkerThread: ~Copyable, @unchecked Sendable {
    private let handle: pthread_t

    private final class Start {
        let name: String
        let body: @Sendable () -> Void
        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// Bytes of a thread's stack: Larder's threads recurse nowhere and keep buffers on the heap.
    public static let stackBytes = 512 << 10

    /// Starts a thread. `name` is cut to the 15 bytes that the kernel keeps.
    public init(name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, Self.stackBytes)
        defer { pthread_attr_destroy(&attributes) }
        let start = Unmanaged.passRetained(Start(name: String(name.utf8.prefix(15))!, body: body))
        var handle = pthread_t()
        let code = pthread_create(
            &handle, &attributes,
            { argument in
                let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
                larder_set_thread_name(start.name)
                start.body()
                return nil
            }, start.toOpaque())
        guard code == 0 else {
            start.release()
            throw SystemError("pthread_create", name, code: code)
        }
        self.handle = handle
    }

    /// Waits for the thread's end, pthread_join(3).
    public consuming func join() { pthread_join(handle, nil) }

    /// Lets the thread end by itself, pthread_detach(3).
    public consuming func detach() { pthread_detach(handle) }
}
