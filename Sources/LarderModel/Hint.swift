// What a worker knows of state's future and the store cannot: hints. Words and outcomes are those that engines are settling
// on (vLLM RFCs 51428, 52113 and 57103, SGLang 27574): an action, a target, bounds; and for each an outcome that says
// what was made of it. A hint changes what is kept and what is near, never what is served.

/// What a hint asks for. Raw values are those of the wire.
public enum HintKind: UInt8, Sendable, CaseIterable, Codable {
    /// Keep it rather than other state for a while: a bias, not a promise ("a tool runs, back in 40 s").
    case retain = 1
    /// Keep it, whatever else goes, until a deadline or the end of the connection that asks: a lease.
    case pin = 2
    /// Bring it into memory, in the background.
    case prefetch = 3
    /// Let it go before other state.
    case demote = 4
    /// Make it findable for other sessions of its namespace, by prefix keys.
    case share = 5

    /// The name that the CLI and the documentation use.
    public var name: String { "\(self)" }
}

/// Which state a hint is about.
public enum HintTarget: Sendable, Hashable {
    /// What a session sees of the tokens `from..<to`; `to` is `UInt64.max` for its end. A recurrent state belongs to the
    /// tokens before it.
    case session(UInt64, from: UInt64 = 0, to: UInt64 = .max)
    /// The chunks of a component that prefix keys name, from the first key on to the first that is not known.
    case keys(namespace: String, modelID: UInt32, component: UInt16, keys: [PrefixKey])
    /// The chunks of one component of a session from a token on, one after another, and a prefix key for each: for ``share``.
    case track(UInt64, from: UInt64 = 0, to: UInt64 = .max, rank: UInt16 = 0, component: UInt16, keys: [PrefixKey])
}

/// One hint.
public struct Hint: Sendable, Hashable {
    /// What to do.
    public var kind: HintKind
    /// With what.
    public var target: HintTarget
    /// Of ``HintKind/retain``: which retentions of a namespace give way to which, from -``Limits/hintPriority`` to
    /// ``Limits/hintPriority``. Below 0 it is a ``HintKind/demote``.
    public var priority: Int8
    /// Of ``HintKind/retain`` and ``HintKind/pin``: for how long. 0 ends what an earlier hint began.
    public var seconds: UInt32

    /// A hint from its fields.
    public init(_ kind: HintKind, _ target: HintTarget, priority: Int8 = 0, seconds: UInt32 = 0) {
        self.kind = kind
        self.target = target
        self.priority = priority
        self.seconds = seconds
    }
}

/// What was made of a hint. Raw values are those of the wire.
public enum HintOutcome: UInt8, Sendable, CaseIterable, Codable {
    /// Done as asked.
    case accepted = 0
    /// Done in part: ``HintResult/bound`` says what it ran into, and the rest of the result what is left.
    case clipped = 1
    /// To be done later, or to be asked again later.
    case deferred = 2
    /// Not done.
    case rejected = 3
    /// There is no such state.
    case missing = 4
}

/// What kept a hint from being done as asked. Raw values are those of the wire.
public enum HintBound: UInt8, Sendable, CaseIterable, Codable {
    /// Nothing did.
    case none = 0
    /// The longest time, or the range of priorities.
    case limit = 1
    /// The bytes that may be retained or pinned, for a namespace or for all.
    case bytes = 2
    /// Chunks, or entries of a table.
    case count = 3
    /// More was named than is stored.
    case stored = 4
    /// Other sessions see it too.
    case shared = 5
    /// Others came first: prefetches, or an eviction that is under way.
    case queue = 6
    /// The namespace's policy, or that it is another user's.
    case policy = 7
    /// A prefix key that names other bytes, or a chunk that has another key.
    case conflict = 8
    /// The hint contradicts itself.
    case argument = 9
}

/// What was made of one hint.
public struct HintResult: Sendable, Hashable {
    /// In a word.
    public var outcome: HintOutcome
    /// What it ran into.
    public var bound: HintBound
    /// What it now holds for: the first token, or key.
    public var from: UInt64
    /// One past the last token, or key.
    public var to: UInt64
    /// For how long, in seconds.
    public var seconds: UInt32
    /// One sentence for a person where ``bound`` is not ``HintBound/none``, else empty. Not to be parsed.
    public var reason: String

    /// A result from its fields.
    public init(
        _ outcome: HintOutcome, _ bound: HintBound = .none, from: UInt64 = 0, to: UInt64 = 0, seconds: UInt32 = 0,
        reason: String = ""
    ) {
        self.outcome = outcome
        self.bound = bound
        self.from = from
        self.to = to
        self.seconds = seconds
        self.reason = reason
    }
}
