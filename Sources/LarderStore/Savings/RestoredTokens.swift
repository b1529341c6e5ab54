import LarderModel

/// Which tokens of a session a connection has restored since it last resumed it: each saves the computing of it once.
struct RestoredTokens {
    /// The resume's offset: what is loaded beyond it was computed all the same. No bound without a resume.
    private let bound: UInt64
    /// In order, none touching another.
    private var runs: [Range<UInt64>] = []

    init(resumedAt bound: UInt64 = .max) { self.bound = bound }

    /// Takes a page-in into account; returns how many of its tokens are within the bound and new.
    mutating func add(_ range: Range<UInt64>) -> UInt64 {
        let range = range.clamped(to: 0..<bound)
        if range.isEmpty { return 0 }
        var low = 0
        var high = runs.count
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].upperBound < range.lowerBound { low = middle + 1 } else { high = middle }
        }
        var merged = range
        var known: UInt64 = 0
        var next = low
        while next < runs.count, runs[next].lowerBound <= range.upperBound {
            known += UInt64(runs[next].clamped(to: range).count)
            merged = min(merged.lowerBound, runs[next].lowerBound)..<max(merged.upperBound, runs[next].upperBound)
            next += 1
        }
        // What cannot be remembered is not counted: rather too little than twice.
        if low == next, runs.count >= Limits.restoredRuns { return 0 }
        runs.replaceSubrange(low..<next, with: CollectionOfOne(merged))
        return UInt64(range.count) - known
    }
}
