import HTTPTypes
import LarderModel
import NIOCore
import NIOHTTPTypes

/// Closes a connection that takes too long: to send a request's head, whatever it trickles; to send the body; to take the
/// answer; to ask again. A stream of events may last, as long as its reader reads.
final class DeadlineHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private var deadline: Scheduled<Void>?
    private var stall: Scheduled<Void>?

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { arm(context, seconds: Limits.adminReceiveSeconds) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { disarm() }

    func channelActive(context: ChannelHandlerContext) {
        arm(context, seconds: Limits.adminReceiveSeconds)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        disarm()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head: arm(context, seconds: Limits.adminReceiveSeconds)
        case .body: break
        case .end: arm(context, seconds: Limits.adminAnswerSeconds)
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(let head) where head.headerFields[.contentType] == Self.events:
            deadline?.cancel()
            deadline = nil
        case .head, .body: break
        case .end: arm(context, seconds: Limits.adminIdleSeconds)
        }
        context.write(data, promise: promise)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        stall?.cancel()
        stall = context.channel.isWritable ? nil : closing(context, seconds: Limits.adminReceiveSeconds)
        context.fireChannelWritabilityChanged()
    }

    /// The content type of a stream of events.
    static let events = "text/event-stream"

    private func arm(_ context: ChannelHandlerContext, seconds: Int) {
        deadline?.cancel()
        deadline = closing(context, seconds: seconds)
    }

    private func closing(_ context: ChannelHandlerContext, seconds: Int) -> Scheduled<Void> {
        let channel = context.channel
        return context.eventLoop.scheduleTask(in: .seconds(Int64(seconds))) { channel.close(promise: nil) }
    }

    private func disarm() {
        deadline?.cancel()
        stall?.cancel()
        deadline = nil
        stall = nil
    }
}
