import LarderModel
import LarderWire
import Testing

@Suite struct FrameHeaderTests {
    @Test func bytesAreThoseOfTheDocument() {
        var header = FrameHeader(bodyBytes: 0x0403_0201, type: 0x0605, requestID: 0x100F_0E0D_0C0B_0A09)
        header.flags = 0x0807
        var writer = ByteWriter()
        header.write(to: &writer)
        #expect(writer.bytes == Array(1...16))
        #expect(writer.bytes.count == FrameHeader.byteCount)
    }

    @Test(arguments: [UInt64(0), 1, .max], [UInt16(0), 0x000E, 0x8004, 0xFFFF])
    func roundTrip(requestID: UInt64, type: UInt16) {
        for bodyBytes in [UInt32(0), 1, UInt32(Limits.frameBytes), .max] {
            for flags in [UInt16(0), 1, .max] {
                var header = FrameHeader(bodyBytes: bodyBytes, type: type, requestID: requestID)
                header.flags = flags
                var writer = ByteWriter()
                header.write(to: &writer)
                #expect(writer.bytes.withUnsafeBytes { FrameHeader($0) } == header)
            }
        }
    }

    @Test func readsAtAnyAlignment() {
        var writer = ByteWriter()
        writer.write(UInt8(0xAA))
        let header = FrameHeader(bodyBytes: 5, type: 4, requestID: 3)
        header.write(to: &writer)
        #expect(writer.bytes.withUnsafeBytes { FrameHeader(UnsafeRawBufferPointer(rebasing: $0[1...])) } == header)
    }

    @Test func payloadBytesCountInTheBody() {
        let item = PutItem(
            name: ChunkName(session: 1, component: 0, offset: 0), tokens: 1, payload: Payload(byteCount: 100))
        let frame = Put(acknowledgement: .accepted, encoding: .raw, items: [item]).frame(
            requestID: 9, payloadBytes: 100)
        let header = frame.withUnsafeBytes { FrameHeader($0) }
        #expect(Int(header.bodyBytes) == frame.count - FrameHeader.byteCount + 100)
        #expect(header.type == MessageType.put.rawValue && header.requestID == 9)
    }

    @Test func textsThatAreTooLongAreCutAtACharacter() throws {
        var writer = ByteWriter()
        writer.write(String(repeating: "漢", count: 21_845) + "é")  // 65 535 bytes, and two more.
        #expect(writer.bytes.count == 2 + 65_535)
        let text = try writer.bytes.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            return try reader.readString("text")
        }
        #expect(text == String(repeating: "漢", count: 21_845))
    }
}
