/// The reference for every other kernel of the cascade, and what machines without vectors run: loops over bytes.
///
/// Shapes as in ``CascadeKernel``; `count` of level 0 is a multiple of 256.
enum CascadePlainKernel {
    typealias Input = UnsafePointer<UInt8>
    typealias Output = UnsafeMutablePointer<UInt8>

    /// The value rotated left by one: low byte to store, the rest of the mantissa that f16 has, exponent.
    @inline(__always)
    private static func split(_ isF16: Bool, _ raw: Input, _ index: Int) -> (low: UInt8, high: UInt8, exponent: UInt8) {
        let value = UInt16(raw[2 * index]) | UInt16(raw[2 * index + 1]) << 8
        let turned = value << 1 | value >> 15
        let top = UInt8(truncatingIfNeeded: turned >> 8)
        return (UInt8(truncatingIfNeeded: turned), top & 7, isF16 ? top >> 3 : top)
    }

    // MARK: encoding

    static func encode0(
        _ isF16: Bool, _ raw: Input, _ count: Int, _ bases: Input, _ period: Int, _ rankOfX: Input, _ low: Output,
        _ high: Output, _ codes: Output, _ escapes: Output
    ) -> Int {
        var escaped = 0
        var channel = 0
        codes.update(repeating: 0, count: count / 4)
        if isF16 { high.update(repeating: 0, count: count / 256 * 96) }
        for index in 0..<count {
            let value = split(isF16, raw, index)
            low[index] = value.low
            if isF16 { packHigh(value.high, index, high) }
            let x = value.exponent &- bases[channel]
            channel += 1
            if channel == period { channel = 0 }
            let code = min(rankOfX[Int(min(x, 15))], 3)
            codes[index / 128 * 32 + index % 32] |= code << UInt8(index % 128 / 32 * 2)
            escapes[escaped] = x
            escaped += code == 3 ? 1 : 0
        }
        return escaped
    }

    static func encodeLevel(
        _ level: Int, _ x: Input, _ count: Int, _ rankOfX: Input, _ codes: Output, _ escapes: Output
    ) -> Int {
        var escaped = 0
        codes.update(repeating: 0, count: (count + 127) / 128 * 32)
        for index in 0..<count {
            // A rank of an earlier level wraps and escapes: it still decodes.
            let code = min(rankOfX[Int(min(x[index], 15))] &- UInt8(3 * level), 3)
            codes[index / 128 * 32 + index % 32] |= code << UInt8(index % 128 / 32 * 2)
            escapes[escaped] = x[index]
            escaped += code == 3 ? 1 : 0
        }
        return escaped
    }

    /// Three bits of 256 values in 96 bytes: vectors of 32 values, 0 1 2 in the low bits, 3 4 5 above, 6 and 7 spread.
    @inline(__always)
    private static func packHigh(_ bits: UInt8, _ index: Int, _ high: Output) {
        let group = high + index / 256 * 96
        let vector = index % 256 / 32
        let lane = index % 32
        switch vector {
        case 0...2: group[32 * vector + lane] |= bits
        case 3...5: group[32 * (vector - 3) + lane] |= bits << 3
        case 6:
            group[lane] |= (bits & 3) << 6
            group[64 + lane] |= (bits >> 2) << 6
        default:
            group[32 + lane] |= (bits & 3) << 6
            group[64 + lane] |= (bits >> 2) << 7
        }
    }

    // MARK: decoding

    static func decode0(
        _ isF16: Bool, _ low: Input, _ high: Input, _ codes: Input, _ count: Int, _ escapes: Input, _ bases: Input,
        _ period: Int, _ xOfRank: Input, _ raw: Output
    ) -> Int {
        var eaten = 0
        var channel = 0
        for index in 0..<count {
            let code = codes[index / 128 * 32 + index % 32] >> UInt8(index % 128 / 32 * 2) & 3
            let x = code == 3 ? escapes[eaten] : xOfRank[Int(code)]
            eaten += code == 3 ? 1 : 0
            let exponent = x &+ bases[channel]
            channel += 1
            if channel == period { channel = 0 }
            let top = isF16 ? exponent << 3 | unpackHigh(index, high) : exponent
            let turned = UInt16(top) << 8 | UInt16(low[index])
            let value = turned >> 1 | turned << 15
            raw[2 * index] = UInt8(truncatingIfNeeded: value)
            raw[2 * index + 1] = UInt8(value >> 8)
        }
        return eaten
    }

