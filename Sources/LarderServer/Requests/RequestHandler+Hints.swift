import LarderModel
import LarderStore
import LarderWire

extension RequestHandler {
    func hint(_ request: GiveHints) throws(LarderError) -> HintResults {
        HintResults(
            results: try reader.hint(request.hints).map { result in
                var clipped = result
                clipped.reason = LarderError(.internal, result.reason).clipped.message
                return clipped
            })
    }
}
