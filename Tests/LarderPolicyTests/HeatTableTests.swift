import Foundation
import LarderModel
import LarderPolicy
import LarderTestSupport
import Testing

@Suite struct HeatTableTests {
    @Test(arguments: [(0, 8), (1, 8), (8, 8), (9, 16), (1_000, 1_024), (1_024, 1_024), (1_025, 2_048)])
    func roundsItsCapacityUp(keys: Int, capacity: Int) {
        #expect(HeatTable(keys: keys, tau: 500).capacity == capacity)
    }

    @Test func heatIsFrequencyAndRecency() throws {
        var table = HeatTable(keys: 64, tau: 500)
        #expect(table.heat(of: 7) == nil)
        table.use(7, at: 100)
        #expect(table.heat(of: 7) == 0.2)
        table.use(7, at: 600)
        #expect(table.heat(of: 7) == log(2) + 1.2)
        // A clock that goes back makes nothing colder.
        table.use(7, at: 50)
        #expect(table.heat(of: 7) == log(3) + 1.2)
        // An e-fold of frequency outweighs tau ticks.
        table.use(8, at: 600 + 540)
        #expect(try #require(table.heat(of: 8)) < log(3) + 1.2)
        table.use(9, at: 600 + 560)
        #expect(try #require(table.heat(of: 9)) > log(3) + 1.2)
    }

    @Test func aLimitOfOneMeansRecency() {
        var table = HeatTable(keys: 64, tau: 1, frequencyLimit: 1)
        for _ in 0..<5 { table.use(1, at: 3) }
        #expect(table.heat(of: 1) == 3)
    }

    @Test func ghostsKeepTheirFrequency() {
        var table = HeatTable(keys: 64, tau: 500)
        for _ in 0..<4 { table.use(1, at: 1) }
        table.setResident(1, true)
        #expect(table.isResident(1) && table.residents == 1)
        table.setResident(1, false)
        #expect(!table.isResident(1) && table.residents == 0)
        table.use(1, at: 500)
        #expect(table.frequency(of: 1) == 5)
        table.setResident(2, true)
        #expect(table.residents == 0, "an unknown key stays unknown")
    }

    @Test func demotedIsColdestUntilUsed() {
        var table = HeatTable(keys: 64, tau: 500)
        for time in 1...9 { table.use(1, at: UInt64(time) * 1_000) }
        table.use(2, at: 9_000)
        table.demote(1)
        #expect(table.isDemoted(1) && table.heat(of: 1) == -.infinity)
        table.use(1, at: 9_000)
        #expect(table.frequency(of: 1) == 10 && !table.isDemoted(1))
    }

    @Test func staysBounded() {
        var generator = SeededGenerator(seed: testSeed("HeatTableTests.staysBounded"))
        var table = HeatTable(keys: 256, tau: 100)
        for time in 0..<20_000 {
            let key = UInt64.random(in: 0..<4_000, using: &generator)
            table.use(key, at: UInt64(time))
            #expect(table.heat(of: key) != nil, "what was just used is known")
            table.setResident(key, Bool.random(using: &generator))
        }
        #expect(table.capacity == 256)
        let known = (0..<4_000).count { table.heat(of: $0) != nil }
        #expect(known > 200 && known <= 256)
        #expect(table.residents == (0..<4_000).count { table.isResident($0) })
        #expect(table.bytes.count == 24 + known * 16, "no key is there twice")
    }

    @Test func theColdestOfABucketIsForgotten() {
        // One bucket.
        var table = HeatTable(keys: 8, tau: 100)
        for key in 1...8 { table.use(UInt64(key), at: UInt64(key)) }
        table.use(1, at: 9)
        table.use(100, at: 10)
        #expect(table.heat(of: 2) == nil)
        #expect([1, 3, 4, 5, 6, 7, 8, 100].allSatisfy { table.heat(of: $0) != nil })
    }

    @Test func keyZeroIsAKey() {
        var table = HeatTable(keys: 64, tau: 500)
        #expect(table.heat(of: 0) == nil)
        table.use(0, at: 0)
        table.use(.max, at: 0)
        #expect(table.frequency(of: 0) == 1 && table.frequency(of: .max) == 1)
    }

