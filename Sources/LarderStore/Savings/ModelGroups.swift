import LarderModel

/// The models that are ranks of one parallel group, which a report shows as one.
struct ModelGroups {
    private struct Identity: Hashable {
        let name: String
        let revision: String
        let weights: String
        let pageTokens: UInt32
        let groupSize: UInt32
    }

    private var identities: [UInt32: Identity] = [:]
    private var members: [Identity: [UInt32]] = [:]

    init(_ models: [StoredModel]) {
        for model in models.sorted(by: { ($0.declaration.rank, $0.id) < ($1.declaration.rank, $1.id) })
        where model.declaration.groupSize > 1 {
            let declaration = model.declaration
            let identity = Identity(
                name: declaration.name, revision: declaration.revision, weights: declaration.weights,
                pageTokens: declaration.pageTokens, groupSize: declaration.groupSize)
            identities[model.id] = identity
            members[identity, default: []].append(model.id)
        }
    }

    /// The models of the group that a model belongs to, in order of rank.
    func all(of modelID: UInt32) -> [UInt32] { identities[modelID].flatMap { members[$0] } ?? [modelID] }

    /// The first of them.
    func first(of modelID: UInt32) -> UInt32 { all(of: modelID)[0] }
}
