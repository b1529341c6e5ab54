import LarderModel

/// Chunks evicted, by rule. It has no storage on the heap, so that a copy shares nothing with the writer's own.
struct EvictionCounts: Sendable {
    private var cold: UInt64 = 0
    private var expired: UInt64 = 0
    private var useless: UInt64 = 0
    private var requested: UInt64 = 0
    private var quota: UInt64 = 0

    subscript(rule: EvictionRule) -> UInt64 {
        get {
            switch rule {
            case .cold: cold
            case .expired: expired
            case .useless: useless
            case .requested: requested
            case .quota: quota
            }
        }
        set {
            switch rule {
            case .cold: cold = newValue
            case .expired: expired = newValue
            case .useless: useless = newValue
            case .requested: requested = newValue
            case .quota: quota = newValue
            }
        }
    }
}
