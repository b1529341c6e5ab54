import LarderModel
import LarderStore
import LarderSystem
import TOMLKit

/// A configuration and where each of its values came from.
public struct LoadedConfiguration: Sendable {
    /// The values in force.
    public let configuration: Configuration
    /// For each key, the flag, variable, file or default that it came from.
    public let origins: [String: String]

    /// The default path of the configuration file; a missing file there is no error.
    public static let defaultPath = "/etc/larder/larder.toml"

    /// Most bytes of a configuration file.
    static let fileBytes = 1 << 20

    /// Puts the layers together: flags over environment over file over defaults.
    ///
    /// - Parameters:
    ///   - flags: values given on the command line, by key.
    ///   - path: the file that was asked for; nil for the default one if it exists.
    ///   - environment: looks a variable up.
    /// - Throws: ``LarderError`` with `invalidArgument`, naming the layer, the key and what would be right.
    public init(
        flags: [String: String], path: String?, environment: (String) -> String? = Process.environment
    ) throws(LarderError) {
        let file = try Self.read(path)
        for key in file.values.keys where !Setting.all.contains(where: { $0.key == key }) {
            throw LarderError(
                .invalidArgument,
                "\(file.path): there is no setting '\(key.clipped)'; larderd --check-config lists them")
        }
        var configuration = Configuration()
        var origins: [String: String] = [:]
        for setting in Setting.all {
            let candidates: [(text: String?, origin: String)] = [
                (flags[setting.key], "flag --\(setting.key.replacing("_", with: "-"))"),
                (environment(setting.variable), "environment \(setting.variable)"),
                (file.values[setting.key], "file \(file.path)"),
            ]
            guard let chosen = candidates.first(where: { $0.text != nil }), let text = chosen.text else {
                origins[setting.key] = "default"
                continue
            }
            do { try setting.read(&configuration, text) } catch {
                throw LarderError(error.code, "\(chosen.origin): \(setting.key): \(error.message)")
            }
            origins[setting.key] = chosen.origin
        }
        configuration.access = file.access
        try configuration.store.validate()
        try configuration.admin.validate()
        self.configuration = configuration
        self.origins = origins
    }

    /// What a file says.
    private struct File {
        let path: String
        var values: [String: String] = [:]
        var access = AccessTable()
    }

    /// Throws for a table's head without a name, and for a byte 0. The parser of TOML ends the process at some heads
    /// that are none (`[[)`); of a text with a byte 0 it sees the beginning alone.
    private static func requireSound(_ text: String, _ path: String) throws(LarderError) {
        // 0 within a line, 1 at its start, 2 behind the bracket of a head.
        var place = 1
        for scalar in text.unicodeScalars {
            if scalar == "\0" { throw LarderError(.invalidArgument, "\(path) has a byte 0; remove it") }
            let isName =
                scalar.isASCII && scalar.properties.isAlphabetic || "0123456789-_\"'".unicodeScalars.contains(scalar)
            if place == 2, scalar != "[", scalar != " ", scalar != "\t" {
                guard isName else {
                    throw LarderError(
                        .invalidArgument, "\(path): a line begins with '[' and no name of a table follows")
                }
                place = 0
            } else if ["\n", "\r", "\u{B}", "\u{C}"].contains(scalar) {
                place = 1
            } else if place == 1, scalar == "[" {
                place = 2
            } else if place == 1, scalar != "\u{FEFF}", !scalar.properties.isWhitespace {
                place = 0
            }
        }
    }

    private static func read(_ requested: String?) throws(LarderError) -> File {
        let path = requested ?? defaultPath
        if requested == nil && !FileSystem.exists(path) { return File(path: path) }
        do throws(FileSystem.Distrust) { try FileSystem.requireTrust(path) } catch {
            throw LarderError(.invalidArgument, "the configuration cannot be trusted: \(error)")
        }
        let bytes: [UInt8]
        do { bytes = try FileSystem.read(path, limit: fileBytes) } catch {
            throw LarderError(.invalidArgument, "the configuration cannot be read: \(error)")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw LarderError(.invalidArgument, "\(path) is not UTF-8")
        }
        try requireSound(text, path)
        do {
            let table = try TOMLTable(string: text)
            var file = File(path: path)
            for (key, value) in table {
                if key == AccessSection.key {
                    file.access = try AccessSection(path: path, text: text).read(value)
                    continue
                }
                switch value.type {
                case .string: file.values[key] = value.string
                case .int: file.values[key] = value.int.map { String($0) }
                case .double: file.values[key] = value.double.map { String($0) }
                default: throw LarderError(.invalidArgument, "\(path): \(key) is neither a string nor a number")
                }
            }
            return file
        } catch let error as LarderError {
            throw error
        } catch let error as TOMLParseError {
            throw LarderError(.invalidArgument, "\(path), line \(error.source.begin.line): \(error.description)")
        } catch {
            throw LarderError(.invalidArgument, "\(path): \(error)")
        }
    }
}
