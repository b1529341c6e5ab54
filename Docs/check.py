#!/usr/bin/env python3
"""Holds the documents against the repository and the programs: python3 Docs/check.py [FOLDER OF THE PROGRAMS]

Every link and anchor of every Markdown file leads somewhere, every path of the repository that a text names exists,
every `make TARGET` is in the Makefile. With the programs (of .build/release if no folder is named): every command and
flag that a text or a code block shows is in the program's own help, OPERATIONS.md names every command of larderctl, and
every setting of larderd with its default. Prints what is wrong, and exits with 1 if anything is.
"""

import functools
import glob
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATH = re.compile(r"(?<![\w/.-])(?:Docs|Sources|Tests|Clients|bench|\.ci)/[\w+./*-]*[\w*]")
COMMAND = re.compile(r"^(?:\$ )?(?:\.build/release/)?(larderctl|larder-bench|larderd)((?: .*)?)$")
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
# Defaults that a table says in words.
SAID = {"none": "", "the daemon's own": "", "admin.sock beside the data socket": "/run/larder/admin.sock"}

wrong = []


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def documents():
    return sorted(glob.glob("**/*.md", root_dir=ROOT, recursive=True))


@functools.cache
def anchors(path):
    """The anchors that a Markdown file's headings make."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", read(path), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_links(path, text):
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        found = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
        if not os.path.exists(os.path.join(ROOT, found)):
            wrong.append(f"{path}: the link {target} leads nowhere")
        elif anchor and anchor not in anchors(found):
            wrong.append(f"{path}: {found} has no heading for #{anchor}")


def check_paths(path, text):
    for name in set(PATH.findall(text)):
        if "*" not in name and not os.path.exists(os.path.join(ROOT, name)):
            wrong.append(f"{path}: there is no {name}")
    targets = set(re.findall(r"^([a-z-]+)%?:", read("Makefile"), re.M))
    for target in set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.M)):
        if not any(target == one or one.endswith("-") and target.startswith(one) for one in targets):
            wrong.append(f"{path}: the Makefile has no target {target}")


def shown(text):
    """The commands that a text shows: in code spans, and in the lines of its code blocks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    for line in spans + [line for block in blocks for line in block.splitlines()]:
        if match := COMMAND.match(line.split("  ")[0].strip()):
            yield match[1], match[2].split()


@functools.cache
def help_of(program, *command):
    asked = ["help", *command] if command else ["--help"]
    answer = subprocess.run([program, *asked], capture_output=True, text=True)
    return answer.stdout if answer.returncode == 0 else ""


class Programs:
    def __init__(self, folder):
        self.folder = folder

    def help(self, program, *command):
        return help_of(os.path.join(self.folder, program), *command)

    def commands(self, program):
        return set(re.findall(r"^  ([a-z][a-z-]+)(?: |$)", self.help(program), re.M)) | {"help"}

    def check_shown(self, path, text):
        for program, words in shown(text):
            command = []
            if program != "larderd" and words and not words[0].startswith("-"):
                if words[0] not in self.commands(program):
                    wrong.append(f"{path}: {program} has no command {words[0]}")
                    continue
                command = [words[0]]
                if words[0] == "namespace" and len(words) > 1:
                    command.append(words[1])
            help = self.help(program, *command) if command != ["help"] else self.help(program)
            for word in words:
                flag = re.match(r"\[?(--?[a-z][a-z-]*)", word)
                if flag and not re.search(rf"(?<![\w-]){flag[1]}(?![\w-])", help):
                    wrong.append(f"{path}: {' '.join([program, *command])} has no {flag[1]}")

    def check_commands(self):
        named = set(re.findall(r"(?:`|^)(?:larderctl )?([a-z][a-z-]+)", read("Docs/OPERATIONS.md"), re.M))
        for command in self.commands("larderctl") - named - {"help"}:
            wrong.append(f"Docs/OPERATIONS.md does not name larderctl {command}")

    def check_settings(self):
        """Compares the first table of OPERATIONS.md with what is in force where nothing is set."""
        with tempfile.NamedTemporaryFile() as empty:
            ask = [os.path.join(self.folder, "larderd"), "--check-config", "--config", empty.name]
            dump = subprocess.run(ask, env={}, capture_output=True, text=True).stdout
        real = dict(re.findall(r'^(\w+) = "(.*)"  # default$', dump, re.M))
        told = {}
        _, _, table = read("Docs/OPERATIONS.md").partition("| key | default |")
        for keys, defaults in re.findall(r"^\| (`.*?) \| (.*?) \|", table.partition("\n\n")[0], re.M):
            keys = re.findall(r"\w+", keys)
            values = [defaults] if len(keys) == 1 else defaults.split(", ")
            told |= {key: value.replace("`", "") for key, value in zip(keys, values + values[-1:], strict=False)}
        for key in real.keys() - told.keys():
            wrong.append(f"Docs/OPERATIONS.md does not name the setting {key}")
        for key, value in told.items():
            if key not in real:
                wrong.append(f"Docs/OPERATIONS.md: larderd has no setting {key}")
            elif value.startswith("processors - 1"):
                if real[key] != str(min(os.cpu_count() - 1, 15)):
                    wrong.append(f"Docs/OPERATIONS.md: {key} is {real[key]}, not {value}")
            elif in_bytes(SAID.get(value, value)) != real[key]:
                wrong.append(f"Docs/OPERATIONS.md: {key} is {real[key]!r} by default, not {value!r}")


def in_bytes(text):
    number, _, unit = text.partition(" ")
    return str(int(number) * UNITS[unit]) if unit in UNITS else text


def main():
    given = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, ".build/release")
    programs = Programs(given) if os.path.exists(os.path.join(given, "larderd")) else None
    for path in documents():
        text = read(path)
        check_links(path, text)
        check_paths(path, text)
        if programs:
            programs.check_shown(path, text)
    if programs:
        programs.check_commands()
        programs.check_settings()
    else:
        print(f"skipped: commands and settings, because {given} has no programs; run: make build")
    agreed = "the documents agree with the repository" + " and the programs" * bool(programs)
    print("\n".join(sorted(set(wrong))) or agreed)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
