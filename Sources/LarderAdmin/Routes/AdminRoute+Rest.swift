extension AdminRoute {
    static let maintenance: [AdminRoute] = []
    static let watching: [AdminRoute] = []
}
