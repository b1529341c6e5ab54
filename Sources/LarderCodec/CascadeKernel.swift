import CLarderKernels

/// The loops over values of the cascade: plain Swift, or the vector kernels of C. All give the same bytes.
package enum CascadeKernel: Sendable {
    case plain
    case vector(VectorKernel)

    /// A kernel in C, which lives as long as the program.
    package struct VectorKernel: @unchecked Sendable {
        let functions: UnsafePointer<larder_cascade_kernel>
    }

    typealias Input = UnsafePointer<UInt8>
    typealias Output = UnsafeMutablePointer<UInt8>

    /// Every kernel that this machine can run, fastest first; plain last.
    package static let all: [CascadeKernel] = {
        var kernels: [CascadeKernel] = []
        while let functions = larder_cascade_kernel_at(kernels.count) {
            kernels.append(.vector(VectorKernel(functions: functions)))
        }
        return kernels + [.plain]
    }()

    /// The fastest that this machine can run and that agrees with the plain one here.
    package static let best = all.first { agreesWithPlain($0) } ?? .plain

    /// Its name in logs and tables.
    package var name: String {
        switch self {
        case .plain: "plain"
        case .vector(let kernel): String(cString: kernel.functions.pointee.name)
        }
    }

    /// Repeats `width` bases so that 64 bytes can be read from any place in the period, which is returned.
    static func extend(_ base: Input, _ width: Int, into table: Output) -> Int {
        Int(larder_bases_extend(base, UInt32(width), table))
    }

    /// Chooses bases (to `base`, `width` bytes) and ranks (12 to `ranked`, 16 to `rankOfX`) for `count` values.
    func model(
        _ isF16: Bool, _ raw: Input, _ count: Int, _ width: Int, _ base: Output, _ ranked: Output, _ rankOfX: Output
    ) {
        switch self {
        case .plain: CascadePlainKernel.model(isF16, raw, count, width, base, ranked, rankOfX)
        case .vector(let kernel):
            kernel.functions.pointee.model(isF16 ? 1 : 0, raw, count, UInt32(width), base, ranked, rankOfX)
        }
    }

    /// Level 0: splits values into planes and codes; returns the number of escapes.
    func encode0(
        _ isF16: Bool, _ raw: Input, _ count: Int, _ bases: Input, _ period: Int, _ rankOfX: Input, _ low: Output,
        _ high: Output, _ codes: Output, _ escapes: Output
    ) -> Int {
        switch self {
        case .plain:
            CascadePlainKernel.encode0(isF16, raw, count, bases, period, rankOfX, low, high, codes, escapes)
        case .vector(let kernel):
            kernel.functions.pointee.encode0(
                isF16 ? 1 : 0, raw, count, bases, UInt32(period), rankOfX, low, high, codes, escapes)
        }
    }

    /// Levels 1 to 3: codes what escaped; returns the number that escape again.
    func encodeLevel(_ level: Int, _ x: Input, _ count: Int, _ rankOfX: Input, _ codes: Output, _ escapes: Output)
        -> Int
    {
        switch self {
        case .plain: CascadePlainKernel.encodeLevel(level, x, count, rankOfX, codes, escapes)
        case .vector(let kernel):
            kernel.functions.pointee.encode_level(Int32(level), x, count, rankOfX, codes, escapes)
        }
    }

    /// Undoes ``encodeLevel(_:_:_:_:_:_:)``; returns the number of escapes used up.
    func decodeLevel(_ level: Int, _ codes: Input, _ count: Int, _ escapes: Input, _ xOfRank: Input, _ x: Output) -> Int
    {
        switch self {
        case .plain: CascadePlainKernel.decodeLevel(level, codes, count, escapes, xOfRank, x)
        case .vector(let kernel):
            kernel.functions.pointee.decode_level(Int32(level), codes, count, escapes, xOfRank, x)
        }
    }

    /// Undoes ``encode0(_:_:_:_:_:_:_:_:_:_:)``; returns the number of escapes used up.
    func decode0(
        _ isF16: Bool, _ low: Input, _ high: Input, _ codes: Input, _ count: Int, _ escapes: Input, _ bases: Input,
        _ period: Int, _ xOfRank: Input, _ raw: Output
    ) -> Int {
        switch self {
        case .plain:
            CascadePlainKernel.decode0(isF16, low, high, codes, count, escapes, bases, period, xOfRank, raw)
        case .vector(let kernel):
            kernel.functions.pointee.decode0(
                isF16 ? 1 : 0, low, high, codes, count, escapes, bases, UInt32(period), xOfRank, raw)
        }
    }
}
