import LarderModel
import LarderStore
import LarderSystem
import LarderWire

extension RequestHandler {
    func setCap(_ request: SetCap) throws(LarderError) -> CapAnswer {
        try requireOperator("the cap is set")
        guard let bytes = Int(exactly: request.capBytes) else {
            throw LarderError(
                .invalidArgument,
                "a cap of \(request.capBytes) bytes is above the largest; give at most \(Limits.capBytes)")
        }
        try store.setCap(bytes)
        return CapAnswer(capBytes: UInt64(store.capBytes), diskBytes: UInt64(store.diskBytes))
    }
}

extension RequestHandler {
    /// Throws `forbidden` unless the peer is root or the daemon's own user.
    func requireOperator(_ what: String) throws(LarderError) {
        guard peer.userID == 0 || peer.userID == Process.userID else {
            throw LarderError(.forbidden, "\(what) by root or the daemon's own user; ask the operator")
        }
    }
}