    static func decodeLevel(
        _ level: Int, _ codes: Input, _ count: Int, _ escapes: Input, _ xOfRank: Input, _ x: Output
    ) -> Int {
        var eaten = 0
        for index in 0..<count {
            let code = codes[index / 128 * 32 + index % 32] >> UInt8(index % 128 / 32 * 2) & 3
            x[index] = code == 3 ? escapes[eaten] : xOfRank[3 * level + Int(code)]
            eaten += code == 3 ? 1 : 0
        }
        return eaten
    }

    @inline(__always)
    private static func unpackHigh(_ index: Int, _ high: Input) -> UInt8 {
        let group = high + index / 256 * 96
        let vector = index % 256 / 32
        let lane = index % 32
        switch vector {
        case 0...2: return group[32 * vector + lane] & 7
        case 3...5: return group[32 * (vector - 3) + lane] >> 3 & 7
        case 6: return group[lane] >> 6 | group[64 + lane] >> 4 & 4
        default: return group[32 + lane] >> 6 | group[64 + lane] >> 5 & 4
        }
    }

    // MARK: model

    /// Bases and ranks from a sample. Part of no format: a decoder takes what the header says.
    static func model(
        _ isF16: Bool, _ raw: Input, _ count: Int, _ width: Int, _ base: Output, _ ranked: Output, _ rankOfX: Output
    ) {
        chooseBases(isF16, raw, rows: count / width, width, base)
        var histogram = sampledHistogram(isF16, raw, count, width, base)
        let start = UInt8(truncatingIfNeeded: mostUsedWindow(histogram))
        for channel in 0..<width { base[channel] &+= start }
        histogram = (0..<256).map { histogram[Int(UInt8(truncatingIfNeeded: $0) &+ start)] }
        let order = (0..<15).sorted { (histogram[$0], $1) > (histogram[$1], $0) }
        for x in 0..<16 { rankOfX[x] = 12 }
        for rank in 0..<12 {
            ranked[rank] = UInt8(order[rank])
            rankOfX[order[rank]] = UInt8(rank)
        }
    }

    /// For each channel, the mean of four medians of 16 exponents, from rows spread evenly.
    private static func chooseBases(_ isF16: Bool, _ raw: Input, rows: Int, _ width: Int, _ base: Output) {
        var sample = [UInt8](repeating: 0, count: 16)
        for channel in 0..<width {
            var sum = 2
            for group in 0..<4 {
                for index in 0..<16 {
                    let row = (16 * group + index) * rows / 64
                    sample[index] = split(isF16, raw, row * width + channel).exponent
                }
                sample.sort()
                sum += Int(sample[8])
            }
            base[channel] = UInt8(sum >> 2)
        }
    }

    private static func sampledHistogram(
        _ isF16: Bool, _ raw: Input, _ count: Int, _ width: Int, _ base: Output
    ) -> [Int] {
        var histogram = [Int](repeating: 0, count: 256)
        let groups = count / 256
        let pieces = min(32, groups)
        for piece in 0..<pieces {
            let first = piece * groups / pieces * 256
            for index in first..<first + 256 {
                histogram[Int(split(isF16, raw, index).exponent &- base[index % width])] += 1
            }
        }
        return histogram
    }

    /// The start, from -128 to 127, of the 15 neighbouring x that hold most of the sample; the first of equals.
    private static func mostUsedWindow(_ histogram: [Int]) -> Int {
        var best = (start: -128, count: -1)
        for start in -128...127 {
            let count = (start..<start + 15).reduce(0) { $0 + histogram[Int(UInt8(truncatingIfNeeded: $1))] }
            if count > best.count { best = (start, count) }
        }
        return best.start
    }
}
