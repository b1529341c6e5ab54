import LarderMetrics
import LarderModel
import LarderServer
import LarderStore

/// What the daemon counts anyway, as metrics: read when somebody asks, at no cost to who counts.
enum MetricsCollector {
    /// Adds the daemon's counts to a registry's expositions.
    static func install(in registry: MetricsRegistry, _ admin: Admin) {
        // The registry lives as long as the process; the admin side may end before.
        registry.collect { [weak admin] in
            guard let admin else { return [] }
            return counters(admin.daemon) + labelled(admin.daemon) + namespaces(admin.store)
                + [heat(admin.inventory.known)]
        }
    }

    /// A counter of the daemon's and the metric that it is.
    private struct Rule {
        let source: String
        let name: String
        let kind: MetricKind
        let help: String

        init(_ source: String, _ name: String, _ kind: MetricKind, _ help: String) {
            self.source = source
            self.name = "larder_" + name
            self.kind = kind
            self.help = help
        }
    }

    private static let rules: [Rule] = [
        Rule("cap_bytes", "cap_bytes", .gauge, "The most bytes of the disk that the store may take."),
        Rule("disk_bytes", "disk_bytes", .gauge, "Bytes of the disk that the store takes."),
        Rule("used_bytes", "used_bytes", .gauge, "Bytes of the store in use."),
        Rule("usable_bytes", "usable_bytes", .gauge, "Bytes that data may take before puts are full."),
        Rule("queue_bytes", "queue_bytes", .gauge, "Bytes of chunks that wait for a writer."),
        Rule("queue_mutations", "queue_mutations", .gauge, "Changes that wait for a writer."),
        Rule("sessions", "sessions", .gauge, "Sessions."),
        Rule("models", "models", .gauge, "Models."),
        Rule("namespaces", "namespaces", .gauge, "Namespaces."),
        Rule("lines", "lines", .gauge, "Lines: stretches of state between forks and truncates."),
        Rule("blobs", "blobs", .gauge, "Stored chunks, each once however many sessions share it."),
        Rule("graves", "graves", .gauge, "Lines whose chunks wait to be freed."),
        Rule("sweeping_shards", "sweeping_shards", .gauge, "Shards whose compactor comes down to the low watermark."),
        Rule("leased_blobs", "leased_chunks", .gauge, "Chunks that a resume has named and that stay for it."),
        Rule("pinned_blobs", "pinned_chunks", .gauge, "Chunks that are pinned."),
        Rule("pinned_bytes", "pinned_bytes", .gauge, "Stored bytes that are pinned."),
        Rule("retentions", "retentions", .gauge, "Retentions in force."),
        Rule("retained_bytes", "retained_bytes", .gauge, "Stored bytes that are retained."),
        Rule("connections", "connections", .gauge, "Connections of workers."),
        Rule("arenas", "arenas", .gauge, "Arenas of all workers."),
        Rule("arena_bytes", "arena_bytes", .gauge, "Bytes of shared memory of all arenas."),
        Rule("inline_memory_free_bytes", "inline_memory_free_bytes", .gauge, "Bytes left for frames in memory."),
        Rule("uptime_seconds", "uptime_seconds", .gauge, "Seconds since the daemon's start."),
        Rule("connections_total", "connections_total", .counter, "Connections of workers so far."),
        Rule("requests_total", "requests_total", .counter, "Requests of workers."),
        Rule("refusals_total", "refusals_total", .counter, "Requests of workers that were refused as a whole."),
        Rule("page_in_chunks_total", "page_in_chunks_total", .counter, "Chunks paged in."),
        Rule("page_in_raw_bytes_total", "page_in_bytes_total", .counter, "Raw bytes paged in."),
        Rule("page_out_chunks_total", "page_out_chunks_total", .counter, "Chunks paged out."),
        Rule("page_out_raw_bytes_total", "page_out_bytes_total", .counter, "Raw bytes paged out."),
        Rule(
            "page_out_stored_bytes_total", "page_out_stored_bytes_total", .counter, "Stored bytes of chunks paged out."),
        Rule("misses_total", "page_in_misses_total", .counter, "Chunks asked for that are not stored."),
        Rule("page_in_errors_total", "page_in_errors_total", .counter, "Chunks asked for that could not be served."),
        Rule("resumes_total", "resumes_total", .counter, "Resumes."),
        Rule("tokens_asked_total", "asked_tokens_total", .counter, "Tokens that resumes asked for."),
        Rule("tokens_resumed_total", "resumed_tokens_total", .counter, "Tokens that resumes found restorable."),
        Rule("keys_matched_total", "matched_keys_total", .counter, "Prefix keys asked for that were known."),
        Rule("keys_missed_total", "missed_keys_total", .counter, "Prefix keys asked for that were not known."),
        Rule("commits", "commits_total", .counter, "Commits."),
        Rule("syncs", "syncs_total", .counter, "Commits that were made to survive power loss."),
        Rule("blobs_freed", "freed_chunks_total", .counter, "Chunks freed after drops and truncates."),
        Rule("put_bytes", "put_bytes_total", .counter, "Stored bytes written for puts."),
        Rule("swept_bytes", "swept_bytes_total", .counter, "Stored bytes that the compactor freed."),
        Rule("moved_bytes", "moved_bytes_total", .counter, "Stored bytes that the compactor wrote again."),
        Rule("device_write_bytes", "device_written_bytes_total", .counter, "Bytes written to files."),
        Rule("damaged_chunks", "damaged_chunks_total", .counter, "Chunks and lines that failed their checks."),
    ]

