import LarderModel
import LarderStore
import LarderSystem
import TOMLKit

/// The `[[access]]` tables of a configuration file. Names of users and groups are looked up once, at the start.
struct AccessSection {
    static let key = "access"

    let path: String
    /// The whole file, to say in which line a fault is: the parser does not.
    let text: String

    /// The rules. Throws `invalidArgument`, naming the line and what would be right.
    func read(_ value: any TOMLValueConvertible) throws(LarderError) -> AccessTable {
        guard let entries = value.array else {
            throw fault(0, nil, "access is no list of tables; write [[access]] above each")
        }
        guard entries.count <= Limits.accessRules else {
            throw fault(0, nil, "\(entries.count) access tables are above the limit of \(Limits.accessRules)")
        }
        var rules: [AccessTable.Rule] = []
        for (index, entry) in entries.enumerated() {
            guard let table = entry.table else {
                throw fault(index, nil, "an entry of access is no table; write [[access]] above each")
            }
            rules.append(try rule(table, index))
        }
        return AccessTable(rules)
    }

    private func rule(_ table: TOMLTable, _ index: Int) throws(LarderError) -> AccessTable.Rule {
        let known = ["namespace", "users", "groups", "rights"]
        if let other = table.keys.first(where: { !known.contains($0) }) {
            throw fault(
                index, other, "an access table has no key '\(other.clipped)'; it has \(known.joined(separator: ", "))")
        }
        guard let namespace = table["namespace"]?.string, isPattern(namespace) else {
            throw fault(index, "namespace", "namespace is to be a name, or the start of names and one * at its end")
        }
        guard let word = table["rights"]?.string, let rights = AccessRights(rawValue: word), rights != .none else {
            throw fault(index, "rights", "rights is to be \"read\" or \"write\"")
        }
        let users = try numbers(table, "users", index, "getent passwd") { name throws(SystemError) in
            try Users.userID(named: name)
        }
        let groups = try numbers(table, "groups", index, "getent group") { name throws(SystemError) in
            try Users.groupID(named: name)
        }
        guard !users.isEmpty || !groups.isEmpty else {
            throw fault(index, nil, "an access table names neither users nor groups; give it one of them")
        }
        return AccessTable.Rule(namespace: namespace, users: users, groups: groups, rights: rights)
    }

    private func isPattern(_ text: String) -> Bool {
        let start = text.utf8.last == UInt8(ascii: "*") ? String(text.dropLast()) : text
        if start.contains("*") { return false }
        return (start.isEmpty && text == "*") || (try? Names.validate(start, what: "namespace")) != nil
    }

    /// The numbers of a list of names and numbers.
    private func numbers(
        _ table: TOMLTable, _ key: String, _ index: Int, _ list: String,
        _ lookUp: (String) throws(SystemError) -> UInt32
    ) throws(LarderError) -> Set<UInt32> {
        guard let value = table[key] else { return [] }
        guard let names = value.array, names.count <= Limits.accessNames else {
            throw fault(index, key, "\(key) is to be a list of at most \(Limits.accessNames) names and numbers")
        }
        var found: Set<UInt32> = []
        for name in names {
            if let number = name.int {
                // The largest number is the kernel's word for none.
                guard let id = UInt32(exactly: number), id < .max else {
                    throw fault(index, "\(number)", "\(key): \(number) is no id; give one from 0 to \(UInt32.max - 1)")
                }
                found.insert(id)
            } else if let name = name.string {
                do throws(SystemError) { found.insert(try lookUp(name)) } catch {
                    throw fault(
                        index, name,
                        "\(key): the system knows no '\(name.clipped)'; \(list) lists those that it knows, or give the number"
                    )
                }
            } else {
                throw fault(index, key, "\(key) is to be a list of names and numbers")
            }
        }
        return found
    }

    /// A fault in the table of that index, at the first line in it that holds `word`.
    private func fault(_ index: Int, _ word: String?, _ message: String) -> LarderError {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let heads = lines.indices.filter {
            let line = lines[$0].filter { $0 != " " && $0 != "\t" }
            return line.hasPrefix("[[access]]") || line.hasPrefix("access=")
        }
        // Written in one line, all tables are in it.
        guard let first = index < heads.count ? heads[index] : heads.last else {
            return LarderError(.invalidArgument, "\(path): \(message)")
        }
        let end =
            lines[(first + 1)...].firstIndex { $0.drop { $0 == " " || $0 == "\t" }.hasPrefix("[") } ?? lines.endIndex
        let place = word.flatMap { word in lines[first..<end].firstIndex { $0.contains(word) } } ?? first
        return LarderError(.invalidArgument, "\(path), line \(place + 1): \(message)")
    }
}
