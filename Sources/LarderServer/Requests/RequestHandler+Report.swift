import LarderModel
import LarderStore
import LarderWire

extension RequestHandler {
    func report(_ request: Report) throws(LarderError) -> ReportAnswer {
        let query = SavingsQuery(
            from: request.from, to: request.to, namespace: request.namespace, modelID: request.modelID,
            after: request.after)
        if request.session == 0 { return answer(try reader.savings(query)) }
        guard query.from == 0, query.to == 0, query.namespace.isEmpty, query.modelID == 0, query.after == 0 else {
            throw LarderError(
                .invalidArgument,
                "a session is counted since the daemon's start, not by hour; ask for it without a range or a filter")
        }
        return answer(try reader.savings(session: request.session))
    }

    private func answer(_ report: SavingsReport) -> ReportAnswer {
        ReportAnswer(
            from: report.from, to: report.to, gpuHourPriceMicros: services.configuration.gpuHourPriceMicros,
            next: report.next, rows: report.rows.map { ReportRow($0) })
    }

    func setPrefillRate(_ request: SetPrefillRate) throws(LarderError) -> Done {
        try store.setPrefillRate(request.prefillRate, modelID: request.modelID)
        return Done()
    }
}

extension ReportRow {
    init(_ row: SavingsRow) {
        self.init(namespace: row.namespace.name, modelID: row.modelID)
        storedTokens = row.tally.storedTokens
        restoredTokens = row.tally.restoredTokens
        notRecomputedTokens = row.tally.notRecomputedTokens
        pageOutRawBytes = row.tally.rawBytesOut
        pageOutStoredBytes = row.tally.storedBytesOut
        pageInRawBytes = row.tally.rawBytesIn
        pageInStoredBytes = row.tally.storedBytesIn
        prefillRate = row.prefillRate
        rateOrigin = row.rateOrigin
        prefillAvoidedMilliseconds = row.prefillAvoidedMilliseconds
    }
}
