import LarderMetrics
import LarderServer

/// What is said of the metrics that are recorded through swift-metrics.
enum MetricCatalog {
    /// Seconds of an admin request, by route.
    static let adminRequest = "larder_admin_request_duration_seconds"

    /// From 5 us, faster than any round trip, to 10 s, a wait for the writer's queue.
    private static let seconds: [Double] = [
        5e-6, 1e-5, 2e-5, 3e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1, 2, 5, 10,
    ]

    /// A histogram for each request type would have many empty lines for the rare ones; admin requests are all slow.
    private static let slowSeconds: [Double] = [1e-3, 5e-3, 2e-2, 0.1, 0.5, 2, 10]

    private static let tokens: [Double] = [
        0, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072, 262_144, 524_288, 1_048_576,
    ]

    static let descriptions: [String: MetricDescription] = [
        MetricNames.request: MetricDescription(
            "Seconds from a whole request to its answer, by operation of the data socket.", bounds: seconds),
        MetricNames.resumeDepth: MetricDescription(
            "Tokens at which sessions were resumed; 0 is nothing.", bounds: tokens),
        MetricNames.commit: MetricDescription(
            "Seconds that commits took, with the sync where one was asked for.", bounds: seconds),
        adminRequest: MetricDescription("Seconds of admin requests, by route.", bounds: slowSeconds),
    ]
}
