extension ModelDeclaration {
    /// The one component whose chunks count a session's tokens, so that a token counts once however many components and
    /// ranks keep state of it: the first attention component of rank 0, else its first sliding one. Nil for other ranks,
    /// and for a model with recurrent components only.
    public var countingComponent: Int? {
        guard rank == 0 else { return nil }
        return components.firstIndex { $0.kind == .attention } ?? components.firstIndex { $0.kind == .sliding }
    }
}
