import LarderModel
import LarderStore
import LarderWire

extension RequestHandler {
    func declareModel(_ request: DeclareModel) throws(LarderError) -> ModelDeclared {
        let model = try store.declare(request.declaration)
        return ModelDeclared(modelID: model.id, fingerprint: model.fingerprint)
    }

    func openSession(_ request: OpenSession) throws(LarderError) -> SessionOpened {
        let opened = try store.openSession(
            namespace: request.namespace, name: request.name, modelID: request.modelID, create: request.create,
            by: peer.principal, reader: reader)
        if opened.created {
            services.events.note(
                .sessionOpened,
                [
                    "session": .number(opened.id), "namespace": .text(request.namespace), "name": .text(request.name),
                ])
        }
        return SessionOpened(session: opened.id, created: opened.created)
    }

    func fork(_ request: Fork) throws(LarderError) -> SessionOpened {
        let id = try services.fork(
            session: request.session, offset: request.offset, name: request.name, reader: reader)
        return SessionOpened(session: id, created: true)
    }

    func truncate(_ request: Truncate) throws(LarderError) -> Done {
        try services.truncate(session: request.session, offset: request.offset, reader: reader)
        return Done()
    }

    func drop(_ request: Drop) throws(LarderError) -> Done {
        try services.drop(session: request.session, reader: reader)
        return Done()
    }

    func sync(_ request: Sync) throws(LarderError) -> Done {
        try store.synchronise()
        return Done()
    }

    func listModels(_ request: ListModels) throws(LarderError) -> ModelList {
        ModelList(
            models: store.models(after: request.after).map {
                ModelSummary(modelID: $0.id, fingerprint: $0.fingerprint, declaration: $0.declaration)
            })
    }

    func listSessions(_ request: ListSessions) throws(LarderError) -> SessionList {
        let page = try reader.sessions(namespace: request.namespace, after: request.after)
        return SessionList(
            sessions: page.sessions.map { session in
                SessionSummary(
                    session: session.id, namespace: session.namespace.name, name: session.name,
                    ownerUserID: session.namespace.ownerUserID,
                    models: session.models.map { SessionModel(rank: $0.rank, modelID: $0.modelID) },
                    chunks: session.totals.chunks, rawBytes: session.totals.rawBytes,
                    storedBytes: session.totals.storedBytes, createdSeconds: session.createdSeconds,
                    changedSeconds: session.changedSeconds, ttlSeconds: session.ttlSeconds)
            }, next: page.next)
    }

    func tree(_ request: Tree) throws(LarderError) -> TreeAnswer {
        let (lines, complete) = try reader.tree(session: request.session)
        return TreeAnswer(
            complete: complete,
            lines: lines.map { line in
                TreeLine(
                    line: line.id, parent: line.parent, offset: line.offset, session: line.session, name: line.name,
                    end: line.end, chunks: line.totals.chunks, rawBytes: line.totals.rawBytes,
                    storedBytes: line.totals.storedBytes, changedSeconds: line.changedSeconds)
            })
    }

    func repair(_ request: Repair) throws(LarderError) -> RepairAnswer {
        let chunk = request.chunk
        let repaired = try store.repair(
            session: chunk.session, rank: chunk.rank, component: chunk.component, offset: chunk.offset, reader: reader)
        return RepairAnswer(
            removed: UInt32(repaired.removed), freedBytes: UInt64(repaired.freedBytes), reason: repaired.reason)
    }

    func stat(_ request: Stat) throws(LarderError) -> StatAnswer {
        StatAnswer(
            facts: services.facts.map { StatAnswer.Fact($0.name, $0.value) },
            counters: services.allCounters.map { Counter($0.name, $0.value) })
    }
}
