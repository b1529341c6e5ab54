import LarderModel
import LarderWire

// Messages from the field values of a vector, by the names that Docs/PROTOCOL.md gives the fields.

extension ChunkName {
    init(_ fields: Fields) throws {
        self.init(
            session: try fields["session"].number(), rank: try fields["rank"].number(),
            component: try fields["component"].number(), offset: try fields["offset"].number())
    }
}

extension Component {
    init(_ fields: Fields) throws {
        self.init(
            name: try fields["name"].text(), kind: try fields["kind"].named(),
            elementType: try fields["element_type"].named(), layers: try fields["layers"].number(),
            planes: try fields["planes"].number(), rowBytes: try fields["row_bytes"].number(),
            window: try fields["window"].number())
    }
}

extension ModelDeclaration {
    init(_ fields: Fields) throws {
        self.init(
            name: try fields["name"].text(), revision: try fields["revision"].text(),
            weights: try fields["weights"].text(),
            pageTokens: try fields["page_tokens"].number(), groupSize: try fields["group_size"].number(),
            rank: try fields["rank"].number(), components: try fields["components"].list(Component.init))
    }
}

extension ChunkSummary {
    init(_ fields: Fields) throws {
        self.init(
            name: try ChunkName(fields["chunk"]), tokens: try fields["tokens"].number(),
            rawBytes: try fields["raw_bytes"].number(), storedBytes: try fields["stored_bytes"].number(),
            encoding: try fields["encoding"].named(), createdSeconds: try fields["created_seconds"].number())
    }
}

extension SessionSummary {
    init(_ fields: Fields) throws {
        self.init(
            session: try fields["session"].number(), namespace: try fields["namespace"].text(),
            name: try fields["name"].text(), ownerUserID: try fields["owner_user_id"].number(),
            models: try fields["models"].list {
                SessionModel(rank: try $0["rank"].number(), modelID: try $0["model_id"].number())
            },
            chunks: try fields["chunks"].number(), rawBytes: try fields["raw_bytes"].number(),
            storedBytes: try fields["stored_bytes"].number(), createdSeconds: try fields["created_seconds"].number(),
            changedSeconds: try fields["changed_seconds"].number(), ttlSeconds: try fields["ttl_seconds"].number())
    }
}

extension NamespaceChange {
    init(_ fields: Fields) throws {
        func value<Value>(_ name: String, _ read: (Fields) throws -> Value) throws -> Value? {
            let field = try fields[name]
            return field.isNull ? nil : try read(field)
        }
        self.init()
        sharing = try value("sharing") { try $0.named() }
        salt = try value("salt") { hexadecimal(try $0.text()) }
        ttlSeconds = try value("ttl_seconds") { try $0.number() }
        minBytes = try value("min_bytes") { try $0.number() }
        maxBytes = try value("max_bytes") { try $0.number() }
        maxSessions = try value("max_sessions") { try $0.number() }
        admission = try value("admission") { try $0.named() }
    }
}

extension PolicySummary {
    init(_ fields: Fields) throws {
        var policy = NamespacePolicy()
        policy.sharing = try fields["sharing"].named()
        policy.salt = try fields["has_salt"].flag() ? [1] : []
        policy.ttlSeconds = try fields["ttl_seconds"].number()
        policy.minBytes = try fields["min_bytes"].number()
        policy.maxBytes = try fields["max_bytes"].number()
        policy.maxSessions = try fields["max_sessions"].number()
        policy.admission = try fields["admission"].named()
        self.init(policy)
    }
}

extension NamespaceSummary {
    init(_ fields: Fields) throws {
        self.init(
            namespaceID: try fields["namespace_id"].number(), name: try fields["name"].text(),
            ownerUserID: try fields["owner_user_id"].number(), sessions: try fields["sessions"].number(),
            policy: try PolicySummary(fields["policy"]))
    }
}

extension ItemStatus {
    init(_ error: Fields) throws {
        self.init(error.isNull ? nil : LarderError(try error["code"].named(), try error["message"].text()))
    }
}

extension ArenaRegion {
    init(_ fields: Fields) throws {
        self.init(arena: try fields["arena"].number(), offset: try fields["arena_offset"].number())
    }
}

