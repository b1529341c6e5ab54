import LarderCodec
import LarderTestSupport
import Testing

@Suite("CRC32C")
struct ChecksumTests {
    /// The definition, bit by bit.
    private func defined(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var crc: UInt32 = 0xFFFF_FFFF
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc >> 1 ^ (crc & 1 == 1 ? 0x82F6_3B78 : 0) }
        }
        return ~crc
    }

    @Test("Known values")
    func known() {
        func checksum(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { CRC32C.checksum($0) } }
        #expect(checksum(Array("123456789".utf8)) == 0xE306_9283)
        #expect(checksum([]) == 0)
        // RFC 3720, appendix B.4.
        #expect(checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(checksum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(checksum(Array(0..<32)) == 0x46DD_794E)
        #expect(checksum(Array((0..<32).reversed())) == 0x113F_DB5C)
    }

    @Test("By instruction, by tables and by definition it is the same, for every length and alignment")
    func implementations() {
        var random = SeededGenerator(seed: testSeed("implementations"))
        let data = random.bytes(700)
        data.withUnsafeBytes { data in
            for alignment in 0..<64 {
                for length in 0...600 {
                    let bytes = UnsafeRawBufferPointer(rebasing: data[alignment..<alignment + length])
                    let fast = CRC32C.checksum(bytes)
                    #expect(fast == CRC32C.softwareChecksum(bytes), "\(length) bytes at \(alignment)")
                    if alignment == length % 64 { #expect(fast == defined(bytes)) }
                }
            }
        }
    }

    @Test("Long buffers", arguments: [1_023, 1_024, 4_095, 4_097, 65_536, 262_144, 1_000_003])
    func long(_ length: Int) {
        var random = SeededGenerator(seed: testSeed("long \(length)"))
        random.bytes(length).withUnsafeBytes { bytes in
            let whole = CRC32C.checksum(bytes)
            #expect(whole == CRC32C.softwareChecksum(bytes))
            let cut = Int.random(in: 0...length, using: &random)
            let first = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<cut]))
            #expect(
                CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[cut...]), continuing: first) == whole,
                "cut at \(cut)")
        }
    }

    @Test("The copying form copies, and sums the same, without a byte too many")
    func copying() {
        var random = SeededGenerator(seed: testSeed("copying"))
        let data = random.bytes(70_000)
        data.withUnsafeBytes { data in
            for length in Array(0...600) + [4_096, 65_537] {
                let (from, to) = (Int.random(in: 0..<64, using: &random), Int.random(in: 0..<64, using: &random))
                let source = UnsafeRawBufferPointer(rebasing: data[from..<from + length])
                let target = UnsafeMutableRawBufferPointer.allocate(byteCount: to + length + 64, alignment: 64)
                defer { target.deallocate() }
                target.initializeMemory(as: UInt8.self, repeating: 0xA5)
                #expect(CRC32C.copy(source, to: target.baseAddress! + to) == CRC32C.softwareChecksum(source))
                #expect(target[to..<to + length].elementsEqual(source), "\(length) bytes from \(from) to \(to)")
                #expect(target[..<to].allSatisfy { $0 == 0xA5 } && target[(to + length)...].allSatisfy { $0 == 0xA5 })
            }
        }
    }
}
