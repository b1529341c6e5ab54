import LarderModel
import LarderWire

extension Client {
    /// What paging has saved, by namespace and model, in the whole hours from `from` to `to` (seconds since 1970; 0 and 0
    /// for all that is remembered).
    ///
    /// - Parameters:
    ///   - namespace: one namespace; empty for all that this user may see.
    ///   - modelID: one model; 0 for all.
    public func report(
        from: UInt64 = 0, to: UInt64 = 0, namespace: String = "", modelID: UInt32 = 0
    ) throws(ClientError) -> ReportAnswer {
        var request = Report(from: from, to: to, namespace: namespace, modelID: modelID)
        var whole = try transport.ask(request)
        while whole.next != 0 {
            request.after = whole.next
            let page = try transport.ask(request)
            whole.rows += page.rows
            whole.next = page.next
        }
        return whole
    }

    /// What paging has saved one session since the daemon's start.
    public func report(session: UInt64) throws(ClientError) -> ReportAnswer {
        try transport.ask(Report(session: session))
    }

    /// Says how fast the workers of a model compute, in tokens a second, before what they report themselves; 0 forgets it.
    public func setPrefillRate(_ prefillRate: UInt32, modelID: UInt32) throws(ClientError) {
        _ = try transport.ask(SetPrefillRate(modelID: modelID, prefillRate: prefillRate))
    }
}
