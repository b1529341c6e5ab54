import LarderModel

/// Why a resume fell short of what was asked for. The raw value is the label in metrics.
public enum ShortfallReason: String, Sendable, CaseIterable {
    /// It was never put, by anybody: the part of a prompt that is new.
    case new
    /// A component has no state in the session at all.
    case noState = "no_state"
    /// A hole: it was never put, or a truncate took it, and something behind it was.
    case neverStored = "never_stored"
    /// It was evicted.
    case evicted
    /// Its record is damaged.
    case damaged
    /// A rank of the group has not opened the session.
    case missingRank = "missing_rank"
}

/// How far a resume fell short, and why.
public struct Shortfall: Sendable {
    /// Of the component that holds the resume back most.
    public let reason: ShortfallReason
    /// Tokens that were asked for beyond the resume point.
    public let tokens: UInt64
}

/// Numbers by reason, without storage on the heap.
public struct ShortfallCounts: Sendable {
    private var values: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)

    /// All zero.
    public init() {}

    /// The number of a reason.
    public subscript(reason: ShortfallReason) -> UInt64 {
        get {
            switch reason {
            case .new: values.0
            case .noState: values.1
            case .neverStored: values.2
            case .evicted: values.3
            case .damaged: values.4
            case .missingRank: values.5
            }
        }
        set {
            switch reason {
            case .new: values.0 = newValue
            case .noState: values.1 = newValue
            case .neverStored: values.2 = newValue
            case .evicted: values.3 = newValue
            case .damaged: values.4 = newValue
            case .missingRank: values.5 = newValue
            }
        }
    }
}

extension StoreReader {
    /// What a resume asked for: its bound, or, where that is no number of tokens that a session can have, all that the
    /// session holds or held. And why it got less, if it did.
    func shortfall(
        _ planner: ResumePlanner, _ context: SessionContext, atMost bound: UInt64, offset: UInt64,
        damaged: [ChunkKey]
    ) throws(LarderError) -> (asked: UInt64, shortfall: Shortfall?) {
        let stored = planner.tracks.map(\.end).max() ?? 0
        if offset >= bound || (offset == stored && bound <= stored) { return (offset, nil) }
        let end = max(stored, try evictedEnd(context))
        let asked = bound < Limits.offsetTokens ? bound : end
        guard asked > offset else { return (max(asked, offset), nil) }
        // Of what is not restored, that part decides which is known to be missing; beyond the end all is new.
        let at = min(asked, end)
        guard at > offset else { return (asked, Shortfall(reason: .new, tokens: asked - offset)) }
        if !planner.isComplete { return (asked, Shortfall(reason: .missingRank, tokens: asked - offset)) }
        let worst = planner.tracks.min { $0.reach(atMost: at) < $1.reach(atMost: at) }
        guard let worst else { return (asked, Shortfall(reason: .noState, tokens: asked - offset)) }
        let cause = try explain(worst, at, context, damaged).cause
        return (asked, Shortfall(reason: ShortfallReason(cause), tokens: asked - offset))
    }
}

extension ShortfallReason {
    init(_ cause: MissCause) {
        switch cause {
        case .noState: self = .noState
        case .evicted: self = .evicted
        case .damaged: self = .damaged
        case .none, .neverStored: self = .neverStored
        }
    }
}
