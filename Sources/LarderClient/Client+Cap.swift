import LarderModel
import LarderWire

extension Client {
    /// Changes the most bytes that the daemon's store may take of the disk, until the daemon is restarted. The new cap holds
    /// when the call returns; what the store takes beyond it comes down in the background (`disk_bytes` of ``stat()``).
    ///
    /// For root and the daemon's own user (`forbidden`); `invalidArgument` for a cap that is too small or too large.
    @discardableResult
    public func setCap(_ bytes: UInt64) throws(ClientError) -> CapAnswer {
        try transport.ask(SetCap(capBytes: bytes))
    }
}
