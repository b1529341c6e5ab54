import Foundation
import LarderModel

/// Manual pages in the man(7) macros, from ArgumentParser's own description of a program (`--experimental-dump-help`).
struct ManualPages {
    struct Page {
        /// Such as `larderctl-namespace-set`.
        let name: String
        /// The page's source.
        let text: String
    }

    /// The program's page, and one for each command below it.
    private(set) var pages: [Page] = []
    private let date: String

    init(dump: Data, date: String) throws {
        self.date = date
        try add(try JSONDecoder().decode(Dump.self, from: dump).command, above: [])
    }

    private mutating func add(_ command: Dump.Command, above: [String]) throws {
        guard command.shouldDisplay ?? true, command.commandName != "help" else { return }
        let path = above + [command.commandName]
        pages.append(Page(name: path.joined(separator: "-"), text: text(command, path)))
        for inner in command.subcommands ?? [] { try add(inner, above: path) }
    }

    // MARK: one page

    private func text(_ command: Dump.Command, _ path: [String]) -> String {
        let title = path.joined(separator: "-")
        let source = "Larder \(LarderVersion.number)"
        var page = #".TH "\#(title.uppercased())" 1 "\#(date)" "\#(source)" "Larder""# + "\n"
        page += ".SH NAME\n\(Roff.text(title)) \\- \(Roff.text(Self.phrase(command.abstract ?? title)))\n"
        page += ".SH SYNOPSIS\n\(synopsis(command, path))"
        if let discussion = command.discussion { page += ".SH DESCRIPTION\n\(Roff.paragraphs(discussion))" }
        let arguments = (command.arguments ?? []).filter { $0.shouldDisplay ?? true }
        page += list("ARGUMENTS", arguments.filter { $0.kind == "positional" })
        page += list("OPTIONS", arguments.filter { $0.kind != "positional" })
        let commands = (command.subcommands ?? []).filter { ($0.shouldDisplay ?? true) && $0.commandName != "help" }
        if !commands.isEmpty {
            page += ".SH COMMANDS\n"
            for inner in commands {
                page += ".TP\n.B \(Roff.text(inner.commandName))\n\(Roff.text(inner.abstract ?? ""))\n"
                page += "See \(Roff.reference((path + [inner.commandName]).joined(separator: "-"))).\n"
            }
        }
        if path.count > 1 {
            page +=
                ".SH EXIT STATUS\n0 done; 1 damage found, or not all could be done; 2 refused; 3 the daemon cannot be "
            page += "reached; 64 wrong arguments.\n"
        }
        page += ".SH ENVIRONMENT\n.TP\n.B LARDER_SOCKET\nThe daemon's data socket, where --socket does not say it.\n"
            .replacingOccurrences(of: "--socket", with: Roff.text("--socket"))
        page += ".TP\n.B NO_COLOR\nIf it is set and not empty, nothing is coloured.\n"
        page += ".SH SEE ALSO\n\(seeAlso(path))\n"
        return page
    }

    /// The abstract as the NAME section wants it: no full stop, a small letter.
    private static func phrase(_ abstract: String) -> String {
        var phrase = abstract
        if phrase.last == "." { phrase.removeLast() }
        return phrase.prefix(1).lowercased() + phrase.dropFirst()
    }

    private func synopsis(_ command: Dump.Command, _ path: [String]) -> String {
        var words = "\\fB\(path.map(Roff.text).joined(separator: " "))\\fR"
        for argument in command.arguments ?? [] where argument.shouldDisplay ?? true {
            guard argument.preferredName?.name != "help", argument.preferredName?.name != "version" else { continue }
            let word = argument.kind == "positional" ? Roff.value(argument.value) : argument.longest
            let isOptional = argument.isOptional ?? false
            words += " " + (isOptional ? "[\(word)]" : word) + (argument.isRepeating ?? false ? " ..." : "")
        }
        if !(command.subcommands ?? []).isEmpty { words += " " + Roff.value("command") + " ..." }
        return words + "\n"
    }

    private func list(_ title: String, _ arguments: [Dump.Argument]) -> String {
        if arguments.isEmpty { return "" }
        var text = ".SH \(title)\n"
        for argument in arguments {
            let name =
                argument.kind == "positional"
                ? Roff.value(argument.value) : argument.spellings.joined(separator: ", ")
            text += ".TP\n\(name)\n"
            var words = argument.abstract ?? ""
            if let initial = argument.defaultValue, !words.contains("Default:") {
                words += " Default: \(initial)."
            }
            text += (words.isEmpty ? "\\&" : Roff.text(words)) + "\n"
        }
        return text
    }

    private func seeAlso(_ path: [String]) -> String {
        let above = path.count > 1 ? [Roff.reference(path.dropLast().joined(separator: "-"))] : []
        return (above + [Roff.reference("larderd", section: 8)]).joined(separator: ",\n")
    }
}

/// What is special to troff.
private enum Roff {
    /// Text that is printed as it is.
    static func text(_ text: String) -> String {
        var line = text.replacingOccurrences(of: "\\", with: "\\e").replacingOccurrences(of: "-", with: "\\-")
        line = line.replacingOccurrences(of: "\n", with: " ")
        if let first = line.first, first == "." || first == "'" { line = "\\&" + line }
        return line
    }

    /// A value that the reader puts something in the place of.
    static func value(_ name: String) -> String { "\\fI\(text(name))\\fR" }

    /// A reference to another page.
    static func reference(_ name: String, section: Int = 1) -> String { "\\fB\(text(name))\\fR(\(section))" }

    /// Paragraphs, apart where the text has an empty line. One of several lines keeps them.
    static func paragraphs(_ text: String) -> String {
        let paragraphs = text.components(separatedBy: "\n\n").map { paragraph in
            let lines = paragraph.split(separator: "\n").map { self.text(String($0)) }
            return lines.count == 1 ? lines[0] : ".nf\n" + lines.joined(separator: "\n") + "\n.fi"
        }
        return paragraphs.joined(separator: "\n.PP\n") + "\n"
    }
}

/// The part of ArgumentParser's dump that pages are made of.
private struct Dump: Decodable {
    struct Command: Decodable {
        let commandName: String
        let shouldDisplay: Bool?
        let abstract: String?
        let discussion: String?
        let subcommands: [Command]?
        let arguments: [Argument]?
    }

    struct Argument: Decodable {
        struct Name: Decodable {
            let kind: String
            let name: String
        }

        let kind: String
        let shouldDisplay: Bool?
        let isOptional: Bool?
        let isRepeating: Bool?
        let names: [Name]?
        let preferredName: Name?
        let valueName: String?
        let defaultValue: String?
        let abstract: String?

        var value: String { valueName ?? preferredName?.name ?? "value" }

        /// Each way to write it, with its value.
        var spellings: [String] { (names ?? []).map(spelling) }

        /// The preferred way to write it.
        var longest: String { preferredName.map(spelling) ?? spellings.last ?? "" }

        private func spelling(_ name: Name) -> String {
            let word = "\\fB" + Roff.text((name.kind == "long" ? "--" : "-") + name.name) + "\\fR"
            return kind == "option" ? word + " " + Roff.value(value) : word
        }
    }

    let command: Command
}
