// The free list: for each transaction, the pages that it freed, as an MDB_IDL: a count, then that many page numbers in
// descending order.

extension FileChecker {
    /// Claims the pages of entry `index` of the free list. Returns how many there are.
    ///
    /// - Parameter overflowPage: the first page of the run that holds the value, or nil if the leaf does.
    mutating func claimFreeList(_ page: TreePage, _ index: Int, overflowPage: Int?) throws(FileCheck.Failure) -> Int {
        let transaction: UInt64 = page.key(index).number(at: 0)
        // LMDB takes 0 for "no record used yet", and would hand out the pages of such a record twice.
        guard transaction >= 1, transaction <= meta.transaction else {
            throw damaged(page.number, "it lists pages freed by transaction \(transaction) of \(meta.transaction)")
        }
        let bytes = page.valueBytes(index)
        guard bytes >= 8, bytes % 8 == 0 else {
            throw damaged(page.number, "a list of free pages has \(bytes) bytes")
        }
        // LMDB reserves room and fills it late, so the value may be longer than its count says.
        let count: UInt64 = try part(0..<8, of: page, index, overflowPage).number(at: 0)
        guard count <= UInt64(bytes / 8 - 1) else {
            throw damaged(overflowPage ?? page.number, "a list of \(count) free pages has \(bytes) bytes")
        }
        var previous = UInt64.max
        var position = 8
        let end = 8 + Int(count) * 8
        while position < end {
            let next = min(end, position + scratch.count)
            let numbers = try part(position..<next, of: page, index, overflowPage)
            for offset in stride(from: 0, to: numbers.count, by: 8) {
                let free: UInt64 = numbers.number(at: offset)
                guard free < previous else {
                    throw damaged(overflowPage ?? page.number, "a list of free pages is out of order")
                }
                try claimFree(free, source: overflowPage ?? page.number)
                previous = free
            }
            position = next
        }
        return Int(count)
    }

    /// Some bytes of a value: in the leaf's buffer, or read from the value's run into the scratch buffer.
    private func part(
        _ range: Range<Int>, of page: TreePage, _ index: Int, _ overflowPage: Int?
    ) throws(FileCheck.Failure) -> UnsafeRawBufferPointer {
        guard let overflowPage else {
            let start = page.valueOffset(index)
            return UnsafeRawBufferPointer(rebasing: page.bytes[start + range.lowerBound..<start + range.upperBound])
        }
        let buffer = UnsafeMutableRawBufferPointer(rebasing: scratch[..<range.count])
        try read(
            into: buffer, at: overflowPage * meta.pageBytes + LMDBFormat.pageHeaderBytes + range.lowerBound)
        return UnsafeRawBufferPointer(buffer)
    }
}
