import Foundation
import LarderModel
import LarderTestSupport
import LarderWire
import Testing

/// The frame sequences of Docs/vectors/protocol.json against a live daemon: the code that each is refused with, and
/// whether the connection goes on.
@Suite struct ConnectionVectorTests {
    private struct File: Decodable {
        let connections: [Vector]
    }

    private struct Vector: Decodable {
        let name: String
        let frames: [String]
        let code: String
        let ends: Bool
    }

    @Test func answersAsDocumented() throws {
        let data = try Data(contentsOf: URL(filePath: Repository.root + "/Docs/vectors/protocol.json"))
        let vectors = try JSONDecoder().decode(File.self, from: data).connections
        #expect(vectors.count > 70)
        let daemon = try TestDaemon.started()
        for vector in vectors {
            let peer = try Peer(daemon, greet: false)
            var code: ErrorCode?
            for frame in vector.frames {
                try peer.send(bytes(frame))
                guard let answer = try peer.receive() else { break }
                code =
                    answer.header.type == FrameHeader.errorType
                    ? try answer.body.withUnsafeBytes { try Refusal(body: $0).error.code } : nil
            }
            #expect(code?.name == vector.code, "\(vector.name)")
            if vector.ends {
                #expect(((try? peer.receive()) ?? nil) == nil, "\(vector.name): the connection goes on")
            } else {
                try peer.send(Stat().frame(requestID: 99))
                #expect(try peer.receive()?.header.requestID == 99, "\(vector.name): the connection ended")
            }
        }
        #expect(daemon.isRunning)
    }

    private func bytes(_ hexadecimal: String) -> [UInt8] {
        let digits = Array(hexadecimal.utf8)
        return stride(from: 0, to: digits.count, by: 2).map {
            UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)!
        }
    }
}
