/// Where a model's prefill rate comes from. Raw values are those of the wire.
public enum PrefillRateOrigin: UInt8, Sendable, CaseIterable, Codable {
    /// No rate is known.
    case none = 0
    /// Somebody set it.
    case declared = 1
    /// It is the decayed average of what workers reported when they resumed.
    case learned = 2
}