    @Test func timesBeyond32BitsMoveTheEpoch() throws {
        var table = HeatTable(keys: 64, tau: 1e9)
        table.use(1, at: 1)
        table.use(2, at: 4_500_000_000)
        table.use(3, at: 6_000_000_000)
        #expect(try #require(table.heat(of: 3)) == 6)
        #expect(try #require(table.heat(of: 2)) == 4.5)
        #expect(try #require(table.heat(of: 2)) > #require(table.heat(of: 1)))
        for time in [UInt64.max, 0, .max - 1, 1 << 63, 5, .max] { table.use(4, at: time) }
        #expect(try #require(table.heat(of: 4)) > 6)
        #expect(table.frequency(of: 4) == 6)
        let again = try HeatTable(bytes: table.bytes, keys: 64, tau: 1e9)
        #expect(again.heat(of: 4) == table.heat(of: 4))
    }

    @Test func samplesOnlyResidents() {
        var generator = SeededGenerator(seed: testSeed("HeatTableTests.samplesOnlyResidents"))
        var table = HeatTable(keys: 4_096, tau: 1)
        #expect(table.sampleHeats(10, using: &generator).isEmpty)
        for key in 0..<1_000 {
            table.use(UInt64(key), at: key < 500 ? 10 : 20)
            table.setResident(UInt64(key), key < 500)
        }
        #expect(table.sampleHeats(100, using: &generator) == Array(repeating: 10, count: 100))
        #expect(table.sampleHeats(10_000, using: &generator).count == table.residents)
    }
}

@Suite struct HeatTableBytesTests {
    private func filled(_ generator: inout SeededGenerator) -> HeatTable {
        var table = HeatTable(keys: 512, tau: 100)
        for time in 0..<2_000 {
            let key = UInt64.random(in: 0..<400, using: &generator)
            table.use(key, at: UInt64(time))
            table.setResident(key, Bool.random(using: &generator))
        }
        return table
    }

    @Test func roundTrip() throws {
        var generator = SeededGenerator(seed: testSeed("HeatTableBytesTests.roundTrip"))
        let table = filled(&generator)
        let again = try HeatTable(bytes: table.bytes, keys: 512, tau: 100)
        #expect(again.residents == table.residents)
        for key in 0..<400 as Range<UInt64> {
            #expect(again.heat(of: key) == table.heat(of: key))
            #expect(again.isResident(key) == table.isResident(key))
        }
        #expect(try HeatTable(bytes: table.bytes, keys: 16, tau: 100).capacity == 16)
        #expect(try HeatTable(bytes: table.bytes, keys: 512, tau: 1, frequencyLimit: 1).frequency(of: 0) ?? 1 == 1)
    }

    @Test func damageThrowsOrIsHarmless() throws {
        var generator = SeededGenerator(seed: testSeed("HeatTableBytesTests.damage"))
        let bytes = filled(&generator).bytes
        for length in [0, 1, 4, 8, 16, 23, 24, 25, bytes.count - 1, bytes.count - 16] {
            #expect(throws: LarderError.self) {
                try HeatTable(bytes: Array(bytes[..<length]), keys: 512, tau: 100)
            }
        }
        #expect(throws: LarderError.self) { try HeatTable(bytes: bytes + [0], keys: 512, tau: 100) }
        var refused = 0
        for _ in 0..<2_000 {
            var damaged = bytes
            for _ in 0..<Int.random(in: 1...8, using: &generator) {
                // Often in the head.
                let end = Bool.random(using: &generator) ? 24 : damaged.count
                damaged[Int.random(in: 0..<end, using: &generator)] = .random(in: 0...255, using: &generator)
            }
            do {
                var table = try HeatTable(bytes: damaged, keys: 64, tau: 100)
                let residents = table.residents
                #expect((0...64).contains(residents) && table.sampleHeats(64, using: &generator).count == residents)
                for key in 0..<100 as Range<UInt64> { table.use(key, at: .random(in: 0...(.max), using: &generator)) }
                #expect(table.sampleHeats(256, using: &generator).allSatisfy { !$0.isNaN })
            } catch {
                #expect(error.code == .damaged || error.code == .malformed)
                refused += 1
            }
        }
        #expect(refused > 0)
    }

    @Test(arguments: [Float.nan, .infinity, 0, -0.5, 3e38])
    func refusesFrequenciesThatNobodyCounted(frequency: Float) {
        var table = HeatTable(keys: 8, tau: 1)
        table.use(5, at: 5)
        var bytes = table.bytes
        withUnsafeBytes(of: frequency.bitPattern.littleEndian) {
            bytes.replaceSubrange(bytes.count - 4..<bytes.count, with: $0)
        }
        #expect(throws: LarderError.self) { try HeatTable(bytes: bytes, keys: 8, tau: 1) }
    }
}
