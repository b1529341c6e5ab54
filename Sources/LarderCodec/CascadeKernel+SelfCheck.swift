extension CascadeKernel {
    /// True if a kernel gives the plain kernel's bytes on a block that uses every level.
    ///
    /// Run once for each kernel when the program first needs one: a vector unit that this source has never run on must
    /// not be trusted with anybody's state. About a millisecond.
    static func agreesWithPlain(_ kernel: CascadeKernel) -> Bool {
        let count = 4_096 + 256
        let scratch = CodecScratch()
        return [ElementTypeSample.bf16, .f16].allSatisfy { sample in
            var raw = [UInt8](repeating: 0, count: 2 * count + 6)
            var state: UInt64 = 1
            for index in 0..<raw.count / 2 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                // Exponents spread over a few values, now and then far away; noisy sign and mantissa.
                let spread = UInt16(truncatingIfNeeded: (state >> 40).trailingZeroBitCount)
                let exponent = state >> 59 == 0 ? UInt16(truncatingIfNeeded: state >> 33) : sample.centre &- spread
                let value = exponent << sample.mantissaBits ^ UInt16(truncatingIfNeeded: state >> 20) & sample.noise
                raw[2 * index] = UInt8(truncatingIfNeeded: value)
                raw[2 * index + 1] = UInt8(value >> 8)
            }
            return [1, 96, 256].allSatisfy { width in
                let expected = encoded(raw, sample, width: width, .plain, scratch)
                let found = encoded(raw, sample, width: width, kernel, scratch)
                return expected != nil && expected == found
                    && decoded(found!, sample, raw.count, kernel, scratch) == raw
            }
        }
    }

    private enum ElementTypeSample {
        case bf16, f16

        var mantissaBits: UInt16 { self == .bf16 ? 7 : 10 }
        var centre: UInt16 { self == .bf16 ? 126 : 14 }
        var noise: UInt16 { 0x8000 | (1 << mantissaBits - 1) }
    }

    private static func encoded(
        _ raw: [UInt8], _ sample: ElementTypeSample, width: Int, _ kernel: CascadeKernel, _ scratch: CodecScratch
    ) -> [UInt8]? {
        var output = [UInt8](repeating: 0, count: raw.count)
        let count = raw.withUnsafeBytes { input in
            output.withUnsafeMutableBytes { output in
                Cascade.encode(
                    input, elementType: sample == .bf16 ? .bf16 : .f16, width: width, into: output, scratch: scratch,
                    kernel: kernel)
            }
        }
        return count == 0 ? nil : Array(output[..<count])
    }

    private static func decoded(
        _ block: [UInt8], _ sample: ElementTypeSample, _ byteCount: Int, _ kernel: CascadeKernel,
        _ scratch: CodecScratch
    ) -> [UInt8]? {
        var output = [UInt8](repeating: 0, count: byteCount)
        let whole = block.withUnsafeBytes { input in
            output.withUnsafeMutableBytes { output in
                Cascade.decode(
                    input, elementType: sample == .bf16 ? .bf16 : .f16, into: output, scratch: scratch, kernel: kernel)
            }
        }
        return whole ? output : nil
    }
}
