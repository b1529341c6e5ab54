import LarderModel
import LarderPolicy
import Testing

@Suite struct RequestTraceTests {
    private func trace(_ text: String) throws -> RequestTrace { try RequestTrace(Array(text.utf8), name: "some.jsonl") }

    @Test func readsWhatItWrites() throws {
        let requests = [
            RequestTrace.Request(timestamp: 0, length: 1_025, outputLength: 7, blocks: [0, 1, .max]),
            RequestTrace.Request(timestamp: 27_482, length: 512, outputLength: 0, blocks: [0]),
        ]
        #expect(
            requests[1].line
                == #"{"timestamp": 27482, "input_length": 512, "output_length": 0, "hash_ids": [0]}"#)
        let read = try trace(requests.map { $0.line + "\n" }.joined())
        #expect(read.requests == requests && read.uniqueBlocks == 3)
        #expect(requests[0].tokens(blocks: 2) == 1_024 && requests[0].tokens(blocks: 3) == 1_025)
        #expect(requests[0].block(endingAt: 512) == 0 && requests[0].block(endingAt: 513) == 1)
    }

    @Test func timestampAndOutputMayLack() throws {
        let read = try trace(#"{"input_length": 3, "hash_ids": [9]}"#)
        #expect(read.requests == [RequestTrace.Request(timestamp: 0, length: 3, outputLength: 0, blocks: [9])])
    }

    @Test(arguments: [
        ("", "some.jsonl: no requests"),
        ("\n\n", "some.jsonl: no requests"),
        ("{", "some.jsonl:1: not a JSON object with whole numbers input_length and hash_ids"),
        ("[]", "some.jsonl:1: the line has the wrong type"),
        ("\u{0}\u{1}", "some.jsonl:1: not a JSON object with whole numbers input_length and hash_ids"),
        (#"{"input_length": 3}"#, "some.jsonl:1: the object has no hash_ids"),
        (#"{"hash_ids": [1]}"#, "some.jsonl:1: the object has no input_length"),
        (#"{"input_length": "3", "hash_ids": [1]}"#, "some.jsonl:1: input_length has the wrong type"),
        (
            #"{"input_length": -3, "hash_ids": [1]}"#,
            "some.jsonl:1: not a JSON object with whole numbers input_length and hash_ids"
        ),
        (#"{"input_length": 0, "hash_ids": []}"#, "some.jsonl:1: 0 hash_ids where 0 tokens have 0 blocks"),
        (#"{"input_length": 513, "hash_ids": [1]}"#, "some.jsonl:1: 1 hash_ids where 513 tokens have 2 blocks"),
        (
            #"{"input_length": 18446744073709551615, "hash_ids": [1]}"#,
            "some.jsonl:1: 1 hash_ids where 18446744073709551615 tokens have 36028797018963968 blocks"
        ),
        (
            #"{"input_length": 600, "hash_ids": [1, 1]}"#,
            "some.jsonl:1: hash id 1 follows another prefix than before, but equal ids mean equal prefixes"
        ),
        (
            """
            {"input_length": 600, "hash_ids": [1, 2]}
            {"input_length": 600, "hash_ids": [3, 2]}
            """, "some.jsonl:2: hash id 2 follows another prefix than before, but equal ids mean equal prefixes"
        ),
    ])
    func refuses(text: String, message: String) {
        let error = #expect(throws: LarderError.self) { try trace(text) }
        #expect(error == LarderError(.invalidArgument, message))
    }
}
