#!/usr/bin/env python3
"""Turns Docs/vectors/protocol.json into lines that a C program reads without a JSON parser.

    constant error_codes malformed 1
    limit frame_bytes 67108864
    vector NAME MESSAGE KIND ID
    field chunks.0.tokens 3                 an integer; booleans are 0 and 1
    field chunks.# 2                        the length of a list
    field next null
    field name s:6167656e7473               a text, as the hexadecimal digits of its UTF-8
    payload s:00ff
    frame s:1700...
    hostile NAME MESSAGE KIND CODE
    frame s:...
"""

import json
import sys

# Enumerations whose numbers the vectors do not list; see Docs/PROTOCOL.md.
CAUSES = {"none": 0, "noState": 1, "neverStored": 2, "evicted": 3, "damaged": 4}
RULES = {"cold": 1, "expired": 2, "useless": 3, "requested": 4, "quota": 5}
ORIGINS = {"none": 0, "declared": 1, "learned": 2}


def tables(document):
    """Numbers of enumerations by the name of the field that holds them."""
    return {
        "kind": document["component_kinds"],
        "element_type": document["element_types"],
        "encoding": {**document["encodings"], **document["encoding_choices"]},
        "acknowledgement": document["acknowledgements"],
        "sharing": document["sharing"],
        "admission": document["admissions"],
        "hint": document["hint_kinds"],
        "outcome": document["hint_outcomes"],
        "bound": document["hint_bounds"],
        "code": document["error_codes"],
        "cause": CAUSES,
        "rule": RULES,
        "rate_origin": ORIGINS,
    }


def text(value):
    return "s:" + value.encode().hex()


def flatten(path, value, enumerations):
    """Yields path and value of every leaf."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flatten(f"{path}.{name}" if path else name, inner, enumerations)
    elif isinstance(value, list):
        yield f"{path}.#", len(value)
        for index, inner in enumerate(value):
            yield from flatten(f"{path}.{index}", inner, enumerations)
    elif value is None:
        yield path, "null"
    elif isinstance(value, str):
        table = enumerations.get(path.rpartition(".")[2])
        yield path, table[value] if table else text(value)
    else:
        yield path, int(value)


# What only admins ask, and this client has no call for.
ADMIN = {"tree", "repair", "backup"}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        document = json.load(file)
    enumerations = tables(document)
    for name, number in document["error_codes"].items():
        print("constant error_codes", name, number)
    for name, number in document["limits"].items():
        print("limit", name, number)
    for vector in document["vectors"]:
        if vector["message"] in ADMIN:
            continue
        print("vector", vector["name"], vector["message"], vector["kind"], vector["requestID"])
        for path, value in flatten("", vector["fields"], enumerations):
            print("field", path, value)
        print("payload", "s:" + vector["payload"])
        print("frame", "s:" + vector["frame"])
    for hostile in document["hostile"]:
        if hostile["message"] in ADMIN:
            continue
        print("hostile", hostile["name"], hostile["message"], hostile["kind"], hostile["code"])
        print("frame", "s:" + hostile["frame"])


main()
