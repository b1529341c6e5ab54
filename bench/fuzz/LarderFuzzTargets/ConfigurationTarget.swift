import LarderModel
import LarderServer
import LarderSystem

extension FuzzTarget {
    /// A configuration file. It is refused in a sentence of bounded length, or it is read; and then what it says, given
    /// as flags, is read as the same.
    static let configuration = FuzzTarget("config", inputBytes: 16 << 10) { input in
        let path = directory.path + "/larder.toml"
        let empty = directory.path + "/empty.toml"
        try FileSystem.write(Array(input), to: path)
        try FileSystem.write([], to: empty)
        let first: Configuration
        do throws(LarderError) {
            first = try LoadedConfiguration(flags: [:], path: path) { _ in nil }.configuration
        } catch {
            try require(error.code == .invalidArgument, "refused with \(error.code)")
            let bytes = error.message.utf8.count
            return try require((1...messageBytes).contains(bytes), "refused in \(bytes) bytes: \(error.message)")
        }
        let flags = Dictionary(uniqueKeysWithValues: Setting.all.map { ($0.key, $0.text(first)) })
        let second: Configuration
        do throws(LarderError) {
            second = try LoadedConfiguration(flags: flags, path: empty) { _ in nil }.configuration
        } catch { throw FuzzFinding("what it says of itself is refused: \(error.message)") }
        for setting in Setting.all {
            try require(
                setting.text(second) == flags[setting.key],
                "\(setting.key) is \(setting.text(second)) as a flag, \(flags[setting.key] ?? "") in the file")
        }
    }

    private static let directory = ScratchDirectory()
    /// A sentence names the path, the key, and at most a part of what was wrong there.
    private static let messageBytes = 2_048
}
