import LarderModel
import LarderWire

extension Client {
    /// Tells the daemon what is to come of state, and returns what was made of each hint, in order. Pins end with this
    /// connection. At most ``LarderWire/Welcome/batchItems`` hints; a later call's retention or pin of a session takes the
    /// place of an earlier one's.
    public func hint(_ hints: [Hint]) throws(ClientError) -> [HintResult] {
        let results = try transport.ask(GiveHints(hints: hints)).results
        guard results.count == hints.count else {
            throw .violation("\(results.count) results for \(hints.count) hints")
        }
        return results
    }
}
