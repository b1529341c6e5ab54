import LarderModel

extension Setting {
    /// What the admin side is set by.
    static let admin: [Setting] = [
        Setting(
            key: "admin_socket", summary: "path of the admin socket; off for none; admin.sock beside the data socket",
            text: { $0.adminSocketPath ?? "off" }
        ) { configuration, text throws(LarderError) in
            configuration.admin.socket = try path(text)
        },
        Setting(
            key: "admin_socket_mode", summary: "mode of the admin socket, octal",
            text: { "0" + String($0.admin.socketMode, radix: 8) }
        ) { configuration, text throws(LarderError) in
            configuration.admin.socketMode = try mode(text)
        },
        Setting(
            key: "admin_socket_group", summary: "group whose members may use it; empty for the daemon's own",
            text: { $0.admin.socketGroup }
        ) { configuration, text throws(LarderError) in
            configuration.admin.socketGroup = text
        },
        Setting(
            key: "admin_listen", summary: "loopback address to serve HTTP at, such as 127.0.0.1:9465; empty for none",
            text: { $0.admin.listen?.text ?? "" }
        ) { configuration, text throws(LarderError) in
            configuration.admin.listen = text.isEmpty ? nil : try AdminConfiguration.Listen(text)
        },
        Setting(
            key: "admin_token_file", summary: "file of mode 0600 with the token that TCP clients send",
            text: { $0.admin.tokenFile }
        ) { configuration, text throws(LarderError) in
            configuration.admin.tokenFile = text
        },
    ]
}
