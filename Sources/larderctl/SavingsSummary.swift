import LarderModel
import LarderWire

/// What `larderctl report` says: rows by namespace and model, and their sums.
struct SavingsSummary: Encodable {
    struct Row: Encodable {
        let namespace: String
        let modelID: UInt32
        let model: String
        let groupSize: UInt32
        let storedTokens: UInt64
        let restoredTokens: UInt64
        let notRecomputedTokens: UInt64
        let pageOutRawBytes: UInt64
        let pageOutStoredBytes: UInt64
        let pageInRawBytes: UInt64
        let pageInStoredBytes: UInt64
        /// Tokens a second of the whole group; 0 if it is not known.
        let prefillRate: UInt32
        let prefillRateOrigin: String
        /// Of all GPUs of the group; absent if no rate is known.
        let gpuSecondsAvoided: Double?
        /// Absent without a price or a rate.
        let saved: Double?
        /// What computing a million tokens costs; absent without a price or a rate.
        let costPerMillionTokens: Double?
        let rawBytesPerToken: Double?
        let storedBytesPerToken: Double?

        init(_ row: ReportRow, _ declaration: ModelDeclaration?, gpuHourPrice: Double) {
            namespace = row.namespace
            modelID = row.modelID
            model = declaration?.name ?? "?"
            groupSize = declaration?.groupSize ?? 1
            storedTokens = row.storedTokens
            restoredTokens = row.restoredTokens
            notRecomputedTokens = row.notRecomputedTokens
            pageOutRawBytes = row.pageOutRawBytes
            pageOutStoredBytes = row.pageOutStoredBytes
            pageInRawBytes = row.pageInRawBytes
            pageInStoredBytes = row.pageInStoredBytes
            prefillRate = row.prefillRate
            prefillRateOrigin = "\(row.rateOrigin)"
            let perToken = row.prefillRate == 0 ? nil : Double(groupSize) / Double(row.prefillRate)
            let avoided = perToken.map { $0 * Double(row.notRecomputedTokens) }
            gpuSecondsAvoided = avoided
            saved = gpuHourPrice == 0 ? nil : avoided.map { $0 / 3_600 * gpuHourPrice }
            costPerMillionTokens = gpuHourPrice == 0 ? nil : perToken.map { $0 * 1e6 / 3_600 * gpuHourPrice }
            rawBytesPerToken = Self.ratio(row.pageOutRawBytes, row.storedTokens)
            storedBytesPerToken = Self.ratio(row.pageOutStoredBytes, row.storedTokens)
        }

        static func ratio(_ bytes: UInt64, _ tokens: UInt64) -> Double? {
            tokens == 0 ? nil : Double(bytes) / Double(tokens)
        }
    }

    struct Total: Encodable {
        let storedTokens: UInt64
        let restoredTokens: UInt64
        let notRecomputedTokens: UInt64
        /// Tokens of models of which no prefill rate is known: the time leaves them out.
        let tokensWithoutRate: UInt64
        let gpuSecondsAvoided: Double
        let saved: Double?
        /// The mean over what was not recomputed.
        let costPerMillionTokens: Double?
        let pageOutRawBytes: UInt64
        let pageOutStoredBytes: UInt64
        let pageInRawBytes: UInt64
        let pageInStoredBytes: UInt64

        init(_ rows: [Row], gpuHourPrice: Double) {
            func sum(_ field: KeyPath<Row, UInt64>) -> UInt64 { rows.reduce(0) { $0 &+ $1[keyPath: field] } }
            storedTokens = sum(\.storedTokens)
            restoredTokens = sum(\.restoredTokens)
            notRecomputedTokens = sum(\.notRecomputedTokens)
            pageOutRawBytes = sum(\.pageOutRawBytes)
            pageOutStoredBytes = sum(\.pageOutStoredBytes)
            pageInRawBytes = sum(\.pageInRawBytes)
            pageInStoredBytes = sum(\.pageInStoredBytes)
            let without = rows.reduce(0) { $0 &+ ($1.prefillRate == 0 ? $1.notRecomputedTokens : 0) }
            tokensWithoutRate = without
            let seconds = rows.reduce(0) { $0 + ($1.gpuSecondsAvoided ?? 0) }
            gpuSecondsAvoided = seconds
            saved = gpuHourPrice == 0 ? nil : seconds / 3_600 * gpuHourPrice
            let timed = Double(notRecomputedTokens &- without)
            costPerMillionTokens = timed == 0 ? nil : saved.map { $0 / timed * 1e6 }
        }
    }

    /// Seconds since 1970.
    let from: UInt64
    /// Seconds since 1970.
    let to: UInt64
    /// The session that it is of; absent for a report by namespace and model.
    let session: String?
    /// Absent if larderd was not told.
    let gpuHourPrice: Double?
    let rows: [Row]
    let total: Total

