import ArgumentParser
import LarderClient
import LarderModel
import LarderWire

struct Status: DaemonCommand {
    static let configuration = CommandConfiguration(abstract: "What the daemon holds and has done.")
    @OptionGroup var connection: ConnectionOptions

    func report(_ client: Client) throws -> Report { Report(try client.stat()) }

    struct Report: CommandReport {
        let facts: [String: String]
        let counters: [String: UInt64]

        init(_ stat: StatAnswer) {
            facts = Dictionary(stat.facts.map { ($0.name, $0.value) }) { first, _ in first }
            counters = Dictionary(stat.counters.map { ($0.name, $0.value) }) { first, _ in first }
        }

        private subscript(_ name: String) -> UInt64 { counters[name] ?? 0 }

        func printOut() {
            let stat = self
            print(
                "larderd \(facts["version"] ?? "?"), pid \(facts["pid"] ?? "?"), up "
                    + Format.duration(Double(stat["uptime_seconds"])))
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
                    "\(Style.alarm("DAMAGED"))  \(stat["damaged_chunks"]) chunks failed their checks and were not served; run "
                        + "larderctl verify"
                )
            }
        }
    }
}

struct Models: DaemonCommand {
    static let configuration = CommandConfiguration(abstract: "The models that workers have declared.")
    @OptionGroup var connection: ConnectionOptions

    func report(_ client: Client) throws -> ModelList { ModelList(try client.models()) }

    /// Models, as an array.
    struct ModelList: CommandReport {
        private struct Entry: Encodable {
            let id: UInt32
            let fingerprint: String
            let declaration: ModelDeclaration
        }

        private let models: [Entry]

        init(_ models: [ModelSummary]) {
            self.models = models.map { model in
                let digits = model.fingerprint.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
                return Entry(id: model.modelID, fingerprint: digits.joined(), declaration: model.declaration)
            }
        }

        func encode(to encoder: any Encoder) throws { try models.encode(to: encoder) }

        func printOut() {
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
                    "\(model.id)", declaration.name, declaration.revision,
                    "\(declaration.rank + 1) of \(declaration.groupSize)", String(model.fingerprint.prefix(12)),
                    components.joined(separator: "; "))
            }
            table.printOut()
        }
    }
}
