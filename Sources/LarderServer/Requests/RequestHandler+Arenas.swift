import LarderModel
import LarderStore
import LarderSystem
import LarderWire

extension RequestHandler {
    /// Makes an arena; its descriptor travels with the answer, which is sent here.
    func openArena(_ requestID: UInt64, _ body: UnsafeRawBufferPointer) throws(LarderError) {
        let request = try OpenArena(body: body)
        try arenas.open(byteCount: request.byteCount) { number, memory throws(SystemError) in
            let frame = ArenaOpened(arena: number).frame(
                type: OpenArena.type.rawValue | FrameHeader.answerBit, requestID: requestID)
            try outbox.send(frame, with: memory)
        }
    }

    func registerArena(_ request: RegisterArena) throws(LarderError) -> ArenaOpened {
        defer { descriptors.closeAll() }
        guard descriptors.count == 1, let descriptor = descriptors.takeFirst() else {
            throw LarderError(
                .invalidArgument, "\(descriptors.count) descriptors came with the request; send exactly the memfd")
        }
        return ArenaOpened(arena: try arenas.register(descriptor, byteCount: request.byteCount))
    }

    func prefetch(_ request: Prefetch) throws(LarderError) -> Done {
        try reader.requireAccess(session: request.session, .read)
        try store.prefetch(session: request.session, atMost: request.atMost)
        return Done()
    }

    func closeArena(_ request: CloseArena) throws(LarderError) -> Done {
        try arenas.close(request.arena)
        return Done()
    }

    /// Page in, decoding straight from the store's map into the arena. If the request asks for it, the layers come in
    /// groups, and a frame after each says how many layers of every item are in place.
    func getInto(_ requestID: UInt64, _ body: UnsafeRawBufferPointer) throws(LarderError) -> AnswerFrame {
        let request = try GetInto(body: body)
        try requireDisjoint(request.items)
        let items = request.items.map { PageInItem($0.item) }
        let outcomes = reader.pageIn(items, layerGroup: Int(request.layerGroup)) { found in
            found.map { one in
                Result { () throws(LarderError) in try region(of: request.items[one.index], one.rawBytes) }
            }
        } progress: { layers in
            outbox.sendUnlessBusy(LayersLanded(layers: UInt32(layers)).frame(requestID: requestID))
        }
        let results = zip(request.items, outcomes).map { item, outcome in
            switch outcome {
            case .success(let found):
                GetResult(
                    status: ItemStatus(nil), tokens: found.tokens,
                    payload: Payload(byteCount: UInt64(found.rawBytes), region: item.region))
            case .failure(let error): GetResult(failure: error)
            }
        }
        count(results)
        let type = GetInto.type.rawValue | FrameHeader.answerBit
        return AnswerFrame(frame: GetAnswer(results: results).frame(type: type, requestID: requestID))
    }

    private func region(of item: GetIntoItem, _ bytes: Int) throws(LarderError) -> UnsafeMutableRawBufferPointer {
        let region = try arenas.region(item.region, byteCount: item.byteCount)
        guard bytes <= region.count else {
            throw LarderError(
                .wrongLength, "the layers take \(bytes) bytes, more than the \(region.count) of their region")
        }
        return UnsafeMutableRawBufferPointer(rebasing: region[..<bytes])
    }

    /// Throws if two regions of a request share a byte: what would be in it depends on the order of work.
    private func requireDisjoint(_ items: [GetIntoItem]) throws(LarderError) {
        guard items.count > 1 else { return }
        let order = items.indices.sorted {
            (items[$0].region.arena, items[$0].region.offset) < (items[$1].region.arena, items[$1].region.offset)
        }
        for (one, next) in zip(order, order.dropFirst()) {
            let (first, second) = (items[one], items[next])
            let isBeside = first.region.arena == second.region.arena && first.byteCount > 0 && second.byteCount > 0
            if isBeside && second.region.offset - first.region.offset < first.byteCount {
                itemAtHand = UInt32(max(one, next))
                throw LarderError(
                    .invalidArgument,
                    "the regions of items \(min(one, next)) and \(max(one, next)) overlap; give each its own")
            }
        }
    }
}

extension PageInItem {
    init(_ item: GetItem) {
        self.init(
            session: item.name.session, rank: item.name.rank, component: item.name.component, offset: item.name.offset,
            firstLayer: item.firstLayer, layers: item.layers)
    }
}
