import LarderCodec
import LarderModel

extension FuzzTarget {
    /// One block of the cascade, through every kernel that this machine has: the same verdict, and the same bytes. The
    /// first byte chooses whether the rest is a block to decode or bytes to encode.
    static let cascade = FuzzTarget("cascade", inputBytes: 64 << 10) { input in try CascadeCheck.shared.check(input) }
}

/// For one thread at a time.
private final class CascadeCheck: @unchecked Sendable {
    static let shared = CascadeCheck()
    private static let types: [ElementType] = [.bf16, .f16, .f32]

    private let input = GuardedMemory(capacity: Limits.blockBytes)
    private let output = GuardedMemory(capacity: Limits.blockBytes)
    private let scratch = CodecScratch()

    func check(_ bytes: UnsafeRawBufferPointer) throws {
        var choices = Choices(bytes)
        let encodes = choices.byte() & 1 == 1
        let type = Self.types[choices.byte() % Self.types.count]
        let number = Int(choices.number(3))
        let block = input.copy(choices.rest)
        if encodes {
            try checkEncoding(block, type, width: number % 9_000)
        } else {
            let elements = Limits.blockBytes / type.byteCount
            try checkDecoding(block, type, rawBytes: number % (elements + 1) * type.byteCount)
        }
        try input.requireUntouched()
    }

    private func checkDecoding(_ block: UnsafeRawBufferPointer, _ type: ElementType, rawBytes: Int) throws {
        let expected = try decoded(block, type, rawBytes: rawBytes, .plain)
        for kernel in CascadeKernel.all {
            let found = try decoded(block, type, rawBytes: rawBytes, kernel)
            try require((found == nil) == (expected == nil), "\(kernel.name) and plain are not of one mind")
            try requireSame(found ?? [], expected ?? [], "\(kernel.name) and plain decode otherwise")
        }
    }

    private func checkEncoding(_ bytes: UnsafeRawBufferPointer, _ type: ElementType, width: Int) throws {
        let count = bytes.count / type.byteCount * type.byteCount
        let raw = UnsafeRawBufferPointer(rebasing: bytes[..<count])
        let expected = try encoded(raw, type, width: width, .plain)
        for kernel in CascadeKernel.all {
            try requireSame(
                try encoded(raw, type, width: width, kernel), expected, "\(kernel.name) and plain encode otherwise")
        }
        if expected.isEmpty { return }
        let decoded = try expected.withUnsafeBytes { try self.decoded($0, type, rawBytes: count, .best) }
        try requireSame(decoded ?? [], raw, "a block of the cascade")
    }

    /// Empty where it would save nothing.
    private func encoded(
        _ raw: UnsafeRawBufferPointer, _ type: ElementType, width: Int, _ kernel: CascadeKernel
    ) throws -> [UInt8] {
        let room = output.room(raw.count)
        let count = Cascade.encode(
            raw, elementType: type, width: width, into: room, scratch: scratch, kernel: kernel)
        try output.requireUntouched()
        try require(count <= room.count, "\(kernel.name) wrote \(count) bytes of \(room.count)")
        return Array(room[..<count])
    }

    /// nil if it is no block.
    private func decoded(
        _ block: UnsafeRawBufferPointer, _ type: ElementType, rawBytes: Int, _ kernel: CascadeKernel
    ) throws -> [UInt8]? {
        let room = output.room(rawBytes)
        let isWhole = Cascade.decode(block, elementType: type, into: room, scratch: scratch, kernel: kernel)
        try output.requireUntouched()
        return isWhole ? Array(room) : nil
    }
}
