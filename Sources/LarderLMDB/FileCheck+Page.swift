// A branch or leaf page by itself: its header, its node pointers, and where its nodes lie.

/// A branch or leaf page whose layout is checked, so that its nodes can be read without looking at bounds again.
struct TreePage {
    let bytes: UnsafeRawBufferPointer
    let number: Int
    let isBranch: Bool
    /// Nodes.
    let count: Int

    /// Where node `index` begins, mp_ptrs.
    @inline(__always)
    private func offset(_ index: Int) -> Int {
        Int(bytes.number(at: LMDBFormat.pageHeaderBytes + 2 * index) as UInt16)
    }

    /// The key of node `index`.
    @inline(__always)
    func key(_ index: Int) -> UnsafeRawBufferPointer {
        let node = offset(index)
        let size = Int(bytes.number(at: node + 6) as UInt16)
        return UnsafeRawBufferPointer(start: bytes.baseAddress! + node + LMDBFormat.nodeHeaderBytes, count: size)
    }

    /// The page that node `index` of a branch points to, NODEPGNO.
    func child(_ index: Int) -> UInt64 {
        let node = offset(index)
        return UInt64(bytes.number(at: node) as UInt32) | UInt64(bytes.number(at: node + 4) as UInt16) << 32
    }

    /// mn_flags of a leaf's node.
    @inline(__always)
    func flags(_ index: Int) -> UInt16 { bytes.number(at: offset(index) + 4) }

    /// The length of a leaf's value, NODEDSZ.
    func valueBytes(_ index: Int) -> Int { Int(bytes.number(at: offset(index)) as UInt32) }

    /// Where a leaf's value begins, NODEDATA: the value, or the number of its first overflow page.
    func valueOffset(_ index: Int) -> Int {
        let node = offset(index)
        return node + LMDBFormat.nodeHeaderBytes + Int(bytes.number(at: node + 6) as UInt16)
    }
}

extension TreePage {
    /// Checks the layout of page `number` in `bytes`. Returns what is wrong, or nil.
    ///
    /// LMDB keeps nodes packed from mp_upper to the page's end, and moves them with memmove by lengths that follow from
    /// that. So the nodes must tile that space: `sizes` notes each node at its offset, and the walk from mp_upper must
    /// meet each of them.
    static func layoutFault(
        _ bytes: UnsafeRawBufferPointer, number: Int, isBranch: Bool, sizes: UnsafeMutableBufferPointer<UInt16>
    ) -> String? {
        if bytes.number(at: 0) != UInt64(number) { return "it has another page's number" }
        let flags: UInt16 = bytes.number(at: 10)
        if flags != (isBranch ? LMDBFormat.branchFlag : LMDBFormat.leafFlag) {
            return "its flags are \(flags) where a \(isBranch ? "branch" : "leaf") should be"
        }
        let lower = Int(bytes.number(at: 12) as UInt16)
        let upper = Int(bytes.number(at: 14) as UInt16)
        let header = LMDBFormat.pageHeaderBytes
        guard lower >= header, lower % 2 == 0, lower <= upper, upper % 2 == 0, upper <= bytes.count else {
            return "its free space is \(lower) to \(upper)"
        }
        let count = (lower - header) / 2
        // LMDB asserts two nodes in a branch, and looks at the first node of a leaf.
        if count < (isBranch ? 2 : 1) { return "it has \(count) nodes" }

        var fault: String?
        for index in 0..<count {
            let offset = Int(bytes.number(at: header + 2 * index) as UInt16)
            guard offset >= upper, offset % 2 == 0, offset <= bytes.count - LMDBFormat.nodeHeaderBytes else {
                fault = "node \(index) is at \(offset)"
                break
            }
            let size = isBranch ? branchNodeBytes(bytes, offset, index) : leafNodeBytes(bytes, offset)
            guard let size, size <= bytes.count - offset else {
                fault = "node \(index) has a wrong length or flags"
                break
            }
            sizes[offset / 2] = UInt16(size)
        }
        if fault == nil, !tiles(upper..<bytes.count, count: count, sizes) {
            fault = "its nodes overlap or leave gaps"
        }
        if fault != nil { sizes.update(repeating: 0) }
        return fault
    }

    /// True if `count` nodes fill `space`. Leaves `sizes` all zero if so.
    private static func tiles(_ space: Range<Int>, count: Int, _ sizes: UnsafeMutableBufferPointer<UInt16>) -> Bool {
        var offset = space.lowerBound
        var found = 0
        while offset < space.upperBound {
            let size = Int(sizes[offset / 2])
            if size == 0 { return false }
            sizes[offset / 2] = 0
            offset += size
            found += 1
        }
        // Two pointers to one node leave the count short.
        return offset == space.upperBound && found == count
    }

    /// The bytes that a branch's node takes, or nil if that is impossible. The first key is implied and mostly empty.
    @inline(__always)
    private static func branchNodeBytes(_ bytes: UnsafeRawBufferPointer, _ offset: Int, _ index: Int) -> Int? {
        let key = Int(bytes.number(at: offset + 6) as UInt16)
        guard key <= LMDBFormat.maximumKeyBytes, key > 0 || index == 0 else { return nil }
        return (LMDBFormat.nodeHeaderBytes + key + 1) & ~1
    }

    /// The bytes that a leaf's node takes, or nil if that is impossible.
    @inline(__always)
    private static func leafNodeBytes(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> Int? {
        let key = Int(bytes.number(at: offset + 6) as UInt16)
        guard key > 0, key <= LMDBFormat.maximumKeyBytes else { return nil }
        let flags: UInt16 = bytes.number(at: offset + 4)
        if flags == LMDBFormat.largeValueFlag { return (LMDBFormat.nodeHeaderBytes + key + 8 + 1) & ~1 }
        // A node that holds duplicates, or a flag that LMDB does not have.
        guard flags == 0 || flags == LMDBFormat.databaseFlag else { return nil }
        let size = LMDBFormat.nodeHeaderBytes + key + Int(bytes.number(at: offset) as UInt32)
        // me_nodemax: LMDB splits a page on the promise that two nodes fit.
        let maximum = ((bytes.count - LMDBFormat.pageHeaderBytes) / 2 & ~1) - 2
        return size <= maximum ? (size + 1) & ~1 : nil
    }
}
