import ArgumentParser
import LarderClient
import LarderModel

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "What the daemon holds and has done.")
    @OptionGroup var connection: ConnectionOptions

    private struct Report: Encodable {
        let facts: [String: String]
        let counters: [String: UInt64]
    }

    func run() throws {
        try connection.withClient { client in
            let stat = try client.stat()
            if connection.json {
                let facts = Dictionary(uniqueKeysWithValues: stat.facts.map { ($0.name, $0.value) })
                let counters = Dictionary(uniqueKeysWithValues: stat.counters.map { ($0.name, $0.value) })
                print(try Format.json(Report(facts: facts, counters: counters)))
                return
            }
            let facts = Dictionary(uniqueKeysWithValues: stat.facts.map { ($0.name, $0.value) })
            print("larderd \(facts["version"] ?? "?"), pid \(facts["pid"] ?? "?"), up \(stat["uptime_seconds"]) s")
            print("store    \(facts["data_dir"] ?? "?") (\(facts["store_id"] ?? "?"))")
            let share = stat["usable_bytes"] == 0 ? 0 : 100 * stat["used_bytes"] / stat["usable_bytes"]
            print(
                "         \(Format.bytes(stat["used_bytes"])) used, \(share) % of what data may take; "
                    + "\(Format.bytes(stat["disk_bytes"])) on disk, cap \(Format.bytes(stat["cap_bytes"]))"
            )
            print(
                "holds    \(stat["sessions"]) sessions, \(stat["blobs"]) chunks, \(stat["models"]) models, "
                    + "\(stat["namespaces"]) namespaces"
            )
            print(
                "out      \(stat["page_out_chunks_total"]) chunks, "
                    + "\(Format.bytes(stat["page_out_raw_bytes_total"])) raw, "
                    + "\(Format.bytes(stat["page_out_stored_bytes_total"])) stored "
                    + "(\(Format.ratio(stat["page_out_raw_bytes_total"], stat["page_out_stored_bytes_total"])))"
            )
            print(
                "in       \(stat["page_in_chunks_total"]) chunks, \(Format.bytes(stat["page_in_raw_bytes_total"])) "
                    + "raw; \(stat["misses_total"]) missed, \(stat["page_in_errors_total"]) refused"
            )
            print("resume   \(stat["resumes_total"]) asked, \(stat["tokens_resumed_total"]) tokens found")
            let rules = EvictionRule.allCases.map { ($0.name, stat["evicted_\($0.name)_chunks"]) }.filter { $0.1 > 0 }
            let written = stat["put_bytes"] + stat["moved_bytes"]
            print(
                "evicted  \(rules.isEmpty ? "nothing" : rules.map { "\($0.1) \($0.0)" }.joined(separator: ", ")); "
                    + "\(Format.bytes(stat["moved_bytes"])) rewritten"
                    + (stat["put_bytes"] == 0
                        ? "" : ", \(Format.ratio(written, stat["put_bytes"])) written for each put")
                    + "; \(Format.bytes(stat["device_write_bytes"])) to the disk"
            )
            print(
                "hints    \(stat["retentions"]) retentions of \(Format.bytes(stat["retained_bytes"])); "
                    + "\(stat["pinned_blobs"]) chunks of \(Format.bytes(stat["pinned_bytes"])) pinned"
            )
            print(
                "work     \(stat["connections"]) connections, \(stat["requests_total"]) requests, "
                    + "\(stat["refusals_total"]) refused; queue \(Format.bytes(stat["queue_bytes"])); "
                    + "\(stat["commits"]) commits"
            )
            if stat["damaged_chunks"] > 0 {
                print(
                    "DAMAGED  \(stat["damaged_chunks"]) chunks failed their checks and were not served; run "
                        + "larderctl verify"
                )
            }
        }
    }
}

struct Models: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "The models that workers have declared.")
    @OptionGroup var connection: ConnectionOptions

    private struct Entry: Encodable {
        let id: UInt32
        let fingerprint: String
        let declaration: ModelDeclaration
    }

    func run() throws {
        try connection.withClient { client in
            let models = try client.models()
            func hexadecimal(_ bytes: [UInt8]) -> String {
                bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            }
            if connection.json {
                print(
                    try Format.json(
                        models.map {
                            Entry(id: $0.modelID, fingerprint: hexadecimal($0.fingerprint), declaration: $0.declaration)
                        }))
                return
            }
            var table = Table(">id", "name", "revision", "rank", "fingerprint", "components")
            for model in models {
                let declaration = model.declaration
                let components = declaration.components.map { component in
                    let window = component.kind == .sliding ? " \(component.window)" : ""
                    return
                        "\(component.name): \(component.kind)\(window), \(component.layers) layers, "
                        + "\(component.elementType.name), \(component.byteCount(tokens: 1)) B"
                }
                table.add(
                    "\(model.modelID)", declaration.name, declaration.revision,
                    "\(declaration.rank + 1) of \(declaration.groupSize)",
                    String(hexadecimal(model.fingerprint).prefix(12)),
                    components.joined(separator: "; "))
            }
            table.printOut()
        }
    }
}