extension Payload {
    init(_ fields: Fields) throws {
        let byteCount: UInt64 = try fields["payload_bytes"].number()
        switch try fields["payload_place"].number(UInt8.self) {
        case 0: self.init(byteCount: byteCount)
        case 1: self.init(byteCount: byteCount, region: try ArenaRegion(fields))
        default: throw Fields.FieldError(what: "payload_place is neither 0 nor 1")
        }
    }
}

extension GetIntoItem {
    init(_ fields: Fields) throws {
        self.init(
            item: try GetItem(fields), region: try ArenaRegion(fields), byteCount: try fields["region_bytes"].number())
    }
}

extension PutItem {
    init(_ fields: Fields) throws {
        self.init(
            name: try ChunkName(fields["chunk"]), tokens: try fields["tokens"].number(), payload: try Payload(fields),
            naming: try Naming(fields))
    }
}

extension PutItem.Naming {
    init(_ fields: Fields) throws {
        guard try !fields["prefix_key"].isNull else {
            self = .none
            return
        }
        let key = try PrefixKey(hexadecimal: fields["prefix_key"].text())
        self = try fields["known"].flag() ? .known(key) : .key(key)
    }
}

extension PrefixKey {
    init(hexadecimal text: String) throws {
        guard let key = PrefixKey(LarderWireTests.hexadecimal(text)) else {
            throw Fields.FieldError(what: "a key of another length than 32")
        }
        self = key
    }
}

extension GetItem {
    init(_ fields: Fields) throws {
        self.init(
            name: try ChunkName(fields["chunk"]), firstLayer: try fields["first_layer"].number(),
            layers: try fields["layers"].number())
    }
}

extension Put {
    init(_ fields: Fields) throws {
        self.init(
            acknowledgement: try fields["acknowledgement"].named(), encoding: try fields["encoding"].named(),
            items: try fields["items"].list(PutItem.init))
    }
}

extension Welcome {
    init(_ fields: Fields) throws {
        let digits = try fields["store_id"].text()
        guard digits.count == 32, let high = UInt64(digits.prefix(16), radix: 16),
            let low = UInt64(digits.suffix(16), radix: 16)
        else { throw Fields.FieldError(what: "store_id '\(digits)' has not 32 hexadecimal digits") }
        self.init(
            version: try fields["version"].number(), features: try fields["features"].number(),
            frameBytes: try fields["frame_bytes"].number(), batchItems: try fields["batch_items"].number(),
            requestsInFlight: try fields["requests_in_flight"].number(), storeID: StoreID(high: high, low: low),
            serverName: try fields["server_name"].text())
    }
}

extension ResumeAnswer {
    init(_ fields: Fields) throws {
        self.init(
            offset: try fields["offset"].number(),
            reaches: try fields["reaches"].list {
                ComponentReach(
                    rank: try $0["rank"].number(), component: try $0["component"].number(),
                    offset: try $0["offset"].number())
            },
            chunks: try fields["chunks"].list(ChunkSummary.init), complete: try fields["complete"].flag(),
            rawBytes: try fields["raw_bytes"].number(), loadMicroseconds: try fields["load_us"].number(),
            cheapestOffset: try fields["cheapest_offset"].number(),
            prefillRate: try fields["prefill_rate"].number())
    }
}

extension ExplainAnswer {
    init(_ fields: Fields) throws {
        self.init(
            at: try fields["at"].number(), end: try fields["end"].number(), offset: try fields["offset"].number(),
            missingRanks: try fields["missing_ranks"].list { try $0.number() },
            modelDifference: try fields["model_difference"].text(),
            tracks: try fields["tracks"].list {
                TrackExplanation(
                    rank: try $0["rank"].number(), component: try $0["component"].number(),
                    reach: try $0["reach"].number(), cause: try $0["cause"].named(),
                    missingFrom: try $0["missing_from"].number(), missingTo: try $0["missing_to"].number(),
                    rule: try $0["rule"].isNull ? nil : try $0["rule"].named(),
                    evictedSeconds: try $0["evicted_seconds"].number())
            })
    }
}

