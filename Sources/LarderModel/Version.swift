/// The version of Larder that this source is.
public enum LarderVersion {
    /// Semantic version, without a prefix.
    public static let number = "0.1.0"
}