    init(_ answer: ReportAnswer, _ models: [ModelSummary], session: String?) {
        let price = Double(answer.gpuHourPriceMicros) / 1e6
        let declarations = Dictionary(models.map { ($0.modelID, $0.declaration) }) { first, _ in first }
        from = answer.from
        to = answer.to
        self.session = session
        gpuHourPrice = price == 0 ? nil : price
        rows = answer.rows.map { Row($0, declarations[$0.modelID], gpuHourPrice: price) }
        total = Total(rows, gpuHourPrice: price)
    }
}

extension SavingsSummary {
    func printOut(nowSeconds: UInt64) {
        let end = to >= nowSeconds ? "now" : Moment.text(to)
        print("savings of \(session.map { "session \($0)" } ?? "whole hours"), from \(Moment.text(from)) to \(end)\n")
        // Without a price there is no money to show.
        let money = gpuHourPrice == nil ? [] : [">saved", ">cost/M tokens"]
        var table = Table(
            ["namespace", "model", ">stored", ">restored", ">not recomputed", ">tokens/s", "", ">GPU time avoided"]
                + money
                + [">bytes/token", ">ratio"])
        for row in rows {
            let isKnown = row.prefillRate > 0
            table.add(
                [
                    row.namespace, "\(row.model) (\(row.modelID))", Format.tokens(row.storedTokens),
                    Format.tokens(row.restoredTokens), Format.tokens(row.notRecomputedTokens),
                    isKnown ? "\(row.prefillRate)" : "?", isKnown ? row.prefillRateOrigin : "",
                    row.gpuSecondsAvoided.map(Format.duration) ?? "?",
                ] + Self.money(gpuHourPrice, row.saved, row.costPerMillionTokens) + [
                    Self.perToken(row.rawBytesPerToken, row.storedBytesPerToken),
                    Format.ratio(row.pageOutRawBytes, row.pageOutStoredBytes),
                ])
        }
        table.add(
            [
                "total", "", Format.tokens(total.storedTokens), Format.tokens(total.restoredTokens),
                Format.tokens(total.notRecomputedTokens), "", "", Format.duration(total.gpuSecondsAvoided),
            ] + Self.money(gpuHourPrice, total.saved, total.costPerMillionTokens) + [
                Self.perToken(
                    Row.ratio(total.pageOutRawBytes, total.storedTokens),
                    Row.ratio(total.pageOutStoredBytes, total.storedTokens)),
                Format.ratio(total.pageOutRawBytes, total.pageOutStoredBytes),
            ])
        table.printOut()
        print("")
        for line in lines { print(line) }
    }

    private static func money(_ price: Double?, _ saved: Double?, _ perMillion: Double?) -> [String] {
        price == nil ? [] : [saved, perMillion].map { $0.map(Format.money) ?? "?" }
    }

    private static func perToken(_ raw: Double?, _ stored: Double?) -> String {
        guard let raw, let stored else { return "-" }
        return "\(Format.bytes(UInt64(raw.rounded()))) \u{2192} \(Format.bytes(UInt64(stored.rounded())))"
    }

    /// What the table comes to, in sentences.
    private var lines: [String] {
        var lines = ["prefill avoided: \(Format.duration(total.gpuSecondsAvoided)) of GPU time"]
        if total.tokensWithoutRate > 0, total.tokensWithoutRate == total.notRecomputedTokens {
            lines[0] = "prefill avoided: not known"
        } else if let price = gpuHourPrice {
            lines[0] += ", \(Format.money(total.saved ?? 0)) saved at \(Format.money(price)) a GPU-hour"
            if let cost = total.costPerMillionTokens {
                lines.append("cost per million tokens: \(Format.money(cost)) to compute them, which restoring saves")
            }
        } else {
            lines.append("what that is worth: set gpu_hour_price for larderd")
        }
        lines.append(
            "paged out: \(Format.bytes(total.pageOutRawBytes)) raw, \(Format.bytes(total.pageOutStoredBytes)) stored; "
                + "paged in: \(Format.bytes(total.pageInRawBytes)) raw, from \(Format.bytes(total.pageInStoredBytes))")
        let unknown = Set(rows.filter { $0.prefillRate == 0 && $0.notRecomputedTokens > 0 }.map(\.modelID)).sorted()
        if let first = unknown.first {
            lines.append(
                "not in the time: \(Format.tokens(total.tokensWithoutRate)) tokens, for no prefill rate is known of model "
                    + "\(unknown.map { "\($0)" }.joined(separator: ", ")); larderctl prefill-rate \(first) "
                    + "TOKENS_PER_SECOND sets one")
        }
        return lines
    }
}