extension ReportRow {
    init(_ fields: Fields) throws {
        self.init(namespace: try fields["namespace"].text(), modelID: try fields["model_id"].number())
        storedTokens = try fields["stored_tokens"].number()
        restoredTokens = try fields["restored_tokens"].number()
        notRecomputedTokens = try fields["not_recomputed_tokens"].number()
        pageOutRawBytes = try fields["page_out_raw_bytes"].number()
        pageOutStoredBytes = try fields["page_out_stored_bytes"].number()
        pageInRawBytes = try fields["page_in_raw_bytes"].number()
        pageInStoredBytes = try fields["page_in_stored_bytes"].number()
        prefillRate = try fields["prefill_rate"].number()
        rateOrigin = try fields["rate_origin"].named()
        prefillAvoidedMilliseconds = try fields["prefill_avoided_ms"].number()
    }
}

extension ReportAnswer {
    init(_ fields: Fields) throws {
        self.init(
            from: try fields["from"].number(), to: try fields["to"].number(),
            gpuHourPriceMicros: try fields["gpu_hour_price"].number(), next: try fields["next"].number(),
            rows: try fields["rows"].list(ReportRow.init))
    }
}

extension ModelList {
    init(_ fields: Fields) throws {
        self.init(
            models: try fields["models"].list {
                ModelSummary(
                    modelID: try $0["model_id"].number(), fingerprint: hexadecimal(try $0["fingerprint"].text()),
                    declaration: try ModelDeclaration($0["declaration"]))
            })
    }
}

extension VerifyAnswer {
    init(_ fields: Fields) throws {
        let next = try fields["next"]
        self.init(
            checked: try fields["checked"].number(), rawBytes: try fields["raw_bytes"].number(),
            damaged: try fields["damaged"].list {
                DamagedChunk(name: try ChunkName($0["chunk"]), reason: try $0["reason"].text())
            },
            next: next.isNull ? nil : try ChunkName(next))
    }
}

extension TreeAnswer {
    init(_ fields: Fields) throws {
        self.init(
            complete: try fields["complete"].flag(),
            lines: try fields["lines"].list { line in
                TreeLine(
                    line: try line["line"].number(), parent: try line["parent"].number(),
                    offset: try line["offset"].number(), session: try line["session"].number(),
                    name: try line["name"].text(), end: try line["end"].number(), chunks: try line["chunks"].number(),
                    rawBytes: try line["raw_bytes"].number(), storedBytes: try line["stored_bytes"].number(),
                    changedSeconds: try line["changed_seconds"].number())
            })
    }
}

extension StatAnswer {
    init(_ fields: Fields) throws {
        self.init(
            facts: try fields["facts"].list { Fact(try $0["name"].text(), try $0["value"].text()) },
            counters: try fields["counters"].list { Counter(try $0["name"].text(), try $0["value"].number()) })
    }
}

extension Hint {
    init(_ fields: Fields) throws {
        self.init(
            try fields["hint"].named(), try HintTarget(fields), priority: try fields["priority"].number(),
            seconds: try fields["seconds"].number())
    }
}

extension HintTarget {
    init(_ fields: Fields) throws {
        func keys() throws -> [PrefixKey] { try fields["keys"].list { try PrefixKey(hexadecimal: $0.text()) } }
        switch try fields["target"].number(UInt8.self) {
        case 0:
            self = .session(
                try fields["session"].number(), from: try fields["from"].number(), to: try fields["to"].number())
        case 1:
            self = .keys(
                namespace: try fields["namespace"].text(), modelID: try fields["model_id"].number(),
                component: try fields["component"].number(), keys: try keys())
        case 2:
            self = .track(
                try fields["session"].number(), from: try fields["from"].number(), to: try fields["to"].number(),
                rank: try fields["rank"].number(), component: try fields["component"].number(), keys: try keys())
        default: throw Fields.FieldError(what: "target is not 0, 1 or 2")
        }
    }
}

extension HintResult {
    init(_ fields: Fields) throws {
        self.init(
            try fields["outcome"].named(), try fields["bound"].named(), from: try fields["from"].number(),
            to: try fields["to"].number(), seconds: try fields["seconds"].number(),
            reason: try fields["reason"].text())
    }
}

extension Refusal {
    init(_ fields: Fields) throws {
        let item = try fields["item"]
        self.init(
            LarderError(try fields["code"].named(), try fields["message"].text()),
            item: item.isNull ? nil : try item.number())
    }
}