    private static func counters(_ daemon: Daemon) -> [MetricFamily] {
        let values = Dictionary(daemon.counters.map { ($0.name, $0.value) }) { first, _ in first }
        var families = rules.compactMap { rule in
            values[rule.source].map { MetricFamily(rule.name, rule.help, rule.kind, $0) }
        }
        families.append(
            family("larder_evicted_chunks_total", "Chunks evicted, by rule.", "rule") {
                EvictionRule.allCases.map { ($0.name, Double(values["evicted_\($0.name)_chunks"] ?? 0)) }
            })
        families.append(
            family("larder_missed_tokens_total", "Tokens that resumes asked for in vain, by reason.", "reason") {
                ShortfallReason.allCases.map {
                    ($0.rawValue, Double(values["tokens_missed_\($0.rawValue)_total"] ?? 0))
                }
            })
        return families
    }

    private static func labelled(_ daemon: Daemon) -> [MetricFamily] {
        let encodings = daemon.store.encodings
        func encoded(_ name: String, _ help: String, _ value: (EncodingTally.Sums) -> UInt64) -> MetricFamily {
            family(name, help, "encoding") { Encoding.allCases.map { ($0.name, Double(value(encodings[$0]))) } }
        }
        let errors = daemon.errors
        let name = "larder_errors_total"
        let savings = daemon.store.savingsSinceStart
        let facts = daemon.facts.filter { ["version", "cascade_kernel", "checksum"].contains($0.name) }
        return [
            encoded("larder_encoded_chunks_total", "Chunks newly stored, by encoding.") { $0.chunks },
            encoded("larder_encoded_raw_bytes_total", "Raw bytes of chunks newly stored, by encoding.") { $0.rawBytes },
            encoded("larder_encoded_stored_bytes_total", "Stored bytes of the same, by encoding.") { $0.storedBytes },
            MetricFamily(
                name, "Refusals, by scope and code.", .counter,
                errors.flatMap { code, requests, items in
                    [("request", requests), ("item", items)].map { scope, count in
                        MetricSample(
                            name, [("scope", scope), ("code", code.name.snakeCased)], Double(count))
                    }
                }),
            MetricFamily(
                "larder_stored_tokens_total", "Tokens of chunks newly stored.", .counter, savings.storedTokens),
            MetricFamily(
                "larder_restored_tokens_total", "Tokens of chunks paged in.", .counter, savings.restoredTokens),
            MetricFamily(
                "larder_not_recomputed_tokens_total", "Tokens that nobody had to compute, each once a resume.",
                .counter, savings.notRecomputedTokens),
            MetricFamily(
                "larder_build_info", "What the daemon was built as; always 1.", .gauge,
                [MetricSample("larder_build_info", facts.map { ($0.name, $0.value) }, 1)]),
        ]
    }

    private static func family(
        _ name: String, _ help: String, _ label: String, _ values: () -> [(String, Double)]
    ) -> MetricFamily {
        MetricFamily(name, help, .counter, values().map { MetricSample(name, [(label, $0.0)], $0.1) })
    }

    private static let ages = ["1m", "10m", "1h", "6h", "1d", "7d", "older"]

    /// What the store held when it was last counted, by age and heat: every cell, so that none lingers.
    private static func heat(_ inventory: Inventory?) -> MetricFamily {
        let name = "larder_heat_stored_bytes"
        var samples: [MetricSample] = []
        let heats = Inventory.heatBounds.map { "\($0)" } + ["hotter"]
        for (age, ageLabel) in ages.enumerated() where inventory != nil {
            for heat in -1..<heats.count {
                let sums = inventory?.cells[Inventory.Cell(age: age, heat: heat)]
                let label = heat < 0 ? "forgotten" : heats[heat]
                samples.append(
                    MetricSample(name, [("age", ageLabel), ("heat", label)], Double(sums?.storedBytes ?? 0)))
            }
        }
        return MetricFamily(
            name,
            "Stored bytes by time since they were put and by heat (upper bounds), as counted every "
                + "\(Limits.heatLookSeconds) s.", .gauge, samples)
    }

    /// What the largest namespaces take, by name; the rest, and one that is called so, as `other`.
    private static func namespaces(_ store: Store) -> [MetricFamily] {
        var entries = store.namespaceUsage.sorted { $0.storedBytes > $1.storedBytes }
        var other = (bytes: UInt64(0), sessions: 0)
        for entry in entries where entry.name == "other" {
            other = (entry.storedBytes, entry.sessions)
        }
        entries.removeAll { $0.name == "other" }
        for entry in entries.dropFirst(Limits.namespacesInMetrics) {
            other = (other.bytes + entry.storedBytes, other.sessions + entry.sessions)
        }
        let shown =
            entries.prefix(Limits.namespacesInMetrics).map { ($0.name, $0.storedBytes, $0.sessions) }
            + [("other", other.bytes, other.sessions)]
        func gauges(_ name: String, _ help: String, _ values: [(String, Double)]) -> MetricFamily {
            MetricFamily(name, help, .gauge, values.map { MetricSample(name, [("namespace", $0.0)], $0.1) })
        }
        return [
            gauges(
                "larder_namespace_stored_bytes",
                "Stored bytes of the \(Limits.namespacesInMetrics) largest namespaces; the rest is 'other'.",
                shown.map { ($0.0, Double($0.1)) }),
            gauges(
                "larder_namespace_sessions", "Sessions of the same namespaces.", shown.map { ($0.0, Double($0.2)) }),
        ]
    }
}
